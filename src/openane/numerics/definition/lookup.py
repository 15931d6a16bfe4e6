"""Reading the lookup table of the activation unit (format: `openane.numerics.tables`).

The argument is a float32 [assumed: no measurement shows its width]; the steps up to the knot are exact or rounded to
float32. The rule, each part with its evidence:

- Sign first: |v| when the table sees magnitudes, the result negated for v < 0 when it says so [proved by programs];
  0 for v < 0 when the function is undefined there [measured on an M1: sqrt(-1) = log(-1) = 0].
- Limits next, both inclusive [proved by programs].
- Between knots: fp16(knot + fp16(fp16(next - knot) * fraction)), ties away from zero, where `knot` is the one nearer to
  zero. All 27 measured outputs of an M5 and 16 figures of an M6 (largest errors of eight functions, to all printed
  digits) are those of this rule; the errors of gelu over 1, 8 and 33 million normal values on an M1 and an M4 Pro agree
  within 2e-9, which the powers of the reference explain. Another base knot or one rounding less moves these errors by
  1e-5 to 1e-3, ties to even in the product by 2e-4 and in the difference by 1e-7.
- sqrt, rsqrt, reciprocal, log2 and exp2 reduce the argument first, exactly [proved by programs].
- Outside the knots of the direct modes: slope * v + intercept in float32 [a guess where it rounds].
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from openane.numerics.definition.fp16 import rounded
from openane.numerics.definition.single import F, number
from openane.numerics.tables import FIRST_KNOT_AT, KNOT_COUNT, NO_KNOTS, LookupTable, SignRule, StraightLine, TableMode

_HALF_DOMAIN = (TableMode.RECIPROCAL, TableMode.LOG2)
"""Modes whose knots cover [0.5, 1] of the significand in 32 steps."""


def look_up(table: LookupTable, argument: Fraction) -> float:
    """The table's result, before the output is rounded to fp16."""
    v = number(argument)
    if v < 0 and table.sign & SignRule.UNDEFINED_BELOW_ZERO:
        return 0.0
    u = abs(v) if table.sign & SignRule.MAGNITUDE else v
    if u <= _finite(table.lo):
        y = _finite(table.below)
    elif u >= _finite(table.hi):
        y = _finite(table.above)
    else:
        y = _between_limits(table, u)
    return float(-y if v < 0 and table.sign & SignRule.NEGATE else y)


def _finite(limit: float) -> np.float32:
    """A number of the table as the data path reads it: infinity is 65536."""
    return F(math.copysign(65536, limit)) if math.isinf(limit) else F(limit)


def _between_limits(table: LookupTable, v: np.float32) -> np.float32:
    mode = table.mode
    if mode in FIRST_KNOT_AT:
        return _direct(table, v)
    if mode is TableMode.FRACTION:
        return F(v - np.trunc(v))
    if mode is TableMode.INTEGER:
        return F(np.trunc(v))
    if mode is TableMode.EXP2:
        whole = math.floor(v)
        return F(math.ldexp(_chord(table, F(F(v - F(whole)) * F(32))), whole))
    significand, power = math.frexp(v)
    if mode is TableMode.RECIPROCAL:
        return F(math.ldexp(_chord(table, F((significand - 0.5) * 64)), -power))
    if mode is TableMode.LOG2:
        return F(_chord(table, F((significand - 0.5) * 64)) + F(power))
    half = power >> 1
    root = _chord(table, F(math.ldexp(significand, power - 2 * half) * 16))
    return F(math.ldexp(root, half if mode is TableMode.SQRT else -half))


def _direct(table: LookupTable, v: np.float32) -> np.float32:
    """Modes whose knots cover the argument itself, with a line on either side."""
    if table.step_exponent == NO_KNOTS:
        return _line(table.right if v > 0 else table.left, v)
    steps, zero = F(math.ldexp(v, table.step_exponent)), -FIRST_KNOT_AT[table.mode]
    if not -zero <= steps <= KNOT_COUNT - 1 - zero:
        return _line(table.left if steps < 0 else table.right, v)
    down = steps < 0 or zero == KNOT_COUNT - 1
    return _chord(table, F(abs(steps)), zero, -1 if down else 1)


def _line(line: StraightLine, v: np.float32) -> np.float32:
    return F(F(F(line.slope) * v) + F(line.intercept))


def _chord(table: LookupTable, steps: np.float32, zero: int = 0, direction: int = 1) -> np.float32:
    """Between two knots: so many steps from the knot number `zero` on, up or down."""
    last = KNOT_COUNT - 1 - zero if direction > 0 else zero
    whole = min(int(steps), last - 1)
    knot, following = (F(table.knots[zero + direction * (whole + more)]) for more in (0, 1))
    difference = _stored(F(following - knot))
    part = _stored(F(difference * F(steps - F(whole))))
    return _stored(F(knot + part))


def _stored(number: np.float32) -> np.float32:
    """Through fp16."""
    return F(rounded(float(number)))
