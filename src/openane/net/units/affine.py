"""GOC: gain and offset control, the engine's scale and bias."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from openane.net.net import TensorShape, UnitParams
from openane.net.schema.parameters import ScalarOrVectorKeys
from openane.net.units.dimensions import check_per_channel, compute_dtype, one, per_channel, storage_dtype

__all__ = ["GOCParams"]

_GROUP = "BiasScaleGroupData"


@dataclass(frozen=True, eq=False)
class GOCParams(UnitParams):
    """Scale and bias: y = x * scale + bias.

    Attributes:
        scale: one number, or one a channel (C,).
        bias: one number, or one a channel (C,).
    """

    scale: Annotated[np.ndarray | float, ScalarOrVectorKeys("Scale", _GROUP)] = 1.0
    bias: Annotated[np.ndarray | float, ScalarOrVectorKeys("Bias", _GROUP)] = 0.0
    plist_type: ClassVar[str] = "GOC"

    def infer(self, bottoms: Sequence[TensorShape]) -> TensorShape:
        """The shape stays; vectors need one value per channel."""
        shape = one(bottoms)
        check_per_channel(self.scale, shape, "a scale")
        check_per_channel(self.bias, shape, "a bias")
        return shape

    def evaluate(self, bottoms: Sequence[np.ndarray]) -> np.ndarray:
        """Half precision is rounded once, after the addition."""
        (x,) = bottoms
        dtype = compute_dtype(x)
        y: np.ndarray = x.astype(dtype, copy=False) * per_channel(self.scale, dtype) + per_channel(self.bias, dtype)
        return y.astype(storage_dtype(x), copy=False)
