"""Operations that pick elements by indices, or put them there. Negative indices count from the end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

import numpy as np

from openane.core.errors import ModelError
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
    require_integer,
    require_same_dtype,
    sample,
)

__all__ = [
    "Gather",
    "GatherElements",
    "GatherND",
    "OneHot",
    "ScatterElements",
    "ScatterMode",
    "ScatterND",
]


def in_range(indices: np.ndarray, extent: int) -> np.ndarray:
    """`indices` counted from the front.

    Raises:
        ModelError: one is outside -extent..extent-1.
    """
    if indices.size and not (-extent <= int(indices.min()) and int(indices.max()) < extent):
        raise ModelError(
            "an index is out of range",
            value=f"{int(indices.min())}..{int(indices.max())}",
            limit=f"{-extent}..{extent - 1}",
        )
    indices = indices.astype(np.int64)
    return np.where(indices < 0, indices + extent, indices)


@dataclass(frozen=True)
class Gather(Operation):
    """Slices of x along an axis, by number: that axis is replaced by the axes of the indices.

    Attributes:
        axis: counted from the front.
    """

    moves_data: ClassVar[bool] = True

    axis: int = 0

    input_names: ClassVar[tuple[str, ...]] = ("x", "indices")
    reads_selection: ClassVar[bool] = True
    rounds_once: ClassVar[bool] = True
    keeps_range: ClassVar[bool] = True

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x, indices = operand(inputs, 0, "x"), operand(inputs, 1, "indices")
        require_axis(self.axis, len(x.shape))
        require_integer(indices, "indices")
        shape = (*x.shape[: self.axis], *indices.shape, *x.shape[self.axis + 1 :])
        return (TensorType(shape, x.dtype),)

    def evaluate(self, inputs: Arrays) -> Results:
        x, indices = array(inputs, 0), array(inputs, 1)
        return (np.take(x, in_range(indices, x.shape[self.axis]), self.axis),)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(), (sample(5, 3), np.array([[0, 4], [-1, 2]])))
        yield OperationCase(cls(1), (sample(2, 5, 3), np.array([3, 0], np.int32)))
        yield OperationCase(cls(1), (sample(2, 5, 3), np.array(2)))


@dataclass(frozen=True)
class GatherElements(Operation):
    """y[..., i, ...] = x[..., indices[..., i, ...], ...] along an axis; the result has the shape of the indices.

    Attributes:
        axis: counted from the front.
    """

    moves_data: ClassVar[bool] = True

    axis: int = 0

    input_names: ClassVar[tuple[str, ...]] = ("x", "indices")
    reads_selection: ClassVar[bool] = True

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x, indices = operand(inputs, 0, "x"), operand(inputs, 1, "indices")
        require_axis(self.axis, len(x.shape))
        require_integer(indices, "indices")
        _require_within(indices, x, self.axis)
        return (TensorType(indices.shape, x.dtype),)

    def evaluate(self, inputs: Arrays) -> Results:
        x, indices = array(inputs, 0), array(inputs, 1)
        chosen = in_range(indices, x.shape[self.axis])
        x = x[tuple(slice(None) if i == self.axis else slice(0, e) for i, e in enumerate(indices.shape))]
        return (np.take_along_axis(x, chosen, self.axis),)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(1), (sample(2, 5), np.array([[0, 4, -1], [1, 1, 2]])))
        yield OperationCase(cls(), (sample(3, 4), np.array([[2, 1, 0]])))


def _require_within(indices: TensorType, x: TensorType, axis: int) -> None:
    """The indices must have the rank of x and, outside `axis`, no larger extents."""
    fits = len(indices.shape) == len(x.shape) and all(
        i == axis or own <= extent for i, (own, extent) in enumerate(zip(indices.shape, x.shape, strict=False))
    )
    require(fits, "the indices do not fit in x", value=indices, limit=x)


@dataclass(frozen=True)
class GatherND(Operation):
    """Elements or slices of x by index tuples: the last axis of the indices names leading axes of x.

    Attributes:
        batch_axes: leading axes that x and indices share.
    """

    moves_data: ClassVar[bool] = True

    batch_axes: int = 0

    input_names: ClassVar[tuple[str, ...]] = ("x", "indices")
    reads_selection: ClassVar[bool] = True

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x, indices = operand(inputs, 0, "x"), operand(inputs, 1, "indices")
        require_integer(indices, "indices")
        b = self.batch_axes
        valid = 0 <= b < len(indices.shape) and b < len(x.shape) and x.shape[:b] == indices.shape[:b]
        require(valid, "x and indices must share the batch axes", value=f"{x} and {indices}", limit=b)
        depth = indices.shape[-1]
        fits = 1 <= depth <= len(x.shape) - b
        require(fits, "the indices name too many axes", value=depth, limit=f"1..{len(x.shape) - b}")
        return (TensorType(indices.shape[:-1] + x.shape[b + depth :], x.dtype),)

    def evaluate(self, inputs: Arrays) -> Results:
        x, indices = array(inputs, 0), array(inputs, 1)
        b, depth = self.batch_axes, indices.shape[-1]
        batch = product_of(x.shape[:b])
        flat = x.reshape(batch, *x.shape[b:])
        tuples = indices.reshape(batch, -1, depth)
        columns = [in_range(tuples[..., i], flat.shape[1 + i]) for i in range(depth)]
        picked = flat[(np.arange(batch)[:, None], *columns)]
        return (picked.reshape(indices.shape[:-1] + x.shape[b + depth :]),)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(), (sample(3, 4, 2), np.array([[0, 1], [2, -1]])))
        yield OperationCase(cls(), (sample(3, 4), np.array([[[0, 1]], [[2, 3]]])))
        yield OperationCase(cls(1), (sample(2, 4, 3), np.array([[1], [0]])))


class ScatterMode(Enum):
    """What happens to the element that is already there."""

    REPLACE = "none"
    ADD = "add"
    MULTIPLY = "mul"
    MAXIMUM = "max"
    MINIMUM = "min"


_SCATTER = {
    ScatterMode.ADD: np.add,
    ScatterMode.MULTIPLY: np.multiply,
    ScatterMode.MAXIMUM: np.maximum,
    ScatterMode.MINIMUM: np.minimum,
}


def _put(y: np.ndarray, place: tuple[np.ndarray, ...], updates: np.ndarray, mode: ScatterMode) -> None:
    """Put `updates` at `place` of `y`, in order."""
    if mode is ScatterMode.REPLACE:
        y[place] = updates
    else:
        _SCATTER[mode].at(y, place, updates)


@dataclass(frozen=True)
class ScatterElements(Operation):
    """x with the updates put at the indices along an axis: the inverse of GatherElements.

    Attributes:
        axis: counted from the front.
        mode: what happens to the element that is already there.
    """

    axis: int = 0
    mode: ScatterMode = ScatterMode.REPLACE

    input_names: ClassVar[tuple[str, ...]] = ("x", "indices", "updates")

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x, indices, updates = (operand(inputs, i, name) for i, name in enumerate(self.input_names))
        require_same_dtype((x, updates))
        require_axis(self.axis, len(x.shape))
        require_integer(indices, "indices")
        _require_within(indices, x, self.axis)
        require(indices.shape == updates.shape, "indices and updates differ in shape", value=updates, limit=indices)
        return (x,)

    def evaluate(self, inputs: Arrays) -> Results:
        x, indices, updates = (array(inputs, i) for i in range(3))
        y = x.copy()
        place: list[np.ndarray] = list(np.indices(indices.shape, sparse=True))
        place[self.axis] = in_range(indices, x.shape[self.axis])
        _put(y, tuple(np.broadcast_arrays(*place)), updates.astype(x.dtype), self.mode)
        return (y,)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        indices = np.array([[1, 3], [0, -1]])
        yield OperationCase(cls(1), (sample(3, 4), indices, sample(2, 2, seed=1)))
        for mode in ScatterMode:
            yield OperationCase(cls(0, mode), (sample(4, 2), indices, sample(2, 2, seed=1)))


@dataclass(frozen=True)
class ScatterND(Operation):
    """x with the updates put at index tuples: the inverse of GatherND.

    Attributes:
        mode: what happens to the element that is already there.
    """

    mode: ScatterMode = ScatterMode.REPLACE

    input_names: ClassVar[tuple[str, ...]] = ("x", "indices", "updates")

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x, indices, updates = (operand(inputs, i, name) for i, name in enumerate(self.input_names))
        require_same_dtype((x, updates))
        require_integer(indices, "indices")
        require(len(indices.shape) >= 1, "the indices have no axis", value=indices)
        depth = indices.shape[-1]
        require(1 <= depth <= len(x.shape), "the indices name too many axes", value=depth, limit=len(x.shape))
        shape = indices.shape[:-1] + x.shape[depth:]
        require(updates.shape == shape, "the updates do not fit", value=updates, limit=list(shape))
        return (x,)

    def evaluate(self, inputs: Arrays) -> Results:
        x, indices, updates = (array(inputs, i) for i in range(3))
        y = x.copy()
        place = tuple(in_range(indices[..., i], x.shape[i]) for i in range(indices.shape[-1]))
        _put(y, place, updates.astype(x.dtype), self.mode)
        return (y,)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        indices = np.array([[0, 1], [2, -1], [0, 0]])
        for mode in ScatterMode:
            yield OperationCase(cls(mode), (sample(3, 4, 2), indices, sample(3, 2, seed=1)))


@dataclass(frozen=True)
class OneHot(Operation):
    """A new axis that holds values[1] at the index and values[0] elsewhere; indices out of range give none.

    Inputs: indices, and values (2,) of any type: off, on.

    Attributes:
        depth: extent of the new axis.
        axis: its place in the result, counted from the front.
    """

    depth: int
    axis: int

    input_names: ClassVar[tuple[str, ...]] = ("indices", "values")

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        indices, values = operand(inputs, 0, "indices"), operand(inputs, 1, "values")
        require_axis(self.axis, len(indices.shape) + 1)
        require(self.depth >= 0, "the depth must not be negative", value=self.depth)
        require(values.shape == (2,), "values must be off and on", value=values)
        require(indices.dtype is not DType.BOOL, "input 'indices' must hold numbers", value=indices)
        shape = (*indices.shape[: self.axis], self.depth, *indices.shape[self.axis :])
        return (TensorType(shape, values.dtype),)

    def evaluate(self, inputs: Arrays) -> Results:
        indices, values = array(inputs, 0).astype(np.int64), array(inputs, 1)
        indices = np.expand_dims(np.where(indices < 0, indices + self.depth, indices), self.axis)
        line = np.arange(self.depth).reshape(-1, *(1,) * (indices.ndim - 1 - self.axis))
        return (np.where(indices == line, values[1], values[0]).astype(values.dtype),)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        values = np.array([0, 1], np.float32)
        yield OperationCase(cls(4, 1), (np.array([0, 3, -1, 9]), values))
        yield OperationCase(cls(3, 0), (np.array([[0, 2], [1, 1]]), np.array([-1, 2], np.float32)))
