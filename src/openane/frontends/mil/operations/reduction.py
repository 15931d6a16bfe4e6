"""Reductions, arg-extremes and cumulative sums."""

from __future__ import annotations

from openane.frontends.mil.call import OperationCall
from openane.frontends.mil.operations.entry import Entry
from openane.graph import ops
from openane.graph.operation import Operation


def _reduce(kind: type[ops.Reduction]) -> Entry:
    def translate(call: OperationCall) -> None:
        axes = call.axes("axes", len(call.type("x").shape))
        call.finish(kind(axes, call.truth("keep_dims", False)), call.value("x"))

    return Entry(("x", "axes", "keep_dims"), translate)


def _argument(kind: type[ops.ArgMax] | type[ops.ArgMin]) -> Entry:
    def translate(call: OperationCall) -> None:
        axis = call.axis("axis", len(call.type("x").shape), -1)
        call.finish(kind(axis, call.truth("keep_dims", False)), call.value("x"))

    return Entry(("x", "axis", "keep_dims"), translate)


def _topk(call: OperationCall) -> None:
    axis = call.axis("axis", len(call.type("x").shape), -1)
    operation = ops.TopK(axis, call.integer("k", 1), largest=not call.truth("ascending", False))
    call.finish(operation, call.value("x"))


def _cumsum(call: OperationCall) -> None:
    axis = call.axis("axis", len(call.type("x").shape), 0)
    operation: Operation = ops.CumSum(axis, call.truth("exclusive", False), call.truth("reverse", False))
    call.finish(operation, call.value("x"))


ENTRIES = {
    "reduce_sum": _reduce(ops.ReduceSum),
    "reduce_mean": _reduce(ops.ReduceMean),
    "reduce_max": _reduce(ops.ReduceMax),
    "reduce_min": _reduce(ops.ReduceMin),
    "reduce_prod": _reduce(ops.ReduceProd),
    "reduce_l1_norm": _reduce(ops.ReduceL1),
    "reduce_l2_norm": _reduce(ops.ReduceL2),
    "reduce_sum_square": _reduce(ops.ReduceSumSquare),
    "reduce_log_sum": _reduce(ops.ReduceLogSum),
    "reduce_log_sum_exp": _reduce(ops.ReduceLogSumExp),
    "reduce_argmax": _argument(ops.ArgMax),
    "reduce_argmin": _argument(ops.ArgMin),
    "topk": Entry(("x", "k", "axis", "ascending"), _topk),
    "cumsum": Entry(("x", "axis", "exclusive", "reverse"), _cumsum),
}
