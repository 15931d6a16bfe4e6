"""Elements by position: gathers, one-hot vectors, bands, sorting."""

from __future__ import annotations

import numpy as np

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


_MODES = {
    "update": ops.ScatterMode.REPLACE,
    "add": ops.ScatterMode.ADD,
    "mul": ops.ScatterMode.MULTIPLY,
    "max": ops.ScatterMode.MAXIMUM,
    "min": ops.ScatterMode.MINIMUM,
}


def _mode(call: OperationCall) -> ops.ScatterMode:
    return _MODES[call.text("mode", "add", tuple(_MODES))]


def _scatter_nd(call: OperationCall) -> None:
    call.finish(ops.ScatterND(_mode(call)), call.value("data"), _indices(call), call.value("updates"))


def _scatter_along_axis(call: OperationCall) -> None:
    axis = call.axis("axis", len(call.type("data").shape), 0)
    call.finish(ops.ScatterElements(axis, _mode(call)), call.value("data"), _indices(call), call.value("updates"))


def _one_hot(call: OperationCall) -> None:
    depth, rank = call.integer("one_hot_vector_size"), len(call.type("indices").shape) + 1
    usual = {"off_value": 0, "on_value": 1}
    values = np.array([call.constant(name).item() if call.has(name) else value for name, value in usual.items()])
    kind = np.float32 if values.dtype.kind == "f" else np.int32
    constant = call.builder.constant(values.astype(kind), "one_hot_values")
    call.finish(ops.OneHot(depth, call.axis("axis", rank, -1)), _indices(call), constant)


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
    "one_hot": Entry(("indices", "one_hot_vector_size", "axis", "on_value", "off_value"), _one_hot),
    "scatter_nd": Entry(("data", "indices", "updates", "mode", "validate_indices"), _scatter_nd),
    "scatter_along_axis": Entry(
        ("data", "indices", "updates", "axis", "mode", "validate_indices"), _scatter_along_axis
    ),
    "band_part": Entry(("x", "lower", "upper"), _band_part),
}
