"""The bytes that strided tensors occupy: whether two tensors share some, and whether all of them are marked."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from openane.sim.work import Operand

Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
Ask = Callable[[int], None]
"""Called with the bytes that are about to be allocated; raises when they are too many."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """The bytes of a plain tensor as few axes as possible: repeated ones are left out, adjacent ones are one.

    Attributes:
        base: first byte.
        item_bytes: of one element.
        axes: (stride, extent), small strides first.
    """

    base: int
    item_bytes: int
    axes: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, piece: Operand) -> Footprint:
        """Of an operand without interleave."""
        axes: list[tuple[int, int]] = []
        for stride, extent in sorted((s, n) for s, n in zip(piece.strides, piece.extent, strict=True) if n > 1 and s):
            if axes:
                step, count = axes[-1]
                if stride % step == 0 and stride <= step * count:
                    axes[-1] = step, count + (extent - 1) * (stride // step)
                    continue
            axes.append((stride, extent))
        return cls(piece.base, piece.item_bytes, tuple(axes))

    @property
    def reach(self) -> int:
        """Bytes from the first to the end of the last element."""
        return self.item_bytes + sum(stride * (extent - 1) for stride, extent in self.axes)

    @property
    def end(self) -> int:
        """One past the last byte."""
        return self.base + self.reach

    @property
    def dense(self) -> bool:
        """Whether there are no gaps."""
        return not self.axes or (len(self.axes) == 1 and self.axes[0][0] <= self.item_bytes)

    @property
    def _crowded(self) -> bool:
        """Whether elements overlap so much that looking at each takes longer than looking at each byte."""
        return math.prod(extent for _, extent in self.axes) * self.item_bytes > 4 * self.reach

    def view(self, memory: Bytes, origin: int) -> npt.NDArray[np.unsignedinteger]:
        """The elements in an array of bytes whose first one has the address `origin`; the largest stride first."""
        dtype = np.dtype(f"u{self.item_bytes}")
        strides, extents = zip(*reversed(self.axes), strict=True) if self.axes else ((), ())
        return np.ndarray(extents, dtype, memory.data, self.base - origin, strides)

    @property
    def mark(self) -> int:
        """An element whose bytes are all 1."""
        return int.from_bytes(b"\1" * self.item_bytes, "little")

    def put(self, memory: Bytes, origin: int) -> None:
        """Sets the bytes to 1."""
        if not self._crowded:
            self.view(memory, origin)[...] = self.mark
            return
        marks = np.zeros(self.reach, np.uint8)
        marks[: self.item_bytes] = 1
        for stride, extent in self.axes:
            have = 1
            while have < extent:  # a step of the axis doubles what is marked
                step = min(have, extent - have) * stride
                marks[step:] |= marks[:-step].copy()
                have += step // stride
        memory[self.base - origin : self.end - origin] |= marks

    def first_missing(self, memory: Bytes, origin: int) -> int | None:
        """Address of an element whose bytes are not all 1; None when there is none."""
        part = memory[self.base - origin : self.end - origin]
        if part.all():
            return None
        if self._crowded:
            marks = np.zeros(self.reach, np.uint8)
            self.put(marks, self.base)
            lost = np.greater(marks, part)
            return self.base + int(lost.argmax()) if lost.any() else None
        view = self.view(memory, origin)
        if int(view.min()) == self.mark:
            return None
        place = np.unravel_index(int((view != self.mark).argmax()), view.shape)
        steps = [stride for stride, _ in reversed(self.axes)]
        return self.base + sum(int(index) * step for index, step in zip(place, steps, strict=True))


def index_of(piece: Operand, address: int) -> tuple[int, ...]:
    """(group, depth, channel, row, column) of an element of a plain operand."""
    rest, found = address - piece.base, [0] * 5
    for axis in sorted(range(5), key=lambda axis: -piece.strides[axis]):
        if piece.strides[axis]:
            found[axis] = min(rest // piece.strides[axis], piece.extent[axis] - 1)
            rest -= found[axis] * piece.strides[axis]
    return tuple(found)


def marks(pieces: Sequence[Operand], base: int, end: int, ask: Ask) -> Flags:
    """Which bytes from `base` to `end` belong to elements of some plain operands, that all lie in this range."""
    ask(2 * (end - base))
    found = np.zeros(end - base, np.uint8)
    for piece in pieces:
        Footprint.of(piece).put(found, base)
    return found.view(np.bool_)


def overlaps(operand: Operand, ask: Ask) -> bool:
    """Whether two elements of an operand share a byte."""
    axes = sorted((s, n) for s, n in zip(operand.strides, operand.extent, strict=True) if n > 1)
    reach = operand.item_bytes * operand.interleave
    for stride, extent in axes:
        if stride < reach:
            break
        reach += stride * (extent - 1)
    else:
        return False
    base, end = operand.base, operand.end
    if operand.size_bytes > end - base:
        return True
    return int(np.count_nonzero(marks(operand.pieces, base, end, ask))) < operand.size_bytes


def shared(first: Operand, second: Operand, ask: Ask) -> int | None:
    """Address of a byte that belongs to both operands of one memory; None when there is none."""
    base, end = max(first.base, second.base), min(first.end, second.end)
    if base >= end:
        return None
    if all(operand.interleave == 1 and Footprint.of(operand).dense for operand in (first, second)):
        return base
    both = _window(first, base, end, ask) & _window(second, base, end, ask)
    return base + int(both.argmax()) if both.any() else None


def shared_with_range(operand: Operand, base: int, end: int, ask: Ask) -> int | None:
    """Address of a byte of an operand in a range; None when there is none."""
    base, end = max(base, operand.base), min(end, operand.end)
    if base >= end:
        return None
    found = _window(operand, base, end, ask)
    return base + int(found.argmax()) if found.any() else None


def _window(operand: Operand, base: int, end: int, ask: Ask) -> Flags:
    return marks(operand.pieces, operand.base, operand.end, ask)[base - operand.base : end - operand.base]
