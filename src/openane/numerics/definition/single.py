"""float32, the width of intermediate values outside of the MAC array [assumed: no measurement shows it]."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

F = np.float32
"""One IEEE float32; every operation rounds once, ties to even."""


def number(exact: Fraction) -> np.float32:
    """The nearest float32, ties to even.

    A value with 53 significant bits or fewer passes float64 unchanged, which sums of the MAC array times an fp16 do.
    """
    return F(float(exact))
