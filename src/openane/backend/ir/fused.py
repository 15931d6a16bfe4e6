"""Units that the engine computes in one pass though a network writes them as several.

They exist only inside the back end: `fusion` makes them, the families lower them. Like every unit they can be
evaluated, so a fused network is checked against the one it came from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from openane.core.errors import ModelError
from openane.net.net import TensorShape, UnitParams
from openane.net.units import (
    BroadcastParams,
    Dimension,
    ElementWiseParams,
    GOCParams,
    LinearParams,
    NeuronKind,
    NeuronParams,
)


@dataclass(frozen=True, eq=False)
class Fused(UnitParams):
    """A unit of the MAC engine with what its datapath does after the sum: scale, bias and one function.

    y = function(main(x) * scale + bias)

    Attributes:
        main: the convolution or matrix product.
        scale: one number, or one an output channel.
        bias: one number, or one an output channel.
        function: the last step, or None.
        dimension: the output dimension that vectors run along.
        rescale: kernel and bias are multiplied by 2^rescale, and PostScale by 2^-rescale; the value stays the same.
    """

    main: UnitParams
    scale: np.ndarray | float = 1.0
    bias: np.ndarray | float = 0.0
    function: NeuronParams | None = None
    dimension: Dimension = Dimension.CHANNEL
    rescale: int = 0
    plist_type: ClassVar[str] = "Fused"

    def infer(self, bottoms: Sequence[TensorShape]) -> TensorShape:
        """The shape of the main unit's result."""
        return self.main.infer(bottoms)

    def evaluate(self, bottoms: Sequence[np.ndarray]) -> np.ndarray:
        """Main unit, scale, bias and function one after another, in at least float32."""
        wide = [x if x.dtype != np.float16 else x.astype(np.float32) for x in bottoms]
        y = self.main.evaluate(wide)
        y = y * self._along(self.scale, y.dtype) + self._along(self.bias, y.dtype)
        if self.function is not None:
            y = self.function.evaluate([y])
        dtype = np.result_type(*bottoms) if bottoms[0].dtype.kind == "f" else y.dtype
        with np.errstate(over="ignore"):
            return y.astype(dtype)

    def _along(self, values: np.ndarray | float, dtype: np.dtype[np.generic]) -> np.ndarray:
        array = np.asarray(values, dtype)
        if array.ndim == 0:
            return array
        shape = [1] * 5
        shape[self.dimension.axis] = -1
        return array.reshape(shape)

    def scaled(self, scale: np.ndarray | float, bias: np.ndarray | float) -> Fused:
        """This unit followed by x * scale + bias; it has no function yet."""
        assert self.function is None
        return replace(self, scale=_product(self.scale, scale), bias=_sum(_product(self.bias, scale), bias))


def _product(a: np.ndarray | float, b: np.ndarray | float) -> np.ndarray | float:
    return np.asarray(a, np.float32) * np.asarray(b, np.float32) if np.ndim(a) or np.ndim(b) else float(a) * float(b)


def _sum(a: np.ndarray | float, b: np.ndarray | float) -> np.ndarray | float:
    return np.asarray(a, np.float32) + np.asarray(b, np.float32) if np.ndim(a) or np.ndim(b) else float(a) + float(b)


@dataclass(frozen=True, eq=False)
class FusedElementWise(UnitParams):
    """Two tensors element by element, with repeated operands, ReLUs and a scale as the planar engine has them.

    y = relu?(op(relu?(a), relu?(b)) * scale + bias), operands of smaller extents are repeated.

    Attributes:
        main: the operation and its scale.
        shape: of the result.
        bias: added after the scale.
        relu: the result is rectified.
        source_relu: for each operand whether it is rectified first.
    """

    main: ElementWiseParams
    shape: TensorShape
    bias: float = 0.0
    relu: bool = False
    source_relu: tuple[bool, bool] = (False, False)
    plist_type: ClassVar[str] = "FusedElementWise"

    def infer(self, bottoms: Sequence[TensorShape]) -> TensorShape:
        """Both operands broadcast to the shape."""
        sizes = dict(zip(Dimension, self.shape.ndchw, strict=True))
        return self.main.infer([BroadcastParams(sizes).infer([bottom]) for bottom in bottoms])

    def evaluate(self, bottoms: Sequence[np.ndarray]) -> np.ndarray:
        """Broadcast, rectify, combine, add, rectify."""
        rectify = NeuronParams(NeuronKind.RELU)
        operands = [rectify.evaluate([x]) if relu else x for x, relu in zip(bottoms, self.source_relu, strict=True)]
        y = self.main.evaluate([np.broadcast_to(x, self.shape.ndchw) for x in operands])
        y = GOCParams(1.0, self.bias).evaluate([y]) if self.bias else y
        return rectify.evaluate([y]) if self.relu else y


@dataclass(frozen=True, eq=False)
class ColumnProduct(UnitParams):
    """Product of a transposed tensor with a constant: y[m, n] = sum over k of x[k, m] * weight[n, k].

    x is (.., Height = K, Width = M), y (.., Height = M, Width = N): the columns of x need no transposing on the engine.

    Attributes:
        weight: (N, K).
    """

    weight: np.ndarray
    plist_type: ClassVar[str] = "ColumnProduct"

    def infer(self, bottoms: Sequence[TensorShape]) -> TensorShape:
        """Rows are the columns of x, columns those of the weight.

        Raises:
            ModelError: the weight does not fit the height.
        """
        (shape,) = bottoms
        if shape.height != self.weight.shape[1]:
            raise ModelError(
                "the weight does not fit the height", value=self.weight.shape, limit=f"(N, {shape.height})"
            )
        return replace(shape, height=shape.width, width=self.weight.shape[0])

    def evaluate(self, bottoms: Sequence[np.ndarray]) -> np.ndarray:
        """Added up in at least float32."""
        (x,) = bottoms
        return LinearParams(self.weight).evaluate([x.swapaxes(3, 4)])
