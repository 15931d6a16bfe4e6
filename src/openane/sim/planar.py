"""The planar engine: elementwise tasks, row pairs, reductions, pooling."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from openane.numerics import join as kernels
from openane.numerics import rows as column
from openane.numerics.arrange import arrange
from openane.numerics.elementwise import elementwise
from openane.numerics.jit import NATIVE_HALF
from openane.numerics.pooling import plan_pooling, reduce_units
from openane.numerics.profile import Profile, Ties
from openane.sim.memory import Halfwords
from openane.sim.place import NOWHERE, Place, add_result, add_source, result_place
from openane.sim.schedule import ScheduleBuilder
from openane.sim.work import PlanarFunction, PlanarOperation, PlanarWork, Reduction, Work

_ELEMENT_COST, _WINDOW_COST, _MAP_COST = 0.5, 0.3, 0.7
"""Nanoseconds an element, or an element of a window."""


def add_planar(schedule: ScheduleBuilder, task: Work, profile: Profile, constants: Halfwords) -> None:
    """Adds the rows of a task whose engine is a PlanarWork.

    Args:
        constants: halfwords of the constant section.
    """
    work = task.engine
    assert isinstance(work, PlanarWork)
    in_place = work.reduction is Reduction.NONE
    first = add_source(schedule, task, 0, constants, in_place=in_place)
    second = add_source(schedule, task, 1, constants, in_place=in_place and not work.rows)
    result = result_place(schedule, task)
    numbers, flags = _numbers(work), _flags(task, profile)
    if work.rows:
        flags[kernels.ROW_STEP] = second.strides[3]
        second = Place(second.base, (*second.strides[:3], 0, 0))
    columns = {
        column.FIRST: first.base,
        column.SECOND: second.base,
        column.RESULT: result.base,
        column.NUMBERS: schedule.floats(numbers),
        column.FLAGS: schedule.integers(flags),
        column.OPERATION: work.reduction.value,
    }
    if work.reduction is Reduction.NONE:
        _add_elementwise(schedule, task, (first, second, result), columns, (numbers, flags))
    else:
        columns |= {
            column.FIRST_STRIDES: schedule.integers(first.strides),
            column.SECOND_STRIDES: schedule.integers(second.strides),
            column.RESULT_STRIDES: schedule.integers(result.strides),
        }
        if work.window is None:
            columns[column.EXTENTS] = schedule.integers(task.view)
            schedule.row(column.REDUCE, reduce_units(task.view), _ELEMENT_COST * task.elements, columns)
        else:
            shape, units = plan_pooling(task.view, task.result_view, work.window, work.stride, work.pad)
            columns |= {column.SHAPE: schedule.integers(shape), column.SHAPE_SIZE: shape.size}
            elements = math.prod(task.result_view) * math.prod(work.window)
            schedule.row(column.POOL, units, _WINDOW_COST * elements + _ELEMENT_COST * task.elements, columns)
    add_result(schedule, task, result)


def _add_elementwise(
    schedule: ScheduleBuilder, task: Work, places: tuple[Place, Place, Place], columns: dict[int, int],
    settings: tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]],
) -> None:  # fmt: skip
    """A function of one source is looked up, when that is cheaper than its arithmetic."""
    first, second, result = places
    shape = arrange(task.view, first.strides, second.strides, result.strides)
    for name, strides in zip(
        (column.FIRST_STRIDES, column.SECOND_STRIDES, column.RESULT_STRIDES), shape.strides, strict=True
    ):
        columns[name] = schedule.integers(strides)
    columns[column.EXTENTS] = schedule.integers(shape.extents)
    work = task.engine
    assert isinstance(work, PlanarWork)
    if len(task.sources) == 1 and work.function is not PlanarFunction.NONE:
        key = b"planar" + b"".join(part.tobytes() for part in settings)
        columns[column.WEIGHTS] = schedule.mapping(key, lambda: _tabulate(*settings))
        schedule.row(column.MAP, shape.units, _MAP_COST * task.elements, columns)
    else:
        schedule.row(column.ELEMENTWISE, shape.units, _ELEMENT_COST * task.elements, columns)


def _tabulate(numbers: npt.NDArray[np.float32], flags: npt.NDArray[np.int64]) -> Halfwords:
    """The result for each of the 65,536 halfwords."""
    memory = np.zeros((2 << 16) + 128, np.uint16)
    memory[: 1 << 16] = np.arange(1 << 16)
    row = (0, 0, 0, 0, 1)
    shape = arrange((1, 1, 1, 1, 1 << 16), row, NOWHERE.strides, row)
    first, second, result = shape.strides
    scratch = np.empty(column.SCRATCH_FLOATS, np.float32)
    elementwise(
        memory, numbers, flags, 0, first, 0, second, shape.extents, 1 << 16, result, scratch, 0, shape.units
    )  # fmt: skip
    return memory[1 << 16 : 2 << 16].copy()


def _numbers(work: PlanarWork) -> npt.NDArray[np.float32]:
    numbers = np.zeros(kernels.NUMBER_COUNT, np.float32)
    numbers[kernels.PRE_SCALE] = work.pre_scale
    numbers[kernels.SCALE] = work.scale
    numbers[kernels.BIAS] = work.bias
    numbers[kernels.FINAL_SCALE] = work.final_scale
    numbers[kernels.EPSILON] = work.epsilon
    return numbers


def _flags(task: Work, profile: Profile) -> npt.NDArray[np.int64]:
    work = task.engine
    assert isinstance(work, PlanarWork)
    whole = work.reduction is not Reduction.NONE and work.window is None
    flags = np.zeros(kernels.FLAG_COUNT, np.int64)
    flags[kernels.OPERATION] = work.operation.value
    flags[kernels.NEGATE_FIRST] = work.negate_first
    flags[kernels.NEGATE_SECOND] = work.negate_second
    flags[kernels.SECOND] = kernels.WITH_SECOND if len(task.sources) > 1 else kernels.NO_SECOND
    flags[kernels.ROWS] = work.rows
    flags[kernels.ABSOLUTE] = work.absolute
    flags[kernels.FUNCTION] = work.function.value
    flags[kernels.RELU] = work.relu
    flags[kernels.RELU_FIRST] = work.relu_first
    flags[kernels.RELU_SECOND] = work.relu_second
    flags[kernels.TIES_AWAY] = whole and profile.reduction_ties is Ties.AWAY
    flags[kernels.STRAIGHT] = NATIVE_HALF and _is_straight(task, work)
    return flags


def _is_straight(task: Work, work: PlanarWork) -> bool:
    """Whether two sources meet as they are, and nothing but scales and ReLU follows."""
    changed = work.negate_first or work.negate_second or work.relu_first or work.relu_second or work.pre_scale != 1
    alone = work.rows or work.absolute or work.function is not PlanarFunction.NONE
    joined = len(task.sources) > 1 and work.operation is not PlanarOperation.SQUARED_SUM
    return joined and not changed and not alone and work.reduction is Reduction.NONE
