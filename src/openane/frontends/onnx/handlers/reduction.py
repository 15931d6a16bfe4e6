"""Reductions, extremes and running sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from openane.core.types import DType
from openane.frontends.onnx.call import Handler, NodeCall
from openane.graph import Operation, ops
from openane.graph.ops import ArgMax, ArgMin, CumProd, CumSum, TopK
from openane.graph.ops.support import normalize_axis, require

Reduce = Callable[[tuple[int, ...], bool], Operation]


def _reduce(kind: Reduce) -> Handler:
    """The handler of a reduction; no axes mean all, or none where the attribute says so."""

    def handler(call: NodeCall) -> Sequence[str]:
        rank = call.rank()
        axes = call.axes(1, rank)
        if not axes:
            if call.flag("noop_with_empty_axes"):
                return [call.emit(kind((), True), call.name(0))]
            axes = tuple(range(rank))
        x = call.name(0)
        if call.operand(0).dtype is DType.BOOL and kind not in (ops.ReduceMax, ops.ReduceMin):
            call.refuse("booleans cannot be reduced like this")
        return [call.emit(kind(axes, call.flag("keepdims", True)), x)]

    return handler


def _extreme(kind: Callable[[int, bool, bool], Operation]) -> Handler:
    """The handler of ArgMax and ArgMin."""

    def handler(call: NodeCall) -> Sequence[str]:
        axis = call.axis(0, call.rank())
        operation = kind(axis, call.flag("keepdims", True), call.flag("select_last_index"))
        return [call.emit(operation, call.name(0))]

    return handler


def _top_k(call: NodeCall) -> Sequence[str]:
    k = call.integer(1, "k") if call.version >= 10 else call.attr_int("k", -1)
    require(k >= 0, "k must not be negative", value=k)
    operation = TopK(call.axis(-1, call.rank()), k, call.flag("largest", True))
    return call.emit_all(operation, call.name(0))


def _cumulative(kind: Callable[[int, bool, bool], Operation]) -> Handler:
    """The handler of a running sum or product."""

    def handler(call: NodeCall) -> Sequence[str]:
        axis = normalize_axis(call.integer(1, "the axis"), call.rank())
        return [call.emit(kind(axis, call.flag("exclusive"), call.flag("reverse")), call.name(0))]

    return handler


HANDLERS: Mapping[str, Handler] = {
    "ArgMax": _extreme(ArgMax),
    "ArgMin": _extreme(ArgMin),
    "CumProd": _cumulative(CumProd),
    "CumSum": _cumulative(CumSum),
    "ReduceL1": _reduce(ops.ReduceL1),
    "ReduceL2": _reduce(ops.ReduceL2),
    "ReduceLogSum": _reduce(ops.ReduceLogSum),
    "ReduceLogSumExp": _reduce(ops.ReduceLogSumExp),
    "ReduceMax": _reduce(ops.ReduceMax),
    "ReduceMean": _reduce(ops.ReduceMean),
    "ReduceMin": _reduce(ops.ReduceMin),
    "ReduceProd": _reduce(ops.ReduceProd),
    "ReduceSum": _reduce(ops.ReduceSum),
    "ReduceSumSquare": _reduce(ops.ReduceSumSquare),
    "TopK": _top_k,
}
