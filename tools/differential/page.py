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

`make campaign TIME=3600` makes random legal networks and runs each on every level with the same inputs. It uses all
cores, writes one line of JSON a case to `campaign.jsonl`, and goes on where the last run stopped, even after a kill. A
new journal begins at a case that the commit decides, so that every commit explores others.
`python tools/campaign.py --report --journal campaign.jsonl` tells what a journal holds.

| compared | tolerance |
|---|---|
| Graph reference in double precision, before and after the graph passes | 1e-9 of the largest value |
| Graph and Net reference, double precision | 1e-9 |
| Graph reference and the nets that were compiled, with the steps of the host between them | 1e-4 |
| Graph reference and onnxruntime | 32 times the error in single precision, at least 1e-4 and 2^-24 a term |
| the model written as ONNX and read again | 1e-4 |
| simulator and the nets in half precision | measured for every element, see below |
| simulator and Graph reference | 5 % of the largest value, eight times the tolerance above, twice what tables change |

**The tolerance of the simulator is measured.** The nets run in half precision, every unit's result rounded and every
function of one element evaluated by the tables that the back end uses. They run four times more with every inexact
result off by up to a unit in the last place, some of them all in one direction; four times the spread of the outputs
(root of the mean square over the runs, plus that of the whole tensor) is the tolerance. Four samples are now and then
all small by chance: before a case counts as failed, 32 runs measure it again. Movements and choices of elements have no
noise: a network of those alone must agree to the bit, infinities and denormals included. Functions that jump (rounding,
comparisons, positions of the largest) are only drawn for values without rounding error. Where an intermediate result
comes near the 32768 from which sums leave the engine as infinity, the case runs and is not judged ("beyond half
precision"). `tests/campaign` proves that it can fail: programs without a bias, without a ReLU, with two channels
exchanged, with a padding on the other side, with weights a hundredth too large and others are told apart.

**Networks** are drawn by `tools/differential` from a number: one to some fifteen nodes, one or two inputs of rank 1 to
5 (floats, bytes, whole numbers, sparse ones; one case in twelve with infinities, denormals and numbers near the limit),
branches, several outputs, batches, odd and large extents up to 1.5 million elements, weights of 8 bits with their
scales, layouts of MIL text, and the dialects of three compilers. What lies inside another tensor (parts of splits, what
a concat joins) is read by sums, products, norms and functions on purpose. When a step has no form on the engine, the
plan with the host's help is judged.

**A failing case** is shrunk by hypothesis to the smallest network that fails in the same way, kept in the journal and
told with the command that shows it again. Mended ones stay in `tests/campaign/found`.

**Each change gets a share**: `make test` runs the same {share} cases every time, from 0 on, on all cores for at most
five minutes (ten processor minutes on the two cores of CI; `make test CAMPAIGN=60` changes it), and says how far it
came. All of them have passed, so a failure comes from the change and stops the build. Networks are made from numbers
by the code in `tools/differential`: whoever changes that code, or finds a fault in new cases, runs the whole share
again and keeps what failed in `tests/campaign/found`. New cases are what `make campaign` is for.

## Everyday sizes

    python tools/campaign.py --everyday 20000

compiles chains and small graphs over elementwise, table, reduction, data-movement and normalization operations, with
one to three inputs and operands that several nodes share, at the sizes of real layers (1x64x56x56, 384x128, 8x3, ...),
in every dialect. Each program passes the address check that the simulator makes before a run; a conflict is a failure,
whatever its cause. One network in fifty is also run and compared on all levels. `tests/campaign/test_everyday.py` keeps
a fixed share.
"""


_LEFT_OUT = """
### Not covered

- Kernels of 8 bits, palettes and sparse kernels that a net brings along: the compiler writes fp16 and chooses sparsity
  itself, so `KernelFmt`, `PalettizedEn` and their like keep one value. `tests/sim` builds such tasks by hand.
- Units that no graph is lowered to and only a net.plist names: comparisons (a graph's become differences and signs),
  `Select`, `Tile`, `SumSquare`, and some kinds of Neuron.
- Cache hints, power classes, priorities and event masks beyond what Apple's compiler writes: schedule only.
- Recurrent layers, scatter, bits, run-time quantization: they always run on the host and are tested there.
- Models from Core ML, MIL text, Keras and PyTorch; the containers other than .hwx; runtimes other than the simulator.
- Numbers near 32768 inside a network, which are run and not judged.
"""


def page(lines: Iterable[dict[str, Any]]) -> Iterator[str]:
    """The page, line by line, from the lines of a journal and the networks that were found."""
    total = summarize(lines)
    yield _INTRODUCTION.format(share=f"{SHARE_CASES:,}")
    yield "## What was run\n"
    yield "Measured by `tools/campaign.py --page`; nothing here is written by hand.\n"
    yield f"| | |\n|---|---|\n| cases | {total.cases:,} |\n| programs | {total.programs:,} |"
    yield f"| processor hours | {total.seconds / 3600:.1f} |"
    yield from (f"| {result} | {count:,} |" for result, count in total.results.most_common() if result in FINE)
    yield f"| failures that are not mended | {len(total.failures)} |"
    yield f"| cases with steps on the host | {total.with_host:,} |"
    judged = total.onnxruntime["ok"]
    yield f"| judged by onnxruntime too | {judged:,} |"
    yield from _margins(total)
    yield "\n## Faults found and mended\n"
    yield "| what was wrong | the network that showed it |\n|---|---|"
    for path in sorted(FOUND.glob("*.json")):
        found = json.loads(path.read_text())
        network = parse(found["network"])
        names = " → ".join(type(step.operation).__name__ for step in network.steps)
        shapes = ", ".join("x".join(map(str, values.shape)) or "one number" for values in network.inputs.values())
        yield f"| {found['wrong']} | {names} of {shapes} (`{path.stem}`) |"
    yield "\n## Coverage\n"
    yield from (f"- {text}" for text in coverage(total))
    yield "\nWhy steps ran on the host, by rule: " + _list(total.refusals)
    yield "\nWhy onnxruntime did not judge: " + _list({n: c for n, c in total.onnxruntime.items() if n != "ok"})
    yield _LEFT_OUT
    yield from _fields(total)


def _margins(total: Summary) -> Iterator[str]:
    margins = sorted(total.margins)
    if margins:
        for part, text in ((0.5, "half of the cases"), (0.99, "99 % of the cases"), (1.0, "all cases")):
            value = margins[min(len(margins) - 1, int(part * len(margins)))]
            yield f"| error on the simulator over its tolerance, {text} at most | {value:.2f} |"


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
