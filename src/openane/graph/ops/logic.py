"""Comparisons, booleans, and choosing by them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from openane.core.types import DType
from openane.graph.operation import Operation, OperationCase, TensorType
from openane.graph.ops.binary import Binary
from openane.graph.ops.support import (
    Arrays,
    Results,
    Types,
    array,
    broadcast,
    operand,
    require,
    require_float,
    require_same_dtype,
    result_dtype,
    sample,
)

__all__ = [
    "And",
    "Comparison",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "IsInf",
    "IsNaN",
    "Less",
    "LessOrEqual",
    "Not",
    "NotEqual",
    "Or",
    "Where",
    "Xor",
]


@dataclass(frozen=True)
class Comparison(Binary, abstract=True):
    """Base of the comparisons: two tensors of one type, booleans out."""

    def _check(self, dtype: DType) -> None:
        """Any element type will do."""

    def _result(self, dtype: DType) -> DType:
        return DType.BOOL

    def evaluate(self, inputs: Arrays) -> Results:
        return (np.asarray(self.apply(array(inputs, 0), array(inputs, 1))),)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        x, y = sample(2, 3, 4), sample(2, 3, 4, seed=1)
        y[0] = x[0]
        yield OperationCase(cls(), (x, y))
        yield OperationCase(cls(), (x, sample(4, seed=2)))


@dataclass(frozen=True)
class Equal(Comparison):
    """Whether x = y."""

    def apply(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return x == y


@dataclass(frozen=True)
class NotEqual(Comparison):
    """Whether x and y differ."""

    def apply(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return x != y


@dataclass(frozen=True)
class Less(Comparison):
    """Whether x < y."""

    def apply(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return x < y


@dataclass(frozen=True)
class LessOrEqual(Comparison):
    """Whether x <= y."""

    def apply(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return x <= y


@dataclass(frozen=True)
class Greater(Comparison):
    """Whether x > y."""

    def apply(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return x > y


@dataclass(frozen=True)
class GreaterOrEqual(Comparison):
    """Whether x >= y."""

    def apply(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return x >= y


@dataclass(frozen=True)
class _Logical(Comparison, abstract=True):
    """Base of the functions of two booleans."""

    def _check(self, dtype: DType) -> None:
        require(dtype is DType.BOOL, "inputs must be booleans", value=dtype.value)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(), (sample(3, 4, dtype=DType.BOOL), sample(3, 1, seed=1, dtype=DType.BOOL)))


@dataclass(frozen=True)
class And(_Logical):
    """Whether both are true."""

    def apply(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return x & y


@dataclass(frozen=True)
class Or(_Logical):
    """Whether at least one is true."""

    def apply(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return x | y


@dataclass(frozen=True)
class Xor(_Logical):
    """Whether exactly one is true."""

    def apply(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return x ^ y


@dataclass(frozen=True)
class Not(Operation):
    """The opposite boolean."""

    keeps_layout: ClassVar[bool] = True
    prepares_positions: ClassVar[bool] = True

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x = operand(inputs, 0, "x")
        require(x.dtype is DType.BOOL, "input 'x' must be booleans", value=x)
        return (x,)

    def evaluate(self, inputs: Arrays) -> Results:
        return (~array(inputs, 0),)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(), (sample(3, 4, dtype=DType.BOOL),))


@dataclass(frozen=True)
class IsNaN(Operation):
    """Whether x is not a number."""

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x = operand(inputs, 0, "x")
        require_float(x)
        return (TensorType(x.shape, DType.BOOL),)

    def evaluate(self, inputs: Arrays) -> Results:
        return (np.isnan(array(inputs, 0)),)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(), (np.array([1, np.nan, np.inf, -np.inf], np.float32),))


@dataclass(frozen=True)
class IsInf(Operation):
    """Whether x is infinite.

    Attributes:
        negative: minus infinity counts.
        positive: plus infinity counts.
    """

    negative: bool = True
    positive: bool = True

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x = operand(inputs, 0, "x")
        require_float(x)
        return (TensorType(x.shape, DType.BOOL),)

    def evaluate(self, inputs: Arrays) -> Results:
        x = array(inputs, 0)
        return ((np.isneginf(x) & self.negative) | (np.isposinf(x) & self.positive),)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        x = np.array([1, np.nan, np.inf, -np.inf], np.float32)
        yield OperationCase(cls(), (x,))
        yield OperationCase(cls(negative=False), (x,))
        yield OperationCase(cls(positive=False), (x,))


@dataclass(frozen=True)
class Where(Operation):
    """x where the condition is true, y elsewhere; all three broadcast."""

    input_names: ClassVar[tuple[str, ...]] = ("condition", "x", "y")
    keeps_layout: ClassVar[bool] = True
    prepares_positions: ClassVar[bool] = True
    rounds_once: ClassVar[bool] = True

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        condition, x, y = operand(inputs, 0, "condition"), operand(inputs, 1, "x"), operand(inputs, 2, "y")
        require(condition.dtype is DType.BOOL, "the condition must be booleans", value=condition)
        dtype = require_same_dtype((x, y))
        return (TensorType(broadcast(condition.shape, x.shape, y.shape), dtype),)

    def evaluate(self, inputs: Arrays) -> Results:
        condition, x, y = array(inputs, 0), array(inputs, 1), array(inputs, 2)
        return (np.where(condition, x, y).astype(result_dtype(x, y), copy=False),)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(), (sample(3, 4, dtype=DType.BOOL), sample(2, 3, 4), sample(4, seed=1)))
