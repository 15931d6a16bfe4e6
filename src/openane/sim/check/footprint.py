"""The bytes that strided tensors occupy: whether two tensors share some, and whether all of them are marked."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from openane.sim.decoded_task import DecodedOperand

Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
Ask = Callable[[int], None]
"""Called with the bytes that are about to be allocated; raises when they are too many."""


@lru_cache(4096)
def _merged(strides: tuple[int, ...], extents: tuple[int, ...]) -> tuple[tuple[tuple[int, int], ...], int]:
    """As few axes as possible, and the bytes from the first element to the last; whoever reads a tensor asks again."""
    axes: list[tuple[int, int]] = []
    for stride, extent in sorted((s, n) for s, n in zip(strides, extents, strict=True) if n > 1 and s):
        if axes:
            step, count = axes[-1]
            if stride % step == 0 and stride <= step * count:
                axes[-1] = step, count + (extent - 1) * (stride // step)
                continue
        axes.append((stride, extent))
    return tuple(axes), sum(stride * (extent - 1) for stride, extent in axes)


class Footprint(NamedTuple):
    """The bytes of a plain tensor as few axes as possible: repeated ones are left out, adjacent ones are one.

    Attributes:
        base: first byte.
        item_bytes: of one element.
        axes: (stride, extent), small strides first.
        reach: bytes from the first to the end of the last element.
    """

    base: int
    item_bytes: int
    axes: tuple[tuple[int, int], ...]
    reach: int

    @classmethod
    def of(cls, piece: DecodedOperand) -> Footprint:
        """Of an operand without interleave."""
        return cls._of_axes(piece, piece.strides, piece.extent)

    @classmethod
    def all_of(cls, operand: DecodedOperand) -> tuple[Footprint, ...]:
        """Of any operand: one for each of its pieces, or a single one when every channel group is full."""
        group, axis = operand.interleave, 4 if operand.swapped else 2
        if group == 1 or operand.extent[axis] % group:
            return tuple(map(cls.of, operand.pieces))
        extent = list(operand.extent)
        extent[axis] //= group
        return (cls._of_axes(operand, (*operand.strides, operand.item_bytes), (*extent, group)),)

    @classmethod
    def _of_axes(cls, piece: DecodedOperand, strides: tuple[int, ...], extent: tuple[int, ...]) -> Footprint:
        axes, steps = _merged(strides, extent)
        item_bytes = piece.item_bytes
        return cls(piece.base, item_bytes, axes, item_bytes + steps)

    @property
    def end(self) -> int:
        """One past the last byte."""
        return self.base + self.reach

    @property
    def dense(self) -> bool:
        """Whether there are no gaps."""
        return not self.axes or (len(self.axes) == 1 and self.axes[0][0] <= self.item_bytes)

    @property
    def crowded(self) -> bool:
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
        if not self.crowded:
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

    def first_missing(self, memory: Bytes, origin: int, code: int) -> int | None:
        """Address of an element whose bytes are not all `code`; None when there is none."""
        if self.crowded:
            marks = np.zeros(self.reach, np.uint8)
            self.put(marks, self.base)
            lost = np.logical_and(marks, memory[self.base - origin : self.end - origin] != code)
            return self.base + int(lost.argmax()) if lost.any() else None
        view, wanted = self.view(memory, origin), self.mark * code
        if int(view.min()) == wanted == int(view.max()):
            return None
        place = np.unravel_index(int((view != wanted).argmax()), view.shape)
        steps = [stride for stride, _ in reversed(self.axes)]
        return self.base + sum(int(index) * step for index, step in zip(place, steps, strict=True))


def index_of(operand: DecodedOperand, address: int) -> tuple[int, ...]:
    """(group, depth, channel, row, column) of an element of an operand."""
    rest, found, group, channels = address - operand.base, [0] * 5, operand.interleave, 4 if operand.swapped else 2
    extent = list(operand.extent)
    extent[channels] = -(-extent[channels] // group)
    for axis in sorted(range(5), key=lambda axis: -operand.strides[axis]):
        if operand.strides[axis]:
            found[axis] = min(rest // operand.strides[axis], extent[axis] - 1)
            rest -= found[axis] * operand.strides[axis]
    found[channels] = found[channels] * group + min(rest // operand.item_bytes, group - 1)
    return tuple(found)


def marks(operand: DecodedOperand, ask: Ask) -> Flags:
    """Which bytes from the first to the last of an operand belong to its elements."""
    base, end = operand.base, operand.end
    ask(2 * (end - base))
    found = np.zeros(end - base, np.uint8)
    for footprint in Footprint.all_of(operand):
        footprint.put(found, base)
    return found.view(np.bool_)


def overlaps(operand: DecodedOperand, ask: Ask) -> bool:
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
    return int(np.count_nonzero(marks(operand, ask))) < operand.size_bytes


def shared(first: DecodedOperand, second: DecodedOperand, ask: Ask) -> int | None:
    """Address of a byte that belongs to both operands of one memory; None when there is none."""
    base, end = max(first.base, second.base), min(first.end, second.end)
    if base >= end:
        return None
    if all(operand.interleave == 1 and Footprint.of(operand).dense for operand in (first, second)):
        return base
    both = _window(first, base, end, ask) & _window(second, base, end, ask)
    return base + int(both.argmax()) if both.any() else None


def shared_with_range(operand: DecodedOperand, base: int, end: int, ask: Ask) -> int | None:
    """Address of a byte of an operand in a range; None when there is none."""
    base, end = max(base, operand.base), min(end, operand.end)
    if base >= end:
        return None
    found = _window(operand, base, end, ask)
    return base + int(found.argmax()) if found.any() else None


def _window(operand: DecodedOperand, base: int, end: int, ask: Ask) -> Flags:
    return marks(operand, ask)[base - operand.base : end - operand.base]
