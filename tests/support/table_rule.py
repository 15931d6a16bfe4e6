"""A table of every mode."""

from __future__ import annotations

import math

from tests.support.records import image

INF = math.inf


def knots(function: object, first: float, step: float) -> list[float]:
    return [float(function(first + i * step)) for i in range(33)]  # type: ignore[operator]


def tables() -> dict[str, bytes]:
    """One table for each mode, and for each rule of the sign."""
    none = [0.0] * 33
    return {
        "direct": image([0, 4, 0, 1, *knots(math.tanh, 0, 1 / 8), 0, 0, 0.1, 0.5], 3, 0x60),
        "direct_even": image([0, 3, 2, 1, *knots(math.cos, 0, 1 / 4), 0.5, 1, -0.5, 2], 2, 0x40),
        "centered": image([-9, 8.5, 0, 1, *knots(math.sin, -8, 1 / 2), 0.25, 1, 0.5, -1], 1, 0x01),
        "ending_at_zero": image([-INF, INF, 0, INF, *knots(math.exp, -8, 1 / 4), 0.1, -1, 2, 1], 2, 0x02),
        "lines": image([-INF, INF, -INF, INF, *none, 0.01, 0.5, 1, 0.25], 0x40, 0x01),
        "fraction": image([-INF, INF, 0, 0, *none, 0, 0, 0, 0], 0x40, 0x03),
        "integer": image([-INF, INF, -INF, INF, *none, 0, 0, 0, 0], 0x40, 0x04),
        "sqrt": image([0, INF, 0, INF, *knots(math.sqrt, 0, 1 / 16), 0, 0, 0, 0], 4, 0xC5),
        "rsqrt": image([0, INF, INF, 0, *knots(lambda x: 1 / math.sqrt(x or 1), 0, 1 / 16), 0, 0, 0, 0], 4, 0xC6),
        "reciprocal": image([0, INF, INF, 0, *knots(lambda x: 1 / x, 0.5, 1 / 64), 0, 0, 0, 0], 6, 0x67),
        "log2": image([0, INF, -INF, INF, *knots(math.log2, 0.5, 1 / 64), 0, 0, 0, 0], 6, 0xC9),
        "exp2": image([-25, 16, 0, INF, *knots(lambda x: 2**x, 0, 1 / 32), 0, 0, 0, 0], 5, 0x0A),
    }
