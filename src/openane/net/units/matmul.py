"""Matrix products: by a constant and of two tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from openane.core.errors import ModelError
from openane.net.net import TensorShape, UnitParams
from openane.net.schema.parameters import EXTENT_LIMIT, ArrayKeys, FlagKey, Keys, ReadContext
from openane.net.units.dimensions import Dimension, compute_dtype, one, storage_dtype

__all__ = ["LinearParams", "MatMulParams"]

_OUTPUTS = "OutputWidth"


def _weight_shape(context: ReadContext) -> tuple[int, int]:
    return context.params.integer(_OUTPUTS, least=1, most=EXTENT_LIMIT), context.bottom.width


def _weight_keys(weight: np.ndarray) -> Keys:
    return {_OUTPUTS: weight.shape[0]}


@dataclass(frozen=True, eq=False)
class LinearParams(UnitParams):
    """Product with a constant matrix along Width: y[..., n] = sum over k of x[..., k] * weight[n, k].

    Attributes:
        weight: (N, K); K is the width of the bottom, N that of the result. A bias is a unit after it.
    """

    weight: Annotated[np.ndarray, ArrayKeys("Kernel", _weight_shape, _weight_keys)]
    plist_type: ClassVar[str] = "Linear"

    def infer(self, bottoms: Sequence[TensorShape]) -> TensorShape:
        """The width changes from K to N."""
        shape = one(bottoms)
        if self.weight.ndim != 2 or self.weight.shape[1] != shape.width or not self.weight.size:
            raise ModelError("the weight does not fit the width", value=self.weight.shape, limit=f"(N, {shape.width})")
        return Dimension.WIDTH.resize(shape, self.weight.shape[0])

    def evaluate(self, bottoms: Sequence[np.ndarray]) -> np.ndarray:
        """Added up in at least float32."""
        (x,) = bottoms
        dtype = compute_dtype(x)
        y = x.astype(dtype, copy=False) @ self.weight.astype(dtype, copy=False).T
        return y.astype(storage_dtype(x), copy=False)


@dataclass(frozen=True)
class MatMulParams(UnitParams):
    """Product of two tensors whose matrices lie in (Height, Width), for every (batch, depth, channel).

    Attributes:
        transpose_a, transpose_b: swap Height and Width of that operand first.
    """

    transpose_a: Annotated[bool, FlagKey("TransposeA")] = False
    transpose_b: Annotated[bool, FlagKey("TransposeB")] = False
    plist_type: ClassVar[str] = "MatMul"

    def infer(self, bottoms: Sequence[TensorShape]) -> TensorShape:
        """[..., M, K] x [..., K, N] -> [..., M, N] with equal leading extents."""
        if len(bottoms) != 2:
            raise ModelError("wrong number of bottoms", value=len(bottoms), limit="2")
        a, b = bottoms
        rows, inner = (a.width, a.height) if self.transpose_a else (a.height, a.width)
        inner_b, columns = (b.width, b.height) if self.transpose_b else (b.height, b.width)
        if inner != inner_b or a.ndchw[:3] != b.ndchw[:3]:
            raise ModelError("the matrices do not fit", value=f"{a.ndchw} and {b.ndchw} (N, D, C, H, W)")
        return TensorShape(a.batch, a.channels, rows, columns, a.depth)

    def evaluate(self, bottoms: Sequence[np.ndarray]) -> np.ndarray:
        """Added up in at least float32."""
        a, b = bottoms
        dtype = np.result_type(compute_dtype(a), compute_dtype(b))
        left = a.swapaxes(3, 4) if self.transpose_a else a
        right = b.swapaxes(3, 4) if self.transpose_b else b
        y: np.ndarray = left.astype(dtype, copy=False) @ right.astype(dtype, copy=False)
        return y.astype(np.result_type(storage_dtype(a), storage_dtype(b)), copy=False)
