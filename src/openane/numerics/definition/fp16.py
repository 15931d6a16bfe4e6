"""fp16 as the engine reads and writes it.

A 16-bit word has a sign, five bits of exponent and ten of mantissa. Exponent 31 is an ordinary exponent: the word of
infinity is 65536, the words of NaN are 65600 to 131008 [measured on an M6: 7E00 * 2^-12 = 24]. Every value is a
multiple of 2^-24, the step of the subnormals. Writing rounds to the nearest value, ties away from zero [measured on
an M4 and an M6; an M1's statistics agree to 12 digits], and never writes minus zero or NaN.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache

FRACTION_BITS = 24
"""The step of the subnormals is 2^-24."""
INFINITY_WORD = 0x7C00
_SIGN, _MANTISSA_BITS = 0x8000, 10
_WORDS = 1 << 16


@lru_cache(maxsize=_WORDS)
def units(word: int) -> int:
    """The value of a word, in units of 2^-24."""
    field, mantissa = word >> _MANTISSA_BITS & 31, word & 0x3FF
    magnitude = mantissa if field == 0 else (1024 + mantissa) << field - 1
    return -magnitude if word & _SIGN else magnitude


@lru_cache(maxsize=_WORDS)
def exponent(word: int) -> int:
    """The exponent of a word; subnormals and zero count as -14."""
    field = word >> _MANTISSA_BITS & 31
    return field - 15 if field else -14


def value(word: int) -> Fraction:
    """The value of a word."""
    return Fraction(units(word), 1 << FRACTION_BITS)


def half_away(number: Fraction) -> int:
    """The nearest integer, ties away from zero."""
    magnitude = math.floor(abs(number) + Fraction(1, 2))
    return -magnitude if number < 0 else magnitude


def shifted_half_away(number: int, bits: int) -> int:
    """`number` / 2^`bits` to the nearest integer, ties away from zero."""
    magnitude = (2 * abs(number) >> bits) + 1 >> 1
    return -magnitude if number < 0 else magnitude


def nearest(number: Fraction | float) -> int:
    """The word of the nearest fp16 value, ties away from zero.

    From 65520 on it is infinity. Zero has no sign; an IEEE NaN becomes plus infinity.
    """
    if not math.isfinite(number):
        return INFINITY_WORD | (_SIGN if number < 0 else 0)
    exact = Fraction(number)
    magnitude = abs(exact) * (1 << FRACTION_BITS)
    shift = max(math.floor(magnitude).bit_length() - _MANTISSA_BITS - 1, 0)
    word = half_away(magnitude / (1 << shift)) + (shift << _MANTISSA_BITS)  # a carry lands in the exponent
    word = min(word, INFINITY_WORD)
    return word | _SIGN if word and exact < 0 else word


def rounded(number: Fraction | float) -> Fraction:
    """The nearest fp16 value, as the next step of the data path reads it."""
    return value(nearest(number))
