"""The lookup tables that Apple's compiler writes, from their rules.

Evidence, per table: `hash` = the image has the SHA-256 that was published for Apple's output (macOS 26 compiler);
`program` = the image is in a published Apple-compiled program (2020 to 2023 compilers); `described` = its fields
are described in public notes, no image at hand. Most of Apple's tables turn out to be plain samples of the
function. gelu and silu are fitted by a method that we know only nearly (least squares over the normal fp16 numbers
of the domain gives two thirds of the knots to the bit), so their knots stand here as data.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np

from openane.core.errors import InputError
from openane.numerics.fp16 import rounded_number, to_fp16
from openane.numerics.tables import KNOT_COUNT, LookupTable, SignRule, StraightLine, TableMode

INFINITY = math.inf
LOG2_E = rounded_number(math.log2(math.e))
"""PostScale before the 2^x table to make it e^x: 0x3DC5, 0.02 % above log2(e) (program, hash)."""

SMALLEST = 2.0**-24
"""The smallest positive fp16 number, the width of Apple's step function (program: ceil)."""

_GELU_KNOTS = (
    "0000 8e8a 9230 9757 9bf0 a011 a3bf a6ec a9bf ac75 ae67 b03d b11e b184 b104 aecf 922d "
    "3098 357e 389f 3ab8 3c78 3d9a 3eb9 3fd2 4072 40f8 417c 41fe 427f 4300 4380 4400"
)
_SILU_KNOTS = (
    "98cd 9c5e 9e65 a0ef a37b a5a9 a83b aa45 ac8e ae85 b088 b210 b3a9 b470 b460 b284 96fb "
    "34be 39d0 3ce4 3f0b 409f 41b7 42cc 43dc 4473 44f8 457a 45fc 467e 46fe 477f 47ff"
)


def finite_half(number: float, what: str) -> float:
    """A constant of a table as an fp16 number.

    Raises:
        InputError: it is NaN, infinite, or too large for fp16; `what` names it.
    """
    half = rounded_number(number)
    if not math.isfinite(half):
        raise InputError(f"{what} is not a finite fp16 number", value=number, limit="+-65504")
    return half


def _from_words(text: str) -> tuple[float, ...]:
    words = np.array([int(word, 16) for word in text.split()], dtype=np.uint16)
    return tuple(float(number) for number in words.view(np.float16))


def sample(function: Callable[[float], float], first: float, step: float) -> tuple[float, ...]:
    """33 samples of a function, each rounded to fp16."""
    return tuple(rounded_number(function(first + step * index)) for index in range(KNOT_COUNT))


@functools.cache
def sigmoid() -> LookupTable:
    """1 / (1 + e^-x), sampled on [-8, 8], lines outside (hash)."""
    return LookupTable(
        TableMode.CENTERED,
        sample(lambda x: 1 / (1 + math.exp(-x)), -8, 0.5),
        1,
        lo=-9.9375,
        hi=8.3203125,
        below=0.0,
        above=1.0,
        left=StraightLine(*_from_words("09ac 170c")),
        right=StraightLine(*_from_words("163e 3be6")),
    )


@functools.cache
def sigmoid_less_half() -> LookupTable:
    """sigmoid(x) - 0.5 as an odd function; a planar task adds 0.5 (program: sigmoid and silu of 2023)."""
    return LookupTable(
        TableMode.DIRECT,
        sample(lambda x: math.tanh(x / 2) / 2, 0, 0.25),
        2,
        lo=-1.0,
        hi=10.0,
        below=0.0,
        above=0.5,
        right=StraightLine(*_from_words("0800 37fb")),
        sign=SignRule.ODD,
    )


@functools.cache
def tanh() -> LookupTable:
    """tanh(x), odd, sampled on [0, 4] (hash, program)."""
    return LookupTable(
        TableMode.DIRECT,
        sample(math.tanh, 0, 0.125),
        3,
        lo=0.0,
        hi=4.0,
        below=0.0,
        above=1.0,
        right=StraightLine(0.0, 1.0),
        sign=SignRule.ODD,
    )


@functools.cache
def gelu() -> LookupTable:
    """x * Phi(x), fitted by Apple on [-4, 4], the identity above (hash, program)."""
    return LookupTable(
        TableMode.CENTERED,
        _from_words(_GELU_KNOTS),
        2,
        lo=rounded_number(-4.4),
        below=0.0,
        above=INFINITY,
        right=StraightLine(1.0, 0.0),
    )


@functools.cache
def silu() -> LookupTable:
    """x * sigmoid(x), fitted by Apple on [-8, 8], lines outside (hash)."""
    return LookupTable(
        TableMode.CENTERED,
        _from_words(_SILU_KNOTS),
        1,
        lo=rounded_number(-10.2),
        below=0.0,
        above=INFINITY,
        left=StraightLine(*_from_words("945d a191")),
        right=StraightLine(1.0, -(2.0**-8)),
    )


@functools.cache
def exp2() -> LookupTable:
    """2^x by fraction and exponent; 0 up to -25, infinity from 16 (hash, program)."""
    return LookupTable(
        TableMode.EXP2, sample(lambda f: 2.0**f, 0, 1 / 32), 5, lo=-25.0, hi=16.0, below=0.0, above=INFINITY
    )


@functools.cache
def quarter_e_exp2() -> LookupTable:
    """2^x e / 4, in the form of `exp2` with other knots, up to 2^16 alike (fitted here)."""
    knots = sample(lambda f: math.e / 4 * 2.0**f, 0, 1 / 32)
    return LookupTable(TableMode.EXP2, knots, 5, lo=-25.0, hi=16.0, below=0.0, above=INFINITY)


