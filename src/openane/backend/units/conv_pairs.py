"""Wide depthwise kernels, two neighboring outputs at a time (encoding.md#convolution).

A lane of the engine computes two output channels for each pixel of a patch; a depthwise convolution has one. With
Ox = 2 the second one is the neighboring output: the engine works at every second column, with the kernel of both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from openane.backend.alloc.staging import resident, staged_source
from openane.backend.ir.plan import PeMode, PeWork, TaskOperand, TaskPlan, TensorPlace
from openane.backend.units.conv import ConvolutionJob, conv_task
from openane.backend.units.unary import planar_task

if TYPE_CHECKING:
    from openane.backend.lowering import UnitLowering
    from openane.net.net import TensorShape

#: Columns of a kernel from which on Apple's compiler computes pairs (9 columns do, 3 do not; between: no record).
PAIRED_COLUMNS = 9


def is_paired(task: ConvolutionJob) -> bool:
    """Whether two outputs are computed at a time."""
    return task.depthwise and task.stride == (1, 1) and task.kernel.shape[3] >= PAIRED_COLUMNS


def pair_tasks(
    task: ConvolutionJob,
    shape: TensorShape,
    result_shape: TensorShape,
    source: TaskOperand,
    result: TaskOperand,
    lowering: UnitLowering,
) -> Iterator[TaskPlan] | None:
    """The convolution; for an odd number of columns a planar copy without the last one, None without room for it."""
    channels = slice(0, result_shape.channels)
    plan = conv_task(lowering, task, shape, result_shape, source, result, channels, pairs=True)
    if result_shape.width % 2 == 0:
        return iter((plan,))
    machine = lowering.machine
    written = resident(machine, result_shape, pe_reader=True).row * result_shape.height
    past = written + staged_source(machine, plan).row * shape.height
    if past + machine.segment_bytes * result_shape.channels > machine.l2_bytes:
        return None  # the copy follows the convolution and needs room for one patch of columns
    name = f"{result.tensor}/pairs{result.offset}"
    pairs = lowering.tensor(name, result_shape, TensorPlace.RESIDENT, l2_base=0)
    first = replace(plan, sources=(replace(source, staging_base=written),), result=pairs)
    copy = planar_task(PeWork(PeMode.UNARY), result_shape, (pairs,), replace(result, staging_base=past))
    return iter((first, copy))
