"""Functions of one element that take several tasks on H13.

Apple's compiler has ceil; the others are put together here from its tables and fitted ones. Every recipe says for which
arguments it is meant.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from openane.backend.functions import tables
from openane.backend.functions.steps import INPUT, LN_2, PlanarOperation, PlanarStep, Recipe, Step, TableStep
from openane.numerics.fitting import Array, Tail, fit_table
from openane.numerics.tables import Line, LookupTable, SignRule, TableMode

_HERE = "composed here"
_INTEGERS_FROM = 1024.0
"""From here to twice as much, neighbouring fp16 numbers are 1 apart: adding it rounds to an integer, ties to even."""

_HYPERBOLIC_LIMIT = 11.0
"""e^x still fits into fp16."""

_SQUARE_LIMIT = 255.0
"""x^2 + 1 still fits into fp16."""


def _add(first: int, second: int, *, pre_scale: float = 1.0, scale: float = 1.0, bias: float = 0.0) -> PlanarStep:
    return PlanarStep(PlanarOperation.ADD, first, second, pre_scale, scale, bias)


def _multiply(first: int, second: int, *, scale: float = 1.0, bias: float = 0.0) -> PlanarStep:
    return PlanarStep(PlanarOperation.MULTIPLY, first, second, 1.0, scale, bias)


# Integers ------------------------------------------------------------------------------------------------------------


def ceil() -> Recipe:
    """trunc(x), and 1 more where the fraction is positive; Apple's four tasks (program: ceil)."""
    fraction, integer = TableStep(tables.fraction()), TableStep(tables.integer())
    return Recipe((fraction, TableStep(tables.step(), 1), integer, _add(2, 3)), "as Apple's compiler writes it")


def floor() -> Recipe:
    """trunc(x), and 1 less where the fraction is negative."""
    fraction, integer = TableStep(tables.fraction()), TableStep(tables.integer())
    return Recipe((fraction, TableStep(tables.step(), 1, scale=-1.0), integer, _add(2, 3, pre_scale=-1.0)), _HERE)


def fraction() -> Recipe:
    """x - floor(x): the signed fraction, and 1 more where it is negative."""
    return Recipe((TableStep(tables.fraction()), TableStep(tables.step(), 1, scale=-1.0), _add(1, 2)), _HERE)


def _rounded(slope: float, operand: int, first_number: int) -> tuple[Step, Step]:
    """The integer nearest to slope * operand, ties to even, for results up to 1024."""
    far = _INTEGERS_FROM
    outward = tables.two_lines(Line(slope, -far), Line(slope, far))
    return (
        TableStep(outward, operand),
        TableStep(tables.two_lines(Line(1.0, far), Line(1.0, -far)), first_number),
    )


def round_to_even() -> Recipe:
    """The nearest integer, ties to even: the part within +-1024 is rounded, the rest is an integer already."""
    limited = TableStep(tables.clip(-_INTEGERS_FROM, _INTEGERS_FROM))
    rest = _add(1, INPUT, pre_scale=-1.0)
    return Recipe((limited, *_rounded(1.0, 1, 2), rest, _add(3, 4)), _HERE)


# Ratios --------------------------------------------------------------------------------------------------------------


def softsign() -> Recipe:
    """x / (1 + |x|) by the reciprocal table."""
    return Recipe((PlanarStep(magnitude=True, bias=1.0), TableStep(tables.reciprocal(), 1), _multiply(INPUT, 2)), _HERE)


# Angles --------------------------------------------------------------------------------------------------------------

_TURN_HIGH = 6.28125
"""2 pi to 1/32: its product with an integer up to 1024, taken from x, is exact in fp16."""

_TURN_LOW = tables.to_half(2 * math.pi - _TURN_HIGH)
_ANGLE_LIMIT = 4096.0


@functools.cache
def _sine_table() -> LookupTable:
    return fit_table(np.sin, mode=TableMode.DIRECT, sign=SignRule.ODD, exponents=(3,)).table


@functools.cache
def _cosine_table() -> LookupTable:
    return fit_table(np.cos, mode=TableMode.CENTRED, exponents=(2,)).table


def _angle() -> tuple[Step, ...]:
    """Four steps; the last is x less whole turns, within +-4."""
    return (
        *_rounded(1 / (2 * math.pi), INPUT, 1),
        _add(2, INPUT, pre_scale=-_TURN_HIGH),
        _add(2, 3, pre_scale=-_TURN_LOW),
    )


def _angular(*steps: Step) -> Recipe:
    return Recipe((*_angle(), *steps), _HERE, (-_ANGLE_LIMIT, _ANGLE_LIMIT))


def sine() -> Recipe:
    """sin(x) after taking off whole turns."""
    return _angular(TableStep(_sine_table(), 4))


def cosine() -> Recipe:
    """cos(x) after taking off whole turns."""
    return _angular(TableStep(_cosine_table(), 4))


def tangent() -> Recipe:
    """sin(x) / cos(x); useless within some 0.01 of a pole."""
    return _angular(
        TableStep(_sine_table(), 4), TableStep(_cosine_table(), 4), TableStep(tables.reciprocal(), 6), _multiply(5, 7)
    )


