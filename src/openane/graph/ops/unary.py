"""Functions of one tensor, element by element."""

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
    require_float,
    require_integer,
    sample,
    widen,
)

__all__ = [
    "Abs",
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "BitwiseNot",
    "Cast",
    "Ceil",
    "Cos",
    "Cosh",
    "Erf",
    "Exp",
    "Exp2",
    "Floor",
    "Identity",
    "Log",
    "Neg",
    "NumericUnary",
    "PositiveUnary",
    "Reciprocal",
    "Round",
    "Rsqrt",
    "Sign",
    "Sin",
    "Sinh",
    "Sqrt",
    "Square",
    "Tan",
    "Trunc",
    "Unary",
]


@dataclass(frozen=True)
class Unary(Operation, abstract=True):
    """Base of the functions of one tensor whose result has the type of the operand."""

    keeps_layout: ClassVar[bool] = True
    prepares_positions: ClassVar[bool] = True

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x = operand(inputs, 0, "x")
        self._check(x)
        return (x,)

    def _check(self, x: TensorType) -> None:
        require_float(x)

    def evaluate(self, inputs: Arrays) -> Results:
        x = array(inputs, 0)
        return (self.apply(widen(x)).astype(x.dtype, copy=False),)

    def apply(self, x: np.ndarray) -> np.ndarray:
        """The function itself, in the precision of `x`."""
        raise NotImplementedError

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(), (sample(2, 3, 4),))


@dataclass(frozen=True)
class NumericUnary(Unary, abstract=True):
    """Base of the functions that integers have as well."""

    def _check(self, x: TensorType) -> None:
        require(x.dtype is not DType.BOOL, "input 'x' must hold numbers", value=x)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(), (sample(2, 3, 4),))
        yield OperationCase(cls(), (sample(2, 5, low=-9, high=9, dtype=DType.INT32),))


@dataclass(frozen=True)
class PositiveUnary(Unary, abstract=True):
    """Base of the functions that are defined for positive numbers."""

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(), (sample(2, 3, 4, low=0.1, high=3),))


@dataclass(frozen=True)
class Identity(Unary):
    """y = x."""

    rounds_once: ClassVar[bool] = True
    keeps_range: ClassVar[bool] = True

    def _check(self, x: TensorType) -> None:
        """Any element type will do."""

    def evaluate(self, inputs: Arrays) -> Results:
        return (array(inputs, 0),)


@dataclass(frozen=True)
class Exp(Unary):
    """y = e^x."""

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.exp(x)


@dataclass(frozen=True)
class Exp2(Unary):
    """y = 2^x."""

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.exp2(x)


@dataclass(frozen=True)
class Log(Unary):
    """y = ln(x + epsilon).

    Attributes:
        epsilon: keeps the argument away from zero.
    """

    epsilon: float = 0.0

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.log(x + self.epsilon if self.epsilon else x)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(), (sample(2, 3, 4, low=0.1, high=3),))
        yield OperationCase(cls(0.01), (sample(2, 3, 4, low=0.1, high=3),))


@dataclass(frozen=True)
class Sqrt(PositiveUnary):
    """y = square root of x."""

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.sqrt(x)


@dataclass(frozen=True)
class Rsqrt(Unary):
    """y = 1 / sqrt(x + epsilon).

    Attributes:
        epsilon: keeps the argument away from zero.
    """

    epsilon: float = 0.0

    def apply(self, x: np.ndarray) -> np.ndarray:
        return 1 / np.sqrt(x + self.epsilon)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(), (sample(2, 3, 4, low=0.1, high=3),))
        yield OperationCase(cls(0.01), (sample(2, 3, 4, low=0.1, high=3),))


@dataclass(frozen=True)
class Reciprocal(Unary):
    """y = 1 / (x + epsilon).

    Attributes:
        epsilon: keeps the divisor away from zero.
    """

    epsilon: float = 0.0

    def apply(self, x: np.ndarray) -> np.ndarray:
        return 1 / (x + self.epsilon)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(), (sample(2, 3, 4, low=0.1, high=3),))
        yield OperationCase(cls(0.01), (sample(2, 3, 4, low=0.1, high=3),))


@dataclass(frozen=True)
class Square(NumericUnary):
    """y = x * x."""

    def apply(self, x: np.ndarray) -> np.ndarray:
        return x * x


@dataclass(frozen=True)
class Abs(NumericUnary):
    """y = |x|."""

    rounds_once: ClassVar[bool] = True

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.abs(x)


@dataclass(frozen=True)
class Neg(NumericUnary):
    """y = -x."""

    rounds_once: ClassVar[bool] = True

    def apply(self, x: np.ndarray) -> np.ndarray:
        return -x


