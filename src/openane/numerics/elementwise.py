"""Work that does every element by itself, on strided halfwords, tile by tile. Compiled.

All kernels take one memory of halfwords, the base and the five strides of each operand, and the extents that
`arrange` gives; a unit of work is a tile. Source and result may be the same elements, else they do not overlap.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from openane.numerics.arrange import TILE
from openane.numerics.finish import finish_row
from openane.numerics.jit import compiled, inner
from openane.numerics.join import OPERATION, RELU, STRAIGHT, TIES_AWAY, fetch_joined, rectify, settle
from openane.numerics.straight import bend_rows, join_rows
from openane.numerics.tiles import (
    fetch_tile,
    fetch_words,
    move_row,
    pitch_of,
    store_tile,
    store_words,
)
from openane.numerics.vector import LANES, add_lanes, largest_lanes, multiply_lanes

Floats = npt.NDArray[np.float32]
Halfwords = npt.NDArray[np.uint16]
Integers = npt.NDArray[np.int64]

_AREA, _START = np.int64(TILE + LANES), np.int64(0)
"""Floats of an operand in the scratch memory, and the first place; plain integers would make kernels of their own."""

_SUM, _PRODUCT = 0, 2


@inner
def locate(unit: int, extents: Integers) -> Any:
    """Index of the first element of a tile on each axis, and the rows and columns of the tile."""
    across = (extents[4] + extents[6] - 1) // extents[6]
    down = (extents[3] + extents[5] - 1) // extents[5]
    rest, column = unit // across, unit % across * extents[6]
    rest, row = rest // down, rest % down * extents[5]
    rest, inner = rest // extents[2], rest % extents[2]
    rows, columns = min(extents[5], extents[3] - row), min(extents[6], extents[4] - column)
    return rest // extents[1], rest % extents[1], inner, row, column, rows, columns


@inner
def offset(where: Any, strides: Integers) -> Any:
    """Halfwords from the base to a place that `locate` gave."""
    a, b, c, row, column, _, _ = where
    return a * strides[0] + b * strides[1] + c * strides[2] + row * strides[3] + column * strides[4]


@compiled
def elementwise(
    memory: Halfwords, numbers: Floats, flags: Integers, first_base: int, first_strides: Integers, second_base: int,
    second_strides: Integers, extents: Integers, result_base: int, result_strides: Integers, scratch: Floats,
    begin: int, end: int,
) -> None:  # fmt: skip
    """The planar engine without a reduction. With STRAIGHT, memory goes on for LANES halfwords behind every source."""
    s1, s2, so = first_strides, second_strides, result_strides
    for unit in range(begin, end):
        where = locate(unit, extents)
        rows, columns = where[5], where[6]
        first, second = first_base + offset(where, s1), second_base + offset(where, s2)
        to = result_base + offset(where, so)
        if flags[STRAIGHT] and s1[4] == 1 and so[4] == 1 and 0 <= s2[4] <= 1:
            tile = to, so[3], first, s1[3], second, s2[3], s2[4], rows, columns
            join_rows(memory, *tile, flags[OPERATION], numbers, flags[RELU] != 0)
            continue
        pitch = pitch_of(columns)
        fetch_joined(
            memory, numbers, flags, first, s1[3], s1[4], second, s2[3], s2[4], rows, columns, pitch, scratch, _START,
            _AREA,
        )  # fmt: skip
        settle(scratch, _START, rows * pitch, numbers, flags)
        store_tile(scratch, _START, pitch, memory, to, so[3], so[4], rows, columns, flags[TIES_AWAY] != 0)


@compiled
def apply_map(
    mapping: Halfwords, memory: Halfwords, source_base: int, source_strides: Integers, extents: Integers,
    result_base: int, result_strides: Integers, words: Halfwords, begin: int, end: int,
) -> None:  # fmt: skip
    """A function of one halfword; for NaN it has the value that it has for +infinity."""
    s, so = source_strides, result_strides
    for unit in range(begin, end):
        where = locate(unit, extents)
        rows, columns = where[5], where[6]
        pitch = pitch_of(columns)
        base, to = source_base + offset(where, s), result_base + offset(where, so)
        if so[4] == 1 and s[4] == 1:
            for y in range(rows):
                line, row = base + y * s[3], to + y * so[3]
                _map_row(mapping, memory[line : line + columns], memory[row : row + columns])
            continue
        fetch_words(memory, base, s[3], s[4], rows, columns, pitch, words)
        for y in range(rows):
            line = words[y * pitch : y * pitch + columns]
            _map_row(mapping, line, line)
        store_words(words, pitch, memory, to, so[3], so[4], rows, columns)


@inner
def bend(
    numbers: Floats, memory: Halfwords, source_base: int, source_strides: Integers, extents: Integers,
    result_base: int, result_strides: Integers, begin: int, end: int,
) -> None:  # fmt: skip
    """`apply_map` of two lines between limits, `straight.bend_rows`. Columns of source and result stand side by side,
    and memory goes on for LANES halfwords behind the source."""
    s, so = source_strides, result_strides
    for unit in range(begin, end):
        where = locate(unit, extents)
        base, to = source_base + offset(where, s), result_base + offset(where, so)
        bend_rows(memory, to, so[3], base, s[3], where[5], where[6], numbers)


@inner
def _map_row(mapping: Halfwords, source: Halfwords, result: Halfwords) -> None:
    for x in range(source.size):
        result[x] = mapping[source[x]]


@compiled
def copy(
    memory: Halfwords, source_base: int, source_strides: Integers, extents: Integers, result_base: int,
    result_strides: Integers, words: Halfwords, begin: int, end: int,
) -> None:  # fmt: skip
    """`apply_map` that changes nothing but NaN, which becomes +infinity."""
    s, so = source_strides, result_strides
    for unit in range(begin, end):
        where = locate(unit, extents)
        rows, columns = where[5], where[6]
        pitch = pitch_of(columns)
        base, to = source_base + offset(where, s), result_base + offset(where, so)
        if so[4] == 1 and s[4] == 1:
            for y in range(rows):
                move_row(memory, to + y * so[3], memory, base + y * s[3], columns)
            continue
        fetch_words(memory, base, s[3], s[4], rows, columns, pitch, words)
        store_words(words, pitch, memory, to, so[3], so[4], rows, columns)


@compiled
def combine(
    memory: Halfwords, source_base: int, source_strides: Integers, inputs: int, input_stride: int, operation: int,
    relu_in: bool, extents: Integers, result_base: int, result_strides: Integers, factors: Floats, function: int,
    table: Floats, meta: Integers, scratch: Floats, words: Halfwords, begin: int, end: int,
) -> None:  # fmt: skip
    """The MAC engine without weights: an output element joins `inputs` elements, `input_stride` apart, in order.

    Args:
        operation: 0 sum, 2 product, 3 maximum.
    """
    s, so = source_strides, result_strides
    for unit in range(begin, end):
        where = locate(unit, extents)
        rows, columns = where[5], where[6]
        pitch = pitch_of(columns)
        count = rows * pitch
        base, to = source_base + offset(where, s), result_base + offset(where, so)
        for u in range(inputs):
            place = _AREA if u else _START
            fetch_tile(memory, base + u * input_stride, s[3], s[4], rows, columns, pitch, scratch, place)
            if relu_in:
                rectify(scratch, place, count)
            if u:
                _combine_rows(scratch, count, operation)
        finish_row(scratch[:count], count, np.float32(-0.0), factors, function, table, meta, words)
        store_words(words, pitch, memory, to, so[3], so[4], rows, columns)


@inner
def _combine_rows(scratch: Floats, count: int, operation: int) -> None:
    if operation == _SUM:
        for x in range(0, count, LANES):
            add_lanes(scratch, x, scratch, _AREA + x)
    elif operation == _PRODUCT:
        for x in range(0, count, LANES):
            multiply_lanes(scratch, x, scratch, _AREA + x)
    else:
        for x in range(0, count, LANES):
            largest_lanes(scratch, x, scratch, _AREA + x)
