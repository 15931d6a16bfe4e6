"""Elements by position: gathers, one-hot vectors, bands, sorting."""

from __future__ import annotations

from openane.core.types import DType
from openane.frontends.mil.call import OperationCall
from openane.frontends.mil.operations.entry import Entry
from openane.graph import ops


def _indices(call: OperationCall) -> str:
    """The positions as 64-bit integers, the Graph's own."""
    value = call.value("indices")
    if call.builder.types[value].dtype is DType.INT64:
        return value
    return call.emit(ops.Cast(DType.INT64), value)


def _gather(call: OperationCall) -> None:
    if call.integer("batch_dims", 0):
        call.unsupported("gathering with batch axes cannot be read", value=call.integer("batch_dims"))
    axis = call.axis("axis", len(call.type("x").shape), 0)
    call.finish(ops.Gather(axis), call.value("x"), _indices(call))


def _gather_along_axis(call: OperationCall) -> None:
    axis = call.axis("axis", len(call.type("x").shape), 0)
    call.finish(ops.GatherElements(axis), call.value("x"), _indices(call))


def _gather_nd(call: OperationCall) -> None:
    call.finish(ops.GatherND(call.integer("batch_dims", 0)), call.value("x"), _indices(call))


def _band_part(call: OperationCall) -> None:
    lower, upper = call.integer("lower", -1), call.integer("upper", -1)
    value = call.value("x")
    if lower >= 0:
        value = call.emit(ops.Trilu(True, -lower), value)
    if upper >= 0:
        call.finish(ops.Trilu(False, upper), value)
    else:
        call.finish(ops.Identity(), value)


ENTRIES = {
    "gather": Entry(("x", "indices", "axis", "batch_dims", "validate_indices"), _gather),
    "gather_along_axis": Entry(("x", "indices", "axis", "validate_indices"), _gather_along_axis),
    "gather_nd": Entry(("x", "indices", "batch_dims", "validate_indices"), _gather_nd),
    "band_part": Entry(("x", "lower", "upper"), _band_part),
}
