"""Writes docs/onnx.md: what ONNX's own test cases do on the engine, by operation, and why some do not.

python tools/onnx_suite.py            runs every case; writes the outcomes to tests and the page from them
python tools/onnx_suite.py --check    exits with status 1 when the page is not the one of the stored outcomes
"""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import onnx
import onnxruntime

from openane.onnx_suite import SuiteOutcome, SuiteVerdict, cases, judge

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "onnx.md"
OUTCOMES = ROOT / "tests" / "onnx_outcomes.tsv"
"""The versions of onnx and onnxruntime, then one case per line: name, operation, verdict, reason."""

ORDER = (
    SuiteVerdict.ENGINE,
    SuiteVerdict.HOST,
    SuiteVerdict.FOLDED,
    SuiteVerdict.HAZARD,
    SuiteVerdict.REFUSED,
    SuiteVerdict.WRONG,
)
HEAD = """# ONNX operations

On this page you can look up which ONNX operations run on the engine. For your own model, use `openane explain`:

```console
$ openane explain model.onnx
```

Operations that the engine does not have are host steps. Some of them openane itself does not know: operations of other
domains (`com.microsoft` and whatever else onnxruntime registers), and nodes whose results have a shape that depends on
the data. They run through onnxruntime, as the file has them; what reads such a result is a host step as well, until
shapes are known again. `openane explain` names each with its reason. A model with an operation that nothing computes
can be compiled and explained, but not run.

The table counts the test cases of the package onnx {version} (node, simple, pytorch-converted, pytorch-operator),
compiled for H13 and run on the simulator, with onnxruntime {runtime} for host steps. `tools/onnx_suite.py` writes this
page from the outcomes in `tests/onnx_outcomes.tsv`; the tests recompute its counts and rerun a sample of the cases.

| outcome | meaning |
|---|---|
| *engine* | the whole case is one program for the engine, and the result is correct within half precision |
| *host steps* | some or all of the case runs on the host, and the result is correct; random numbers in shape and type |
| *folded* | nothing is left to run, because every value is constant |
| *hazard* | an output is wrong, and `openane run` reports the hazard that explains it |
| *refused* | one error reports what is not supported; the reasons are listed below |
| *wrong* | an output is wrong without a hazard, or the simulator finds a fault in the program; must be 0 |
"""
HAZARDS = """
## Why results are wrong

`openane run` reports these hazards for the inputs of the case, with the layer to keep on the host. The engine has no
NaN and treats it as infinity. Its logarithm of infinity is 0 (the table that Apple's compiler writes), so a
log-sum-exp whose exponentials overflow gives 0.
"""


def read_outcomes(path: Path = OUTCOMES) -> tuple[str, str, list[SuiteOutcome]]:
    """The versions of onnx and onnxruntime, and the stored outcome of every case."""
    with path.open(newline="") as file:
        (version, runtime), *rows = csv.reader(file, delimiter="\t")
    return (
        version,
        runtime,
        [SuiteOutcome(name, operation, SuiteVerdict(verdict), reason) for name, operation, verdict, reason in rows],
    )


def write_outcomes(outcomes: Iterable[SuiteOutcome], path: Path = OUTCOMES) -> None:
    """Stores the outcomes with the versions of onnx and onnxruntime at hand."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow([onnx.__version__, onnxruntime.__version__])
        writer.writerows((each.name, each.operation, each.verdict.value, each.reason) for each in outcomes)


def page(version: str, runtime: str, outcomes: list[SuiteOutcome]) -> str:
    """The page as Markdown."""
    lines = [HEAD.format(version=version, runtime=runtime), *_counts(outcomes)]
    lines += [HAZARDS, *_reasons(outcomes, SuiteVerdict.HAZARD)]
    lines += ["", "## Why cases are refused", "", *_reasons(outcomes, SuiteVerdict.REFUSED)]
    return "\n".join(lines) + "\n"


def _counts(outcomes: list[SuiteOutcome]) -> Iterator[str]:
    groups: dict[str, list[SuiteOutcome]] = {"all": outcomes}
    for outcome in sorted(outcomes, key=lambda each: each.operation.lower()):
        groups.setdefault(outcome.operation, []).append(outcome)
    yield f"| | {' | '.join(verdict.value for verdict in ORDER)} | cases |"
    yield f"|---|{'---:|' * (len(ORDER) + 1)}"
    for operation, members in groups.items():
        counts = Counter(outcome.verdict for outcome in members)
        blank = "" if operation != "all" else 0
        yield f"| {operation} | {' | '.join(str(counts[verdict] or blank) for verdict in ORDER)} | {len(members)} |"


def _reasons(outcomes: list[SuiteOutcome], verdict: SuiteVerdict) -> Iterator[str]:
    groups: dict[str, list[SuiteOutcome]] = {}
    for outcome in outcomes:
        if outcome.verdict is verdict:
            groups.setdefault(outcome.reason, []).append(outcome)
    yield "| reason | cases | operations |"
    yield "|---|---:|---|"
    for reason in sorted(groups, key=lambda each: (-len(groups[each]), each)):
        operations = ", ".join(dict.fromkeys(outcome.operation for outcome in groups[reason]))
        yield f"| {reason.replace('|', '/')} | {len(groups[reason])} | {operations} |"


def main() -> None:
    """Runs the suite and writes outcomes and page, or checks the page."""
    if sys.argv[1:] == ["--check"]:
        if PAGE.read_text() != page(*read_outcomes()):
            sys.exit("docs/onnx.md is not the page of the stored outcomes; run python tools/onnx_suite.py")
        return
    if sys.argv[1:]:
        sys.exit("usage: python tools/onnx_suite.py [--check]")
    outcomes = [judge(case) for case in cases()]
    write_outcomes(outcomes)
    PAGE.write_text(page(*read_outcomes()))
    wrong = [outcome for outcome in outcomes if outcome.verdict is SuiteVerdict.WRONG]
    for outcome in wrong:
        print(f"wrong: {outcome.name}: {outcome.reason}", file=sys.stderr)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