@functools.cache
def log2() -> LookupTable:
    """log2(x) of a positive x; -infinity at 0 (program: log)."""
    return LookupTable(
        TableMode.LOG2,
        sample(math.log2, 0.5, 1 / 64),
        6,
        lo=0.0,
        below=-INFINITY,
        above=0.0,
        sign=SignRule.MAGNITUDE | SignRule.UNDEFINED_BELOW_ZERO,
    )


@functools.cache
def sqrt() -> LookupTable:
    """The square root of a positive x (hash, program)."""
    return LookupTable(
        TableMode.SQRT,
        sample(lambda m: math.sqrt(m) if m >= 0.5 else 0.0, 0, 1 / 16),
        4,
        lo=0.0,
        below=0.0,
        above=INFINITY,
        sign=SignRule.MAGNITUDE | SignRule.UNDEFINED_BELOW_ZERO,
    )


@functools.cache
def rsqrt() -> LookupTable:
    """1 / sqrt(x) of a positive x; infinity at 0 (hash)."""
    return LookupTable(
        TableMode.RSQRT,
        sample(lambda m: 1 / math.sqrt(m) if m >= 0.5 else 0.0, 0, 1 / 16),
        4,
        lo=0.0,
        below=INFINITY,
        above=0.0,
        sign=SignRule.MAGNITUDE | SignRule.UNDEFINED_BELOW_ZERO,
    )


@functools.cache
def reciprocal() -> LookupTable:
    """1 / x; +infinity at both zeros (hash, program)."""
    return LookupTable(
        TableMode.RECIPROCAL,
        sample(lambda m: 1 / m, 0.5, 1 / 64),
        6,
        lo=0.0,
        below=INFINITY,
        above=0.0,
        sign=SignRule.ODD,
    )


def two_lines(left: StraightLine, right: StraightLine) -> LookupTable:
    """`left` for x <= 0 and `right` for x > 0, each as fp16 slope and intercept, without limits."""
    return LookupTable(
        TableMode.CENTERED,
        left=StraightLine(rounded_number(left.slope), rounded_number(left.intercept)),
        right=StraightLine(rounded_number(right.slope), rounded_number(right.intercept)),
    )


def leaky_relu(alpha: float) -> LookupTable:
    """x for x > 0, alpha * x below (program: 0.01)."""
    return two_lines(StraightLine(finite_half(alpha, "slope"), 0.0), StraightLine(1.0, 0.0))


def thresholded(threshold: float) -> LookupTable:
    """x where x > threshold, else 0; exact for every fp16 x and any threshold."""
    limit = to_fp16(finite_half(threshold, "threshold"))
    if float(limit) > threshold:  # comparing with the next number below gives the same answer for every fp16 x
        limit = np.nextafter(limit, to_fp16(-np.inf))
    line = StraightLine(1.0, 0.0)
    return LookupTable(TableMode.CENTERED, lo=float(limit), below=0.0, above=INFINITY, left=line, right=line)


def ramp(slope: float, intercept: float) -> LookupTable:
    """min(max(slope * x + intercept, 0), 1) with fp16 slope and intercept; the limits are where it meets 0 and 1."""
    line = StraightLine(finite_half(slope, "slope"), finite_half(intercept, "intercept"))
    if line.slope <= 0:
        raise InputError("the slope is not positive", value=slope)
    lo, hi = rounded_number(-line.intercept / line.slope), rounded_number((1 - line.intercept) / line.slope)
    return LookupTable(TableMode.CENTERED, lo=lo, hi=hi, below=0.0, above=1.0, left=line, right=line)


def clip(low: float, high: float) -> LookupTable:
    """min(max(x, low), high) (program: relu6)."""
    low, high = finite_half(low, "lower limit"), finite_half(high, "upper limit")
    if low > high:
        raise InputError("the lower limit is above the upper limit", value=low, limit=high)
    return LookupTable(
        TableMode.CENTERED,
        lo=low,
        hi=high,
        below=low,
        above=high,
        left=StraightLine(1.0, 0.0),
        right=StraightLine(1.0, 0.0),
    )


def maximum(constant: float) -> LookupTable:
    """max(x, constant) (described: limits, results and knots; the lines are taken from relu6)."""
    value = finite_half(constant, "constant")
    line = StraightLine(1.0, 0.0)
    return LookupTable(
        TableMode.CENTERED, (value,) * KNOT_COUNT, lo=value, below=value, above=INFINITY, left=line, right=line
    )


def minimum(constant: float) -> LookupTable:
    """min(x, constant) (described, as `maximum`)."""
    value = finite_half(constant, "constant")
    line = StraightLine(1.0, 0.0)
    return LookupTable(
        TableMode.CENTERED, (value,) * KNOT_COUNT, hi=value, below=-INFINITY, above=value, left=line, right=line
    )


@functools.cache
def sign() -> LookupTable:
    """-1, 0 or 1 (program: sign)."""
    return LookupTable(
        TableMode.DIRECT, lo=0.0, hi=1.0, below=0.0, above=1.0, right=StraightLine(0.0, 1.0), sign=SignRule.ODD
    )


@functools.cache
def step() -> LookupTable:
    """1 for x > 0, else 0 (program: third table of ceil)."""
    return LookupTable(
        TableMode.CENTERED, lo=-SMALLEST, hi=SMALLEST, below=0.0, above=1.0, right=StraightLine(0.0, 1.0)
    )


@functools.cache
def fraction() -> LookupTable:
    """x - trunc(x); 0 for infinities (program: first table of ceil)."""
    return LookupTable(TableMode.FRACTION, step_exponent=0, below=0.0, above=0.0, sign=SignRule.ODD)


@functools.cache
def integer() -> LookupTable:
    """trunc(x) (program: second table of ceil)."""
    return LookupTable(TableMode.INTEGER, step_exponent=5, sign=SignRule.ODD)
