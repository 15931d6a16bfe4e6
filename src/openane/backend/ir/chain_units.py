"""Units that Apple's compiler lowers together, because values between them stay in L2 in a form of their own.

Like those of `fused` they exist only inside the back end and can be evaluated; `chains` finds them, `units/chains` and
`units/attention` lower them. What is not a chain is lowered unit by unit, with the same result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from openane.backend.ir.fused import Fused
from openane.net.net import TensorShape, UnitParams
from openane.net.units import (
    Dimension,
    ElementWiseKind,
    ElementWiseParams,
    GOCParams,
    LayerNormParams,
    NeuronParams,
    SoftmaxParams,
)

_SOFTMAX = SoftmaxParams(Dimension.WIDTH)


@dataclass(frozen=True, eq=False)
class NormalizedProduct(UnitParams):
    """A normalization of rows, then a product by a constant.

    Attributes:
        norm: over Width.
        product: by a constant, with what is fused after it.
    """

    norm: LayerNormParams
    product: Fused
    plist_type: ClassVar[str] = "NormalizedProduct"

    def infer(self, bottoms: Sequence[TensorShape]) -> TensorShape:
        """The shape of the product."""
        return self.product.infer([self.norm.infer(bottoms)])

    def evaluate(self, bottoms: Sequence[np.ndarray]) -> np.ndarray:
        """One after the other."""
        return self.product.evaluate([self.norm.evaluate(bottoms)])


@dataclass(frozen=True, eq=False)
class FunctionProduct(UnitParams):
    """A function of one element, or a scale and a bias, then a product by a constant.

    Attributes:
        function: of one task; a scale and bias of one number each.
        product: by a constant, with what is fused after it.
    """

    function: NeuronParams | GOCParams
    product: Fused
    plist_type: ClassVar[str] = "FunctionProduct"

    def infer(self, bottoms: Sequence[TensorShape]) -> TensorShape:
        """The shape of the product."""
        return self.product.infer([self.function.infer(bottoms)])

    def evaluate(self, bottoms: Sequence[np.ndarray]) -> np.ndarray:
        """One after the other."""
        return self.product.evaluate([self.function.evaluate(bottoms)])


@dataclass(frozen=True, eq=False)
class TwoProducts(UnitParams):
    """Two products by constants, the first one's function between them.

    Attributes:
        first, second: with what is fused after them.
    """

    first: Fused
    second: Fused
    plist_type: ClassVar[str] = "TwoProducts"

    def infer(self, bottoms: Sequence[TensorShape]) -> TensorShape:
        """The shape of the second product."""
        return self.second.infer([self.first.infer(bottoms)])

    def evaluate(self, bottoms: Sequence[np.ndarray]) -> np.ndarray:
        """One after the other."""
        return self.second.evaluate([self.first.evaluate(bottoms)])


@dataclass(frozen=True, eq=False)
class ResidualProduct(UnitParams):
    """x plus a product of x by a constant.

    Attributes:
        product: by a square matrix, with what is fused after it.
    """

    product: Fused
    plist_type: ClassVar[str] = "ResidualProduct"

    def infer(self, bottoms: Sequence[TensorShape]) -> TensorShape:
        """The shape of x."""
        return ElementWiseParams(ElementWiseKind.ADD).infer([bottoms[0], self.product.infer(bottoms)])

    def evaluate(self, bottoms: Sequence[np.ndarray]) -> np.ndarray:
        """The product, then the sum."""
        return ElementWiseParams(ElementWiseKind.ADD).evaluate([bottoms[0], self.product.evaluate(bottoms)])


@dataclass(frozen=True, eq=False)
class ResidualFunction(UnitParams):
    """x combined with a function of x: x + gelu(x), x * sigmoid(x).

    Attributes:
        main: the operation of both.
        function: of one table.
    """

    main: ElementWiseParams
    function: NeuronParams
    plist_type: ClassVar[str] = "ResidualFunction"

    def infer(self, bottoms: Sequence[TensorShape]) -> TensorShape:
        """The shape of x."""
        return self.function.infer(bottoms)

    def evaluate(self, bottoms: Sequence[np.ndarray]) -> np.ndarray:
        """The function, then the operation."""
        return self.main.evaluate([bottoms[0], self.function.evaluate(bottoms)])


@dataclass(frozen=True, eq=False)
class Attention(UnitParams):
    """softmax(query x key^T * scale) x value, for every (batch, depth, channel); bottoms query, key, value.

    Attributes:
        scores: the first product, with the scale after it.
        second: the second product.
    """

    scores: Fused
    second: Fused
    plist_type: ClassVar[str] = "Attention"

    def infer(self, bottoms: Sequence[TensorShape]) -> TensorShape:
        """The shape of the second product."""
        query, key, value = bottoms
        return self.second.infer([self.scores.infer([query, key]), value])

    def evaluate(self, bottoms: Sequence[np.ndarray]) -> np.ndarray:
        """Product, softmax along Width, product."""
        query, key, value = bottoms
        return self.second.evaluate([_SOFTMAX.evaluate([self.scores.evaluate([query, key])]), value])
