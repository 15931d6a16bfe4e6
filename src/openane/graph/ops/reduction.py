"""Sums, means and extremes over axes, and the places where extremes are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
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
    require,
    require_axes,
    require_axis,
    sample,
    widen,
)

__all__ = [
    "ArgMax",
    "ArgMin",
    "CumProd",
    "CumSum",
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
    "Reduction",
    "TopK",
]


@dataclass(frozen=True)
class Reduction(Operation, abstract=True):
    """Base of the reductions.

    Attributes:
        axes: that are reduced, counted from the front; () reduces nothing.
        keepdims: reduced axes stay, with extent 1.
    """

    axes: tuple[int, ...]
    keepdims: bool = True

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x = operand(inputs, 0, "x")
        require_axes(self.axes, len(x.shape))
        self._check(x)
        shape = tuple(1 if i in self.axes else extent for i, extent in enumerate(x.shape))
        if not self.keepdims:
            shape = tuple(extent for i, extent in enumerate(x.shape) if i not in self.axes)
        return (TensorType(shape, x.dtype),)

    def _check(self, x: TensorType) -> None:
        require(x.dtype is not DType.BOOL, "input 'x' must hold numbers", value=x)

    def evaluate(self, inputs: Arrays) -> Results:
        x = array(inputs, 0)
        return (np.asarray(self.apply(widen(x))).astype(x.dtype, copy=False),)

    def apply(self, x: np.ndarray) -> np.ndarray:
        """The reduction itself."""
        raise NotImplementedError

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        x = sample(2, 3, 4, 5, low=0.1)
        yield OperationCase(cls((1,)), (x,))
        yield OperationCase(cls((2, 3), False), (x,))
        yield OperationCase(cls((0, 1, 2, 3)), (x,))
        yield OperationCase(cls(()), (x,))


@dataclass(frozen=True)
class ReduceSum(Reduction):
    """The sum."""

    is_linear: ClassVar[bool] = True

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.sum(x, self.axes, keepdims=self.keepdims)


@dataclass(frozen=True)
class ReduceMean(Reduction):
    """The mean."""

    is_linear: ClassVar[bool] = True
    keeps_range: ClassVar[bool] = True

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.mean(x, self.axes, keepdims=self.keepdims)


@dataclass(frozen=True)
class ReduceMax(Reduction):
    """The largest value; of nothing, the lowest there is."""

    rounds_once: ClassVar[bool] = True
    keeps_range: ClassVar[bool] = True

    def _check(self, x: TensorType) -> None:
        """Any element type will do."""

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.max(x, self.axes, keepdims=self.keepdims, initial=_extremes(x.dtype)[0])


@dataclass(frozen=True)
class ReduceMin(Reduction):
    """The smallest value; of nothing, the highest there is."""

    rounds_once: ClassVar[bool] = True
    keeps_range: ClassVar[bool] = True

    def _check(self, x: TensorType) -> None:
        """Any element type will do."""

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.min(x, self.axes, keepdims=self.keepdims, initial=_extremes(x.dtype)[1])


def _extremes(dtype: np.dtype[np.generic]) -> tuple[float, float]:
    """The lowest and the highest value of a type."""
    if dtype.kind == "f":
        return -np.inf, np.inf
    if dtype.kind == "b":
        return False, True
    limits = np.iinfo(dtype.name)
    return limits.min, limits.max


@dataclass(frozen=True)
class ReduceProd(Reduction):
    """The product."""

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.prod(x, self.axes, keepdims=self.keepdims)


@dataclass(frozen=True)
class ReduceL1(Reduction):
    """The sum of absolute values."""

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.sum(np.abs(x), self.axes, keepdims=self.keepdims)


@dataclass(frozen=True)
class ReduceL2(Reduction):
    """The root of the sum of squares."""

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.sqrt(np.sum(x * x, self.axes, keepdims=self.keepdims))


@dataclass(frozen=True)
class ReduceSumSquare(Reduction):
    """The sum of squares."""

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.sum(x * x, self.axes, keepdims=self.keepdims)


@dataclass(frozen=True)
class ReduceLogSum(Reduction):
    """The logarithm of the sum."""

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.log(np.sum(x, self.axes, keepdims=self.keepdims))


@dataclass(frozen=True)
class ReduceLogSumExp(Reduction):
    """ln(sum of e^x), without overflow."""

    def apply(self, x: np.ndarray) -> np.ndarray:
        x = x if x.dtype.kind == "f" else x.astype(np.float64)  # integers have no place for an infinity
        top = np.max(x, self.axes, keepdims=True, initial=-np.inf)
        top = np.where(np.isfinite(top), top, 0)
        total = np.log(np.sum(np.exp(x - top), self.axes, keepdims=True)) + top
        return total if self.keepdims else np.squeeze(total, self.axes)


@dataclass(frozen=True)
class _ArgExtreme(Operation, abstract=True):
    """Base of the places of extremes; the result is int64.

    Attributes:
        axis: that is searched, counted from the front.
        keepdims: the axis stays, with extent 1.
        last: of equals the last one counts, not the first.
    """

    axis: int
    keepdims: bool = True
    last: bool = False
    position_results: ClassVar[tuple[int, ...]] = (0,)

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x = operand(inputs, 0, "x")
        require_axis(self.axis, len(x.shape))
        require(x.shape[self.axis] > 0, "the axis is empty", value=x)
        kept = (1,) if self.keepdims else ()
        return (TensorType((*x.shape[: self.axis], *kept, *x.shape[self.axis + 1 :]), DType.INT64),)

    def evaluate(self, inputs: Arrays) -> Results:
        x = array(inputs, 0)
        found = self._find(np.flip(x, self.axis) if self.last else x)
        if self.last:
            found = x.shape[self.axis] - 1 - found
        return (found.astype(np.int64),)

    def _find(self, x: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        x = np.round(sample(2, 6, 4))
        yield OperationCase(cls(1), (x,))
        yield OperationCase(cls(2, False), (x,))
        yield OperationCase(cls(1, last=True), (x,))


@dataclass(frozen=True)
class ArgMax(_ArgExtreme):
    """Where the largest value of an axis is."""

    def _find(self, x: np.ndarray) -> np.ndarray:
        return np.argmax(x, self.axis, keepdims=self.keepdims)


@dataclass(frozen=True)
class ArgMin(_ArgExtreme):
    """Where the smallest value of an axis is."""

    def _find(self, x: np.ndarray) -> np.ndarray:
        return np.argmin(x, self.axis, keepdims=self.keepdims)


@dataclass(frozen=True)
class TopK(Operation):
    """The k largest values of an axis, in falling order, and where they are (int64); equals in order of place.

    Attributes:
        axis: that is searched, counted from the front.
        k: how many.
        largest: the largest; otherwise the smallest, in rising order.
    """

    axis: int
    k: int
    largest: bool = True
    position_results: ClassVar[tuple[int, ...]] = (1,)

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x = operand(inputs, 0, "x")
        require_axis(self.axis, len(x.shape))
        extent = x.shape[self.axis]
        require(0 <= self.k <= extent, "k is out of range", value=self.k, limit=f"0..{extent}")
        shape = (*x.shape[: self.axis], self.k, *x.shape[self.axis + 1 :])
        return TensorType(shape, x.dtype), TensorType(shape, DType.INT64)

    def evaluate(self, inputs: Arrays) -> Results:
        x = array(inputs, 0)
        if self.largest:
            last = np.flip(np.argsort(np.flip(x, self.axis), self.axis, kind="stable"), self.axis)
            order = x.shape[self.axis] - 1 - last
        else:
            order = np.argsort(x, self.axis, kind="stable")
        order = np.take(order, range(self.k), self.axis).astype(np.int64)
        return np.take_along_axis(x, order, self.axis), order

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        x = np.round(sample(2, 6, 4))
        yield OperationCase(cls(1, 3), (x,))
        yield OperationCase(cls(2, 2, False), (x,))


@dataclass(frozen=True)
class _Cumulative(Operation, abstract=True):
    """Base of the running reductions along an axis.

    Attributes:
        axis: counted from the front.
        exclusive: the value itself is left out of its own result.
        reverse: from the end to the front.
    """

    axis: int
    exclusive: bool = False
    reverse: bool = False

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x = operand(inputs, 0, "x")
        require_axis(self.axis, len(x.shape))
        require(x.dtype is not DType.BOOL, "input 'x' must hold numbers", value=x)
        return (x,)

    def evaluate(self, inputs: Arrays) -> Results:
        x = array(inputs, 0)
        wide = widen(np.flip(x, self.axis) if self.reverse else x)
        y = self._accumulate(wide)
        if self.exclusive:
            start = np.full_like(np.take(y, [0], self.axis), self._neutral()) if x.shape[self.axis] else y
            y = np.concatenate([start, np.take(y, range(x.shape[self.axis] - 1), self.axis)], self.axis)
        y = np.flip(y, self.axis) if self.reverse else y
        return (y.astype(x.dtype),)

    def _accumulate(self, x: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _neutral(self) -> int:
        raise NotImplementedError

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        x = sample(2, 5, 3)
        yield OperationCase(cls(1), (x,))
        yield OperationCase(cls(1, exclusive=True), (x,))
        yield OperationCase(cls(0, reverse=True), (x,))
        yield OperationCase(cls(2, True, True), (x,))


@dataclass(frozen=True)
class CumSum(_Cumulative):
    """The running sum along an axis."""

    def _accumulate(self, x: np.ndarray) -> np.ndarray:
        return np.cumsum(x, self.axis, dtype=x.dtype)

    def _neutral(self) -> int:
        return 0


@dataclass(frozen=True)
class CumProd(_Cumulative):
    """The running product along an axis."""

    def _accumulate(self, x: np.ndarray) -> np.ndarray:
        return np.cumprod(x, self.axis, dtype=x.dtype)

    def _neutral(self) -> int:
        return 1
