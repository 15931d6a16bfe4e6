"""The planar engine's arithmetic on flat rows of float32: joining two sources, settling what is stored. Compiled."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from openane.numerics.jit import bits_of_float, inner
from openane.numerics.lookup import INFINITY
from openane.numerics.tiles import fetch_tile
from openane.numerics.vector import (
    LANES,
    add_lanes,
    larger_lanes,
    multiply_lanes,
    rectify_lanes,
    scale_lanes,
    smaller_lanes,
)

Halfwords = npt.NDArray[np.uint16]
Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

PRE_SCALE, SCALE, BIAS, FINAL_SCALE, EPSILON, NUMBER_COUNT = 0, 1, 2, 3, 4, 5
"""Places in `numbers`."""

(
    OPERATION,
    NEGATE_FIRST,
    NEGATE_SECOND,
    SECOND,
    ROWS,
    ABSOLUTE,
    FUNCTION,
    RELU,
    RELU_FIRST,
    RELU_SECOND,
    TIES_AWAY,
    ROW_STEP,
    STRAIGHT,
    FLAG_COUNT,
) = range(14)
"""Places in `flags`. With ROWS, the second source is repeated along its rows and ROW_STEP leads to the factor. With
STRAIGHT, two sources are added, multiplied or compared as they are, and nothing but scales and ReLU follows."""

NO_SECOND, WITH_SECOND = 0, 1
ADD, MULTIPLY, MAXIMUM, MINIMUM, SQUARED_SUM = range(5)
_RECIPROCAL, _RSQRT = 1, 2
_NEGATIVE_ZERO = np.uint32(0x80000000)


@inner
def rectify(row: Floats, place: int, count: int) -> None:
    """ReLU."""
    for x in range(place, place + count, LANES):
        rectify_lanes(row, x)


@inner
def _scale(row: Floats, place: int, count: int, factor: float) -> None:
    """By 1 nothing changes, not even a sign or a NaN; nor by adding -0."""
    if factor != 1:
        for x in range(place, place + count, LANES):
            scale_lanes(row, x, np.float32(factor), np.float32(-0.0))


@inner
def join(row: Floats, a: int, b: int, factors: int, count: int, numbers: Floats, flags: Integers) -> None:
    """The values of one or two sources, before scale and reduction; left in the place of the first.

    Args:
        row: holds all of them; whole vectors are worked.
        a, b: places of the sources; the second is overwritten, and not read without one.
        factors: place of the factors of row pairs; not read without.
    """
    operation = flags[OPERATION]
    if flags[RELU_FIRST]:
        rectify(row, a, count)
    _scale(row, a, count, -numbers[PRE_SCALE] if flags[NEGATE_FIRST] else numbers[PRE_SCALE])
    if flags[SECOND] != NO_SECOND:
        if flags[RELU_SECOND]:
            rectify(row, b, count)
        if flags[NEGATE_SECOND]:
            _scale(row, b, count, np.float32(-1))
        _join_two(row, a, b, count, operation)
    if operation == SQUARED_SUM:
        for x in range(0, count, LANES):
            multiply_lanes(row, a + x, row, a + x)
    if flags[ROWS]:
        for x in range(0, count, LANES):
            multiply_lanes(row, a + x, row, factors + x)
    if flags[ABSOLUTE]:
        for x in range(a, a + count):
            row[x] = abs(row[x])


@inner
def _join_two(row: Floats, a: int, b: int, count: int, operation: int) -> None:
    if operation == MULTIPLY:
        for x in range(0, count, LANES):
            multiply_lanes(row, a + x, row, b + x)
    elif operation == MAXIMUM:
        for x in range(0, count, LANES):
            larger_lanes(row, a + x, row, b + x)
    elif operation == MINIMUM:
        for x in range(0, count, LANES):
            smaller_lanes(row, a + x, row, b + x)
    else:
        for x in range(0, count, LANES):
            add_lanes(row, a + x, row, b + x)


@inner
def settle(row: Floats, place: int, count: int, numbers: Floats, flags: Integers) -> None:
    """From the joined or reduced values to the ones that are stored, in place; whole vectors are worked."""
    scale, bias, final, epsilon = numbers[SCALE], numbers[BIAS], numbers[FINAL_SCALE], numbers[EPSILON]
    for x in range(place, place + count, LANES):
        scale_lanes(row, x, scale, bias)
    if final != 1 or epsilon != 0 or bits_of_float(bias) == _NEGATIVE_ZERO:  # else no -0 is left that 0 would change
        for x in range(place, place + count, LANES):
            scale_lanes(row, x, final, epsilon)
    t = row[place : place + count]
    if flags[FUNCTION] == _RECIPROCAL:
        for x in range(count):
            t[x] = np.float32(INFINITY) if t[x] == 0 else np.float32(1) / t[x]
    elif flags[FUNCTION] == _RSQRT:
        for x in range(count):
            t[x] = np.float32(INFINITY) if t[x] <= 0 else np.float32(1) / np.sqrt(t[x])
    if flags[RELU]:
        rectify(row, place, count)


@inner
def fetch_joined(
    memory: Halfwords, numbers: Floats, flags: Integers, first: int, first_row: int, first_step: int, second: int,
    second_row: int, second_step: int, rows: int, columns: int, pitch: int, scratch: Floats, place: int, area: int,
) -> None:  # fmt: skip
    """A tile of one or two sources, joined, at scratch[place...]; the two areas behind it are used on the way.

    Args:
        first, second: place of the first element, then the strides of rows and columns.
        area: floats from one operand to the next.
    """
    operands = 1 if flags[SECOND] == NO_SECOND else 3 if flags[ROWS] else 2
    for operand in range(operands):  # one call: it is compiled into this place
        base = first if operand == 0 else second if operand == 1 else second + flags[ROW_STEP]
        row_stride, stride = (first_row, first_step) if operand == 0 else (second_row, second_step)
        fetch_tile(memory, base, row_stride, stride, rows, columns, pitch, scratch, place + operand * area)
    count = (rows - 1) * pitch + columns
    join(scratch, place, place + area, place + 2 * area, count, numbers, flags)
