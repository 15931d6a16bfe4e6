"""The five dimensions of the engine, and small helpers that every unit shares."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from openane.core.errors import ModelError
from openane.net.net import TensorShape
from openane.net.schema.parameters import IntegerKeys

__all__ = ["Dimension", "Pads"]


class Dimension(Enum):
    """A dimension of a net tensor. The value is the name in a net.plist."""

    BATCH = "Batch"
    DEPTH = "Depth"
    CHANNEL = "Channel"
    HEIGHT = "Height"
    WIDTH = "Width"

    @property
    def axis(self) -> int:
        """The axis of (N, D, C, H, W) arrays."""
        return _AXES[self.value]

    def extent(self, shape: TensorShape) -> int:
        """The size of `shape` along this dimension."""
        return shape.ndchw[self.axis]

    def resize(self, shape: TensorShape, extent: int) -> TensorShape:
        """`shape` with another size along this dimension."""
        extents = list(shape.ndchw)
        extents[self.axis] = extent
        return TensorShape.of(extents)


_AXES = MappingProxyType({dimension.value: axis for axis, dimension in enumerate(Dimension)})


class Pads(NamedTuple):
    """Rows and columns put around an image."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0


PAD_KEYS = IntegerKeys(
    ("PadTop", "PadBot", "PadLeft", "PadRight"), make=lambda numbers: Pads(*numbers), absent=0, optional=True
)


def one(bottoms: Sequence[TensorShape]) -> TensorShape:
    """The only bottom.

    Raises:
        ModelError: there is not exactly one.
    """
    if len(bottoms) != 1:
        raise ModelError("wrong number of bottoms", value=len(bottoms), limit="1")
    return bottoms[0]


def equal(bottoms: Sequence[TensorShape], count: int) -> TensorShape:
    """The common shape of exactly `count` bottoms.

    Raises:
        ModelError: another number of bottoms, or their shapes differ.
    """
    if len(bottoms) != count:
        raise ModelError("wrong number of bottoms", value=len(bottoms), limit=str(count))
    for shape in bottoms[1:]:
        if shape != bottoms[0]:
            raise ModelError(
                "the bottoms have different shapes",
                value=f"{bottoms[0].ndchw} and {shape.ndchw} (N, D, C, H, W)",
                hint="A smaller operand goes through a Broadcast unit first.",
            )
    return bottoms[0]


def positive(value: int, what: str) -> None:
    """Refuses extents, steps and counts below 1.

    Raises:
        ModelError: `value` is less than 1.
    """
    if value < 1:
        raise ModelError(f"{what} must be positive", value=value, limit="at least 1")


def compute_dtype(array: np.ndarray) -> np.dtype[np.generic]:
    """The type to compute in: that of the array; float32 for half precision and integers."""
    if array.dtype in (np.dtype(np.float32), np.dtype(np.float64)):
        return array.dtype
    return np.dtype(np.float32)


def storage_dtype(array: np.ndarray) -> np.dtype[np.generic]:
    """The type of a result: that of the array; float32 for integers."""
    return array.dtype if array.dtype.kind == "f" else np.dtype(np.float32)


def per_channel(values: np.ndarray | float, dtype: np.dtype[np.generic]) -> np.ndarray:
    """A scalar, or one value per channel, in a form that broadcasts against (N, D, C, H, W)."""
    array = np.asarray(values, dtype)
    return array if array.ndim == 0 else array.reshape(1, 1, -1, 1, 1)


def check_per_channel(values: np.ndarray | float, shape: TensorShape, what: str) -> None:
    """Refuses vectors that have not one value per channel.

    Raises:
        ModelError: wrong rank or length.
    """
    extents = np.shape(values)
    if extents not in ((), (shape.channels,)):
        raise ModelError(f"{what} needs one value per channel", value=extents, limit=f"({shape.channels},)")
