"""The planar engine's reductions: over windows, and over all of depth, height and width. Compiled.

Every result is one chain over its elements, row by row, from left to right. Neighbouring results take the same step
together. The largest of a window is the largest of its rows' largest, and of equal ones (0 and -0) the first in both
orders; sums keep their order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from openane.core.errors import InputError
from openane.numerics.jit import compiled, inner
from openane.numerics.join import TIES_AWAY, fetch_joined, settle
from openane.numerics.tiles import fill, pitch_of, store_tile
from openane.numerics.vector import (
    LANES,
    STRIP,
    add_lanes,
    add_rows,
    largest_lanes,
    largest_rows,
    smallest_lanes,
    smallest_rows,
)

Floats = npt.NDArray[np.float32]
Halfwords = npt.NDArray[np.uint16]
Integers = npt.NDArray[np.int64]

_AVERAGE, _LARGEST, _SMALLEST = 1, 2, 3

_DEPTH, _CHANNELS, _HEIGHT, _WIDTH, _OUT_HEIGHT, _OUT_WIDTH = range(6)
_ROWS, _COLUMNS, _DOWN, _ACROSS, _TOP, _LEFT, _BLOCK_ROWS, _BLOCK_COLUMNS, _PITCH, _SHAPE_COUNT = range(6, 16)
"""Places in the shape of pooling: window, strides, pads, results of a unit, floats of a padded row."""

_LINES = 2048
"""Floats of the padded rows that are worked together, unless one row is longer."""

_AREA = 8192
"""Floats of each part of the scratch memory: two sources and factors, columns split by the stride, rows of windows."""

_SPLIT, _JOINED = 3 * _AREA, 4 * _AREA
_START, _OPERAND, _TOTALS = np.int64(0), np.int64(_AREA), np.int64(5 * _AREA)
_ONE, _PITCH_OF_STRIP = np.int64(1), np.int64(STRIP)
"""Arguments of kernels: no plain integers, for each of which the kernel would be compiled once more."""

_LARGEST_WINDOW = 1024


def plan_pooling(
    view: Sequence[int], result_view: Sequence[int], window: Sequence[int], stride: Sequence[int], pad: Sequence[int]
) -> tuple[Integers, int]:
    """Shape for `pooling`, and its number of units.

    Args:
        view, result_view: extents of source and result; `window`, `stride`, `pad`: (rows, columns), top and left.

    Raises:
        InputError: a window or stride that is too large.
    """
    if max(*window, *stride) > _LARGEST_WINDOW:
        raise InputError("the pooling window or stride is too large", value=(*window, *stride), limit=_LARGEST_WINDOW)
    height, width = result_view[3:]
    unit = LANES * stride[1]
    columns = max(1, min(width, (_AREA // 2 - window[1]) // stride[1]))
    reach = (columns - 1) * stride[1] + window[1]
    filled = min(pad[1], reach) + -(-min(view[4], reach) // LANES) * LANES
    pitch = -(-max(reach, filled) // unit) * unit
    rows = max(1, min(height, _AREA // (-(-columns // LANES) * LANES)))
    shape = (*view[1:], height, width, *window, *stride, *pad, rows, columns, pitch)
    return np.array(shape, np.int64), math.prod(view[:3]) * -(-height // rows) * -(-width // columns)


@compiled
def pooling(
    memory: Halfwords, numbers: Floats, flags: Integers, kind: int, first_base: int, first_strides: Integers,
    second_base: int, second_strides: Integers, shape: Integers, result_base: int, result_strides: Integers,
    scratch: Floats, begin: int, end: int,
) -> None:  # fmt: skip
    """Windows of planes of height and width. Source and result do not overlap.

    Args:
        kind: 0 sum, 1 average of what lies inside the plane, 2 largest, 3 smallest.
        shape: of `plan_pooling`.
    """
    s1, s2, so = first_strides, second_strides, result_strides
    across = (shape[_OUT_WIDTH] + shape[_BLOCK_COLUMNS] - 1) // shape[_BLOCK_COLUMNS]
    down = (shape[_OUT_HEIGHT] + shape[_BLOCK_ROWS] - 1) // shape[_BLOCK_ROWS]
    for unit in range(begin, end):
        rest, left = unit // across, unit % across * shape[_BLOCK_COLUMNS]
        triple, top = rest // down, rest % down * shape[_BLOCK_ROWS]
        rows = min(shape[_BLOCK_ROWS], shape[_OUT_HEIGHT] - top)
        columns = min(shape[_BLOCK_COLUMNS], shape[_OUT_WIDTH] - left)
        c, rest = triple % shape[_CHANNELS], triple // shape[_CHANNELS]
        g, d = rest // shape[_DEPTH], rest % shape[_DEPTH]
        first = first_base + g * s1[0] + d * s1[1] + c * s1[2]
        second = second_base + g * s2[0] + d * s2[1] + c * s2[2]
        pitch = pitch_of(columns)
        fill(scratch, _TOTALS, rows * pitch, empty_value(kind))
        _pool(memory, numbers, flags, kind, first, s1, second, s2, shape, top, rows, left, columns, scratch)
        if kind == _AVERAGE:
            _divide(scratch, shape, top, rows, left, columns)
        settle(scratch, _TOTALS, rows * pitch, numbers, flags)
        to = result_base + g * so[0] + d * so[1] + c * so[2] + top * so[3] + left * so[4]
        away = flags[TIES_AWAY] != 0
        store_tile(scratch, _TOTALS, pitch, memory, to, so[3], so[4], rows, columns, away)


@inner
def empty_value(kind: int) -> Any:
    """What a reduction begins with; also what padding counts for."""
    if kind == _LARGEST:
        return np.float32(-np.inf)
    return np.float32(np.inf) if kind == _SMALLEST else np.float32(0)


@inner
def _pool(
    memory: Halfwords, numbers: Floats, flags: Integers, kind: int, first: int, s1: Integers, second: int,
    s2: Integers, shape: Integers, top: int, rows: int, left: int, columns: int, scratch: Floats,
) -> None:  # fmt: skip
    """A block of windows of one plane: its lines, some at a time, join the totals."""
    pitch, width = shape[_PITCH], shape[_WIDTH]
    start = left * shape[_ACROSS] - shape[_LEFT]
    reach = (columns - 1) * shape[_ACROSS] + shape[_COLUMNS]
    x_first, x_end = max(start, 0), min(start + reach, width)
    y_first = max(top * shape[_DOWN] - shape[_TOP], 0)
    y_end = min((top + rows - 1) * shape[_DOWN] - shape[_TOP] + shape[_ROWS], shape[_HEIGHT])
    if x_end <= x_first:
        return
    together = max(_LINES // pitch, 1)
    for y in range(y_first, y_end, together):
        count = min(together, y_end - y)
        place = x_first - start
        a, b = first + y * s1[3] + x_first * s1[4], second + y * s2[3] + x_first * s2[4]
        fetch_joined(
            memory, numbers, flags, a, s1[3], s1[4], b, s2[3], s2[4], count, x_end - x_first, pitch, scratch, place,
            _OPERAND,
        )  # fmt: skip
        _pad(scratch, count, pitch, place, place + x_end - x_first, empty_value(kind))
        lines = _split(scratch, count * pitch, shape[_ACROSS])
        length = count * pitch // shape[_ACROSS]
        if kind >= _LARGEST:
            _join_columns(scratch, lines, length, shape, kind)
        for line in range(count):
            _gather_line(scratch, lines, length, y + line, line, shape, kind, top, rows, columns)


@inner
def _pad(scratch: Floats, count: int, pitch: int, first: int, end: int, value: float) -> None:
    """Fills what lies outside first ... end - 1 of every line."""
    for line in range(0, count * pitch, pitch):
        for x in range(line, line + first):
            scratch[x] = value
        for x in range(line + end, line + pitch):
            scratch[x] = value


@inner
def _split(scratch: Floats, count: int, step: int) -> Any:
    """Column x of every line to part x % step, place x // step; returns where the parts begin."""
    if step == 1:
        return 0
    length = count // step
    if step == 2:
        source, even = scratch[:count], scratch[_SPLIT : _SPLIT + length]
        odd = scratch[_SPLIT + length : _SPLIT + 2 * length]
        for x in range(length):
            even[x] = source[2 * x]
            odd[x] = source[2 * x + 1]
        return _SPLIT
    for part in range(step):
        for x in range(length):
            scratch[_SPLIT + part * length + x] = scratch[x * step + part]
    return _SPLIT


