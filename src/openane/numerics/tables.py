"""The 128-byte lookup table of the neural engine: its format. `openane.numerics.lookup` evaluates it.

Sixty-four little-endian fp16 words, read on H13 (A14, M1) and unchanged up to H17:

========  ==============================================================
fp16 word  meaning
========  ==============================================================
0, 1      lower and upper limit of the argument
2, 3      result at or below the lower, at or above the upper limit
4..36     33 knots
37, 38    slope and intercept of the line left of the knots
39, 40    slope and intercept of the line right of the knots
41        step exponent k: knots are 2^-k apart; 0x40 = no knots
42        mode (bits 3:0), what happens to the sign (bits 7:5)
43..63    zero
========  ==============================================================

Evidence: proved by running Apple-compiled programs (all fields), by the SHA-256 of published images, and for
the interpolation by measured outputs of an M5. What modes 8 and 11 to 15 and bit 4 of the last fp16 word do is unknown:
such tables are refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from enum import IntEnum, IntFlag

import numpy as np
import numpy.typing as npt

from openane.core.errors import FormatError
from openane.core.reader import Buffer
from openane.numerics.fp16 import rounded, to_fp16

TABLE_BYTES = 128
KNOT_COUNT = 33
NO_KNOTS = 0x40
"""The step exponent of a table without knots: two lines that meet at zero."""

_LAST_KNOT = KNOT_COUNT - 1
_MODE_MASK, _SIGN_MASK = 0x000F, 0x00E0


class TableMode(IntEnum):
    """How an argument finds its place among the knots."""

    DIRECT = 0
    """Knots cover [0, 32 steps]."""
    CENTERED = 1
    """Knots cover [-16 steps, 16 steps]."""
    ENDING_AT_ZERO = 2
    """Knots cover [-32 steps, 0]."""
    FRACTION = 3
    """v - trunc(v); no knots."""
    INTEGER = 4
    """trunc(v); no knots."""
    SQRT = 5
    """v = m * 4^q with m in [0.5, 2): T(m) * 2^q; knots cover [0, 2]."""
    RSQRT = 6
    """The same split: T(m) * 2^-q."""
    RECIPROCAL = 7
    """v = m * 2^e with m in [0.5, 1): T(m) * 2^-e; knots cover [0.5, 1]."""
    LOG2 = 9
    """The same split: T(m) + e."""
    EXP2 = 10
    """v = n + f with n = floor(v): T(f) * 2^n; knots cover [0, 1]."""


class SignRule(IntFlag):
    """What happens to the sign of the argument (bits 7:5 of fp16 word 42)."""

    NONE = 0
    NEGATE = 0x20
    """The result is negated when the argument was negative."""
    MAGNITUDE = 0x40
    """The table sees |v|."""
    UNDEFINED_BELOW_ZERO = 0x80
    """Set with MAGNITUDE on log2, sqrt and rsqrt: 0 for v < 0 (measured on an M1: sqrt(-1) = log(-1) = 0)."""
    ODD = 0x60
    """MAGNITUDE and NEGATE: f(-v) = -f(v)."""


FIRST_KNOT_AT = {
    TableMode.DIRECT: 0,
    TableMode.CENTERED: -16,
    TableMode.ENDING_AT_ZERO: -32,
}
"""Place of the first knot, in steps, in the modes that interpolate the argument itself."""

_FIXED_STEP_EXPONENT = {
    TableMode.SQRT: 4,
    TableMode.RSQRT: 4,
    TableMode.RECIPROCAL: 6,
    TableMode.LOG2: 6,
    TableMode.EXP2: 5,
}
"""In the modes that split the argument the knots always cover the whole range of the significand or fraction."""


@dataclass(frozen=True, slots=True)
class StraightLine:
    """slope * v + intercept; both are fp16 values."""

    slope: float = 0.0
    intercept: float = 0.0


@dataclass(frozen=True, slots=True)
class LookupTable:
    """One table. All numbers are fp16 values held as Python floats.

    Attributes:
        mode: how an argument finds its place.
        knots: the 33 function values; zeros when the mode or `step_exponent` has none.
        step_exponent: knots are 2^-step_exponent apart; NO_KNOTS leaves only the two lines.
        lo, hi: limits of the argument, infinities allowed; both comparisons include equality and go first.
        below, above: results at and beyond the limits.
        left, right: lines outside the knots, in the modes that interpolate the argument itself.
        sign: what happens to the sign of the argument, before everything else.
    """

    mode: TableMode
    knots: tuple[float, ...] = (0.0,) * KNOT_COUNT
    step_exponent: int = NO_KNOTS
    lo: float = -math.inf
    hi: float = math.inf
    below: float = -math.inf
    above: float = math.inf
    left: StraightLine = field(default=StraightLine())
    right: StraightLine = field(default=StraightLine())
    sign: SignRule = SignRule.NONE

    def __post_init__(self) -> None:
        self.validate()

    def validate(self, where: str = "lookup table") -> None:
        """Checks everything that the format cannot hold or the evaluation rule does not define.

        Raises:
            FormatError: a number that is not an fp16 value, a wrong count of knots, an exponent out of range.
        """
        if len(self.knots) != KNOT_COUNT:
            raise FormatError("wrong number of knots", where=where, value=len(self.knots), limit=KNOT_COUNT)
        numbers = self._numbers()
        exact = rounded(numbers) == numbers
        if not exact.all():
            raise FormatError(
                "a value of the table is not an fp16 number",
                where=where,
                value=repr(float(numbers[~exact][0])),
                hint="Round it to float16 first; NaN is not allowed.",
            )
        if not -0x8000 <= self.step_exponent < 0x8000:
            raise FormatError("step exponent does not fit", where=where, value=self.step_exponent, limit="16 bits")
        fixed = _FIXED_STEP_EXPONENT.get(self.mode, self.step_exponent)
        if self.step_exponent != fixed:
            raise FormatError(
                f"step exponent does not go with mode {self.mode.name}",
                where=where,
                value=self.step_exponent,
                limit=fixed,
            )
        if self.mode in FIRST_KNOT_AT and self.step_exponent != NO_KNOTS and abs(self.step_exponent) > 24:
            raise FormatError("step exponent out of range", where=where, value=self.step_exponent, limit="-24..24")

    def _numbers(self) -> npt.NDArray[np.float64]:
        """Fp16Words 0 to 40 as numbers."""
        lines = (self.left.slope, self.left.intercept, self.right.slope, self.right.intercept)
        return np.array((self.lo, self.hi, self.below, self.above, *self.knots, *lines), dtype=np.float64)

    @property
    def has_knots(self) -> bool:
        """Whether some argument is interpolated between knots."""
        if self.mode in FIRST_KNOT_AT:
            return self.step_exponent != NO_KNOTS
        return self.mode in _FIXED_STEP_EXPONENT

    @property
    def step(self) -> float:
        """Distance between knots in units of the (reduced) argument; 0 without knots."""
        return 2.0**-self.step_exponent if self.has_knots else 0.0

    @property
    def domain(self) -> tuple[float, float]:
        """First and last knot position, in units of the (reduced) argument."""
        if self.mode in (TableMode.RECIPROCAL, TableMode.LOG2):
            return (0.5, 1.0)
        first = FIRST_KNOT_AT.get(self.mode, 0) * self.step
        return (first, first + _LAST_KNOT * self.step)

    @property
    def has_pole(self) -> bool:
        """Whether the mode is one of sqrt, rsqrt, reciprocal, log2: Apple's task headers mark these."""
        return self.mode in (TableMode.SQRT, TableMode.RSQRT, TableMode.RECIPROCAL, TableMode.LOG2)

    def saturated(self, hi: float, above: float) -> LookupTable:
        """The same table with another upper limit and the result from there on."""
        return replace(self, hi=hi, above=above)

    def encode(self) -> bytes:
        """The 128 bytes."""
        words = np.zeros(TABLE_BYTES // 2, dtype="<u2")
        words[:41] = to_fp16(self._numbers()).view(np.uint16)
        words[41] = self.step_exponent & 0xFFFF
        words[42] = self.mode | self.sign
        return words.tobytes()

    @classmethod
    def decode(cls, data: Buffer, where: str = "lookup table") -> LookupTable:
        """Reads 128 bytes.

        Raises:
            FormatError: wrong length, NaN, an unknown mode, or bits set whose meaning is unknown.
        """
        if len(data) != TABLE_BYTES:
            raise FormatError("wrong length", where=where, value=f"{len(data)} bytes", limit=f"{TABLE_BYTES} bytes")
        words = np.frombuffer(data, dtype="<u2")
        numbers = [float(number) for number in words[:41].view("<f2")]
        if any(math.isnan(number) for number in numbers):
            raise FormatError("a NaN among the values", where=where)
        meta = int(words[42])
        unknown = meta & ~(_MODE_MASK | _SIGN_MASK)
        if unknown or words[43:].any():
            raise FormatError(
                "bits are set whose meaning is unknown",
                where=where,
                value=f"fp16 word 42 {meta:#06x}, {int(np.count_nonzero(words[43:]))} nonzero fp16 words after it",
            )
        try:
            mode = TableMode(meta & _MODE_MASK)
        except ValueError:
            known = ", ".join(str(int(known)) for known in TableMode)
            raise FormatError("unknown mode", where=where, value=meta & _MODE_MASK, limit=known) from None
        lo, hi, below, above = numbers[:4]
        try:
            return cls(
                mode,
                tuple(numbers[4:37]),
                int(words[41].view(np.int16)),
                lo,
                hi,
                below,
                above,
                left=StraightLine(*numbers[37:39]),
                right=StraightLine(*numbers[39:41]),
                sign=SignRule(meta & _SIGN_MASK),
            )
        except FormatError as error:
            raise error.at(where) from None
