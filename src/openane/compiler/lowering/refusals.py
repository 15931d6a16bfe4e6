"""Operations that have no form on the engine: why, and the cheapest change to a model that contains them."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from openane.compiler.lowering.operand_rules import INTEGERS_HINT, LOOK_UP_HINT
from openane.core.errors import UnsupportedError
from openane.core.rules import RuleKind, rule
from openane.graph import Operation
from openane.graph import ops as g


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an operation has no lowering.

    Attributes:
        reason: what the engine does not do.
        hint: the cheapest change; see :class:`~openane.core.rules.Rule`.
    """

    reason: str
    hint: str


def _refuse(reason: str, hint: str, *operations: type[Operation]) -> dict[type[Operation], Refusal]:
    return dict.fromkeys(operations, Refusal(reason, hint))


_BY_POSITION = "it does not address elements by computed positions"

#: By class of the operation.
REFUSALS: Mapping[type[Operation], Refusal] = MappingProxyType(
    _refuse(
        "it does not find positions",
        "End the model at {operand} ({type}) and find the positions in the application.",
        *(g.ArgMax, g.ArgMin, g.TopK, g.Hardmax),
    )
    | _refuse(
        _BY_POSITION,
        LOOK_UP_HINT,
        *(g.GatherElements, g.GatherND, g.OneHot),
    )
    | _refuse(
        _BY_POSITION,
        "Write it as Where with a constant mask, or as Pad and Add.",
        *(g.ScatterElements, g.ScatterND),
    )
    | _refuse(
        _BY_POSITION,
        "Give sequences of one length, and reverse them by Slice with a step of -1.",
        g.ReverseSequence,
    )
    | _refuse(_BY_POSITION, "Resample {operand} before the model, or leave it as a host step.", g.GridSample)
    | _refuse(
        "openane has no operation for it",
        "Replace it by operations that the engine has, or leave it as a host step.",
        g.OnnxNode,
    )
    | _refuse(
        "it has no integers",
        INTEGERS_HINT,
        *(g.BitwiseAnd, g.BitwiseNot, g.BitwiseOr, g.BitwiseXor, g.ShiftLeft, g.ShiftRight),
    )
    | _refuse(
        "it has no exact division with remainder",
        "Write it as Floor and Mul with a constant reciprocal, where rounding does not matter.",
        *(g.Mod, g.FloorDiv),
    )
    | _refuse(
        "it turns NaN into infinity and cannot tell them apart",
        "Drop the check, or compare with the largest value that the model makes.",
        *(g.IsNaN, g.IsInf),
    )
    | _refuse(
        "it does not reduce by multiplication",
        "Write it as Exp of a sum of Log, where the factors are positive.",
        *(g.ReduceProd, g.CumProd),
    )
    | _refuse(
        "recurrent layers are not unrolled for it",
        "Replace it by convolutions or attention over time, or leave it as a host step between two programs.",
        *(g.RNN, g.GRU, g.LSTM),
    )
    | _refuse(
        "it does not quantize at run time",
        "Quantize the weights only: they are unpacked at compile time, activations stay in half precision.",
        *(g.QuantizeLinear, g.DequantizeLinear),
    )
    | _refuse(
        "it rounds to half precision only",
        "Drop the casts, or export the model in float16.",
        g.RoundToType,
    )
)


@rule(
    "operations",
    family="every operation",
    kind=RuleKind.ENGINE,
    limit="operations with a lowering",
    hint="Replace it by operations that the engine has: `openane limits` lists their rules.",
    evidence="limits.md#operations",
)
def has_lowering(operation: Operation, lowered: Container[type[Operation]]) -> object | None:
    """The engine does not have the operation."""
    return None if type(operation) in lowered else type(operation).__name__


@rule(
    "onnxruntime-only",
    family="every operation",
    kind=RuleKind.COMPILER,
    limit="operations of the Graph",
    hint="Replace it by operations that the engine has, or leave it as a host step.",
    evidence="limits.md#operations",
)
def computed_by_openane(operation: Operation) -> object | None:
    """Only onnxruntime computes the operation, on the host."""
    return operation.onnx_name if isinstance(operation, g.OnnxNode) and not operation.problem else None


@rule(
    "no-implementation",
    family="every operation",
    kind=RuleKind.COMPILER,
    limit="operations of the Graph, or of the installed onnxruntime",
    hint="The model compiles and can be explained, but not run: replace the operation, or end the model before it.",
    evidence="limits.md#operations",
)
def computed_by_anything(operation: Operation) -> object | None:
    """Neither openane nor onnxruntime computes the operation."""
    return operation.onnx_name if isinstance(operation, g.OnnxNode) and operation.problem else None


def require_operation(operation: Operation) -> None:
    """Checks that a node of the file became an operation of the Graph.

    Raises:
        UnsupportedError: it did not; says why.
    """
    if not isinstance(operation, g.OnnxNode):
        return
    for each, detail in (
        (computed_by_anything, "; ".join(filter(None, (operation.reason, f"onnxruntime: {operation.problem}")))),
        (computed_by_openane, operation.reason),
    ):
        value = each.check(operation)
        if value is not None:
            raise UnsupportedError.of(each, value, detail=detail)


def require_lowering(operation: Operation, lowered: Container[type[Operation]]) -> None:
    """Checks that an operation has a lowering.

    Raises:
        UnsupportedError: it has none; says why.
    """
    value = has_lowering.check(operation, lowered)
    if value is not None:
        known = REFUSALS.get(type(operation), Refusal("", ""))
        raise UnsupportedError.of(has_lowering, value, detail=known.reason, hint=known.hint)
