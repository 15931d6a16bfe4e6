"""Hyperbolic functions and their inverses, composed of several tasks.

Each is the sum of two parts: a product with x up to 1, whose relative error is bounded, and what the function grows by
beyond, from exponentials or logarithms; a factor that is 0 up to 1 keeps their errors away from zero.
"""

from __future__ import annotations

import math

from openane.backend.functions import tables
from openane.backend.functions.compositions import COMPOSED_HERE, odd_ratio
from openane.backend.functions.steps import INPUT, Composer, Recipe
from openane.numerics.fp16 import rounded_number
from openane.numerics.limits import HALF_LARGEST

_SINE = (0.1666259765625, 0.0085601806640625)
"""sinh(x) = x (1 + c1 x^2 + c2 x^4) on [-1, 1] (largest relative error 1.3e-5)."""

_COSINE = (0.499267578125, 0.0438232421875)
"""cosh(x) = 1 + c1 x^2 + c2 x^4 on [-1, 1] (largest relative error 7.3e-5)."""

_INVERSE_SINE = (0.57275390625, 1.1123046875, 2.603515625)
"""asinh on [-1, 1], of `odd_ratio` (largest relative error 1.8e-4)."""

_INVERSE_TANGENT = (0.47412109375, -0.8330078125, -1.583984375)
"""atanh on [-0.5, 0.5], of `odd_ratio` (largest relative error 3.7e-5)."""

_LN_2 = (0.44140625, 1.5703125)
"""Two fp16 factors whose product is ln 2 to 2e-6; after the first every growth is below 8, where fp16 is finer."""


def _growth_of_powers(composer: Composer, sign: float) -> int:
    """(e^m + sign e^-m) / 4 with m = |x|, less its value at 1, for m from 1 on; infinity twice that from 12 on.

    With m - 1, which is exact, no power is outside of the table. The power is corrected for what log2(e) loses as an
    fp16 factor; what is small is added first, so that large results are rounded three times.
    """
    magnitude = composer.magnitude(INPUT, bias=-1.0)
    above_one = composer.look_up(tables.clip(-1.0, 11.0), magnitude)
    power = composer.look_up(tables.quarter_e_exp2(), above_one, scale=tables.LOG2_E)
    small = composer.look_up(tables.exp2(), above_one, scale=-tables.LOG2_E)
    lost = rounded_number((math.log2(math.e) - tables.LOG2_E) * math.log(2))
    at_one = (math.e + sign / math.e) / 4
    rest = composer.add(
        small,
        composer.multiply(power, above_one, scale=lost),
        pre_scale=rounded_number(sign / (4 * math.e)),
        bias=rounded_number(-at_one),
    )
    return composer.add(power, rest)


def _beyond(composer: Composer, x: int, limited: int) -> int:
    """The sign of x where it is beyond the limits that `limited` is x within, else 0."""
    return composer.look_up(tables.sign(), composer.add(limited, x, pre_scale=-1.0))


def cosine() -> Recipe:
    """1 + c1 x^2 + c2 x^4 up to 1, and what the powers grow by beyond."""
    composer = Composer()
    limited = composer.look_up(tables.clip(-1.0, 1.0), INPUT)
    square = composer.multiply(limited, limited)
    slope = composer.multiply(limited, limited, scale=_COSINE[1], bias=_COSINE[0])
    near = composer.multiply(square, slope, bias=1.0)
    beyond = composer.look_up(tables.step(), composer.magnitude(INPUT, bias=-1.0))
    growth = composer.multiply(_growth_of_powers(composer, 1.0), beyond)
    composer.add(growth, near, pre_scale=2.0)
    return composer.recipe(COMPOSED_HERE)


def sine() -> Recipe:
    """x (1 + c1 x^2 + c2 x^4) up to 1, and what the powers grow by beyond."""
    composer = Composer()
    limited = composer.look_up(tables.clip(-1.0, 1.0), INPUT)
    square = composer.multiply(limited, limited)
    slope = composer.multiply(limited, limited, scale=_SINE[1], bias=_SINE[0])
    near = composer.multiply(limited, composer.multiply(square, slope, bias=1.0))
    growth = composer.multiply(_growth_of_powers(composer, -1.0), _beyond(composer, INPUT, limited))
    composer.add(growth, near, pre_scale=2.0)
    return composer.recipe(COMPOSED_HERE)


def _growth(composer: Composer, x: int, start: float, sign: float) -> int:
    """ln of (m + sqrt(m^2 + sign)) with m = |x|, less its value at `start`, for m from there on; of the sign of x.

    m is taken out of the root, so that m^2 cannot overflow. Up to `start` the result is 0.
    """
    magnitude = composer.magnitude(x)
    far = composer.look_up(tables.clip(start, HALF_LARGEST), magnitude)
    inverse = composer.look_up(tables.reciprocal(), far)
    root = composer.look_up(tables.sqrt(), composer.multiply(inverse, inverse, scale=sign, bias=1.0))
    ratio = composer.look_up(tables.log2(), root, bias=1.0)
    at_start = math.log2(start + math.sqrt(start * start + sign))
    growth = composer.add(
        composer.look_up(tables.log2(), far), ratio, scale=_LN_2[0], bias=rounded_number(-at_start * _LN_2[0])
    )
    limited = composer.look_up(tables.clip(-start, start), x)
    return composer.multiply(growth, _beyond(composer, x, limited), scale=_LN_2[1])


def _inverse_sine(composer: Composer, x: int) -> int:
    """asinh of an operand of either sign."""
    near = odd_ratio(composer, composer.look_up(tables.clip(-1.0, 1.0), x), _INVERSE_SINE)
    return composer.add(_growth(composer, x, 1.0, 1.0), near)


def inverse_sine() -> Recipe:
    """asinh(x), for every x."""
    composer = Composer()
    _inverse_sine(composer, INPUT)
    return composer.recipe(COMPOSED_HERE)


def inverse_cosine() -> Recipe:
    """2 asinh(sqrt((x - 1) / 2)) up to 3, and what the logarithm grows by beyond, for every x from 1 on."""
    composer = Composer()
    root = composer.look_up(tables.sqrt(), composer.line(INPUT, scale=0.5, bias=-0.5))
    limited = composer.look_up(tables.clip(0.0, 1.0), root)
    near = odd_ratio(composer, limited, _INVERSE_SINE, scale=2.0)
    composer.add(_growth(composer, INPUT, 3.0, -1.0), near)
    return composer.recipe(COMPOSED_HERE, (1.0, math.inf))


def inverse_tangent() -> Recipe:
    """An odd ratio up to 1/2, and what half of ln((1 + m) / (1 - m)) grows by beyond, where both are exact."""
    composer, start = Composer(), 0.5
    limited = composer.look_up(tables.clip(-start, start), INPUT)
    near = odd_ratio(composer, limited, _INVERSE_TANGENT)
    far = composer.look_up(tables.clip(start, 1.0), composer.magnitude(INPUT))
    below = composer.look_up(tables.log2(), composer.line(far, scale=-1.0, bias=1.0))
    above = composer.look_up(tables.log2(), far, bias=1.0)
    at_start = math.log2((1 + start) / (1 - start))
    growth = composer.add(below, above, pre_scale=-1.0, scale=_LN_2[0], bias=rounded_number(-at_start * _LN_2[0]))
    composer.add(composer.multiply(growth, _beyond(composer, INPUT, limited), scale=_LN_2[1] / 2), near)
    return composer.recipe(COMPOSED_HERE, (-1.0, 1.0))
