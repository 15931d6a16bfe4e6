"""Units that take many elements to one: windows and whole dimensions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Annotated, ClassVar

import numpy as np

from openane.core.errors import ModelError
from openane.net.net import TensorShape, UnitParams
from openane.net.schema.parameters import ChoiceKey, FlagKey, IntegerKeys, PairKey, SubsetKey
from openane.net.units.dimensions import PAD_KEYS, Dimension, Pads, compute_dtype, one, positive, storage_dtype

__all__ = ["PoolingKind", "PoolingParams", "ReductionKind", "ReductionParams"]


class PoolingKind(Enum):
    """What is taken of a window. The value is the name in a net.plist."""

    MAX = "Max"
    AVERAGE = "Avg"


@dataclass(frozen=True)
class PoolingParams(UnitParams):
    """Maximum or average over windows of each image.

    Attributes:
        kind: maximum (padding never wins) or average.
        kernel: window as (x, y).
        step: distance of windows as (x, y).
        pads: rows and columns around the input, each less than the window.
        count_include_pad: averages divide by the window's size, else by the number of elements inside the image.
        dilation: distance of the elements of a window as (x, y).
    """

    kind: Annotated[PoolingKind, ChoiceKey("Type", PoolingKind)]
    kernel: Annotated[tuple[int, int], IntegerKeys(("KernelWidth", "KernelHeight"), least=1)]
    step: Annotated[tuple[int, int], PairKey("Step")] = (1, 1)
    pads: Annotated[Pads, PAD_KEYS] = field(default=Pads())
    count_include_pad: Annotated[bool, FlagKey("CountIncludePad", optional=True)] = False
    dilation: Annotated[tuple[int, int], PairKey("Dilation", optional=True)] = (1, 1)
    plist_type: ClassVar[str] = "Pooling"

    def infer(self, bottoms: Sequence[TensorShape]) -> TensorShape:
        """Every window must touch the image."""
        shape = one(bottoms)
        for value in (*self.kernel, *self.step, *self.dilation):
            positive(value, "kernel, step and dilation")
        (kx, ky), (dx, dy) = self.kernel, self.dilation
        reach_x, reach_y = (kx - 1) * dx + 1, (ky - 1) * dy + 1
        top, bottom, left, right = self.pads
        if min(self.pads) < 0 or max(top, bottom) >= reach_y or max(left, right) >= reach_x:
            raise ModelError("padding must be less than the window", value=self.pads, limit=self.kernel)
        height = (shape.height + top + bottom - reach_y) // self.step[1] + 1
        width = (shape.width + left + right - reach_x) // self.step[0] + 1
        if height < 1 or width < 1:
            raise ModelError(
                "the window is larger than the padded image",
                value=f"window {reach_y}x{reach_x}, image {shape.height}x{shape.width}, {self.pads}",
            )
        return TensorShape(shape.batch, shape.channels, height, width, shape.depth)

    def evaluate(self, bottoms: Sequence[np.ndarray]) -> np.ndarray:
        """Window element by window element; averages are added up in at least float32."""
        (x,) = bottoms
        result = self.infer([TensorShape.of(x.shape)])
        dtype = compute_dtype(x)
        if self.kind is PoolingKind.MAX:
            largest = self._fold(x.astype(dtype, copy=False), result, -np.inf, np.maximum)
            return largest.astype(storage_dtype(x), copy=False)
        total: np.ndarray = self._fold(x.astype(dtype, copy=False), result, 0.0, np.add)
        if self.count_include_pad:
            average = total / (self.kernel[0] * self.kernel[1])
        else:
            ones = np.ones((1, 1, 1, *x.shape[3:]), dtype)
            average = total / self._fold(ones, result, 0.0, np.add)
        return average.astype(storage_dtype(x), copy=False)

    def _fold(
        self,
        x: np.ndarray,
        result: TensorShape,
        neutral: float,
        function: Callable[[np.ndarray, np.ndarray], np.ndarray],
    ) -> np.ndarray:
        top, bottom, left, right = self.pads
        x = np.pad(x, [(0, 0)] * 3 + [(top, bottom), (left, right)], constant_values=neutral)
        (sx, sy), (dx, dy) = self.step, self.dilation
        out = np.full((*x.shape[:3], result.height, result.width), neutral, x.dtype)
        for row in range(self.kernel[1]):
            for column in range(self.kernel[0]):
                first_y, first_x = row * dy, column * dx
                rows = slice(first_y, first_y + (result.height - 1) * sy + 1, sy)
                columns = slice(first_x, first_x + (result.width - 1) * sx + 1, sx)
                out = function(out, x[..., rows, columns])
        return out


class ReductionKind(Enum):
    """What is taken of the reduced elements. The value is the name in a net.plist."""

    SUM = "Sum"
    MEAN = "Avg"
    MAX = "Max"
    MIN = "Min"


_REDUCTIONS: Mapping[ReductionKind, Callable[..., np.ndarray]] = MappingProxyType(
    {
        ReductionKind.SUM: np.sum,
        ReductionKind.MEAN: np.mean,
        ReductionKind.MAX: np.max,
        ReductionKind.MIN: np.min,
    }
)


@dataclass(frozen=True)
class ReductionParams(UnitParams):
    """Sum, mean, maximum or minimum over whole dimensions, which stay with size 1.

    Attributes:
        kind: the function.
        dimensions: over which.
    """

    kind: Annotated[ReductionKind, ChoiceKey("Type", ReductionKind)]
    dimensions: Annotated[frozenset[Dimension], SubsetKey("Dimensions", Dimension)]
    plist_type: ClassVar[str] = "Reduction"

    def infer(self, bottoms: Sequence[TensorShape]) -> TensorShape:
        """Reduced dimensions become 1."""
        shape = one(bottoms)
        for dimension in self.dimensions:
            shape = dimension.resize(shape, 1)
        return shape

    def evaluate(self, bottoms: Sequence[np.ndarray]) -> np.ndarray:
        """Computed in at least float32."""
        (x,) = bottoms
        axes = tuple(sorted(dimension.axis for dimension in self.dimensions))
        y = _REDUCTIONS[self.kind](x.astype(compute_dtype(x), copy=False), axis=axes, keepdims=True)
        return y.astype(storage_dtype(x), copy=False)
