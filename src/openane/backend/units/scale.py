"""Scale and bias that no other unit takes in: GOC, alone or with a function after it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from openane.backend.alloc.surfaces import align
from openane.backend.ir.fused import Fused
from openane.backend.ir.plan import (
    NeWork,
    Nonlinearity,
    PeMode,
    PeWork,
    Strides,
    TaskOperand,
    TaskPlan,
    TensorPlace,
    View,
)
from openane.backend.rules import Family
from openane.backend.units.channel_scale import channel_scale
from openane.backend.units.functions import NeFunction, ne_function
from openane.backend.units.unary import planar_task, table_task
from openane.net.net import TensorShape, Unit, UnitParams
from openane.net.units import GOCParams

if TYPE_CHECKING:
    from openane.backend.lowering import UnitLowering, UnitValue


def scale_and_bias(params: UnitParams) -> tuple[np.ndarray, np.ndarray]:
    """The scale and bias of a GOC or of a fused one, each of rank 0 or 1, fp32."""
    if isinstance(params, GOCParams):
        return np.asarray(params.scale, np.float32), np.asarray(params.bias, np.float32)
    assert isinstance(params, Fused) and isinstance(params.main, GOCParams)
    scale, bias = scale_and_bias(params.main)
    outer = np.asarray(params.scale, np.float32)
    return scale * outer, bias * outer + np.asarray(params.bias, np.float32)


def lower_goc(unit: Unit, lowering: UnitLowering) -> Iterator[TaskPlan]:
    """Scalars in one planar task, vectors as two rows in L2 for a planar task, or as a depthwise convolution."""
    scale, bias = scale_and_bias(unit.params)
    neuron = unit.params.function if isinstance(unit.params, Fused) else None
    function = ne_function(neuron) if neuron else NeFunction()
    assert function is not None, "fusion takes only functions of one NE task"
    value = lowering.value(unit.bottoms[0])
    result = lowering.result(unit)
    if not scale.ndim and not bias.ndim and function.nonlinearity is not Nonlinearity.TABLE:
        relu = function.nonlinearity is Nonlinearity.RELU
        work = PeWork(PeMode.UNARY, relu=relu, scale=float(scale), bias=float(bias))
        yield planar_task(work, value.shape, (value.operand,), result)
        return
    if not scale.ndim and not np.any(bias) and function.table is not None:
        scaled = replace(function, post_scale=function.post_scale * float(scale))
        yield table_task(lowering.machine, scaled, value.shape, value.operand, result)
        return
    scale, bias = (np.broadcast_to(row, value.shape.channels) for row in (scale, bias))
    if function == NeFunction() and (np.all(scale == 1.0) or not np.any(bias)):
        yield from _rows(unit.name, np.stack([bias, scale]), value, result, lowering)
        return
    # The rows mean (x + bias) * scale, so both at once would need bias / scale; a convolution keeps the bias as it is.
    yield from channel_scale(lowering, scale, bias, value.shape, value.operand, result, function)


def _rows(
    name: str, rows: np.ndarray, value: UnitValue, result: TaskOperand, lowering: UnitLowering
) -> Iterator[TaskPlan]:
    """Bias and scale rows from the constant section to L2, then the planar task of type 4 (encoding.md#elementwise)."""
    count, channels = rows.shape
    constant = lowering.constant(f"{name}/rows", rows.reshape(1, 1, 1, count, channels))
    pitch = align(2 * channels, 16)
    resident = lowering.tensor(
        f"{name}/resident rows",
        TensorShape(1, 1, count, channels),
        TensorPlace.RESIDENT,
        l2_strides=Strides(pitch, pitch, pitch, 0),
    )
    view = View(channels, count)
    yield TaskPlan(NeWork(), view, view, (constant,), resident, lane_inputs=1)
    swapped = replace(resident, swapped=True)
    yield planar_task(PeWork(PeMode.ROWS), value.shape, (value.operand, swapped), result)


FAMILIES = (Family("scale and bias", (GOCParams,), lower_goc),)
