"""The page of the docs that says what the campaign does, what it ran, what it found and what it did not reach."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from differential.coverage import VALUES_KEPT, declared_fields
from differential.levels import FINE
from differential.network import parse
from differential.report import Summary, coverage, summarize
from differential.running import SHARE_CASES

FOUND = Path(__file__).parents[2] / "tests" / "campaign" / "found"
"""Networks that once failed, each with what was wrong."""

_INTRODUCTION = """# Differential campaign

With the campaign you can test the whole toolchain on random networks, and reproduce a failure:

```console
$ make campaign TIME=3600
$ python tools/campaign.py --report --journal campaign.jsonl
$ python tools/campaign.py --seed 1234
```

The first command generates random legal networks and runs each of them on every level with the same inputs. It uses
all cores, writes one line of JSON per case to `campaign.jsonl`, and resumes where the last run stopped, even after a
kill. A new journal starts at a case that depends on the commit, so that every commit explores other cases. The second
command summarizes a journal, the third one repeats a case.

| comparison | tolerance |
|---|---|
| Graph reference in double precision, before and after the graph passes | 1e-9 of the largest value |
| Graph and Net reference, double precision | 1e-9 |
| Graph reference and the compiled nets, with the host steps between them | 1e-4 |
| Graph reference and onnxruntime | 32 times the error in single precision, at least 1e-4 and 2^-24 per term |
| the model written as ONNX and read back | 1e-4 |
| simulator and the nets in half precision | measured for every element, see below |
| simulator and Graph reference | 5 % of the largest value, 8 times that tolerance, twice what tables and sums change |

## Tolerance of the simulator

The tolerance is measured. The nets run in half precision: the result of every unit is rounded, every unary function is
evaluated by the tables that the back end uses, and products are added up by the published rule of the accumulator
(`tools/differential/accumulator.py`, written independently of openane): each is rounded to 2^-16, and dropped where the
exponents of its factors sum to -17 or less. They run four more times, with every inexact result changed by up to a unit
in the last place, in some runs all in one direction. The tolerance is four times the spread
of the outputs (root mean square over the runs, plus that of the whole tensor). Four samples are sometimes all small
by chance, so 32 more runs measure the spread again before a case counts as failed.

- Data movement and selection add no error: a network of only these must agree to the bit, including infinities and
  denormals.
- Discontinuous functions (rounding, comparisons, positions of the largest value) are generated only for values without
  rounding error.
- If an intermediate result comes close to 32768, from which sums leave the engine as infinity, the case runs but is not
  judged ("beyond half precision").

`tests/campaign` proves that the comparison can fail. It detects programs without a bias, without a ReLU, with two
channels exchanged, with padding on the wrong side, with weights that are one percent too large, and others.

## Networks

`tools/differential` generates each network from a number: one to about fifteen nodes, one or two inputs of rank 1 to
5 (floats, bytes, integers, sparse ones; one case in twelve with infinities, denormals and numbers near the limit),
branches, several outputs, batches, odd and large dimensions up to 1.5 million elements, 8-bit weights with their
scales, layouts of MIL text, and the dialects of three compilers. Matmuls, reductions, norms and functions
deliberately read values that are part of another tensor (outputs of a split, inputs of a concat). If the engine does
not support a step, the plan with host steps is judged.

## Failures

hypothesis shrinks a failing case to the smallest network that fails in the same way. The journal keeps it, and the
report shows the command that reproduces it. Networks of fixed bugs remain in `tests/campaign/found`.

`make test` runs the same {share} cases every time, starting from 0, on all cores for at most five minutes (ten
processor minutes on the two cores of CI; `make test CAMPAIGN=60` changes it), and reports how many cases it
completed. All of them have passed, so a failure comes from the change and stops the build. The code in
`tools/differential` maps numbers to networks: if you change it, or find a bug with new cases, rerun all {share} cases
and add what failed to `tests/campaign/found`. Use `make campaign` to explore new cases.

## Everyday sizes

    python tools/campaign.py --everyday 20000

compiles chains and small graphs of elementwise, table, reduction, data-movement and normalization operations, with
one to three inputs and operands that several nodes share, at the sizes of real layers (1x64x56x56, 384x128, 8x3,
...), in every dialect. Each program passes the address check that the simulator makes before a run; a conflict is a
failure, whatever its cause. One network in fifty is also run and compared on all levels.
`tests/campaign/test_everyday.py` runs a fixed share.

