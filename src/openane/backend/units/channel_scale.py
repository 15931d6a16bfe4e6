"""One scale and bias a channel as depthwise 1x1 convolutions; no record shows Apple's form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from openane.backend.ir.plan import Axis, KernelPlan, NeMode, NeWork, TaskOperand, TaskPlan, View
from openane.backend.lowering import UnitLowering
from openane.backend.units.conv import image
from openane.backend.units.copy import part
from openane.backend.units.functions import NeFunction, with_table
from openane.net.net import TensorShape

#: Elements pass as they are.
NO_FUNCTION = NeFunction()


def channel_scale(
    lowering: UnitLowering,
    scale: np.ndarray,
    bias: np.ndarray | None,
    shape: TensorShape,
    source: TaskOperand,
    result: TaskOperand,
    function: NeFunction = NO_FUNCTION,
) -> Iterator[TaskPlan]:
    """function(x * scale + bias): one task for every image, since a kernel belongs to one group of a task.

    Args:
        lowering: of the network.
        scale, bias: (C,); no bias for None.
        shape: of source and result.
        source, result: operands.
        function: after the bias.
    """
    machine = lowering.machine
    most = machine.l2_bytes // 4 // (2 * machine.bank_bytes)  # a tile of one pixel takes a quarter of L2
    view = View.of(replace(shape, batch=1, depth=1))
    for batch in range(shape.batch):
        for depth in range(shape.depth):
            images = image(source, batch, depth), image(result, batch, depth)
            for first in range(0, view.channels, most):
                count = min(most, view.channels - first)
                some = slice(first, first + count)
                ends = [part(operand, Axis.CHANNEL, first) for operand in images]
                offset = None if bias is None else bias[some]
                yield _task(lowering, scale[some], offset, replace(view, channels=count), ends[0], ends[1], function)


def _task(
    lowering: UnitLowering,
    scale: np.ndarray,
    bias: np.ndarray | None,
    view: View,
    source: TaskOperand,
    result: TaskOperand,
    function: NeFunction,
) -> TaskPlan:
    kernel = scale.astype(np.float32).reshape(-1, 1, 1, 1)
    lanes = lowering.packing.pack_depthwise(kernel, bias)
    weights = KernelPlan(lanes, bias=bias is not None)
    if function.table is not None:
        weights = with_table(weights, function.table, len(lanes))
    work = NeWork(NeMode.CONVOLUTION, function.nonlinearity, post_scale=function.post_scale)
    return TaskPlan(work, view, view, (source,), result, weights, unicast=True)
