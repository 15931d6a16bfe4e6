"""fp16 words and the engine's lookup table for whole arrays: `openane.numerics.definition`, vectorized with numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from openane.core.reader import Buffer
from openane.numerics.tables import FIRST_KNOT_AT, NO_KNOTS, LookupTable, SignRule, TableMode

Floats = npt.NDArray[np.float32]
Fp16Words = npt.NDArray[np.uint16]

_NUMBERS, _KNOTS, _LEFT, _RIGHT = 41, 4, 37, 39
_LAST_KNOT = 32
_FIRST_NORMAL, _FIRST_INFINITE = 0x38800000, 0x477FF000
"""float32 bits of 2^-14 and of 65520."""


def from_fp16_words(words: Fp16Words) -> Floats:
    """Values of fp16 words; exponent 31 is an ordinary exponent."""
    bits = words.astype(np.int16).astype(np.int32) << 13 & np.int32(0x8FFFE000 - (1 << 32))
    return bits.view(np.float32) * np.float32(2.0**112)


def to_fp16_words(values: Floats) -> Fp16Words:
    """Words of the nearest fp16 values, ties away from zero; 65520 and above is infinity, NaN is +infinity.

    The result never has the bits of minus zero.
    """
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    magnitude = bits & np.uint32(0x7FFFFFFF)
    small = magnitude < _FIRST_NORMAL
    steps = np.where(small, magnitude, 0).view(np.float32) * np.float32(2.0**24)
    below_half = np.nextafter(np.float32(0.5), np.float32(0))  # a tie then gives 1
    words = magnitude + np.uint32(0x1000) - np.uint32(112 << 23) >> np.uint32(13)
    words = np.where(small, (steps + below_half).astype(np.uint32), words)
    words = np.where(magnitude >= _FIRST_INFINITE, np.uint32(0x7C00), words)
    signed = (words != 0) & (magnitude <= 0x7F800000)
    return (words | np.where(signed, bits >> np.uint32(16) & np.uint32(0x8000), 0)).astype(np.uint16)


@dataclass(frozen=True, eq=False, slots=True)
class CompiledTable:
    """A table in the form the kernels take.

    Attributes:
        numbers: float32 (41,), fp16 words 0 to 40 as the data path reads them.
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
        return cls(from_fp16_words(words[:_NUMBERS]), meta)

    @classmethod
    def none(cls) -> CompiledTable:
        """A placeholder for work without a table."""
        return cls(np.zeros(_NUMBERS, np.float32), np.zeros(3, np.int64))

    def evaluate(self, values: Floats) -> Floats:
        """The table of every value, float32 before the result is rounded to fp16."""
        v = np.asarray(values, np.float32)
        low, high, below, above = self.numbers[:4]
        sign = SignRule(int(self.meta[2]))
        u = np.abs(v) if sign & SignRule.MAGNITUDE else v
        with np.errstate(all="ignore"):
            y = np.where(u <= low, below, np.where(u >= high, above, self._between_limits(u)))
        y = np.where(v < 0, -y, y) if sign & SignRule.NEGATE else y
        return np.where(v < 0, np.float32(0), y) if sign & SignRule.UNDEFINED_BELOW_ZERO else y

    def _between_limits(self, v: Floats) -> Floats:
        mode = TableMode(int(self.meta[1]))
        if mode in FIRST_KNOT_AT:
            return self._direct(v, FIRST_KNOT_AT[mode])
        if mode in (TableMode.FRACTION, TableMode.INTEGER):
            whole = np.trunc(v)
            return whole if mode is TableMode.INTEGER else v - whole
        if mode is TableMode.EXP2:
            whole = np.floor(v)
            return np.ldexp(self._chord((v - whole) * np.float32(32)), whole.astype(np.int64))
        significand, power = np.frexp(v)
        if mode is TableMode.RECIPROCAL:
            y = np.ldexp(self._chord((significand - np.float32(0.5)) * np.float32(64)), -power)
        elif mode is TableMode.LOG2:
            y = self._chord((significand - np.float32(0.5)) * np.float32(64)) + power.astype(np.float32)
        else:
            half = power >> 1
            root = self._chord(np.ldexp(significand, power - 2 * half) * np.float32(16))
            y = np.ldexp(root, half if mode is TableMode.SQRT else -half)
        return np.where(v > 0, y, self.numbers[2])

    def _direct(self, v: Floats, first_knot_at: int) -> Floats:
        """Modes whose knots cover the argument itself, with a line on either side."""
        numbers, no_knots = self.numbers, int(self.meta[0]) == NO_KNOTS
        left = numbers[_LEFT] * v + numbers[_LEFT + 1]
        right = numbers[_RIGHT] * v + numbers[_RIGHT + 1]
        if no_knots:
            return np.where(v > 0, right, left)
        steps, zero = np.ldexp(v, int(self.meta[0])), -first_knot_at
        down = (steps < 0) | (zero == _LAST_KNOT)
        inside = (steps >= -zero) & (steps <= _LAST_KNOT - zero)
        between = np.where(down, self._chord(np.abs(steps), zero, -1), self._chord(np.abs(steps), zero, 1))
        return np.where(inside, between, np.where(steps < 0, left, right))

    def _chord(self, steps: Floats, zero: int = 0, direction: int = 1) -> Floats:
        """Between two knots: so many steps from the knot number `zero` on, up or down."""
        last = _LAST_KNOT - zero if direction > 0 else zero
        whole = np.clip(np.nan_to_num(steps.reshape(-1)), 0, max(last - 1, 0)).astype(np.int64)
        places = np.clip(_KNOTS + zero + direction * (whole + np.array([[0], [1]])), _KNOTS, _KNOTS + _LAST_KNOT)
        knot, following = self.numbers[places]
        part = _rounded(_rounded(following - knot) * (steps.reshape(-1) - whole.astype(np.float32)))
        return _rounded(knot + part).reshape(steps.shape)


def _rounded(values: Floats) -> Floats:
    """Through fp16 and back."""
    return from_fp16_words(to_fp16_words(values))
