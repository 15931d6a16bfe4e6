"""Between numbers and the integers that stand for them: x = (q - zero_point) * scale."""

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
    operand,
    optional,
    optional_array,
    require,
    require_axis,
    require_float,
    require_integer,
    sample,
    widen,
)

__all__ = [
    "DequantizeLinear",
    "QuantizeLinear",
]


@dataclass(frozen=True)
class _Quantization(Operation, abstract=True):
    """What both directions share. scale is a number, one value per position of an axis, or one per block of it.

    Attributes:
        dtype: of the result.
        axis: that a one-dimensional scale runs along, or that is cut in blocks, counted from the front.
        block: extent of a block, 0 for none; scale then has the rank of x.
    """

    dtype: DType
    axis: int = 1
    block: int = 0

    input_names: ClassVar[tuple[str, ...]] = ("x", "scale", "zero_point?")

    def _check(self, inputs: Types) -> TensorType:
        x, scale, zero = operand(inputs, 0, "x"), operand(inputs, 1, "scale"), optional(inputs, 2)
        require_float(scale, "scale")
        if scale.shape not in ((), (1,)):
            require_axis(self.axis, len(x.shape))
            extent = x.shape[self.axis]
            expected: tuple[int, ...] = (extent,)
            if self.block:
                blocks = -(-extent // self.block)
                expected = (*x.shape[: self.axis], blocks, *x.shape[self.axis + 1 :])
            require(scale.shape == expected, "the scale does not fit", value=scale, limit=list(expected))
        if zero is not None:
            require(zero.shape == scale.shape, "scale and zero point differ in shape", value=zero, limit=scale)
        return x

    def _aligned(self, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Scale or zero point, shaped to broadcast to x of `shape`."""
        if values.size == 1 and values.ndim <= 1:
            return values.reshape(())
        if self.block:
            return np.repeat(values, self.block, self.axis).take(range(shape[self.axis]), self.axis)
        return values.reshape(-1, *(1,) * (len(shape) - 1 - self.axis))


@dataclass(frozen=True)
class QuantizeLinear(_Quantization):
    """y = round(x / scale) + zero_point, halves to even, held within the integers of the result."""

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x = self._check(inputs)
        require(x.dtype.is_float or x.dtype is DType.INT32, "input 'x' must hold numbers", value=x)
        integer = not self.dtype.is_float and self.dtype is not DType.BOOL
        require(integer, "the result must hold integers", value=self.dtype.value)
        return (TensorType(x.shape, self.dtype),)

    def evaluate(self, inputs: Arrays) -> Results:
        x, scale, zero = array(inputs, 0), array(inputs, 1), optional_array(inputs, 2)
        y = np.rint(widen(x) / widen(self._aligned(scale, x.shape)))
        if zero is not None:
            y = y + self._aligned(zero, x.shape)
        limits = np.iinfo(self.dtype.value)
        return (np.clip(y, limits.min, limits.max).astype(self.dtype.numpy),)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        x = sample(2, 4, 3)
        yield OperationCase(cls(DType.INT8), (x, np.array(0.02, np.float32), None))
        yield OperationCase(cls(DType.UINT8), (x, np.array(0.02, np.float32), np.array(128, np.uint8)))
        yield OperationCase(
            cls(DType.INT8, 2), (x, np.array([0.02, 0.03, 0.04], np.float32), np.array([0, 1, 2], np.int8))
        )
        yield OperationCase(cls(DType.INT8, 1, 2), (x, sample(2, 2, 3, low=0.02, high=0.05), None))


@dataclass(frozen=True)
class DequantizeLinear(_Quantization):
    """y = (x - zero_point) * scale."""

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x = self._check(inputs)
        require_integer(x, "x")
        require(self.dtype.is_float, "the result must be floating point", value=self.dtype.value)
        return (TensorType(x.shape, self.dtype),)

    def evaluate(self, inputs: Arrays) -> Results:
        x, scale, zero = array(inputs, 0), array(inputs, 1), optional_array(inputs, 2)
        wide = np.float64 if scale.dtype == np.float64 else np.float32
        y = x.astype(wide)
        if zero is not None:
            y = y - self._aligned(zero, x.shape).astype(wide)
        return ((y * self._aligned(scale, x.shape).astype(wide)).astype(self.dtype.numpy),)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        x = sample(2, 4, 3, low=-100, high=100, dtype=DType.INT8)
        yield OperationCase(cls(DType.FLOAT32), (x, np.array(0.02, np.float32), None))
        yield OperationCase(cls(DType.FLOAT16), (x, np.array(0.02, np.float16), np.array(5, np.int8)))
        yield OperationCase(
            cls(DType.FLOAT32, 2), (x, np.array([0.02, 0.03, 0.04], np.float32), np.array([0, 1, 2], np.int8))
        )
        yield OperationCase(cls(DType.FLOAT32, 1, 2), (x, sample(2, 2, 3, low=0.02, high=0.05), None))
