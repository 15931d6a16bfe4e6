"""The accumulator of `Accumulate.TILE4`: four products are added in a short significand, their sum joins a wide one.

Slow and plain: an option for those who compare with what was measured, see docs/measured.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from openane.numerics.jit import ROWS, VECTOR, bits_of_float, float_of_bits, inner

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

_TOGETHER = 4
"""Products whose sum is cut; blocks of steps are a multiple of it."""


@inner
def cut_tile(
    weights: Floats, first_weight: int, panel: Floats, count: int, sums: Floats, first_sum: int, pitch: int,
    fresh: bool,
) -> None:  # fmt: skip
    """`micro.multiply_tile` with the short accumulator."""
    for row in range(ROWS):
        for x in range(VECTOR):
            place = first_sum + row * pitch + x
            total = np.float32(0) if fresh else sums[place]
            partial = np.float32(0)
            for k in range(count):
                partial = _add_cut(weights[first_weight + k * ROWS + row] * panel[k * VECTOR + x], partial)
                if k % _TOGETHER == _TOGETHER - 1 or k == count - 1:
                    total += partial
                    partial = np.float32(0)
            sums[place] = total


@inner
def cut_products(
    sums: Floats, place: int, partials: int, length: int, offsets: Integers, first: int, end: int, weights: Floats,
    weight: int, last: int,
) -> None:  # fmt: skip
    """`vector.sum_products` with the short accumulator, for `length` results and the steps first ... end - 1.

    Args:
        sums: the image from 0 on, totals from `place` on, sums of less than four products from `partials` on.
        last: the last step of all; behind it every partial sum joins its total.
    """
    for x in range(length):
        total, partial = sums[place + x], sums[partials + x]
        if first == 0:
            total, partial = np.float32(0), np.float32(0)
        for k in range(first, end):
            partial = _add_cut(weights[weight + k] * sums[offsets[k] + x], partial)
            if k % _TOGETHER == _TOGETHER - 1 or k == last:
                total += partial
                partial = np.float32(0)
        sums[place + x], sums[partials + x] = total, partial


@inner
def _add_cut(a: float, b: float) -> Any:
    """a + b where the smaller one loses its bits below the 12-bit significand of the larger one, as does the sum."""
    if abs(a) < abs(b):
        a, b = b, a
    exponent = np.int64((bits_of_float(np.float32(a)) >> np.uint32(23)) & np.uint32(0xFF))
    if exponent <= 11 or b == 0:
        total = np.float32(a)
    else:
        unit = float_of_bits(np.uint32((exponent - 11) << 23))
        total = np.float32(a) + np.float32(np.trunc(np.float32(b) / unit)) * unit
    return float_of_bits(np.uint32(bits_of_float(total) & np.uint32(0xFFFFF000)))
