"""Operations that have no form on the engine: why, and the cheapest change to a model that contains them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from openane.graph import Operation
from openane.graph import ops as g


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an operation has no lowering.

    Attributes:
        reason: what the engine lacks.
        hint: the cheapest change; {operand} and {type} are those of the first operand computed at run time.
    """

    reason: str
    hint: str = ""


def _refuse(reason: str, hint: str, *operations: type[Operation]) -> dict[type[Operation], Refusal]:
    return dict.fromkeys(operations, Refusal(reason, hint))


_BY_POSITION = "the engine does not address elements by computed positions"

INTEGERS_HINT = "Compute {operand} before the model, or in floating point where its values stay below 2048."

#: By class of the operation.
REFUSALS: Mapping[type[Operation], Refusal] = MappingProxyType(
    _refuse(
        "the engine does not find positions",
        "End the model at {operand} ({type}) and find the positions in the application.",
        *(g.ArgMax, g.ArgMin, g.TopK, g.Hardmax),
    )
    | _refuse(
        _BY_POSITION,
        "Do the look-up of {operand} before the model and make its result an input, or multiply by a one-hot matrix.",
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
    | _refuse(_BY_POSITION, "", g.GridSample)
    | _refuse(
        "the engine has no integers",
        INTEGERS_HINT,
        *(g.BitwiseAnd, g.BitwiseNot, g.BitwiseOr, g.BitwiseXor, g.ShiftLeft, g.ShiftRight),
    )
    | _refuse(
        "the engine has no exact division with remainder",
        "Write it as Floor and Mul with a constant reciprocal, where rounding does not matter.",
        *(g.Mod, g.FloorDiv),
    )
    | _refuse(
        "the engine turns NaN into infinity, and so cannot tell",
        "Drop the check, or compare with the largest value that the model makes.",
        *(g.IsNaN, g.IsInf),
    )
    | _refuse(
        "the engine does not reduce by products",
        "Write it as Exp of a sum of Log, where the factors are positive.",
        *(g.ReduceProd, g.CumProd),
    )
    | _refuse(
        "recurrent layers are not unrolled for the engine",
        "Replace it by convolutions or attention over time, or leave it as a host step between two programs.",
        *(g.RNN, g.GRU, g.LSTM),
    )
    | _refuse(
        "run-time quantisation is not part of the engine",
        "Quantise the weights only: they are unpacked at compile time, activations stay in half precision.",
        *(g.QuantizeLinear, g.DequantizeLinear),
    )
)
