"""Pooling windows over the spatial axes of (N, C, spatial...).

Global pooling is a reduction (:class:`~openane.graph.ops.reduction.ReduceMean` over the spatial axes).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    product_of,
    require,
    require_float,
    sample,
    taps,
    widen,
)

__all__ = [
    "AveragePool",
    "LpPool",
    "MaxPool",
    "Pooling",
]


@dataclass(frozen=True)
class Pooling(Operation, abstract=True):
    """What all poolings share.

    Attributes:
        kernel: extent of the window per spatial axis.
        strides: step of the window per spatial axis.
        pads: positions before every spatial axis, then after every one.
        dilations: distance of the window's elements per axis, () for 1.
        ceil_mode: the last window may reach beyond the padded input, as long as it starts before the end padding.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...] = ()
    ceil_mode: bool = False

    is_spatial: ClassVar[bool] = True

    @property
    def spacing(self) -> tuple[int, ...]:
        """The dilations, spelled out."""
        return self.dilations or (1,) * len(self.kernel)

    @property
    def begins(self) -> tuple[int, ...]:
        """The padding before each spatial axis."""
        return self.pads[: len(self.kernel)]

    @property
    def ends(self) -> tuple[int, ...]:
        """The padding after each spatial axis."""
        return self.pads[len(self.kernel) :]

    def spatial(self, extents: tuple[int, ...]) -> tuple[int, ...]:
        """The extents of the result for spatial `extents`."""
        result = []
        rows = zip(extents, self.begins, self.ends, self.kernel, self.spacing, self.strides, strict=True)
        for extent, begin, end, kernel, dilation, stride in rows:
            free = extent + begin + end - (kernel - 1) * dilation - 1
            out = free // stride + 1
            if self.ceil_mode and free % stride and out * stride < extent + begin:
                out += 1
            result.append(out)
        return tuple(result)

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x, rank = operand(inputs, 0, "x"), len(self.kernel)
        require(len(x.shape) == rank + 2, "input 'x' has the wrong rank", value=x, limit=f"rank {rank + 2}")
        require(len(self.strides) == rank, "one stride is needed per axis", value=self.strides)
        require(len(self.pads) == 2 * rank, "pads must name both sides of every axis", value=self.pads)
        require(len(self.spacing) == rank, "one dilation is needed per axis", value=self.dilations)
        for name in ("kernel", "strides", "dilations"):
            values = getattr(self, name)
            require(all(v >= 1 for v in values), f"{name} must be positive", value=values)
        require(all(v >= 0 for v in self.pads), "pads must not be negative", value=self.pads)
        self._check_dtype(x)
        spatial = self.spatial(x.shape[2:])
        require(all(e >= 1 for e in spatial), "the window is larger than the padded input", value=x)
        return (TensorType((*x.shape[:2], *spatial), x.dtype),)

    def reference_steps(self, inputs: Types, outputs: Sequence[TensorType]) -> int:
        """One step per element of each window."""
        return super().reference_steps(inputs, outputs) + outputs[0].size * product_of(self.kernel)

    def _check_dtype(self, x: TensorType) -> None:
        require_float(x)

    def _padded(self, x: np.ndarray, inside: float, beyond: float) -> tuple[np.ndarray, tuple[int, ...]]:
        """`x` with `inside` as padding and `beyond` as far as the last window reaches; the extents of the result."""
        out, none = self.spatial(x.shape[2:]), [(0, 0), (0, 0)]
        padded = np.pad(x, none + list(zip(self.begins, self.ends, strict=True)), constant_values=inside)
        rows = zip(out, self.strides, self.kernel, self.spacing, padded.shape[2:], strict=True)
        room = [(0, max(0, (o - 1) * s + (k - 1) * d + 1 - extent)) for o, s, k, d, extent in rows]
        return np.pad(padded, none + room, constant_values=beyond), out

    def _sum(self, x: np.ndarray, inside: float = 0) -> np.ndarray:
        """The sum over every window of `x`, whose padding is `inside`."""
        padded, out = self._padded(x, inside, 0)
        total = np.zeros((*x.shape[:2], *out), x.dtype)
        for view in taps(padded, out, self.kernel, self.strides, self.spacing):
            total += view
        return total


@dataclass(frozen=True)
class MaxPool(Pooling):
    """The largest value of every window; padding never wins."""

    rounds_once: ClassVar[bool] = True
    keeps_range: ClassVar[bool] = True

    def _check_dtype(self, x: TensorType) -> None:
        require(x.dtype is not DType.BOOL, "input 'x' must hold numbers", value=x)

    def evaluate(self, inputs: Arrays) -> Results:
        x = array(inputs, 0)
        lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
        padded, out = self._padded(x, lowest, lowest)
        y = np.full((*x.shape[:2], *out), lowest, x.dtype)
        for view in taps(padded, out, self.kernel, self.strides, self.spacing):
            np.maximum(y, view, out=y)
        return (y,)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        x = sample(2, 3, 7, 6)
        yield OperationCase(cls((2, 2), (2, 2), (0,) * 4), (x,))
        yield OperationCase(cls((3, 2), (2, 1), (1, 0, 1, 1), (1, 2), True), (x,))
        yield OperationCase(cls((3,), (2,), (1, 1)), (sample(1, 2, 8),))


@dataclass(frozen=True)
class AveragePool(Pooling):
    """The mean of every window.

    Attributes:
        count_include_pad: padding counts as zeros; otherwise the mean is over the positions inside x. Positions
            beyond the padding (`ceil_mode`) never count.
    """

    count_include_pad: bool = False

    def evaluate(self, inputs: Arrays) -> Results:
        x = array(inputs, 0)
        wide = widen(x)
        count = self._sum(np.ones((1, 1, *x.shape[2:]), wide.dtype), float(self.count_include_pad))
        return ((self._sum(wide) / np.maximum(count, 1)).astype(x.dtype, copy=False),)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        x = sample(2, 3, 7, 6)
        yield OperationCase(cls((2, 2), (2, 2), (0,) * 4), (x,))
        yield OperationCase(cls((3, 2), (2, 1), (1, 0, 1, 1)), (x,))
        yield OperationCase(cls((3, 3), (2, 2), (1, 1, 1, 1), count_include_pad=True), (x,))
        yield OperationCase(cls((2, 3), (2, 2), (0, 1, 1, 0), (2, 1), True, True), (x,))


@dataclass(frozen=True)
class LpPool(Pooling):
    """(sum over the window of |x|^p)^(1/p); padding adds nothing.

    Attributes:
        p: the exponent.
    """

    p: int = 2

    def evaluate(self, inputs: Arrays) -> Results:
        x = array(inputs, 0)
        total = self._sum(np.abs(widen(x)) ** self.p)
        return ((total ** (1.0 / self.p)).astype(x.dtype, copy=False),)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        x = sample(1, 3, 6, 6)
        yield OperationCase(cls((2, 2), (2, 2), (0,) * 4), (x,))
        yield OperationCase(cls((3, 2), (2, 2), (1,) * 4, (1, 2), True, p=1), (x,))
