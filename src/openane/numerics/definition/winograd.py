"""Winograd's F(2, 3) along the columns, as an M5 and an M6 compute convolutions with three columns of taps.

Four source pixels d0..d3 of a row and three taps g0..g2 give two results. Transformed pixels and taps are rounded to
fp16; their products are added in four accumulators, over input channels and rows of taps, as any products are:

    v = d0 - d2, d1 + d2, d2 - d1, d1 - d3          u = g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2
    even column = m0 + m1 + m2                       odd column = m1 - m2 - m3,    m = sums of v * u

Evidence: with this rule the errors of 3x3 convolutions with 64, 128, 256 and 512 channels, of a stencil and
of 16 layers are those published for an M5, an M5 Pro and an M6, to 13 digits and more (the layers to 7). For 64
channels that is .000516233846567; both axes transformed give .00060, no rounding to fp16 .00037. No single output is
published.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from openane.numerics.definition.fp16 import nearest, value

Four = tuple[int, int, int, int]
"""fp16 words, or factors."""
EVEN: Four = (1, 1, 1, 0)
ODD: Four = (0, 1, -1, -1)
"""Factors of the four sums in the result of an even and of an odd column."""


def transformed_pixels(words: Sequence[int]) -> Four:
    """fp16 words of v, of four neighboring pixels."""
    d0, d1, d2, d3 = map(value, words)
    return nearest(d0 - d2), nearest(d1 + d2), nearest(d2 - d1), nearest(d1 - d3)


def transformed_taps(words: Sequence[int]) -> Four:
    """fp16 words of u, of the three taps of a row."""
    g0, g1, g2 = map(value, words)
    half = Fraction(1, 2)
    return words[0], nearest((g0 + g1 + g2) * half), nearest((g0 - g1 + g2) * half), words[2]
