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
from openane.sim.work import Axes, Operand


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


def source_place(state: MemoryState, operand: Operand, result: Operand | None = None) -> Place:
    """Where to read `operand`; copied out first when the kernels cannot read it in place.

    Args:
        result: of the task; a source that the result overwrites in another order is copied.
    """
    plain = operand.dtype is DType.FLOAT16 and operand.interleave == 1
    memory = state.halfwords(operand)
    if plain and memory.flags.writeable and not (result is not None and _overwritten(operand, result)):
        return Place(memory, operand.base // 2, _steps(operand.strides, operand.extent))
    values = state.read(operand)
    return _dense(to_halfwords(values), operand.extent)


@contextmanager
def result_place(state: MemoryState, operand: Operand) -> Iterator[Place]:
    """Where to write `operand`; integers and interleaved channels are converted when the block ends."""
    if operand.dtype is DType.FLOAT16 and operand.interleave == 1:
        yield Place(state.halfwords(operand), operand.base // 2, _steps(operand.strides, operand.extent))
        return
    place = _dense(np.zeros(operand.extent, np.uint16), operand.extent)
    yield place
    state.write(operand, from_halfwords(place.memory.reshape(operand.extent)))


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
