"""Activation functions, element by element."""

from __future__ import annotations

import math
from collections.abc import Iterator
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
    require,
    require_broadcast_to,
    require_same_dtype,
    result_dtype,
    sample,
    widen,
)
from openane.graph.ops.unary import NumericUnary, Unary, erf

__all__ = [
    "Affine",
    "Celu",
    "Clip",
    "Elu",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "Mish",
    "PRelu",
    "Relu",
    "ScaledTanh",
    "Selu",
    "Shrink",
    "Sigmoid",
    "Silu",
    "Softplus",
    "Softsign",
    "Tanh",
    "ThresholdedRelu",
]


def logistic(x: np.ndarray) -> np.ndarray:
    """1 / (1 + e^-x) without overflow."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


def softplus(x: np.ndarray) -> np.ndarray:
    """ln(1 + e^x) without overflow."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


@dataclass(frozen=True)
class Relu(NumericUnary):
    """y = max(x, 0)."""

    rounds_once: ClassVar[bool] = True

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.maximum(x, 0)


@dataclass(frozen=True)
class LeakyRelu(Unary):
    """y = x where x >= 0, alpha*x elsewhere.

    Attributes:
        alpha: slope of the negative side.
    """

    alpha: float = 0.01

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.where(x >= 0, x, x * self.alpha)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(), (sample(2, 3, 4),))
        yield OperationCase(cls(0.3), (sample(2, 3, 4),))


@dataclass(frozen=True)
class Affine(Unary):
    """y = alpha*x + beta.

    Attributes:
        alpha: the factor.
        beta: the summand.
    """

    alpha: float = 1.0
    beta: float = 0.0

    def apply(self, x: np.ndarray) -> np.ndarray:
        return self.alpha * x + self.beta

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(), (sample(2, 3, 4),))
        yield OperationCase(cls(2.0, -0.5), (sample(2, 3, 4),))


@dataclass(frozen=True)
class PRelu(Operation):
    """y = x where x >= 0, slope*x elsewhere; slope broadcasts to the shape of x (numpy's rule)."""

    input_names: ClassVar[tuple[str, ...]] = ("x", "slope")
    keeps_layout: ClassVar[bool] = True

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x, slope = operand(inputs, 0, "x"), operand(inputs, 1, "slope")
        require_same_dtype(inputs)
        require(x.dtype is not DType.BOOL, "input 'x' must hold numbers", value=x)
        require_broadcast_to(slope.shape, x.shape, "slope")
        return (x,)

    def evaluate(self, inputs: Arrays) -> Results:
        x, slope = array(inputs, 0), array(inputs, 1)
        wide = widen(x)
        y = np.where(wide >= 0, wide, wide * widen(slope))
        return (y.astype(result_dtype(x, slope), copy=False),)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(), (sample(2, 3, 4, 4), sample(3, 1, 1, seed=1)))
        yield OperationCase(cls(), (sample(2, 3), sample(seed=1)))


@dataclass(frozen=True)
class Elu(Unary):
    """y = x where x > 0, alpha*(e^x - 1) elsewhere.

    Attributes:
        alpha: the negative limit is -alpha.
    """

    alpha: float = 1.0

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.where(x > 0, x, self.alpha * np.expm1(np.minimum(x, 0)))

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(), (sample(2, 3, 4),))
        yield OperationCase(cls(1.5), (sample(2, 3, 4),))


@dataclass(frozen=True)
class Selu(Unary):
    """y = gamma*x where x > 0, gamma*alpha*(e^x - 1) elsewhere.

    Attributes:
        alpha, gamma: of the self-normalizing network by default.
    """

    alpha: float = 1.67326319217681884765625
    gamma: float = 1.05070102214813232421875

    def apply(self, x: np.ndarray) -> np.ndarray:
        return self.gamma * np.where(x > 0, x, self.alpha * np.expm1(np.minimum(x, 0)))

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(), (sample(2, 3, 4),))
        yield OperationCase(cls(1.5, 0.5), (sample(2, 3, 4),))


@dataclass(frozen=True)
class Celu(Unary):
    """y = max(0, x) + min(0, alpha*(e^(x/alpha) - 1)).

    Attributes:
        alpha: the negative limit is -alpha.
    """

    alpha: float = 1.0

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.maximum(x, 0) + np.minimum(0, self.alpha * np.expm1(np.minimum(x / self.alpha, 0)))

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(), (sample(2, 3, 4),))
        yield OperationCase(cls(2.0), (sample(2, 3, 4),))


@dataclass(frozen=True)
class Sigmoid(Unary):
    """y = 1 / (1 + e^-x)."""

    result_range: ClassVar[tuple[float, float] | None] = (0, 1)

    def apply(self, x: np.ndarray) -> np.ndarray:
        return logistic(x)


@dataclass(frozen=True)
class HardSigmoid(Unary):
    """y = min(max(alpha*x + beta, 0), 1).

    Attributes:
        alpha: slope in the middle.
        beta: value at 0.
    """

    alpha: float = 0.2
    beta: float = 0.5

    result_range: ClassVar[tuple[float, float] | None] = (0, 1)

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.clip(self.alpha * x + self.beta, 0, 1)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(), (sample(2, 3, 4, low=-5, high=5),))
        yield OperationCase(cls(1 / 6, 0.4), (sample(2, 3, 4, low=-5, high=5),))


