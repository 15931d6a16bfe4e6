"""Functions of two tensors, element by element, with numpy's broadcasting."""

from __future__ import annotations

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
    broadcast,
    operand,
    require,
    require_integer,
    require_same_dtype,
    result_dtype,
    sample,
    widen,
)

__all__ = [
    "Add",
    "Binary",
    "BitwiseAnd",
    "BitwiseOr",
    "BitwiseXor",
    "Div",
    "FloorDiv",
    "Max",
    "Min",
    "Mod",
    "Mul",
    "Pow",
    "ShiftLeft",
    "ShiftRight",
    "Sub",
]


@dataclass(frozen=True)
class Binary(Operation, abstract=True):
    """Base of the functions of two numbers of one type."""

    input_names: ClassVar[tuple[str, ...]] = ("x", "y")
    keeps_layout: ClassVar[bool] = True
    prepares_positions: ClassVar[bool] = True

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x, y = operand(inputs, 0, "x"), operand(inputs, 1, "y")
        dtype = require_same_dtype(inputs)
        self._check(dtype)
        return (TensorType(broadcast(x.shape, y.shape), self._result(dtype)),)

    def _check(self, dtype: DType) -> None:
        require(dtype is not DType.BOOL, "inputs must hold numbers", value=dtype.value)

    def _result(self, dtype: DType) -> DType:
        return dtype

    def evaluate(self, inputs: Arrays) -> Results:
        x, y = array(inputs, 0), array(inputs, 1)
        return (np.asarray(self.apply(widen(x), widen(y))).astype(result_dtype(x, y), copy=False),)

    def apply(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The function itself."""
        raise NotImplementedError

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(), (sample(2, 3, 4, low=0.2), sample(2, 3, 4, seed=1, low=0.2)))
        yield OperationCase(cls(), (sample(2, 3, 4, low=0.2), sample(3, 1, seed=1, low=0.2)))
        small = sample(2, 5, low=1, high=5, dtype=DType.INT32)
        yield OperationCase(cls(), (small, sample(2, 1, seed=1, low=1, high=5, dtype=DType.INT32)))


@dataclass(frozen=True)
class Add(Binary):
    """x + y."""

    rounds_once: ClassVar[bool] = True
    is_linear: ClassVar[bool] = True

    def apply(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return x + y


@dataclass(frozen=True)
class Sub(Binary):
    """x - y."""

    rounds_once: ClassVar[bool] = True
    is_linear: ClassVar[bool] = True

    def apply(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return x - y


@dataclass(frozen=True)
class Mul(Binary):
    """x * y."""

    rounds_once: ClassVar[bool] = True

    def apply(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return x * y


@dataclass(frozen=True)
class Div(Binary):
    """x / y; the quotient of integers is cut towards zero, and is 0 where y is 0."""

    def apply(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        if x.dtype.kind == "f":
            return x / y
        quotient = x // y
        cut = (x % y != 0) & ((x < 0) != (y < 0))
        return quotient + cut.astype(quotient.dtype)


@dataclass(frozen=True)
class FloorDiv(Binary):
    """The largest integer that is not above x / y."""

    def apply(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.floor_divide(x, y)


@dataclass(frozen=True)
class Pow(Operation):
    """x to the power y, in the type of x; y may have another type."""

    input_names: ClassVar[tuple[str, ...]] = ("x", "y")

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x, y = operand(inputs, 0, "x"), operand(inputs, 1, "y")
        numbers = DType.BOOL not in (x.dtype, y.dtype)
        require(numbers, "inputs must hold numbers", value=f"{x} and {y}")
        return (TensorType(broadcast(x.shape, y.shape), x.dtype),)

    def evaluate(self, inputs: Arrays) -> Results:
        x, y = array(inputs, 0), array(inputs, 1)
        dtype = result_dtype(x, y) if x.dtype.kind == y.dtype.kind == "f" else x.dtype
        wide, exponent = widen(x), widen(y)
        if wide.dtype.kind == "f":
            exponent = exponent.astype(np.result_type(wide, exponent) if exponent.dtype.kind == "f" else wide.dtype)
        elif exponent.dtype.kind == "f" or bool(np.any(exponent < 0)):
            wide, exponent = wide.astype(np.float64), exponent.astype(np.float64)
        return (np.asarray(np.power(wide, exponent)).astype(dtype, copy=False),)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        base = sample(2, 3, 4, low=0.2)
        yield OperationCase(cls(), (base, sample(2, 3, 4, seed=1)))
        yield OperationCase(cls(), (base, np.array(2, np.int64)))
        yield OperationCase(cls(), (sample(2, 5, low=1, high=5, dtype=DType.INT32), np.array([2.0], np.float32)))


@dataclass(frozen=True)
class Max(Binary):
    """The larger of x and y."""

    rounds_once: ClassVar[bool] = True

    def apply(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.maximum(x, y)


@dataclass(frozen=True)
class Min(Binary):
    """The smaller of x and y."""

    rounds_once: ClassVar[bool] = True

    def apply(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.minimum(x, y)


@dataclass(frozen=True)
class Mod(Binary):
    """The remainder of x / y with the sign of y.

    Attributes:
        truncated: the remainder of the quotient cut towards zero instead, with the sign of x (C's fmod).
    """

    truncated: bool = False

    def apply(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.fmod(x, y) if self.truncated else np.mod(x, y)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        x, y = sample(2, 3, low=-9, high=9), sample(2, 3, seed=1, low=1, high=4)
        yield OperationCase(cls(), (x, y))
        yield OperationCase(cls(True), (x, y))
        yield OperationCase(cls(), (x.astype(np.int32), y.astype(np.int32)))


@dataclass(frozen=True)
class _Bitwise(Binary, abstract=True):
    """Base of the functions of the bits of two integers."""

    def _check(self, dtype: DType) -> None:
        require_integer(TensorType((), dtype), "x")

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        x = sample(2, 5, low=0, high=20, dtype=DType.UINT8)
        yield OperationCase(cls(), (x, sample(5, seed=1, low=0, high=7, dtype=DType.UINT8)))


@dataclass(frozen=True)
class BitwiseAnd(_Bitwise):
    """Bits that are set in both."""

    def apply(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return x & y


@dataclass(frozen=True)
class BitwiseOr(_Bitwise):
    """Bits that are set in either."""

    def apply(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return x | y


@dataclass(frozen=True)
class BitwiseXor(_Bitwise):
    """Bits that are set in one of the two."""

    def apply(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return x ^ y


@dataclass(frozen=True)
class ShiftLeft(_Bitwise):
    """x * 2^y, by moving bits."""

    def apply(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.left_shift(x, y)


@dataclass(frozen=True)
class ShiftRight(_Bitwise):
    """x / 2^y, by moving bits."""

    def apply(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.right_shift(x, y)