@dataclass(frozen=True)
class Sign(NumericUnary):
    """y = -1, 0 or 1, the sign of x."""

    result_range: ClassVar[tuple[float, float] | None] = (-1, 1)

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.sign(x)


@dataclass(frozen=True)
class Floor(Unary):
    """The largest integer that is not above x."""

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.floor(x)


@dataclass(frozen=True)
class Ceil(Unary):
    """The smallest integer that is not below x."""

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.ceil(x)


@dataclass(frozen=True)
class Round(Unary):
    """The nearest integer; halves go to the even one."""

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.rint(x)


@dataclass(frozen=True)
class Trunc(Unary):
    """x without its fraction."""

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.trunc(x)


@dataclass(frozen=True)
class Erf(Unary):
    """The error function, 2/sqrt(pi) * integral of e^(-t^2) from 0 to x."""

    result_range: ClassVar[tuple[float, float] | None] = (-1, 1)

    def apply(self, x: np.ndarray) -> np.ndarray:
        return erf(x)


def erf(x: np.ndarray) -> np.ndarray:
    """The error function of the C library, element by element, in the precision of `x`."""
    values = np.fromiter(map(math.erf, x.ravel().tolist()), np.float64, x.size)
    return values.astype(x.dtype).reshape(x.shape)


@dataclass(frozen=True)
class Sin(Unary):
    """y = sin(x), x in radians."""

    result_range: ClassVar[tuple[float, float] | None] = (-1, 1)

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.sin(x)


@dataclass(frozen=True)
class Cos(Unary):
    """y = cos(x), x in radians."""

    result_range: ClassVar[tuple[float, float] | None] = (-1, 1)

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.cos(x)


@dataclass(frozen=True)
class Tan(Unary):
    """y = tan(x), x in radians."""

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.tan(x)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(), (sample(2, 3, 4, low=-1.2, high=1.2),))


@dataclass(frozen=True)
class _InverseUnary(Unary, abstract=True):
    """Base of the functions that are defined on [-1, 1]."""

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(), (sample(2, 3, 4, low=-0.9, high=0.9),))


@dataclass(frozen=True)
class Asin(_InverseUnary):
    """The angle in [-pi/2, pi/2] whose sine is x."""

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.arcsin(x)


@dataclass(frozen=True)
class Acos(_InverseUnary):
    """The angle in [0, pi] whose cosine is x."""

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.arccos(x)


@dataclass(frozen=True)
class Atan(Unary):
    """The angle in [-pi/2, pi/2] whose tangent is x."""

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.arctan(x)


@dataclass(frozen=True)
class Sinh(Unary):
    """Hyperbolic sine."""

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.sinh(x)


@dataclass(frozen=True)
class Cosh(Unary):
    """Hyperbolic cosine."""

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.cosh(x)


@dataclass(frozen=True)
class Asinh(Unary):
    """Inverse of the hyperbolic sine."""

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.arcsinh(x)


@dataclass(frozen=True)
class Acosh(Unary):
    """Inverse of the hyperbolic cosine, for x >= 1."""

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.arccosh(x)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(), (sample(2, 3, 4, low=1.1, high=4),))


@dataclass(frozen=True)
class Atanh(_InverseUnary):
    """Inverse of the hyperbolic tangent, for |x| < 1."""

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.arctanh(x)


@dataclass(frozen=True)
class Cast(Operation):
    """x in another element type: floats to integers by cutting the fraction off, anything to bool as "is not 0".

    Attributes:
        dtype: of the result.
    """

    dtype: DType

    keeps_layout: ClassVar[bool] = True
    prepares_positions: ClassVar[bool] = True

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        return (TensorType(operand(inputs, 0, "x").shape, self.dtype),)

    def evaluate(self, inputs: Arrays) -> Results:
        return (array(inputs, 0).astype(self.dtype.numpy),)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(DType.INT32), (sample(2, 3, low=-9, high=9),))
        yield OperationCase(cls(DType.BOOL), (sample(2, 3, low=-2, high=2, dtype=DType.INT32),))
        yield OperationCase(cls(DType.FLOAT32), (sample(2, 3, dtype=DType.BOOL),))


@dataclass(frozen=True)
class BitwiseNot(Unary):
    """Every bit of an integer turned over."""

    def _check(self, x: TensorType) -> None:
        require_integer(x, "x")

    def apply(self, x: np.ndarray) -> np.ndarray:
        return ~x

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(), (sample(2, 5, low=-9, high=9, dtype=DType.INT32),))
