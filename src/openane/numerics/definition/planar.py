"""Arithmetic of the planar engine.

An operation of two fp16 values is exact and its result is rounded to fp16 once, ties away from zero, with the whole
range of fp16 and its subnormals [measured on an M6: 42 additions, products and differences; a sum of 2049 reads 2050
on seven chips]. Values between the steps of a task are float32 [assumed], which is wide enough: one operation of two
fp16 values rounded to float32 and then to fp16 gives what one rounding gives.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from openane.numerics.definition.fp16 import rounded, units
from openane.numerics.definition.single import F
from openane.numerics.profile import ReductionOrder

_HUGE = F(65536)
"""What infinity is inside the data path."""


def read(word: int) -> np.float32:
    """A stored fp16 inside the data path."""
    return F(units(word) / (1 << 24))


def positive(x: np.float32) -> np.float32:
    """ReLU; the result has no minus zero."""
    return x if x > 0 else F(0)


def reciprocal(x: np.float32) -> np.float32:
    """1 / x, infinity for zero [assumed: the engine surely has a table here]."""
    return _HUGE if x == 0 else F(F(1) / x)


def reciprocal_root(x: np.float32) -> np.float32:
    """1 / sqrt(x), infinity for zero and below [assumed]."""
    return _HUGE if x <= 0 else F(F(1) / np.sqrt(x))


def total(values: Sequence[np.float32], order: ReductionOrder) -> np.float32:
    """The sum of a reduction, in the order of the profile."""
    if order is ReductionOrder.FP16_PAIRS:
        return _pairs([_stored(value) for value in values])
    result = F(0)
    for value in values:
        result = F(result + value)
        if order is ReductionOrder.FP16_SEQUENCE:
            result = _stored(result)
    return result


def _pairs(values: list[np.float32]) -> np.float32:
    """Neighbors are added, then neighbors of the sums; a value without a neighbor waits."""
    while len(values) > 1:
        sums = [_stored(F(values[i] + values[i + 1])) for i in range(0, len(values) - 1, 2)]
        values = sums + values[2 * len(sums) :]
    return values[0] if values else F(0)


def _stored(value: np.float32) -> np.float32:
    """Through fp16 and back."""
    return F(rounded(float(value)))
