"""Writes docs/onnx.md: what ONNX's own test cases do on the engine, by operation.

python tools/onnx_suite.py docs/onnx.md
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import onnx

from openane.onnx_suite import Outcome, Verdict, cases, judge

ORDER = (Verdict.ENGINE, Verdict.HOST, Verdict.FOLDED, Verdict.HAZARD, Verdict.REFUSED, Verdict.WRONG)


def page(outcomes: Iterable[Outcome]) -> str:
    """The page as Markdown."""
    return "\n".join(_lines(list(outcomes))) + "\n"


def _lines(outcomes: list[Outcome]) -> Iterator[str]:
    totals = Counter(outcome.verdict for outcome in outcomes)
    yield "# ONNX operations"
    yield ""
    yield (
        f"The test cases of the package onnx {onnx.__version__} (node, simple, pytorch-converted, pytorch-operator), "
        "compiled for H13 and run on the simulator; written by `tools/onnx_suite.py`."
    )
    yield ""
    yield "- *engine*: the whole case is one program for the engine, and the result is right within half precision"
    yield "- *host steps*: parts or all of it run on the processor, and the result is right"
    yield "- *folded*: nothing is left to run, because every value is constant"
    yield (
        "- *hazard*: the values of the case do not fit half precision and the result is off; `openane explain` reports "
        "the hazard for these inputs, and `--wide` keeps the layer on the host"
    )
    yield "- *refused*: one clear error; the reasons stand below"
    yield "- *wrong*: must be 0"
    yield ""
    yield f"| | {' | '.join(verdict.value for verdict in ORDER)} | cases |"
    yield f"|---|{'---:|' * (len(ORDER) + 1)}"
    yield f"| all | {' | '.join(str(totals[verdict]) for verdict in ORDER)} | {len(outcomes)} |"
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.operation, []).append(outcome)
    for operation in sorted(groups, key=str.lower):
        counts = Counter(outcome.verdict for outcome in groups[operation])
        row = " | ".join(str(counts[verdict] or "") for verdict in ORDER)
        yield f"| {operation} | {row} | {len(groups[operation])} |"
    yield ""
    yield "## Why cases are refused"
    yield ""
    yield "| reason | cases | operations |"
    yield "|---|---:|---|"
    reasons: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.verdict is Verdict.REFUSED:
            reasons.setdefault(outcome.reason, []).append(outcome)
    for reason in sorted(reasons, key=lambda each: (-len(reasons[each]), each)):
        operations = ", ".join(dict.fromkeys(outcome.operation for outcome in reasons[reason]))
        yield f"| {reason.replace('|', '/')} | {len(reasons[reason])} | {operations} |"


def main() -> None:
    """Runs the suite and writes the page."""
    if len(sys.argv) != 2:
        sys.exit("usage: python tools/onnx_suite.py docs/onnx.md")
    outcomes = [judge(case) for case in cases()]
    Path(sys.argv[1]).write_text(page(outcomes))
    wrong = [outcome for outcome in outcomes if outcome.verdict is Verdict.WRONG]
    for outcome in wrong:
        print(f"wrong: {outcome.name}: {outcome.reason}", file=sys.stderr)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
