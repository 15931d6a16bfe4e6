"""Gathers, scatters and one-hot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from openane.core.types import DType
from openane.frontends.onnx.call import Handler, NodeCall
from openane.graph.ops import (
    Gather,
    GatherElements,
    GatherND,
    OneHot,
    ReverseSequence,
    ScatterElements,
    ScatterMode,
    ScatterND,
)
from openane.graph.ops.support import normalize_axis, require


def _gather(call: NodeCall) -> Sequence[str]:
    return [call.emit(Gather(call.axis(0, call.rank())), call.name(0), call.name(1))]


def _gather_elements(call: NodeCall) -> Sequence[str]:
    return [call.emit(GatherElements(call.axis(0, call.rank())), call.name(0), call.name(1))]


def _gather_nd(call: NodeCall) -> Sequence[str]:
    return [call.emit(GatherND(call.attr_int("batch_dims", 0)), call.name(0), call.name(1))]


def _mode(call: NodeCall) -> ScatterMode:
    return ScatterMode(call.choice("reduction", "none", *(mode.value for mode in ScatterMode)))


def _scatter_elements(call: NodeCall) -> Sequence[str]:
    return [call.emit(ScatterElements(call.axis(0, call.rank()), _mode(call)), *call.inputs)]


def _scatter_nd(call: NodeCall) -> Sequence[str]:
    return [call.emit(ScatterND(_mode(call)), *call.inputs)]


def _one_hot(call: NodeCall) -> Sequence[str]:
    depth = call.integer(1, "the depth")
    require(depth >= 0, "the depth must not be negative", value=depth)
    axis = normalize_axis(call.attr_int("axis", -1), call.rank() + 1)
    indices = call.name(0)
    if call.operand(0).dtype.is_float:
        indices = call.cast(indices, DType.INT64)
    return [call.emit(OneHot(depth, axis), indices, call.name(2))]


def _reverse_sequence(call: NodeCall) -> Sequence[str]:
    operation = ReverseSequence(call.attr_int("batch_axis", 1), call.attr_int("time_axis", 0))
    return [call.emit(operation, call.name(0), call.name(1))]


HANDLERS: Mapping[str, Handler] = {
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "OneHot": _one_hot,
    "ReverseSequence": _reverse_sequence,
    "Scatter": _scatter_elements,
    "ScatterElements": _scatter_elements,
    "ScatterND": _scatter_nd,
}
