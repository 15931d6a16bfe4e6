"""Evaluating the engine's lookup table: the arithmetic of one element, compiled.

The rule, each part with its evidence:

- Sign first: |v| when bit 6 is set, the result negated for v < 0 when bit 5 is set [proved by programs]; 0 for
  v < 0 when bit 7 is set [measured on an M1: sqrt(-1) = log(-1) = 0].
- Limits next, both inclusive [proved by programs].
- Between knots: round16(knot + round16((next - knot) * fraction)). This two-step rounding leaves no mismatch
  among 33 measured outputs of an M5; rounding once fails some of them.
- sqrt, rsqrt, reciprocal, log2 and exp2 reduce the argument first, exactly [proved by programs].
- Outside the knots of the direct modes: slope * v + intercept in fp32, rounded once by the store [a guess where it
  rounds; the measured vectors do not tell].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from openane.core.reader import Buffer
from openane.numerics.jit import (
    BLOCK,
    NATIVE_HALF,
    bits_of_float,
    compiled,
    float_of_bits,
    inner,
    narrow,
    narrow_block,
    widen,
    widen_block,
)
from openane.numerics.knots import ABOVE as _ABOVE
from openane.numerics.knots import BELOW as _BELOW
from openane.numerics.knots import HI as _HI
from openane.numerics.knots import KNOTS as _KNOTS
from openane.numerics.knots import LEFT as _LEFT
from openane.numerics.knots import LO as _LO
from openane.numerics.knots import RIGHT as _RIGHT
from openane.numerics.knots import follow_knots
from openane.numerics.tables import LookupTable
from openane.numerics.vector import LANES

Floats = npt.NDArray[np.float32]
Halfwords = npt.NDArray[np.uint16]

INFINITY = 65536.0
"""The number that exponent 31 of fp16 means inside the data path [measured: inf * -0.8 = -52416]."""

_LAST_DIRECT = 2
_NO_KNOTS = 0x40


@dataclass(frozen=True, eq=False, slots=True)
class CompiledTable:
    """A table in the form the kernels take.

    Attributes:
        numbers: float32 (41,), halfwords 0 to 40 as the data path reads them.
        meta: int64 (3,): step exponent, mode, sign bits.
    """

    numbers: Floats
    meta: npt.NDArray[np.int64]

    @classmethod
    def of(cls, image: Buffer, where: str = "lookup table") -> CompiledTable:
        """Takes 128 bytes.

        Raises:
            FormatError: a mode or bits that are not understood.
        """
        table = LookupTable.decode(image, where)
        words = np.frombuffer(image, "<u2").astype(np.uint16)
        meta = np.array([table.step_exponent, int(table.mode), int(table.sign)], np.int64)
        return cls(from_halfwords(words[:41]), meta)

    @classmethod
    def none(cls) -> CompiledTable:
        """A placeholder for work without a table."""
        return cls(np.zeros(41, np.float32), np.zeros(3, np.int64))

    @property
    def is_lines(self) -> bool:
        """Whether it has no knots and no rule for the sign: two lines that meet at 0, between two limits."""
        return bool(self.meta[0] == _NO_KNOTS and self.meta[1] <= _LAST_DIRECT and self.meta[2] == 0)

    @property
    def lines(self) -> Floats:
        """Slope and intercept of the line below 0, and of the one above."""
        return self.numbers[[_LEFT, _LEFT + 1, _RIGHT, _RIGHT + 1]]

    @property
    def limits(self) -> Floats:
        """Lower and upper limit of the argument, and the results there."""
        return self.numbers[[_LO, _HI, _BELOW, _ABOVE]]

    def evaluate(self, values: Floats) -> Floats:
        """The table of every value, float32 before the rounding of the store."""
        result = np.array(values, np.float32).reshape(-1)
        evaluate_row(result, self.numbers, self.meta)
        return result.reshape(values.shape)


def from_halfwords(words: Halfwords) -> Floats:
    """fp16 bits as the data path reads them: exponent 31 is 2^16 with the sign, NaN is +2^16."""
    flat = np.ascontiguousarray(words, np.uint16).reshape(-1)
    result = np.empty(flat.shape, np.float32)
    read_row(flat, flat.size, result)
    return result.reshape(words.shape)


def to_halfwords(values: Floats) -> Halfwords:
    """Bits of the nearest fp16, ties to even; 65520 and above is infinity, NaN is +infinity."""
    flat = np.ascontiguousarray(values, np.float32).reshape(-1)
    result = np.empty(flat.shape, np.uint16)
    store_row(flat, flat.size, result)
    return result.reshape(values.shape)


@inner
def read_half(bits: int) -> Any:
    """float32 of a stored fp16 as the data path sees it: no infinity, no NaN."""
    if bits & 0x7C00 == 0x7C00:
        return np.float32(-INFINITY) if bits == 0xFC00 else np.float32(INFINITY)
    return widen(np.uint16(bits))


@inner
def store_half(value: float) -> Any:
    """Bits of the stored fp16: nearest, ties to even, NaN as +infinity."""
    if value != value:
        return np.uint16(0x7C00)
    return narrow(np.float32(value))


@compiled
def evaluate_row(row: Floats, numbers: Floats, meta: npt.NDArray[np.int64]) -> None:
    """The table of every value of a row, in place, before the rounding of the store."""
    if meta[1] > _LAST_DIRECT:
        for j in range(row.size):
            row[j] = evaluate(row[j], numbers, meta)
    elif meta[0] == _NO_KNOTS:
        _lines_row(row, numbers, meta[2])
    else:
        _direct_row(row, numbers, meta)


@inner
def _lines_row(row: Floats, numbers: Floats, sign: int) -> None:
    """`evaluate` of a table without knots, in a form that becomes vector instructions."""
    magnitude, negate, undefined = sign & 0x40 != 0, sign & 0x20 != 0, sign & 0x80 != 0
    left, left_start = numbers[_LEFT], numbers[_LEFT + 1]
    right, right_start = numbers[_RIGHT], numbers[_RIGHT + 1]
    lo, hi, below, above = numbers[_LO], numbers[_HI], numbers[_BELOW], numbers[_ABOVE]
    for j in range(row.size):
        value = row[j]
        v = abs(value) if magnitude else value
        low_side = np.float32(left * v) + left_start
        y = np.float32(right * v) + right_start if v > 0 else low_side
        y = above if v >= hi else y
        y = below if v <= lo else y
        y = -y if negate and value < 0 else y
        row[j] = np.float32(0) if undefined and value < 0 else y


@inner
def _direct_row(row: Floats, numbers: Floats, meta: npt.NDArray[np.int64]) -> None:
    """`evaluate` of the direct modes."""
    unit, shift = _scale(np.float32(1), meta[0]), np.float32(meta[1] * 16)
    rest = 0
    if NATIVE_HALF:
        rest = row.size // LANES * LANES
        for j in range(0, rest, LANES):
            follow_knots(row, j, numbers, unit, shift, meta[2])
    for j in range(rest, row.size):
        row[j] = evaluate(row[j], numbers, meta)


@compiled
def read_row(words: Halfwords, count: int, result: Floats) -> None:
    """`read_half` of the first `count` elements."""
    rest = 0
    if NATIVE_HALF and count >= BLOCK:  # short rows are common: blocks, the last one overlapping the one before
        for i in range(0, count - BLOCK + 1, BLOCK):
            widen_block(result, i, words, i)
        widen_block(result, count - BLOCK, words, count - BLOCK)
        rest = count
    for i in range(rest, count):
        bits = words[i]
        value = widen(bits)
        huge = np.float32(-INFINITY) if bits == 0xFC00 else np.float32(INFINITY)
        result[i] = huge if bits & 0x7C00 == 0x7C00 else value


@compiled
def store_row(values: Floats, count: int, result: Halfwords) -> None:
    """`store_half` of the first `count` elements."""
    rest = 0
    if NATIVE_HALF and count >= BLOCK:
        for i in range(0, count - BLOCK + 1, BLOCK):
            narrow_block(result, i, values, i)
        narrow_block(result, count - BLOCK, values, count - BLOCK)
        rest = count
    for i in range(rest, count):
        value = values[i]
        bits = narrow(value)
        result[i] = bits if value == value else np.uint16(0x7C00)


@inner
def round_half(value: float) -> Any:
    """A float32 rounded to fp16 and back."""
    return widen(narrow(np.float32(value)))


@inner
def _between(numbers: Floats, place: float) -> Any:
    """The chord at `place`, counted in steps from the first knot, inside 0..32."""
    index = min(max(int(place), 0), 31)
    low = numbers[_KNOTS + index]
    rise = round_half((numbers[_KNOTS + index + 1] - low) * (place - np.float32(index)))
    return round_half(low + rise)


@inner
def _scale(value: float, exponent: int) -> Any:
    """value * 2^exponent; far exponents end in zero or infinity."""
    exponent = min(max(exponent, -200), 200)
    half = exponent // 2
    first = float_of_bits(np.uint32((half + 127) << 23))
    second = float_of_bits(np.uint32((exponent - half + 127) << 23))
    return np.float32(np.float32(value * first) * second)


@inner
def _direct(numbers: Floats, step_exponent: int, mode: int, v: float) -> Any:
    """Modes 0, 1 and 2: the knots cover the argument itself, two lines go on from there."""
    if step_exponent == _NO_KNOTS:
        side = _RIGHT if v > 0 else _LEFT
        return np.float32(numbers[side] * v) + numbers[side + 1]
    place = _scale(v, step_exponent) + np.float32(mode * 16)  # centred: 16, ending at zero: 32
    if place < 0:
        return np.float32(numbers[_LEFT] * v) + numbers[_LEFT + 1]
    if place > 32:
        return np.float32(numbers[_RIGHT] * v) + numbers[_RIGHT + 1]
    return _between(numbers, place)


@inner
def _reduced(numbers: Floats, mode: int, v: float) -> Any:
    """sqrt, rsqrt, reciprocal, log2: v = m * 2^e with m in [0.5, 1)."""
    bits = bits_of_float(np.float32(v))
    exponent = np.int64((bits >> np.uint32(23)) & np.uint32(0xFF)) - 126
    significand = float_of_bits(np.uint32((bits & np.uint32(0x007FFFFF)) | np.uint32(0x3F000000)))
    if mode == 7:
        return _scale(_between(numbers, (significand - np.float32(0.5)) * np.float32(64)), -exponent)
    if mode == 9:
        return _between(numbers, (significand - np.float32(0.5)) * np.float32(64)) + np.float32(exponent)
    half = exponent >> 1  # v = m * 4^half with m in [0.5, 2)
    place = _scale(significand, exponent - 2 * half) * np.float32(16)
    return _scale(_between(numbers, place), half if mode == 5 else -half)


@inner
def evaluate(value: float, numbers: Floats, meta: npt.NDArray[np.int64]) -> Any:
    """The table's value of a float32, before the rounding of the store."""
    mode, sign = meta[1], meta[2]
    negative = value < 0
    if negative and sign & 0x80:
        return np.float32(0)
    v = np.float32(abs(value)) if sign & 0x40 else np.float32(value)
    if v <= numbers[_LO]:
        y = numbers[_BELOW]
    elif v >= numbers[_HI]:
        y = numbers[_ABOVE]
    elif mode <= 2:
        y = _direct(numbers, meta[0], mode, v)
    elif mode == 3:
        y = v - np.float32(np.trunc(v))
    elif mode == 4:
        y = np.float32(np.trunc(v))
    elif mode == 10:
        whole = np.float32(np.floor(v))
        y = _scale(_between(numbers, (v - whole) * np.float32(32)), np.int64(whole))
    elif v > 0:
        y = _reduced(numbers, mode, v)
    else:
        y = numbers[_BELOW]
    y = np.float32(y)
    return -y if negative and sign & 0x20 else y