@dataclass(frozen=True)
class HardSwish(Unary):
    """y = x * min(max(x/6 + 1/2, 0), 1)."""

    def apply(self, x: np.ndarray) -> np.ndarray:
        return x * np.clip(x * (1 / 6) + 0.5, 0, 1)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(), (sample(2, 3, 4, low=-5, high=5),))


@dataclass(frozen=True)
class Tanh(Unary):
    """Hyperbolic tangent."""

    result_range: ClassVar[tuple[float, float] | None] = (-1, 1)

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.tanh(x)


@dataclass(frozen=True)
class ScaledTanh(Unary):
    """y = alpha * tanh(beta * x).

    Attributes:
        alpha: scale of the result.
        beta: scale of the argument.
    """

    alpha: float = 1.0
    beta: float = 1.0

    def apply(self, x: np.ndarray) -> np.ndarray:
        return self.alpha * np.tanh(self.beta * x)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(), (sample(2, 3, 4),))
        yield OperationCase(cls(1.7159, 2 / 3), (sample(2, 3, 4),))


@dataclass(frozen=True)
class Softplus(Unary):
    """y = ln(1 + e^x)."""

    def apply(self, x: np.ndarray) -> np.ndarray:
        return softplus(x)


@dataclass(frozen=True)
class Softsign(Unary):
    """y = x / (1 + |x|)."""

    result_range: ClassVar[tuple[float, float] | None] = (-1, 1)

    def apply(self, x: np.ndarray) -> np.ndarray:
        return x / (1 + np.abs(x))


@dataclass(frozen=True)
class Mish(Unary):
    """y = x * tanh(ln(1 + e^x))."""

    def apply(self, x: np.ndarray) -> np.ndarray:
        return x * np.tanh(softplus(x))


@dataclass(frozen=True)
class Silu(Unary):
    """y = x / (1 + e^-(alpha*x)), also called swish.

    Attributes:
        alpha: 1 for the plain form.
    """

    alpha: float = 1.0

    def apply(self, x: np.ndarray) -> np.ndarray:
        return x * logistic(self.alpha * x)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(), (sample(2, 3, 4),))
        yield OperationCase(cls(1.702), (sample(2, 3, 4),))


@dataclass(frozen=True)
class Gelu(Unary):
    """y = x/2 * (1 + erf(x / sqrt 2)).

    Attributes:
        approximate: y = x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715*x^3))) instead.
    """

    approximate: bool = False

    def apply(self, x: np.ndarray) -> np.ndarray:
        if self.approximate:
            return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
        return 0.5 * x * (1 + erf(x / math.sqrt(2)))

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(), (sample(2, 3, 4),))
        yield OperationCase(cls(True), (sample(2, 3, 4),))


@dataclass(frozen=True)
class Clip(NumericUnary):
    """y = min(max(x, minimum), maximum).

    Attributes:
        minimum, maximum: bounds; infinite where there is none.
    """

    minimum: float = -math.inf
    maximum: float = math.inf

    rounds_once: ClassVar[bool] = True

    def apply(self, x: np.ndarray) -> np.ndarray:
        low, high = self.minimum, self.maximum
        if x.dtype.kind in "iu":
            limits = np.iinfo(x.dtype)
            low = limits.min if low <= limits.min else int(min(low, limits.max))
            high = limits.max if high >= limits.max else int(max(high, limits.min))
        return np.minimum(np.maximum(x, x.dtype.type(low)), x.dtype.type(high))

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(0, 6), (sample(2, 3, 4, low=-9, high=9),))
        yield OperationCase(cls(minimum=-1), (sample(2, 3, 4),))
        yield OperationCase(cls(maximum=3), (sample(2, 5, low=-9, high=9, dtype=DType.INT32),))


@dataclass(frozen=True)
class ThresholdedRelu(Unary):
    """y = x where x > alpha, 0 elsewhere.

    Attributes:
        alpha: the threshold.
    """

    alpha: float = 1.0

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.where(x > self.alpha, x, np.zeros_like(x))

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(), (sample(2, 3, 4),))
        yield OperationCase(cls(0.5), (sample(2, 3, 4),))


@dataclass(frozen=True)
class Shrink(NumericUnary):
    """y = x + bias where x < -threshold, x - bias where x > threshold, 0 elsewhere.

    Attributes:
        threshold: half the width of the middle.
        bias: what is taken off outside.
    """

    threshold: float = 0.5
    bias: float = 0.0

    def apply(self, x: np.ndarray) -> np.ndarray:
        zero = np.zeros_like(x)
        low = np.where(x < -self.threshold, x + self.bias, zero)
        return np.where(x > self.threshold, x - self.bias, low)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(), (sample(2, 3, 4),))
        yield OperationCase(cls(1.0, 0.25), (sample(2, 3, 4),))
