"""Units that bring a tensor to a common scale along dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from openane.core.errors import ModelError
from openane.net.net import TensorShape, UnitParams
from openane.net.schema.parameters import ChoiceKey, FlagKey, NumberKey, SubsetKey
from openane.net.units.dimensions import Dimension, compute_dtype, one, storage_dtype

__all__ = ["LayerNormParams", "SoftmaxParams"]


@dataclass(frozen=True)
class SoftmaxParams(UnitParams):
    """exp(x - max) / sum(exp(x - max)) along one dimension.

    Attributes:
        dimension: along which.
        log: the logarithm of that.
    """

    dimension: Annotated[Dimension, ChoiceKey("Dimension", Dimension)] = Dimension.CHANNEL
    log: Annotated[bool, FlagKey("Log", optional=True)] = False
    plist_type: ClassVar[str] = "Softmax"

    def infer(self, bottoms: Sequence[TensorShape]) -> TensorShape:
        """The shape stays."""
        return one(bottoms)

    def evaluate(self, bottoms: Sequence[np.ndarray]) -> np.ndarray:
        """Computed in at least float32."""
        (x,) = bottoms
        axis = self.dimension.axis
        y: np.ndarray = x.astype(compute_dtype(x), copy=False)
        with np.errstate(all="ignore"):
            y = y - y.max(axis=axis, keepdims=True)
            total = np.exp(y).sum(axis=axis, keepdims=True)
            y = y - np.log(total) if self.log else np.exp(y) / total
        return y.astype(storage_dtype(x), copy=False)


@dataclass(frozen=True)
class LayerNormParams(UnitParams):
    """(x - mean) / sqrt(variance + epsilon) over dimensions, without scale and bias.

    Attributes:
        dimensions: over which mean and variance (division by the number of elements) are taken.
        epsilon: added to the variance.
        center: subtract the mean; without it x / sqrt(mean of squares + epsilon), known as RMS normalization.
    """

    dimensions: Annotated[frozenset[Dimension], SubsetKey("Dimensions", Dimension)]
    epsilon: Annotated[float, NumberKey("Epsilon")] = 1e-5
    center: Annotated[bool, FlagKey("RootMeanSquare", inverted=True, optional=True)] = True
    plist_type: ClassVar[str] = "LayerNorm"

    def infer(self, bottoms: Sequence[TensorShape]) -> TensorShape:
        """The shape stays."""
        shape = one(bottoms)
        if not self.dimensions:
            raise ModelError("a normalization needs at least one dimension")
        return shape

    def evaluate(self, bottoms: Sequence[np.ndarray]) -> np.ndarray:
        """Two passes, computed in at least float32."""
        (x,) = bottoms
        axes = tuple(sorted(dimension.axis for dimension in self.dimensions))
        y: np.ndarray = x.astype(compute_dtype(x), copy=False)
        with np.errstate(all="ignore"):
            if self.center:
                y = y - y.mean(axis=axes, keepdims=True)
            y = y / np.sqrt(np.square(y).mean(axis=axes, keepdims=True) + self.epsilon)
        return y.astype(storage_dtype(x), copy=False)
