"""Operations that move elements without computing: shapes, axes, parts, joins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

import numpy as np

from openane.core.types import DType
from openane.graph.operation import Operation, OperationCase, TensorType
from openane.graph.ops.support import (
    Arrays,
    Results,
    Types,
    array,
    operand,
    product_of,
    require,
    require_axis,
    require_broadcast_to,
    require_same_dtype,
    sample,
)

__all__ = [
    "Concat",
    "Expand",
    "Pad",
    "PadMode",
    "Reshape",
    "ReverseSequence",
    "Slice",
    "Split",
    "Tile",
    "Transpose",
    "Trilu",
]


@dataclass(frozen=True)
class Reshape(Operation):
    """The same elements, in the same order, in another shape.

    Attributes:
        shape: of the result; every extent is given.
    """

    moves_data: ClassVar[bool] = True

    shape: tuple[int, ...]
    prepares_positions: ClassVar[bool] = True
    rounds_once: ClassVar[bool] = True
    keeps_range: ClassVar[bool] = True

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x = operand(inputs, 0, "x")
        fits = all(e >= 0 for e in self.shape) and product_of(self.shape) == x.size
        require(fits, "the shape holds another number of elements", value=list(self.shape), limit=x)
        return (TensorType(self.shape, x.dtype),)

    def evaluate(self, inputs: Arrays) -> Results:
        return (array(inputs, 0).reshape(self.shape),)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls((2, 12)), (sample(2, 3, 4),))
        yield OperationCase(cls((1, 4, 1, 6)), (sample(2, 3, 4),))


@dataclass(frozen=True)
class Transpose(Operation):
    """Axes in another order: axis i of the result is axis permutation[i] of x.

    Attributes:
        permutation: names every axis once.
    """

    moves_data: ClassVar[bool] = True

    permutation: tuple[int, ...]
    prepares_positions: ClassVar[bool] = True
    rounds_once: ClassVar[bool] = True
    keeps_range: ClassVar[bool] = True

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x = operand(inputs, 0, "x")
        whole = sorted(self.permutation) == list(range(len(x.shape)))
        require(whole, "the permutation must name every axis once", value=self.permutation, limit=x)
        return (TensorType(tuple(x.shape[axis] for axis in self.permutation), x.dtype),)

    def evaluate(self, inputs: Arrays) -> Results:
        return (array(inputs, 0).transpose(self.permutation),)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls((0, 2, 3, 1)), (sample(2, 3, 4, 5),))
        yield OperationCase(cls((1, 0)), (sample(2, 3),))


@dataclass(frozen=True)
class Concat(Operation):
    """Tensors joined along an axis.

    Attributes:
        axis: counted from the front.
    """

    moves_data: ClassVar[bool] = True

    axis: int

    input_names: ClassVar[tuple[str, ...]] = ("x*",)
    keeps_layout: ClassVar[bool] = True
    prepares_positions: ClassVar[bool] = True
    rounds_once: ClassVar[bool] = True

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        require(len(inputs) >= 1, "there is nothing to join")
        operands = [operand(inputs, i, "x") for i in range(len(inputs))]
        dtype, first = require_same_dtype(operands), operands[0].shape
        require_axis(self.axis, len(first))
        rest = first[: self.axis] + first[self.axis + 1 :]
        for x in operands[1:]:
            own = x.shape[: self.axis] + x.shape[self.axis + 1 :]
            fits = len(x.shape) == len(first) and own == rest
            require(fits, "shapes differ outside the joined axis", value=f"{operands[0]} and {x}")
        extent = sum(x.shape[self.axis] for x in operands)
        return (TensorType((*first[: self.axis], extent, *first[self.axis + 1 :]), dtype),)

    def evaluate(self, inputs: Arrays) -> Results:
        return (np.concatenate([array(inputs, i) for i in range(len(inputs))], self.axis),)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(1), (sample(2, 3, 4), sample(2, 1, 4, seed=1), sample(2, 2, 4, seed=2)))
        yield OperationCase(cls(0), (sample(2, 3),))


@dataclass(frozen=True)
class Split(Operation):
    """Parts of x along an axis, one result each.

    Attributes:
        axis: counted from the front.
        sizes: extents of the parts.
    """

    moves_data: ClassVar[bool] = True

    axis: int
    sizes: tuple[int, ...]
    prepares_positions: ClassVar[bool] = True
    rounds_once: ClassVar[bool] = True

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x = operand(inputs, 0, "x")
        require_axis(self.axis, len(x.shape))
        whole = sum(self.sizes) == x.shape[self.axis] and all(size >= 0 for size in self.sizes)
        require(whole, "the parts do not make up the axis", value=self.sizes, limit=x.shape[self.axis])
        head, tail = x.shape[: self.axis], x.shape[self.axis + 1 :]
        return tuple(TensorType((*head, size, *tail), x.dtype) for size in self.sizes)

    def evaluate(self, inputs: Arrays) -> Results:
        return tuple(np.split(array(inputs, 0), np.cumsum(self.sizes)[:-1], self.axis))

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(1, (2, 3, 1)), (sample(2, 6, 4),))
        yield OperationCase(cls(0, (1, 1)), (sample(2, 3),))


@dataclass(frozen=True)
class Slice(Operation):
    """Part of every axis: positions start, start + step, ... before end.

    Attributes:
        starts: one per axis, inside the axis.
        ends: one per axis, at most the extent; for a negative step at least -1, which is before the first position.
        steps: one per axis, not 0.
    """

    moves_data: ClassVar[bool] = True

    starts: tuple[int, ...]
    ends: tuple[int, ...]
    steps: tuple[int, ...]
    reads_selection: ClassVar[bool] = True
    prepares_positions: ClassVar[bool] = True
    rounds_once: ClassVar[bool] = True
    keeps_range: ClassVar[bool] = True

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x = operand(inputs, 0, "x")
        rank = len(x.shape)
        complete = len(self.starts) == len(self.ends) == len(self.steps) == rank
        require(complete, "a slice needs start, end and step for every axis", limit=f"{rank} axes")
        for axis, (start, end, step) in enumerate(zip(self.starts, self.ends, self.steps, strict=True)):
            extent = x.shape[axis]
            fits = 0 <= start <= extent and 0 <= end <= extent if step > 0 else end >= -1 and -1 <= start < extent
            value = f"{start}:{end}:{step} of {extent}"
            require(step != 0 and fits, f"the slice of axis {axis} is out of range", value=value)
        shape = tuple(map(len, self.ranges()))
        return (TensorType(shape, x.dtype),)

    def ranges(self) -> Iterator[range]:
        """The positions that are taken, per axis."""
        return map(range, self.starts, self.ends, self.steps)

    def evaluate(self, inputs: Arrays) -> Results:
        bounds = zip(self.starts, self.ends, self.steps, strict=True)
        return (array(inputs, 0)[tuple(slice(s, None if e < 0 else e, step) for s, e, step in bounds)],)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls((0, 1, 0), (2, 3, 4), (1, 1, 2)), (sample(2, 3, 4),))
        yield OperationCase(cls((1, 2), (-1, 0), (-1, -2)), (sample(2, 3),))


class PadMode(Enum):
    """What the padding is filled with."""

    CONSTANT = "constant"  #: one value
    EDGE = "edge"  #: the nearest element
    REFLECT = "reflect"  #: mirrored, without repeating the edge
    WRAP = "wrap"  #: periodic


@dataclass(frozen=True)
class Pad(Operation):
    """x with padding around it.

    Attributes:
        pads: extents before every axis, then after every one.
        mode: what it is filled with.
        value: of constant padding.
    """

    moves_data: ClassVar[bool] = True

    pads: tuple[int, ...]
    mode: PadMode = PadMode.CONSTANT
    value: float = 0.0
    rounds_once: ClassVar[bool] = True

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x = operand(inputs, 0, "x")
        rank = len(x.shape)
        require(len(self.pads) == 2 * rank, "pads must name both sides of every axis", value=self.pads)
        require(all(p >= 0 for p in self.pads), "pads must not be negative", value=self.pads)
        sides = list(zip(self.pads[:rank], self.pads[rank:], strict=True))
        for axis, (before, after) in enumerate(sides):
            if self.mode is not PadMode.CONSTANT and before + after:
                require(x.shape[axis] > 0, "there is nothing to pad with", value=x)
            if self.mode is PadMode.REFLECT:
                fits = max(before, after) < max(x.shape[axis], 1)
                require(fits, f"reflection reaches beyond axis {axis}", value=(before, after), limit=x)
        shape = tuple(b + e + a for e, (b, a) in zip(x.shape, sides, strict=True))
        return (TensorType(shape, x.dtype),)

    def evaluate(self, inputs: Arrays) -> Results:
        x = array(inputs, 0)
        sides = list(zip(self.pads[: x.ndim], self.pads[x.ndim :], strict=True))
        if not sides:  # numpy has no padding of a single number
            return (x,)
        if self.mode is PadMode.CONSTANT:
            return (np.pad(x, sides, constant_values=np.asarray(self.value).astype(x.dtype)),)
        return (np.pad(x, sides, mode=self.mode.value),)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls((0, 1, 0, 2)), (sample(2, 3),))
        yield OperationCase(cls((0, 1, 2, 0, 0, 1), value=1.5), (sample(2, 3, 4),))
        for mode in (PadMode.EDGE, PadMode.REFLECT, PadMode.WRAP):
            yield OperationCase(cls((0, 1, 1, 2), mode), (sample(3, 4),))


@dataclass(frozen=True)
class Expand(Operation):
    """x repeated along its axes of extent 1 until it has a shape.

    Attributes:
        shape: of the result; x broadcasts to it.
    """

    moves_data: ClassVar[bool] = True

    shape: tuple[int, ...]
    is_view: ClassVar[bool] = True
    prepares_positions: ClassVar[bool] = True
    rounds_once: ClassVar[bool] = True
    keeps_range: ClassVar[bool] = True

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x = operand(inputs, 0, "x")
        require_broadcast_to(x.shape, self.shape, "x")
        return (TensorType(self.shape, x.dtype),)

    def evaluate(self, inputs: Arrays) -> Results:
        return (np.broadcast_to(array(inputs, 0), self.shape),)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls((2, 3, 4)), (sample(3, 1),))


@dataclass(frozen=True)
class Tile(Operation):
    """x repeated along every axis.

    Attributes:
        repeats: one per axis.
    """

    moves_data: ClassVar[bool] = True

    repeats: tuple[int, ...]
    rounds_once: ClassVar[bool] = True
    keeps_range: ClassVar[bool] = True

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x = operand(inputs, 0, "x")
        fits = len(self.repeats) == len(x.shape) and all(r >= 0 for r in self.repeats)
        require(fits, "one repeat is needed per axis", value=self.repeats, limit=x)
        shape = tuple(e * r for e, r in zip(x.shape, self.repeats, strict=True))
        return (TensorType(shape, x.dtype),)

    def evaluate(self, inputs: Arrays) -> Results:
        return (np.tile(array(inputs, 0), self.repeats),)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls((1, 2, 3)), (sample(2, 3, 2),))


@dataclass(frozen=True)
class Trilu(Operation):
    """The upper or lower triangle of the last two axes; zeros elsewhere.

    Attributes:
        upper: the upper triangle.
        offset: of the diagonal that bounds the triangle and belongs to it; positive ones lie above the main one.
    """

    moves_data: ClassVar[bool] = True

    upper: bool = True
    offset: int = 0

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x = operand(inputs, 0, "x")
        require(len(x.shape) >= 2, "input 'x' must have two axes", value=x)
        return (x,)

    def evaluate(self, inputs: Arrays) -> Results:
        triangle = np.triu if self.upper else np.tril
        return (triangle(array(inputs, 0), self.offset),)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(), (sample(2, 4, 5),))
        yield OperationCase(cls(False, -1), (sample(4, 4),))
        yield OperationCase(cls(offset=2), (sample(4, 4, low=-9, high=9, dtype=DType.INT32),))


@dataclass(frozen=True)
class ReverseSequence(Operation):
    """The first `length` positions of the time axis of every item in reverse order.

    Inputs: x, and lengths (batch,) of integers.

    Attributes:
        batch_axis: 0 or 1.
        time_axis: the other one.
    """

    moves_data: ClassVar[bool] = True

    batch_axis: int = 1
    time_axis: int = 0

    input_names: ClassVar[tuple[str, ...]] = ("x", "lengths")

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x, lengths = operand(inputs, 0, "x"), operand(inputs, 1, "lengths")
        axes = {self.batch_axis, self.time_axis} == {0, 1} and len(x.shape) >= 2
        require(axes, "batch and time must be the first two axes", value=(self.batch_axis, self.time_axis))
        fits = lengths.shape == (x.shape[self.batch_axis],)
        require(fits, "one length is needed per item", value=lengths, limit=x)
        return (x,)

    def evaluate(self, inputs: Arrays) -> Results:
        x, lengths = array(inputs, 0), array(inputs, 1)
        y = np.moveaxis(x, self.batch_axis, 0).copy()
        for item, length in zip(y, lengths.tolist(), strict=True):
            item[:length] = item[:length][::-1].copy()
        return (np.moveaxis(y, 0, self.batch_axis),)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(), (sample(4, 3, 2), np.array([1, 4, 2])))
        yield OperationCase(cls(0, 1), (sample(3, 4), np.array([0, 3, 4])))
