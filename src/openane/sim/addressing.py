"""Operands as the kernels take them: a first fp16 word and strides in the arena.

Kernels read and write plain fp16. Other operands (integers, interleaved channels, constants) and sources that the
result overwrites in another order than they are read are copied, into an area of the arena or out of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from openane.core.types import DType
from openane.numerics.lookup import from_fp16_words, to_fp16_words
from openane.sim.arrange import arrange
from openane.sim.decoded_task import Axes, DecodedOperand, DecodedTask
from openane.sim.kernels.library import Copied, KernelKind
from openane.sim.memory import Fp16Words, read_operand, strided
from openane.sim.schedule import RunState, ScheduleBuilder

COPY_COST = 0.2
"""Nanoseconds an element."""


@dataclass(frozen=True, eq=False, slots=True)
class Address:
    """Where a kernel reads or writes.

    Attributes:
        base: first fp16 word in the arena.
        strides: fp16 words; 0 on axes that are repeated.
    """

    base: int
    strides: Axes


NOWHERE = Address(0, (0, 0, 0, 0, 0))
"""The second source of a task with one; never read."""


def add_copy(schedule: ScheduleBuilder, source: Address, target: Address, extents: Axes) -> None:
    """Adds a row that copies elements."""
    shape = arrange(extents, source.strides, target.strides)
    columns = shape.columns(first=source.base, result=target.base) | {"operation": Copied.AS_IT_IS}
    schedule.row(KernelKind.COPY, shape.units, COPY_COST * math.prod(extents), columns)


def add_source(
    schedule: ScheduleBuilder, task: DecodedTask, number: int, constants: Fp16Words, *, in_place: bool = True
) -> Address:
    """Where to read source `number`, counted from 0; NOWHERE when the task has fewer.

    Args:
        constants: fp16 words of the constant section.
        in_place: whether the kernel may read what it overwrites, element by element.
    """
    if number >= len(task.sources):
        return NOWHERE
    operand, arena = task.sources[number], schedule.arena
    if not arena.holds(operand):
        plain = operand.dtype is DType.FLOAT16 and operand.interleave == 1
        values = strided(constants, operand) if plain else to_fp16_words(read_operand(constants, operand))
        return _dense(arena.keep(np.ascontiguousarray(values)), operand.extent)
    area = f"source {number}"
    if operand.dtype is not DType.FLOAT16:
        place = _dense(schedule.area(area, operand.count), operand.extent)
        schedule.act(_Widen(operand, place.base))
        return place
    if operand.interleave != 1:
        place = _dense(schedule.area(area, operand.count), operand.extent)
        for index, piece in enumerate(operand.pieces):
            add_copy(schedule, _plain(schedule, piece), _part(place, operand, index), piece.extent)
        return place
    place = _plain(schedule, operand)
    if _overwritten(operand, task.result, in_place):
        copy = _dense(schedule.area(area, operand.count), operand.extent)
        add_copy(schedule, place, copy, operand.extent)
        return copy
    return place


def result_address(schedule: ScheduleBuilder, task: DecodedTask) -> Address:
    """Where to write the result; `add_result` must follow the rows that write it."""
    operand = task.result
    if operand.dtype is DType.FLOAT16 and operand.interleave == 1:
        return _plain(schedule, operand)
    return _dense(schedule.area("result", operand.count), operand.extent)


def add_result(schedule: ScheduleBuilder, task: DecodedTask, place: Address) -> None:
    """Adds what brings the result from `result_address` to where it belongs."""
    operand = task.result
    if operand.dtype is not DType.FLOAT16:
        schedule.act(_Narrow(operand, place.base))
    elif operand.interleave != 1:
        for index, piece in enumerate(operand.pieces):
            add_copy(schedule, _part(place, operand, index), _plain(schedule, piece), piece.extent)


def add_kept(schedule: ScheduleBuilder, task: DecodedTask, constants: Fp16Words) -> None:
    """Adds the copy of the first source that stays in L2 for later tasks."""
    source, kept, arena = task.sources[0], task.kept, schedule.arena
    assert kept is not None
    if not arena.holds(source):
        schedule.act(_Keep(constants, source, kept))
    elif source.dtype is DType.FLOAT16:
        for first, second in zip(source.pieces, kept.pieces, strict=True):
            add_copy(schedule, _plain(schedule, first), _plain(schedule, second), first.extent)
    else:
        schedule.act(lambda state: state.memory.copy(source, kept))


@dataclass(frozen=True, eq=False, slots=True)
class _Widen:
    """Integers to dense fp16 words."""

    operand: DecodedOperand
    base: int

    def __call__(self, state: RunState) -> None:
        values = to_fp16_words(state.memory.read(self.operand))
        state.memory.memory[self.base : self.base + values.size] = values.reshape(-1)


@dataclass(frozen=True, eq=False, slots=True)
class _Narrow:
    """Dense fp16 words to integers."""

    operand: DecodedOperand
    base: int

    def __call__(self, state: RunState) -> None:
        words = state.memory.memory[self.base : self.base + self.operand.count]
        state.memory.write(self.operand, from_fp16_words(words).reshape(self.operand.extent))


@dataclass(frozen=True, eq=False, slots=True)
class _Keep:
    """A constant that stays in L2."""

    constants: Fp16Words
    source: DecodedOperand
    kept: DecodedOperand

    def __call__(self, state: RunState) -> None:
        for first, second in zip(self.source.pieces, self.kept.pieces, strict=True):
            strided(state.memory.fp16_words(second), second)[...] = strided(self.constants, first)


def _plain(schedule: ScheduleBuilder, operand: DecodedOperand) -> Address:
    """A plain fp16 operand where it is."""
    base = schedule.arena.bases[schedule.arena.area(operand)] + operand.base // 2
    return _place(base, [stride // 2 for stride in operand.strides], operand.extent)


def _dense(base: int, extent: Axes) -> Address:
    return _place(base, [math.prod(extent[axis + 1 :]) for axis in range(5)], extent)


def _place(base: int, strides: Sequence[int], extent: Axes) -> Address:
    g, d, c, h, w = (stride if count > 1 else 0 for stride, count in zip(strides, extent, strict=True))
    return Address(base, (g, d, c, h, w))


def _part(place: Address, operand: DecodedOperand, index: int) -> Address:
    """The elements of a dense copy that piece `index` of an interleaved operand holds."""
    g, d, c, h, w = place.strides
    if operand.swapped:
        return Address(place.base + index * w, (g, d, c, h, w * operand.interleave))
    return Address(place.base + index * c, (g, d, c * operand.interleave, h, w))


def _overwritten(source: DecodedOperand, result: DecodedOperand, in_place: bool) -> bool:
    """Whether the result covers bytes of the source before they are read."""
    if source.space is not result.space or source.buffer != result.buffer:
        return False
    same = (source.base, source.strides, source.extent) == (result.base, result.strides, result.extent)
    if same and in_place:
        return False
    return source.base < result.end and result.base < source.end
