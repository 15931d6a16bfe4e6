"""The MAC engine: convolutions and the tasks that pass, add, multiply or compare channels without weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from openane.numerics import rows as column
from openane.numerics.arrange import arrange
from openane.numerics.finish import finish_row
from openane.numerics.jit import NATIVE_HALF
from openane.numerics.lookup import from_halfwords
from openane.numerics.profile import Profile
from openane.sim.convolution import add_convolution
from openane.sim.kernel import LoadedKernel, load_kernel
from openane.sim.memory import Halfwords
from openane.sim.place import Place, add_result, add_source, result_place
from openane.sim.schedule import RunState, ScheduleBuilder
from openane.sim.work import MacOperation, MacWork, Work

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

_WORDS = 1 << 16
"""Different halfwords."""
_CHANNEL_CODES = {MacOperation.SUM: 0, MacOperation.PRODUCT: 2, MacOperation.MAXIMUM: 3}
_COPY_COST, _LINES_COST, _MAP_COST, _COMBINE_COST = 0.2, 0.3, 0.7, 0.6
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
        _add_pass(schedule, task, loaded, source, result)
    else:
        _add_combination(schedule, task, loaded.columns, source, result)
    add_result(schedule, task, result)


def _add_pass(schedule: ScheduleBuilder, task: Work, loaded: LoadedKernel, source: Place, result: Place) -> None:
    """A function of one halfword: copied, computed or looked up, whatever is cheapest; the bits are the same."""
    work = task.engine
    assert isinstance(work, MacWork)
    shape = arrange(task.result_view, source.strides, result.strides)
    columns = {
        column.FIRST: source.base,
        column.FIRST_STRIDES: schedule.integers(shape.strides[0]),
        column.RESULT: result.base,
        column.RESULT_STRIDES: schedule.integers(shape.strides[1]),
        column.EXTENTS: schedule.integers(shape.extents),
    }
    ending, relu_in = loaded.ending, work.relu_in
    lines = None if loaded.changes or relu_in or not NATIVE_HALF else ending.lines
    beside = shape.strides[0][4] == 1 and shape.strides[1][4] == 1
    if ending.is_identity and not relu_in:
        schedule.row(column.COPY, shape.units, _COPY_COST * task.elements, columns)
    elif beside and lines is not None:
        columns |= {column.STRAIGHT: 1, column.STRAIGHT_NUMBERS: schedule.floats(lines)}
        schedule.row(column.MAP, shape.units, _LINES_COST * task.elements, columns)
    else:
        if loaded.changes:
            mapping = schedule.area("mapping", _WORDS)
            schedule.act(_Tabulate(loaded, relu_in, mapping))
        else:
            mapping = schedule.mapping(
                ending.key + bytes([relu_in]), lambda: _tabulate(relu_in, *ending.arguments)
            )  # fmt: skip
        schedule.row(
            column.MAP, shape.units, _MAP_COST * task.elements, columns | {column.WEIGHTS: mapping}
        )  # fmt: skip


def _tabulate(relu_in: bool, factors: Floats, function: int, table: Floats, meta: Integers) -> Halfwords:
    """The result for each halfword; arguments as `finish_row` takes them."""
    values = from_halfwords(np.arange(_WORDS).astype(np.uint16))
    if relu_in:
        values = np.maximum(values, np.float32(0))
    words = np.empty(_WORDS, np.uint16)
    finish_row(values, _WORDS, -0.0, factors, function, table, meta, words)
    return words


@dataclass(frozen=True, eq=False, slots=True)
class _Tabulate:
    """Looks up the function whose table an earlier task has computed."""

    loaded: LoadedKernel
    relu_in: bool
    mapping: int

    def __call__(self, state: RunState) -> None:
        columns, (factors, function, table, meta) = self.loaded.columns, self.loaded.ending.arguments
        numbers = state.floats[columns[column.TABLE] :][: table.size]
        rules = state.integers[columns[column.META] :][: meta.size]
        words = _tabulate(self.relu_in, factors, function, numbers, rules)
        state.memory.memory[self.mapping : self.mapping + _WORDS] = words


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
