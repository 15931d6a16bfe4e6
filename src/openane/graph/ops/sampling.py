"""Reading a picture at computed places."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import product
from typing import ClassVar

import numpy as np

from openane.graph.operation import Operation, OperationCase, TensorType
from openane.graph.ops.resize import ResizeMode
from openane.graph.ops.support import (
    Arrays,
    Results,
    Types,
    array,
    operand,
    require,
    require_float,
    sample,
    widen,
)

__all__ = [
    "Border",
    "GridSample",
]


class Border(Enum):
    """What is outside the picture."""

    ZEROS = "zeros"
    EDGE = "border"  #: the nearest element
    REFLECTION = "reflection"  #: mirrored at the border


@dataclass(frozen=True)
class GridSample(Operation):
    """x (N, C, spatial...) read at the places of a grid (N, result extents..., axes), the last axis first.

    Places run from -1 to 1 over each axis.

    Attributes:
        mode: how values between elements are found.
        border: what is outside x.
        align_corners: -1 and 1 are the middles of the outermost elements, not their outer edges.
    """

    mode: ResizeMode = ResizeMode.LINEAR
    border: Border = Border.ZEROS
    align_corners: bool = False

    input_names: ClassVar[tuple[str, ...]] = ("x", "grid")

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x, grid = operand(inputs, 0, "x"), operand(inputs, 1, "grid")
        require_float(x)
        require_float(grid, "grid")
        rank = len(x.shape) - 2
        fits = rank >= 1 and len(grid.shape) == rank + 2 and grid.shape[-1] == rank
        require(fits and grid.shape[0] == x.shape[0], "the grid does not fit the picture", value=grid, limit=x)
        require(min(x.shape[2:]) > 0, "there is nothing to read", value=x)
        return (TensorType((*x.shape[:2], *grid.shape[1:-1]), x.dtype),)

    def reference_steps(self, inputs: Types, outputs: Sequence[TensorType]) -> int:
        """Each element of the result reads up to four elements per axis."""
        rank = len(operand(inputs, 0, "x").shape) - 2
        return super().reference_steps(inputs, outputs) + outputs[0].size * 4**rank

    def evaluate(self, inputs: Arrays) -> Results:
        x, grid = array(inputs, 0), array(inputs, 1)
        extents = x.shape[2:]
        # From the last axis first, -1..1, to the first axis first, in elements.
        places = [self._place(widen(grid[..., -1 - i]), e) for i, e in enumerate(extents)]
        reach = {ResizeMode.NEAREST: (0, 1), ResizeMode.LINEAR: (0, 2), ResizeMode.CUBIC: (-1, 3)}[self.mode]
        if self.mode is ResizeMode.NEAREST:
            places = [np.rint(p) for p in places]
        result = np.zeros((x.shape[0], *grid.shape[1:-1], x.shape[1]), widen(x).dtype)
        wide = np.moveaxis(widen(x), 1, -1)
        batch = np.arange(x.shape[0]).reshape(-1, *(1,) * len(extents))
        for offsets in product(range(*reach), repeat=len(extents)):
            weight = np.ones(result.shape[:-1], result.dtype)
            index = []
            for place, offset, extent in zip(places, offsets, extents, strict=True):
                whole = np.floor(place) + offset
                weight = weight * self._weight(place - whole)
                whole, inside = self._outside(whole, extent)
                weight = weight * inside
                index.append(whole)
            result += weight[..., None] * wide[(batch, *index)]
        return (np.moveaxis(result, -1, 1).astype(x.dtype),)

    def _place(self, grid: np.ndarray, extent: int) -> np.ndarray:
        """Places in elements; those outside are brought in where the border says so."""
        place = (grid + 1) / 2 * (extent - 1) if self.align_corners else ((grid + 1) * extent - 1) / 2
        if self.mode is ResizeMode.CUBIC:
            return place
        if self.border is Border.EDGE:
            return np.clip(place, 0, extent - 1)
        return self._mirrored(place, extent) if self.border is Border.REFLECTION else place

    def _mirrored(self, place: np.ndarray, extent: int) -> np.ndarray:
        low, high = (0.0, extent - 1.0) if self.align_corners else (-0.5, extent - 0.5)
        if high <= low:
            return np.zeros_like(place)
        folded = np.mod(place - low, 2 * (high - low))
        mirrored = np.minimum(folded, 2 * (high - low) - folded) + low
        return np.clip(mirrored, 0, extent - 1)

    def _outside(self, whole: np.ndarray, extent: int) -> tuple[np.ndarray, np.ndarray]:
        """Elements that stand for those outside, and a factor that is 0 where zeros do."""
        if self.border is Border.REFLECTION and self.mode is ResizeMode.CUBIC:
            whole = np.rint(self._mirrored(whole, extent))
        inside = (whole >= 0) & (whole < extent) if self.border is Border.ZEROS else np.ones(whole.shape, bool)
        safe = np.nan_to_num(np.clip(whole, 0, extent - 1))
        return safe.astype(np.int64), inside.astype(whole.dtype)

    def _weight(self, distance: np.ndarray) -> np.ndarray:
        d = np.abs(distance)
        if self.mode is ResizeMode.NEAREST:
            return np.ones_like(d)
        if self.mode is ResizeMode.LINEAR:
            return np.maximum(1 - d, 0)
        near = (1.25 * d - 2.25) * d * d + 1
        far = ((-0.75 * d + 3.75) * d - 6) * d + 3
        return np.where(d <= 1, near, np.where(d < 2, far, 0))

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        x, grid = sample(2, 3, 5, 4), sample(2, 3, 6, 2, seed=1, low=-1.3, high=1.3)
        for mode, border, corners in product(ResizeMode, Border, (False, True)):
            yield OperationCase(cls(mode, border, corners), (x, grid))
        yield OperationCase(cls(), (sample(1, 2, 3, 4, 3), sample(1, 2, 2, 3, 3, seed=2, low=-1, high=1)))
