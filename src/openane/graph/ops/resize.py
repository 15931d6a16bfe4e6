"""Resampling of any axes by separable interpolation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from openane.graph.operation import Operation, OperationCase, TensorType
from openane.graph.ops.support import Arrays, Results, Types, array, operand, require, sample, widen

__all__ = [
    "Coordinates",
    "Resize",
    "ResizeMode",
    "Rounding",
]


class ResizeMode(Enum):
    """How a value between positions is found."""

    NEAREST = "nearest"
    LINEAR = "linear"
    CUBIC = "cubic"


class Coordinates(Enum):
    """Which position of x a position of the result means; the names are ONNX's."""

    HALF_PIXEL = "half_pixel"  #: (i + 1/2) / scale - 1/2
    HALF_PIXEL_SYMMETRIC = "half_pixel_symmetric"  #: the same, centered when scale * extent is not whole
    PYTORCH_HALF_PIXEL = "pytorch_half_pixel"  #: half_pixel, 0 for a result of one position
    ALIGN_CORNERS = "align_corners"  #: i * (in - 1) / (out - 1)
    ASYMMETRIC = "asymmetric"  #: i / scale
    TF_HALF_PIXEL_FOR_NN = "tf_half_pixel_for_nn"  #: (i + 1/2) / scale
    TF_CROP_AND_RESIZE = "tf_crop_and_resize"  #: inside the region of interest, corners aligned


class Rounding(Enum):
    """Which position is the nearest one."""

    ROUND_PREFER_FLOOR = "round_prefer_floor"
    ROUND_PREFER_CEIL = "round_prefer_ceil"
    FLOOR = "floor"
    CEIL = "ceil"


