"""Which open questions of docs/assumptions.md a self-test settles, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from openane.runtimes.verification.check import CaseResult, CheckOutcome

QUESTIONS: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType(
    {
        "A1": ("encoding of windowed pooling", ("pool-max-2x2", "pool-average-2x2")),
        "A2": ("value of the padding", ("pool-max-3x3-padded", "pool-average-3x3-inside", "pool-average-3x3-padded")),
        "A3": ("asymmetric padding", ("pad-one-side",)),
        "A4": ("stride", ("stride-2", "stride-2-odd")),
        "A5": ("dilation", ("dilation-2",)),
        "A6": ("transposed convolution", ("transposed-2",)),
        "A11": ("8-bit tensors", ("bytes-uint8", "bytes-int8")),
        "A12": ("groups", ("order-groups", "order-depthwise")),
        "A13": ("minimum of the planar engine", ("reduce-image-min",)),
        "A16": ("offset of a view", ("view-channel", "view-height", "view-width")),
        "A17": ("channels that do not fill the lanes", ("order-33x3x3x3", "order-48x20x1x1")),
        "A19": ("intermediate values", ("softmax", "planar-scale-bias")),
        "A20": ("order of additions", ("overflow-taps", "reduce-normal", "reduce-thirds", "reduce-overflow")),
        "A21": ("PostScale and tables after a sum", ("post-scale", "post-scale-power", "table-of-sum", "table-index")),
        "A22": (
            "sums without weights, run-time kernels, long sums",
            ("run-time-matmul", "constant-sum", "passes-4096"),
        ),
        "A23": ("reciprocal and rsqrt", ("table-reciprocal", "table-rsqrt")),
    }
)
"""By the number of the assumption: its subject, and the cases whose outputs decide it."""

_RAN = frozenset({CheckOutcome.MATCHES, CheckOutcome.EXPLAINED, CheckOutcome.DIFFERS})


def answers(results: Sequence[CaseResult]) -> list[dict[str, Any]]:
    """One answer per assumption: "confirmed", "another hypothesis", "contradicted", or "open".

    An assumption is open until all its cases have run on the device.
    """
    found = {result.case.name: result for result in results}
    return [
        {"assumption": number, "subject": subject, "cases": list(cases), **_answer([found.get(n) for n in cases])}
        for number, (subject, cases) in QUESTIONS.items()
    ]


def _answer(results: Sequence[CaseResult | None]) -> dict[str, Any]:
    ran = [result for result in results if result is not None and result.outcome in _RAN]
    outcomes = {result.outcome for result in ran}
    agrees = sorted({name for result in ran for name in result.agrees_with})
    if CheckOutcome.DIFFERS in outcomes:
        answer = "contradicted"
    elif len(ran) < len(results):
        answer = "open"
    else:
        answer = "another hypothesis" if CheckOutcome.EXPLAINED in outcomes else "confirmed"
    return {"answer": answer, "hypotheses": agrees if answer == "another hypothesis" else []}
