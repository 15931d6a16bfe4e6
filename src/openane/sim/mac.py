"""The MAC engine: convolutions and the tasks that pass, add, multiply or compare channels without weights."""

from __future__ import annotations

import numpy as np

from openane.numerics import rows as column
from openane.numerics.arrange import arrange
from openane.numerics.finish import finish_row
from openane.numerics.lookup import from_halfwords
from openane.numerics.profile import Profile
from openane.sim.convolution import add_convolution
from openane.sim.ending import Ending
from openane.sim.kernel import load_kernel
from openane.sim.memory import Halfwords
from openane.sim.place import Place, add_result, add_source, result_place
from openane.sim.schedule import ScheduleBuilder
from openane.sim.work import MacOperation, MacWork, Work

_CHANNEL_CODES = {MacOperation.SUM: 0, MacOperation.PRODUCT: 2, MacOperation.MAXIMUM: 3}
_MAP_COST, _COMBINE_COST = 0.7, 0.6
"""Nanoseconds an element."""


def add_mac(schedule: ScheduleBuilder, task: Work, profile: Profile, constants: Halfwords) -> None:
    """Adds the rows of a task whose engine is a MacWork.

    Args:
        constants: halfwords of the constant section.

    Raises:
        FaultError: a kernel that is missing or damaged.
    """
    work = task.engine
    assert isinstance(work, MacWork)
    loaded = load_kernel(schedule, task, profile, constants)
    convolution = work.operation in (MacOperation.CONVOLUTION, MacOperation.TRANSPOSED)
    in_place = work.operation is MacOperation.PASS
    source = add_source(schedule, task, 0, constants, in_place=in_place)
    result = result_place(schedule, task)
    if convolution:
        add_convolution(schedule, task, profile, loaded, source, result)
    elif work.operation is MacOperation.PASS:
        _add_pass(schedule, task, loaded.ending, source, result)
    else:
        _add_combination(schedule, task, loaded.columns, source, result)
    add_result(schedule, task, result)


def _add_pass(schedule: ScheduleBuilder, task: Work, ending: Ending, source: Place, result: Place) -> None:
    """A function of one halfword is looked up; the one that changes nothing but the words of NaN copies."""
    work = task.engine
    assert isinstance(work, MacWork)
    shape = arrange(task.result_view, source.strides, result.strides)
    columns = {
        column.FIRST: source.base,
        column.FIRST_STRIDES: schedule.integers(shape.strides[0]),
        column.RESULT: result.base,
        column.RESULT_STRIDES: schedule.integers(shape.strides[1]),
        column.EXTENTS: schedule.integers(shape.extents),
        column.WEIGHTS: schedule.mapping(ending.key + bytes([work.relu_in]), lambda: _tabulate(ending, work.relu_in)),
    }
    schedule.row(column.MAP, shape.units, _MAP_COST * task.elements, columns)


def _tabulate(ending: Ending, relu_in: bool) -> Halfwords:
    """The result for each of the 65,536 halfwords."""
    values = from_halfwords(np.arange(1 << 16).astype(np.uint16))
    if relu_in:
        values = np.maximum(values, np.float32(0))
    words = np.empty(1 << 16, np.uint16)
    finish_row(values, 1 << 16, -0.0, *ending.arguments, words)
    return words


def _add_combination(
    schedule: ScheduleBuilder, task: Work, ending: dict[int, int], source: Place, result: Place
) -> None:
    work = task.engine
    assert isinstance(work, MacWork)
    inputs, step = work.inputs_per_output or task.view[2], source.strides[2]
    g, d, c, h, w = source.strides
    shape = arrange(task.result_view, (g, d, c * inputs, h, w), result.strides)
    columns = {
        **ending,
        column.FIRST: source.base,
        column.FIRST_STRIDES: schedule.integers(shape.strides[0]),
        column.RESULT: result.base,
        column.RESULT_STRIDES: schedule.integers(shape.strides[1]),
        column.EXTENTS: schedule.integers(shape.extents),
        column.INPUTS: inputs,
        column.INPUT_STRIDE: step,
        column.OPERATION: _CHANNEL_CODES[work.operation],
        column.RELU_IN: work.relu_in,
    }
    schedule.row(column.COMBINE, shape.units, _COMBINE_COST * task.elements, columns)
