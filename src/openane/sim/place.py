"""Operands as the kernels take them: a flat array of halfwords, a base and strides counted in halfwords."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from openane.core.types import DType
from openane.numerics.lookup import from_halfwords, to_halfwords
from openane.sim.memory import MemoryState
from openane.sim.work import Axes, Operand, Work


@dataclass(frozen=True, eq=False, slots=True)
class Place:
    """Where a kernel reads or writes.

    Attributes:
        memory: halfwords.
        base: index of the first element.
        strides: int64 (5,), halfwords; 0 on axes that are repeated.
    """

    memory: npt.NDArray[np.uint16]
    base: int
    strides: npt.NDArray[np.int64]

    @property
    def arguments(self) -> tuple[npt.NDArray[np.uint16], int, npt.NDArray[np.int64]]:
        """In the order in which the kernels take them."""
        return self.memory, self.base, self.strides


@dataclass(frozen=True, eq=False, slots=True)
class Lines:
    """Where the kernels store: element p of line i goes to memory[bases[i] + places[p]].

    Attributes:
        memory: halfwords.
        bases: int64, one for each line.
        places: int64, one for each element of a line.
    """

    memory: npt.NDArray[np.uint16]
    bases: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]

    @property
    def arguments(self) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """In the order in which the kernels take them."""
        return self.memory, self.bases, self.places


def lines_of(place: Place, extents: Axes) -> Lines:
    """The lines of a result: one for each (group, depth, channel), its rows one after the other."""
    g, d, c, y, x = (np.arange(n) * s for n, s in zip(extents, place.strides, strict=True))
    bases = place.base + g[:, None, None] + d[:, None] + c
    return Lines(place.memory, bases.reshape(-1), (y[:, None] + x).reshape(-1))


def every_halfword() -> tuple[Place, Lines]:
    """All 65,536 halfwords as a source of one row, and a result of one row for them."""
    row = np.array((0, 0, 0, 0, 1), np.int64)
    lines = Lines(np.zeros(1 << 16, np.uint16), np.zeros(1, np.int64), np.arange(1 << 16))
    return Place(np.arange(1 << 16).astype(np.uint16), 0, row), lines


def nothing() -> Place:
    """A place that is never read: the second source of a task with one."""
    return Place(np.zeros(1, np.uint16), 0, np.zeros(5, np.int64))


class Operands:
    """The operands of a task in one memory. Addresses never depend on values, so they are worked out once.

    Sources that the kernels cannot read in place are copied by every call of `source`.

    Args:
        state: the memory.
        task: its sources and result.
    """

    def __init__(self, state: MemoryState, task: Work) -> None:
        self._state, self._task = state, task
        self._sources = tuple(_direct_source(state, source, task.result) for source in task.sources)
        self._result = _direct(state, task.result)
        self._lines = None if self._result is None else lines_of(self._result, task.result_view)

    @classmethod
    def of(cls, state: MemoryState, task: Work) -> Operands:
        """The operands of a task, from the second call on as the memory kept them."""
        key = id(task)
        known = state.prepared.get(key)
        if isinstance(known, cls) and known._task is task:
            return known
        known = state.prepared[key] = cls(state, task)
        return known

    def source(self, number: int) -> Place:
        """Where to read source `number`, counted from 0; `nothing` when the task has fewer."""
        if number >= len(self._sources):
            return _NOTHING
        place = self._sources[number]
        if place is not None:
            return place
        operand = self._task.sources[number]
        return _dense(to_halfwords(self._state.read(operand)), operand.extent)

    @contextmanager
    def result(self) -> Iterator[tuple[Place, Lines]]:
        """Where to write; integers and interleaved channels are converted when the block ends."""
        if self._result is not None and self._lines is not None:
            yield self._result, self._lines
            return
        operand = self._task.result
        place = _dense(np.zeros(operand.extent, np.uint16), operand.extent)
        yield place, lines_of(place, self._task.result_view)
        self._state.write(operand, from_halfwords(place.memory.reshape(operand.extent)))


def _direct(state: MemoryState, operand: Operand) -> Place | None:
    """The operand where it stands, when it is plain fp16."""
    if operand.dtype is not DType.FLOAT16 or operand.interleave != 1:
        return None
    return Place(state.halfwords(operand), operand.base // 2, _steps(operand.strides, operand.extent))


def _direct_source(state: MemoryState, operand: Operand, result: Operand) -> Place | None:
    """A source where it stands, unless it is constant (kernels take writable memory) or the result overwrites it."""
    if not state.halfwords(operand).flags.writeable or _overwritten(operand, result):
        return None
    return _direct(state, operand)


def _dense(values: npt.NDArray[np.uint16], extent: Axes) -> Place:
    strides = np.array(values.strides, np.int64) // 2
    strides[np.array(extent) == 1] = 0
    return Place(values.reshape(-1), 0, strides)


def _steps(strides: Axes, extent: Axes) -> npt.NDArray[np.int64]:
    steps = np.array(strides, np.int64) // 2
    steps[np.array(extent) == 1] = 0
    return steps


def _overwritten(source: Operand, result: Operand) -> bool:
    """Whether the result covers bytes of the source in another order than the kernels read them."""
    if source.space is not result.space or source.buffer != result.buffer:
        return False
    if (source.base, source.strides, source.extent) == (result.base, result.strides, result.extent):
        return False
    return source.base < result.end and result.base < source.end


_NOTHING = nothing()