@inner
def _join_columns(scratch: Floats, lines: int, length: int, shape: Integers, kind: int) -> None:
    """The largest or smallest of each row of a window, for all lines at once."""
    fill(scratch, np.int64(_JOINED), length, empty_value(kind))
    step = shape[_ACROSS]
    for column in range(shape[_COLUMNS]):
        source = lines + column % step * length + column // step
        if kind == _LARGEST:
            for x in range(0, length, LANES):
                largest_lanes(scratch, _JOINED + x, scratch, source + x)
        else:
            for x in range(0, length, LANES):
                smallest_lanes(scratch, _JOINED + x, scratch, source + x)


@inner
def _gather_line(
    scratch: Floats, lines: int, length: int, y: int, line: int, shape: Integers, kind: int, top: int, rows: int,
    columns: int,
) -> None:  # fmt: skip
    """A line joins the totals of all windows that it belongs to."""
    pitch, step = pitch_of(columns), shape[_DOWN]
    spaced = shape[_PITCH] // shape[_ACROSS]
    under = y + shape[_TOP]
    first = max((under - shape[_ROWS]) // step + 1, top)
    end = min(under // step + 1, top + rows)
    for row in range(first, end):
        to = _TOTALS + (row - top) * pitch
        if kind == _LARGEST:
            for x in range(0, columns, LANES):
                largest_lanes(scratch, to + x, scratch, _JOINED + line * spaced + x)
        elif kind == _SMALLEST:
            for x in range(0, columns, LANES):
                smallest_lanes(scratch, to + x, scratch, _JOINED + line * spaced + x)
        else:
            _add_line(scratch, to, columns, lines + line * spaced, length, shape)


@inner
def _add_line(scratch: Floats, to: int, columns: int, line: int, length: int, shape: Integers) -> None:
    """The elements of one row of each window, from left to right."""
    step = shape[_ACROSS]
    for column in range(shape[_COLUMNS]):
        source = line + column % step * length + column // step
        for x in range(0, columns, LANES):
            add_lanes(scratch, to + x, scratch, source + x)


@inner
def _divide(scratch: Floats, shape: Integers, top: int, rows: int, left: int, columns: int) -> None:
    """By the number of elements of each window that lie inside the plane."""
    pitch = pitch_of(columns)
    for row in range(rows):
        upper = (top + row) * shape[_DOWN] - shape[_TOP]
        height = min(upper + shape[_ROWS], shape[_HEIGHT]) - max(upper, 0)
        for column in range(columns):
            first = (left + column) * shape[_ACROSS] - shape[_LEFT]
            width = min(first + shape[_COLUMNS], shape[_WIDTH]) - max(first, 0)
            place = _TOTALS + row * pitch + column
            scratch[place] = np.float32(scratch[place] / np.float32(max(height * width, 1)))


def reduce_units(view: Sequence[int]) -> int:
    """Units of `reduce`: STRIP channels, or groups when there are more of them."""
    return min(view[0], view[2]) * -(-max(view[0], view[2]) // STRIP)


@compiled
def reduce(
    memory: Halfwords, numbers: Floats, flags: Integers, kind: int, first_base: int, first_strides: Integers,
    second_base: int, second_strides: Integers, extents: Integers, result_base: int, result_strides: Integers,
    scratch: Floats, begin: int, end: int,
) -> None:  # fmt: skip
    """Everything of depth, height and width of each channel; STRIP channels side by side. No overlap.

    Args:
        kind: as in `pooling`.
        extents: of the source.
    """
    s1, s2, so = first_strides, second_strides, result_strides
    along, other = (2, 0) if extents[2] >= extents[0] else (0, 2)
    strips = (extents[along] + STRIP - 1) // STRIP
    length = extents[1] * extents[3] * extents[4]
    for unit in range(begin, end):
        outer, lane = unit // strips, unit % strips * STRIP
        count = min(STRIP, extents[along] - lane)
        first = first_base + outer * s1[other] + lane * s1[along]
        second = second_base + outer * s2[other] + lane * s2[along]
        fill(scratch, _TOTALS, _PITCH_OF_STRIP, empty_value(kind))
        _reduce_strip(
            memory, numbers, flags, kind, first, s1, s1[along], second, s2, s2[along], extents, count, scratch
        )
        if kind == _AVERAGE:
            for x in range(count):
                scratch[_TOTALS + x] = np.float32(scratch[_TOTALS + x] / np.float32(length))
        settle(scratch, _TOTALS, count, numbers, flags)
        to, away = result_base + outer * so[other] + lane * so[along], flags[TIES_AWAY] != 0
        store_tile(scratch, _TOTALS, _PITCH_OF_STRIP, memory, to, _START, so[along], _ONE, count, away)


@inner
def _reduce_strip(
    memory: Halfwords, numbers: Floats, flags: Integers, kind: int, first: int, s1: Integers, first_step: int,
    second: int, s2: Integers, second_step: int, extents: Integers, count: int, scratch: Floats,
) -> None:  # fmt: skip
    """Joins all elements of `count` channels to their totals; positions are the rows of tiles."""
    H, W = extents[3], extents[4]
    if s1[3] == W * s1[4] and s2[3] == W * s2[4]:
        H, W = 1, H * W
    together = _LINES // STRIP
    for d in range(extents[1]):
        for y in range(H):
            for x in range(0, W, together):
                rows = min(together, W - x)
                a = first + d * s1[1] + y * s1[3] + x * s1[4]
                b = second + d * s2[1] + y * s2[3] + x * s2[4]
                fetch_joined(
                    memory, numbers, flags, a, s1[4], first_step, b, s2[4], second_step, rows, count, _PITCH_OF_STRIP,
                    scratch, _START, _OPERAND,
                )  # fmt: skip
                if kind == _LARGEST:
                    largest_rows(scratch, _TOTALS, scratch, 0, STRIP, rows)
                elif kind == _SMALLEST:
                    smallest_rows(scratch, _TOTALS, scratch, 0, STRIP, rows)
                else:
                    add_rows(scratch, _TOTALS, scratch, 0, STRIP, rows)
