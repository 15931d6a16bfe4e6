"""Functions of one element that take several tasks.

Apple's compiler has ceil; the others are put together here from its tables and fitted ones. Every recipe says for which
arguments it is meant.
"""

from __future__ import annotations

import math

from openane.backend.functions import tables
from openane.backend.functions.steps import INPUT, Composer, PlanarStep, PlanarStepOperation, Recipe, Step, TableStep
from openane.numerics.fp16 import rounded_number
from openane.numerics.tables import StraightLine

COMPOSED_HERE = "composed here"
"""Origin of a recipe."""

_INTEGERS_FROM = 1024.0
"""From here to twice as much, neighboring fp16 numbers are 1 apart: adding it rounds to an integer, ties away."""
_BELOW_ONE = 1 - 2.0**-11
"""The largest fp16 number below 1."""


def _add(first: int, second: int, *, pre_scale: float = 1.0, scale: float = 1.0, bias: float = 0.0) -> PlanarStep:
    return PlanarStep(PlanarStepOperation.ADD, first, second, pre_scale, scale, bias)


def _multiply(first: int, second: int, *, scale: float = 1.0, bias: float = 0.0) -> PlanarStep:
    return PlanarStep(PlanarStepOperation.MULTIPLY, first, second, 1.0, scale, bias)


# Integers ------------------------------------------------------------------------------------------------------------


def ceil() -> Recipe:
    """trunc(x), and 1 more where the fraction is positive; Apple's four tasks (program: ceil)."""
    fraction, integer = TableStep(tables.fraction()), TableStep(tables.integer())
    return Recipe((fraction, TableStep(tables.step(), 1), integer, _add(2, 3)), "as Apple's compiler writes it")


def floor() -> Recipe:
    """trunc(x), and 1 less where the fraction is negative."""
    fraction, integer = TableStep(tables.fraction()), TableStep(tables.integer())
    return Recipe(
        (fraction, TableStep(tables.step(), 1, scale=-1.0), integer, _add(2, 3, pre_scale=-1.0)), COMPOSED_HERE
    )


def fraction() -> Recipe:
    """x - floor(x): the signed fraction, and 1 more where it is negative."""
    return Recipe((TableStep(tables.fraction()), TableStep(tables.step(), 1, scale=-1.0), _add(1, 2)), COMPOSED_HERE)


def _rounded(slope: float, operand: int, first_number: int, far: float = _INTEGERS_FROM) -> tuple[Step, Step]:
    """The multiple of far / 1024 nearest to slope * operand, ties away from 0, for results up to `far`."""
    outward = tables.two_lines(StraightLine(slope, -far), StraightLine(slope, far))
    return (
        TableStep(outward, operand),
        TableStep(tables.two_lines(StraightLine(1.0, far), StraightLine(1.0, -far)), first_number),
    )


def round_to_even() -> Recipe:
    """The nearest integer, ties to even: the part within +-1024 is rounded, the rest is an integer already.

    First to an even integer; the difference, at most 1, is rounded with ties to 0 because it is made a little smaller.
    """
    limited = TableStep(tables.clip(-_INTEGERS_FROM, _INTEGERS_FROM))
    even = _rounded(1.0, 1, 2, 2 * _INTEGERS_FROM)
    difference = _add(3, 1, pre_scale=-1.0)
    correction = _rounded(_BELOW_ONE, 4, 5)
    rest = _add(1, INPUT, pre_scale=-1.0)
    return Recipe((limited, *even, difference, *correction, rest, _add(3, 6), _add(7, 8)), COMPOSED_HERE)


# Ratios --------------------------------------------------------------------------------------------------------------


def softsign() -> Recipe:
    """x / (1 + |x|) by the reciprocal table."""
    return Recipe(
        (PlanarStep(magnitude=True, bias=1.0), TableStep(tables.reciprocal(), 1), _multiply(INPUT, 2)), COMPOSED_HERE
    )


def _gated(composer: Composer, gate: int, slope: float) -> Recipe:
    """x / (1 + e^(-slope * gate)); an overflow of the power gives 0, an underflow x."""
    power = composer.look_up(tables.exp2(), gate, scale=rounded_number(-slope * tables.LOG2_E))
    composer.multiply(INPUT, composer.look_up(tables.reciprocal(), power, bias=1.0))
    return composer.recipe(COMPOSED_HERE)


def gelu_by_tanh() -> Recipe:
    """x (1 + tanh(p)) / 2 = x / (1 + e^(-2 p)) with p = sqrt(2 / pi) (x + 0.044715 x^3)."""
    composer, slope = Composer(), 2 * math.sqrt(2 / math.pi)
    factor = composer.multiply(INPUT, INPUT, scale=rounded_number(slope * 0.044715), bias=rounded_number(slope))
    return _gated(composer, composer.multiply(INPUT, factor), 1.0)


def gelu_by_sigmoid() -> Recipe:
    """x / (1 + e^(-1.702 x))."""
    return _gated(Composer(), INPUT, 1.702)


# Angles --------------------------------------------------------------------------------------------------------------

_TURN_HIGH = 6.28125
"""2 pi to 1/32: its product with an integer up to 1024, taken from x, is exact in fp16."""

_TURN_LOW = rounded_number(2 * math.pi - _TURN_HIGH)
_ANGLE_LIMIT = 4096.0

_QUARTER_TURN = rounded_number(math.pi / 2)
_QUARTER_TURN_REST = rounded_number(math.pi / 2 - _QUARTER_TURN)

_SINE = (-0.1661376953125, 0.007659912109375)
"""sin(x) = x (1 + c1 x^2 + c2 x^4) within a quarter of a turn (largest relative error 1.5e-4)."""


