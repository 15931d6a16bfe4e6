"""Rounding to element types that a Graph holds in a wider one: bfloat16, small floats, 4-bit and 2-bit integers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import numpy as np

from openane.core.types import DType
from openane.graph.operation import Operation, OperationCase, TensorType
from openane.graph.ops.support import Arrays, Results, Types, array, operand, require, sample

__all__ = ["NarrowType", "RoundToType"]


class NarrowType(Enum):
    """An element type that a Graph holds in a wider one; the value is its name in ONNX."""

    BFLOAT16 = "bfloat16"
    FLOAT8E4M3FN = "float8e4m3fn"
    FLOAT8E4M3FNUZ = "float8e4m3fnuz"
    FLOAT8E5M2 = "float8e5m2"
    FLOAT8E5M2FNUZ = "float8e5m2fnuz"
    FLOAT8E8M0 = "float8e8m0"
    FLOAT4E2M1 = "float4e2m1"
    INT4 = "int4"
    UINT4 = "uint4"
    INT2 = "int2"
    UINT2 = "uint2"

    @property
    def held_as(self) -> DType:
        """The element type that holds its values in a Graph."""
        if self not in _INTEGERS:
            return DType.FLOAT32
        return DType.INT8 if _INTEGERS[self][0] < 0 else DType.UINT8

    @property
    def has_saturation(self) -> bool:
        """Whether values beyond the largest one may be held there."""
        return self.name.startswith("FLOAT8")

    @property
    def range(self) -> tuple[int, int] | None:
        """The least and the greatest value of an integer type; None for floats."""
        return _INTEGERS.get(self)


_INTEGERS = {
    NarrowType.INT4: (-8, 7),
    NarrowType.UINT4: (0, 15),
    NarrowType.INT2: (-2, 1),
    NarrowType.UINT2: (0, 3),
}


@dataclass(frozen=True, slots=True)
class _FloatFormat:
    """A binary floating-point format.

    Attributes:
        fraction_bits: stored bits of the fraction.
        smallest_exponent: of normal values.
        largest: finite value.
        beyond: what larger values become when they are not held at the largest one.
        has_negative_zero: whether there is one.
    """

    fraction_bits: int
    smallest_exponent: int
    largest: float
    beyond: float
    has_negative_zero: bool = True


_FLOATS = {
    NarrowType.BFLOAT16: _FloatFormat(7, -126, (2 - 2.0**-7) * 2.0**127, np.inf),
    NarrowType.FLOAT8E4M3FN: _FloatFormat(3, -6, 448.0, np.nan),
    NarrowType.FLOAT8E4M3FNUZ: _FloatFormat(3, -7, 240.0, np.nan, has_negative_zero=False),
    NarrowType.FLOAT8E5M2: _FloatFormat(2, -14, 57344.0, np.inf),
    NarrowType.FLOAT8E5M2FNUZ: _FloatFormat(2, -15, 57344.0, np.nan, has_negative_zero=False),
    NarrowType.FLOAT4E2M1: _FloatFormat(1, 0, 6.0, 6.0),
}
_EXPONENTS = (-127, 127)
"""Of FLOAT8E8M0, whose values are powers of two."""
_POWER_ROUNDINGS = ("up", "down", "nearest")


@dataclass(frozen=True)
class RoundToType(Operation):
    """x as values of a narrow element type, held in a wider one.

    Floats are rounded to the nearest value, halves to even; NaN becomes 0 where the type has none (FLOAT4E2M1). Integer
    types cut the fraction off; values that are out of their range become 0 when x is floating point, and lose their
    upper bits when x holds integers.

    Attributes:
        type: of the values.
        saturate: whether values beyond the largest one, infinity included, become the largest one instead of infinity
            or NaN (8-bit floats).
        power_rounding: "up", "down" or "nearest", between powers of two (FLOAT8E8M0).
    """

    type: NarrowType
    saturate: bool = False
    power_rounding: str = "up"

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        known = self.power_rounding in _POWER_ROUNDINGS
        require(known, "the rounding is unknown", value=self.power_rounding, limit=", ".join(_POWER_ROUNDINGS))
        return (TensorType(operand(inputs, 0, "x").shape, self.type.held_as),)

    def evaluate(self, inputs: Arrays) -> Results:
        x = array(inputs, 0)
        with np.errstate(all="ignore"):
            if self.type in _INTEGERS:
                y = self._integers(x)
            elif self.type is NarrowType.FLOAT8E8M0:
                y = self._powers(x.astype(np.float64))
            else:
                y = self._floats(x.astype(np.float64), _FLOATS[self.type])
            return (y.astype(self.type.held_as.numpy),)

    def _integers(self, x: np.ndarray) -> np.ndarray:
        low, high = _INTEGERS[self.type]
        if x.dtype.kind == "f":
            whole = np.trunc(x)
            return np.where((whole >= low) & (whole <= high), whole, 0)
        return (x.astype(np.int64) - low) % (high - low + 1) + low

    def _floats(self, x: np.ndarray, form: _FloatFormat) -> np.ndarray:
        _, exponents = np.frexp(x)
        steps = np.ldexp(1.0, np.maximum(exponents - 1, form.smallest_exponent) - form.fraction_bits)
        y = np.where(np.isfinite(x), np.rint(x / steps) * steps, x)
        beyond = form.largest if self.saturate else form.beyond
        y = np.where(np.abs(y) > form.largest, np.copysign(beyond, x), y)
        if self.type is NarrowType.FLOAT4E2M1:
            y = np.where(np.isnan(y), 0.0, y)
        return y if form.has_negative_zero else np.where(y == 0, 0.0, y)

    def _powers(self, x: np.ndarray) -> np.ndarray:
        fractions, exponents = np.frexp(np.maximum(x, np.ldexp(1.0, _EXPONENTS[0])))
        exponents = exponents - 1
        limit = {"up": 0.5, "down": 1.0, "nearest": 0.75}[self.power_rounding]
        above = fractions > limit if self.power_rounding == "up" else fractions >= limit
        exponents = exponents + above
        y = np.ldexp(1.0, np.minimum(exponents, _EXPONENTS[1]))
        unusable = np.isnan(x) | (x < 0) | (~self._held(x, exponents))
        return np.where(unusable, np.nan, y)

    def _held(self, x: np.ndarray, exponents: np.ndarray) -> np.ndarray:
        """Where a value is within the range, or held at its end."""
        inside: np.ndarray = np.isfinite(x) & (exponents <= _EXPONENTS[1])
        return inside | (self.saturate & ~np.isnan(x))

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        x = sample(3, 40, low=-9, high=9)
        for kind in (NarrowType.BFLOAT16, NarrowType.FLOAT8E5M2, NarrowType.FLOAT8E4M3FNUZ, NarrowType.FLOAT4E2M1):
            yield OperationCase(cls(kind), (x,))
        yield OperationCase(cls(NarrowType.FLOAT8E4M3FN, saturate=True), (x * 100,))
        yield OperationCase(cls(NarrowType.FLOAT8E8M0, power_rounding="down"), (np.abs(x),))
        yield OperationCase(cls(NarrowType.INT4), (sample(3, 4, low=-100, high=100, dtype=DType.INT8),))