@functools.cache
def _arc_tables() -> tuple[LookupTable, LookupTable]:
    """atan up to 8, and what it grows by beyond."""
    border = 8.0
    at_border = math.atan(border)
    inner = fit_table(
        np.arctan, mode=TableMode.DIRECT, sign=SignRule.ODD, right=Tail(0.0, at_border), exponents=(2,)
    ).table

    def growth(x: Array) -> Array:
        return np.maximum(np.arctan(x) - at_border, 0)

    outer = fit_table(
        growth,
        mode=TableMode.DIRECT,
        sign=SignRule.ODD,
        right=Tail(0.0, math.pi / 2 - at_border),
        exponents=(-1,),
    ).table
    return inner.saturated(border, tables.to_half(at_border)), outer


def arc_tangent() -> Recipe:
    """atan(x) as the sum of two tables, the way Apple's compiler does it, with another border between them."""
    inner, outer = _arc_tables()
    return Recipe((TableStep(inner), TableStep(outer), _add(1, 2)), _HERE)


@functools.cache
def _arc_cosine_factor() -> LookupTable:
    """acos(x) / sqrt(1 - x) for x from 0 to 1, smooth: it goes from pi / 2 to sqrt(2)."""

    def factor(x: Array) -> Array:
        inside = np.minimum(np.abs(x), 1 - 1e-12)
        return np.asarray(np.arccos(inside) / np.sqrt(1 - inside), dtype=np.float64)

    def even(x: Array) -> Array:
        return factor(np.clip(x, -1, 1))

    return fit_table(even, mode=TableMode.CENTRED, exponents=(4,)).table


def _arc_cosine_of_magnitude() -> tuple[Step, ...]:
    """Four steps; the last is acos(|x|)."""
    return (
        PlanarStep(magnitude=True, scale=-1.0, bias=1.0),
        TableStep(tables.sqrt(), 1),
        TableStep(_arc_cosine_factor()),
        _multiply(2, 3),
    )


def _arc_sine_steps() -> tuple[Step, ...]:
    """Seven steps; the last is asin(x)."""
    quarter = tables.to_half(math.pi / 2)
    return (
        *_arc_cosine_of_magnitude(),
        PlanarStep(first=4, scale=-1.0, bias=quarter),
        TableStep(tables.sign()),
        _multiply(5, 6),
    )


def arc_sine() -> Recipe:
    """asin(x) = sign(x) (pi / 2 - acos(|x|))."""
    return Recipe(_arc_sine_steps(), _HERE, (-1.0, 1.0))


def arc_cosine() -> Recipe:
    """acos(x) = pi / 2 - asin(x)."""
    last = PlanarStep(first=7, scale=-1.0, bias=tables.to_half(math.pi / 2))
    return Recipe((*_arc_sine_steps(), last), _HERE, (-1.0, 1.0))


# Hyperbolic functions ------------------------------------------------------------------------------------------------


def _exponentials() -> tuple[Step, Step]:
    """e^x and e^-x."""
    return TableStep(tables.exp2(), scale=tables.LOG2_E), TableStep(tables.exp2(), scale=-tables.LOG2_E)


def hyperbolic_sine() -> Recipe:
    """(e^x - e^-x) / 2."""
    domain = (-_HYPERBOLIC_LIMIT, _HYPERBOLIC_LIMIT)
    return Recipe((*_exponentials(), _add(2, 1, pre_scale=-1.0, scale=0.5)), _HERE, domain)


def hyperbolic_cosine() -> Recipe:
    """(e^x + e^-x) / 2."""
    domain = (-_HYPERBOLIC_LIMIT, _HYPERBOLIC_LIMIT)
    return Recipe((*_exponentials(), _add(1, 2, scale=0.5)), _HERE, domain)


def inverse_hyperbolic_sine() -> Recipe:
    """sign(x) ln(|x| + sqrt(x^2 + 1))."""
    steps = (
        _multiply(INPUT, INPUT, bias=1.0),
        TableStep(tables.sqrt(), 1),
        PlanarStep(magnitude=True),
        _add(2, 3),
        TableStep(tables.log2(), 4),
        TableStep(tables.sign()),
        _multiply(5, 6, scale=LN_2),
    )
    return Recipe(steps, _HERE, (-_SQUARE_LIMIT, _SQUARE_LIMIT))


def inverse_hyperbolic_cosine() -> Recipe:
    """ln(x + sqrt(x^2 - 1)) for x from 1."""
    steps = (
        _multiply(INPUT, INPUT, bias=-1.0),
        TableStep(tables.sqrt(), 1),
        _add(INPUT, 2),
        TableStep(tables.log2(), 3),
        PlanarStep(first=4, scale=LN_2),
    )
    return Recipe(steps, _HERE, (1.0, _SQUARE_LIMIT))


def inverse_hyperbolic_tangent() -> Recipe:
    """ln((1 + x) / (1 - x)) / 2."""
    steps = (
        PlanarStep(scale=-1.0, bias=1.0),
        TableStep(tables.reciprocal(), 1),
        PlanarStep(bias=1.0),
        _multiply(2, 3),
        TableStep(tables.log2(), 4),
        PlanarStep(first=5, scale=tables.to_half(math.log(2) / 2)),
    )
    return Recipe(steps, _HERE, (-1.0, 1.0))