def _angle(composer: Composer) -> int:
    """x less whole turns, within half a turn."""
    composer.steps.extend(_rounded(1 / (2 * math.pi), INPUT, 1))
    turns = len(composer.steps)
    rest = composer.add(turns, INPUT, pre_scale=-_TURN_HIGH)
    return composer.add(turns, rest, pre_scale=-_TURN_LOW)


def _sine(composer: Composer, angle: int) -> int:
    """The sine of an angle within a quarter of a turn; the angle is a factor, so its relative error is bounded."""
    square = composer.multiply(angle, angle)
    slope = composer.multiply(angle, angle, scale=_SINE[1], bias=_SINE[0])
    return composer.multiply(angle, composer.multiply(square, slope, bias=1.0))


def _folded(composer: Composer, angle: int) -> int:
    """The angle within a quarter of a turn that has the same sine: pi - x, in two parts, where x is beyond it."""
    limited = composer.look_up(tables.clip(-_QUARTER_TURN, _QUARTER_TURN), angle)
    beyond = composer.add(limited, angle, pre_scale=-1.0)
    folded = composer.add(beyond, limited, pre_scale=-1.0)
    return composer.add(composer.look_up(tables.sign(), beyond), folded, pre_scale=2 * _QUARTER_TURN_REST)


def _complement(composer: Composer, angle: int) -> int:
    """The angle within a quarter of a turn whose sine is the cosine: pi / 2 - |x|, in two parts, folded."""
    rough = composer.magnitude(angle, scale=-1.0, bias=_QUARTER_TURN)
    return _folded(composer, composer.line(rough, bias=_QUARTER_TURN_REST))


def _angular(composer: Composer) -> Recipe:
    return composer.recipe(COMPOSED_HERE, (-_ANGLE_LIMIT, _ANGLE_LIMIT))


def sine() -> Recipe:
    """sin(x) after taking off whole turns."""
    composer = Composer()
    _sine(composer, _folded(composer, _angle(composer)))
    return _angular(composer)


def cosine() -> Recipe:
    """cos(x) after taking off whole turns."""
    composer = Composer()
    _sine(composer, _complement(composer, _angle(composer)))
    return _angular(composer)


def tangent() -> Recipe:
    """sin(x) / cos(x)."""
    composer = Composer()
    angle = _angle(composer)
    opposite = _sine(composer, _folded(composer, angle))
    adjacent = _sine(composer, _complement(composer, angle))
    composer.multiply(opposite, composer.look_up(tables.reciprocal(), adjacent))
    return _angular(composer)


def odd_ratio(composer: Composer, x: int, constants: tuple[float, float, float], *, scale: float = 1.0) -> int:
    """scale * x (c + w / (x^2 + p)): an odd function on [-1, 1] with a bounded relative error.

    Args:
        composer: takes the four steps.
        x: operand.
        constants: c, w, p.
        scale: factor.
    """
    constant, weight, pole = constants
    inverse = composer.look_up(tables.reciprocal(), composer.multiply(x, x), bias=pole)
    return composer.multiply(x, composer.line(inverse, scale=weight, bias=constant), scale=scale)


_ARC_TANGENT = (0.380126953125, 1.1728515625, 1.892578125)
"""Of `odd_ratio` (largest relative error 2.8e-4)."""

_ARC_BORDER = 32.0
"""From here on atan(x) = pi / 2 - 1 / x but for 1e-5."""


def _half_angle(composer: Composer, opposite: int, adjacent: int) -> int:
    """atan(opposite / (1 + adjacent)) * 2, for opposite <= 1 + adjacent."""
    inverse = composer.look_up(tables.reciprocal(), adjacent, bias=1.0)
    return odd_ratio(composer, composer.multiply(opposite, inverse), _ARC_TANGENT, scale=2.0)


def arc_tangent() -> Recipe:
    """2 atan(x / (1 + sqrt(1 + x^2))) up to 32, and what 1 / x falls by beyond."""
    composer = Composer()
    limited = composer.look_up(tables.clip(-_ARC_BORDER, _ARC_BORDER), INPUT)
    hypotenuse = composer.look_up(tables.sqrt(), composer.multiply(limited, limited, bias=1.0))
    angle = _half_angle(composer, limited, hypotenuse)
    inverses = [composer.look_up(tables.reciprocal(), operand) for operand in (INPUT, limited)]
    composer.add(composer.add(*inverses, pre_scale=-1.0), angle)
    return composer.recipe(COMPOSED_HERE)


def _other_side(composer: Composer) -> int:
    """sqrt(1 - x^2)."""
    return composer.look_up(tables.sqrt(), composer.multiply(INPUT, INPUT, scale=-1.0, bias=1.0))


def arc_sine() -> Recipe:
    """2 atan(x / (1 + sqrt(1 - x^2)))."""
    composer = Composer()
    _half_angle(composer, INPUT, _other_side(composer))
    return composer.recipe(COMPOSED_HERE, (-1.0, 1.0))


def arc_cosine() -> Recipe:
    """a = 2 atan(sqrt(1 - x^2) / (1 + |x|)), and pi - a for x < 0."""
    composer = Composer()
    angle = _half_angle(composer, _other_side(composer), composer.magnitude(INPUT))
    below = composer.look_up(tables.step(), INPUT, scale=-1.0)
    rest = composer.line(angle, scale=-2.0, bias=2 * _QUARTER_TURN)
    angle = composer.add(below, angle, pre_scale=2 * _QUARTER_TURN_REST)
    composer.add(composer.multiply(below, rest), angle)
    return composer.recipe(COMPOSED_HERE, (-1.0, 1.0))