@dataclass(frozen=True)
class Resize(Operation):
    """x resampled to other extents, every axis on its own.

    Attributes:
        sizes: extents of the result, for every axis.
        mode: how values between positions are found.
        coordinates: which position of x a position of the result means.
        rounding: of NEAREST.
        scales: result extent over x extent as the model states it, for every axis; () for the exact ratio.
        cubic_coefficient: of CUBIC (Keys' a).
        exclude_outside: weights of positions outside x are 0 and the others are scaled up; else the edge repeats.
        antialias: the filter is widened when an axis shrinks.
        region: of TF_CROP_AND_RESIZE: starts, then ends, per axis, as fractions of the extent; () otherwise.
        extrapolation: value outside x for TF_CROP_AND_RESIZE.
    """

    sizes: tuple[int, ...]
    mode: ResizeMode = ResizeMode.NEAREST
    coordinates: Coordinates = Coordinates.HALF_PIXEL
    rounding: Rounding = Rounding.ROUND_PREFER_FLOOR
    scales: tuple[float, ...] = ()
    cubic_coefficient: float = -0.75
    exclude_outside: bool = False
    antialias: bool = False
    region: tuple[float, ...] = ()
    extrapolation: float = 0.0

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x = operand(inputs, 0, "x")
        rank = len(x.shape)
        require(len(self.sizes) == rank, "one size is needed per axis", value=self.sizes, limit=x)
        require(all(s >= 0 for s in self.sizes), "sizes must not be negative", value=self.sizes)
        grows = all(e > 0 or s == 0 for e, s in zip(x.shape, self.sizes, strict=True))
        require(grows, "there is nothing to resample", value=x)
        positive = len(self.scales) in (0, rank) and all(s > 0 for s in self.scales)
        require(positive, "one positive scale is needed per axis", value=self.scales)
        if self.coordinates is Coordinates.TF_CROP_AND_RESIZE:
            require(len(self.region) == 2 * rank, "the region must name both ends of every axis", value=self.region)
        return (TensorType(self.sizes, x.dtype),)

    def reference_steps(self, inputs: Types, outputs: Sequence[TensorType]) -> int:
        """One matrix (result extent, extent) per axis, and a product with it."""
        shape, sizes = operand(inputs, 0, "x").shape, super().reference_steps(inputs, outputs)
        pairs = zip(shape, self.sizes, strict=True)
        return sizes + sum(extent * size for extent, size in pairs) + max(shape, default=1) * sizes

    def evaluate(self, inputs: Arrays) -> Results:
        x = array(inputs, 0)
        y = widen(x)
        precise = y.dtype if y.dtype.kind == "f" else np.dtype(np.float64)
        outside = np.zeros(self.sizes, bool)
        for axis, size in enumerate(self.sizes):
            positions = self.positions(axis, x.shape[axis])
            if self.coordinates is Coordinates.TF_CROP_AND_RESIZE:
                beyond = (positions < 0) | (positions > x.shape[axis] - 1)
                outside |= beyond.reshape(-1, *(1,) * (x.ndim - 1 - axis))
            if size == x.shape[axis] and bool(np.all(positions == np.arange(size))):
                continue
            y = np.moveaxis(y, axis, -1)
            if self.mode is ResizeMode.NEAREST:
                y = y[..., self.nearest(positions, x.shape[axis])]
            else:
                weights = self.weights(positions, axis, x.shape[axis])
                y = y.astype(precise) @ weights.T.astype(precise)
            y = np.moveaxis(y, -1, axis)
        if outside.any():
            y = np.where(outside, np.asarray(self.extrapolation, y.dtype), y)
        if x.dtype.kind in "iu" and y.dtype.kind == "f":
            limits = np.iinfo(x.dtype)
            y = np.clip(np.trunc(y), limits.min, limits.max)
        return (y.astype(x.dtype, copy=False),)

    def scale(self, axis: int, extent: int) -> float:
        """Result extent over x extent, as the model states it."""
        return self.scales[axis] if self.scales else self.sizes[axis] / max(extent, 1)

    def positions(self, axis: int, extent: int) -> np.ndarray:
        """Where in x the positions of the result lie along an axis, float64, not clipped."""
        size, scale = self.sizes[axis], self.scale(axis, extent)
        i = np.arange(size, dtype=np.float64)
        match self.coordinates:
            case Coordinates.HALF_PIXEL:
                return (i + 0.5) / scale - 0.5
            case Coordinates.HALF_PIXEL_SYMMETRIC:
                offset = extent / 2 * (1 - size / (scale * extent))
                return offset + (i + 0.5) / scale - 0.5
            case Coordinates.PYTORCH_HALF_PIXEL:
                return (i + 0.5) / scale - 0.5 if size > 1 else np.zeros(size)
            case Coordinates.ALIGN_CORNERS:
                # The stated scale may describe a result whose length is not an integer.
                length = scale * extent
                return i * (extent - 1) / (length - 1) if length != 1 and size > 1 else np.zeros(size)
            case Coordinates.ASYMMETRIC:
                return i / scale
            case Coordinates.TF_HALF_PIXEL_FOR_NN:
                return (i + 0.5) / scale
            case Coordinates.TF_CROP_AND_RESIZE:
                start, end = self.region[axis], self.region[len(self.sizes) + axis]
                if size > 1:
                    return start * (extent - 1) + i * (end - start) * (extent - 1) / (size - 1)
                return np.full(size, 0.5 * (start + end) * (extent - 1))

    def nearest(self, positions: np.ndarray, extent: int) -> np.ndarray:
        """The whole positions that stand for `positions`."""
        match self.rounding:
            case Rounding.ROUND_PREFER_FLOOR:
                whole = np.ceil(positions - 0.5)
            case Rounding.ROUND_PREFER_CEIL:
                whole = np.floor(positions + 0.5)
            case Rounding.FLOOR:
                whole = np.floor(positions)
            case Rounding.CEIL:
                whole = np.ceil(positions)
        return np.clip(whole, 0, extent - 1).astype(np.int64)

    def weights(self, positions: np.ndarray, axis: int, extent: int) -> np.ndarray:
        """The interpolation along an axis as a matrix (result extent, x extent), float64."""
        widening = max(1.0, 1 / self.scale(axis, extent)) if self.antialias else 1.0
        radius = (1 if self.mode is ResizeMode.LINEAR else 2) * widening
        reach = math.ceil(radius)
        matrix = np.zeros((len(positions), extent))
        rows, base = np.arange(len(positions)), np.floor(positions)
        for offset in range(-reach, reach + 2):
            place = base + offset
            weight = self._kernel((place - positions) / widening)
            if self.exclude_outside:
                weight = np.where((place < 0) | (place >= extent), 0, weight)
            columns = np.clip(place, 0, extent - 1).astype(np.int64)
            np.add.at(matrix, (rows, columns), weight)
        total = matrix.sum(1, keepdims=True)
        return np.divide(matrix, total, out=matrix, where=total != 0)

    def _kernel(self, distance: np.ndarray) -> np.ndarray:
        d = np.abs(distance)
        if self.mode is ResizeMode.LINEAR:
            return np.maximum(1 - d, 0)
        a = self.cubic_coefficient
        near = ((a + 2) * d - (a + 3)) * d * d + 1
        far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
        return np.where(d <= 1, near, np.where(d < 2, far, 0))

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        x = sample(1, 2, 4, 5)
        for coordinates in Coordinates:
            region = (0.0, 0.0, 0.1, 0.2, 1.0, 1.0, 1.1, 0.9) * (coordinates is Coordinates.TF_CROP_AND_RESIZE)
            for mode in ResizeMode:
                yield OperationCase(cls((1, 2, 7, 3), mode, coordinates, region=region), (x,))
        for rounding in Rounding:
            yield OperationCase(cls((1, 2, 8, 10), coordinates=Coordinates.ASYMMETRIC, rounding=rounding), (x,))
        yield OperationCase(cls((1, 2, 6, 8), ResizeMode.LINEAR, scales=(1, 1, 1.6, 1.7)), (x,))
        cubic = cls((1, 2, 2, 3), ResizeMode.CUBIC, cubic_coefficient=-0.5, exclude_outside=True)
        yield OperationCase(cubic, (x,))
        yield OperationCase(cls((1, 2, 2, 3), ResizeMode.LINEAR, antialias=True), (x,))
        crop = cls((1, 1, 3, 3), ResizeMode.LINEAR, Coordinates.TF_CROP_AND_RESIZE, region=(0, 0, 0, 0.5, 1, 1, 1, 2))
        yield OperationCase(
            cls(crop.sizes, crop.mode, crop.coordinates, region=crop.region, extrapolation=9.0), (x[:, :1],)
        )