Last run (`--start` from 4,000,000, 4,003,400 and 4,010,000): 6,800 networks, 20,397 programs, 358,764
tasks, of which the address check rejected none; 136 networks were judged on all levels, and all agreed.
"""


_LEFT_OUT = """
### Not covered

- 8-bit, palettized and sparse kernels that a net contains: the compiler writes fp16 and chooses sparsity itself, so
  `KernelFmt`, `PalettizedEn` and similar fields keep one value. `tests/sim` builds such tasks by hand.
- Units that no graph is lowered to and that occur only in a net.plist: comparisons (lowering uses differences and signs
  instead), `Select`, `Tile`, `SumSquare`, and some kinds of Neuron.
- Cache hints, power classes, priorities and event masks beyond those that Apple's compiler writes; they affect only the
  schedule.
- Recurrent layers, scatter, bitwise operations and run-time quantization, which always run on the host and have tests
  there.
- Models from Core ML, MIL text, Keras and PyTorch; containers other than .hwx; runtimes other than the simulator.
- Values near 32768 inside a network, which run but are not judged.
"""


def page(lines: Iterable[dict[str, Any]]) -> Iterator[str]:
    """The page, line by line, from the lines of a journal and the networks that were found."""
    total = summarize(lines)
    yield _INTRODUCTION.format(share=f"{SHARE_CASES:,}")
    yield "## What was run\n"
    yield "Measured by `tools/campaign.py --page`; the numbers are not edited by hand.\n"
    yield f"| | |\n|---|---|\n| cases | {total.cases:,} |\n| programs | {total.programs:,} |"
    yield f"| processor hours | {total.seconds / 3600:.1f} |"
    yield from (f"| {result} | {count:,} |" for result, count in total.results.most_common() if result in FINE)
    yield f"| failures that are not fixed | {len(total.failures)} |"
    yield f"| cases with steps on the host | {total.with_host:,} |"
    judged = total.onnxruntime["ok"]
    yield f"| also judged by onnxruntime | {judged:,} |"
    yield from _margins(total)
    yield "\n## Bugs found and fixed\n"
    yield "| bug | network that found it |\n|---|---|"
    for path in sorted(FOUND.glob("*.json")):
        found = json.loads(path.read_text())
        network = parse(found["network"])
        names = " → ".join(type(step.operation).__name__ for step in network.steps)
        shapes = ", ".join("x".join(map(str, values.shape)) or "one number" for values in network.inputs.values())
        yield f"| {found['wrong']} | {names} of {shapes} (`{path.stem}`) |"
    yield "\n## Coverage\n\n```text"
    yield from coverage(total)
    yield "steps on the host, by rule: " + _list(total.refusals)
    yield "not judged by onnxruntime: " + _list({n: c for n, c in total.onnxruntime.items() if n != "ok"})
    yield "```"
    yield _LEFT_OUT
    yield from _fields(total)


def _margins(total: Summary) -> Iterator[str]:
    margins = sorted(total.margins)
    if margins:
        for part, text in ((0.5, "half of the cases"), (0.99, "99 % of the cases"), (1.0, "all cases")):
            value = margins[min(len(margins) - 1, int(part * len(margins)))]
            yield f"| error on the simulator divided by its tolerance, at most in {text} | {value:.2f} |"


def _list(counts: dict[str, int]) -> str:
    rows = sorted(counts.items(), key=lambda row: (-row[1], row[0]))
    return "; ".join(f"{name} ({count:,})" for name, count in rows) or "none"


def _fields(total: Summary) -> Iterator[str]:
    """Registers with the number of distinct values that were written to each field."""
    seen: dict[str, dict[str, tuple[set[int], int]]] = {}
    for path, each in declared_fields().items():
        register, _, name = re.sub(r"\[\d+\]", "[]", path).rpartition(".")
        values, width = seen.setdefault(register, {}).get(name, (set(), each.width))
        seen[register][name] = (values | total.fields.get(path, set()), width)
    yield "\n### Register fields\n"
    yield f"Distinct values that programs wrote to each field, of all it can hold; {VALUES_KEPT}+ are not counted.\n"
    yield "| register | field: values written / possible |\n|---|---|"
    for register, fields in seen.items():
        cells = ", ".join(f"{name} {_count(values)}/{_possible(width)}" for name, (values, width) in fields.items())
        yield f"| {register} | {cells} |"


def _count(values: set[int]) -> str:
    return f"{VALUES_KEPT}+" if len(values) >= VALUES_KEPT else str(len(values))


def _possible(width: int) -> str:
    return str(1 << width) if width <= 6 else f"2^{width}"
