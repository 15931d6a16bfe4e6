"""Tiles of strided halfwords: to float32 and back, row by row or across. Compiled.

A tile stands in a flat array, its rows `pitch` apart (a multiple of LANES). Whole vectors are moved, so what lies
between the end of a row and the next one is arbitrary; it is computed along and never stored into memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from openane.numerics.jit import NATIVE_HALF, bits_of_float, inner
from openane.numerics.lookup import read_half, store_half
from openane.numerics.vector import (
    LANES,
    copy_lanes,
    fill_lanes,
    move_lanes,
    move_part,
    move_square,
    narrow_lanes,
    narrow_part,
    widen_lanes,
    widen_square,
)

Floats = npt.NDArray[np.float32]
Halfwords = npt.NDArray[np.uint16]
Integers = npt.NDArray[np.int64]


@inner
def pitch_of(columns: int) -> Any:
    """Distance of the rows of a tile."""
    return (columns + LANES - 1) // LANES * LANES


@inner
def canonical(bits: int) -> Any:
    """What a halfword becomes that is read and stored: NaN is +infinity."""
    return np.uint16(0x7C00) if (bits & 0x7FFF) > 0x7C00 else np.uint16(bits)


@inner
def store_half_away(value: float) -> Any:
    """Bits of the nearest fp16, ties away from zero; below 2^-14 ties go to even."""
    v = np.float32(value)
    word = bits_of_float(v)
    magnitude = word & np.uint32(0x7FFFFFFF)
    if v != v or magnitude < np.uint32(0x38800000) or magnitude >= np.uint32(0x477FF000):
        return store_half(v)
    rounded = (magnitude - np.uint32(0x38000000) + np.uint32(0x1000)) >> np.uint32(13)
    return np.uint16(((word >> np.uint32(16)) & np.uint32(0x8000)) | rounded)


@inner
def widen_row(memory: Halfwords, first: int, count: int, values: Floats, place: int) -> None:
    """`count` neighbours; values are written up to the next multiple of LANES where memory goes on so far."""
    if NATIVE_HALF and first + pitch_of(count) <= memory.size:
        for x in range(0, count, LANES):
            widen_lanes(values, place + x, memory, first + x)
    else:
        for x in range(count):
            values[place + x] = read_half(memory[first + x])


@inner
def narrow_row(memory: Halfwords, to: int, values: Floats, place: int, count: int) -> None:
    """Stores exactly `count` neighbours."""
    if NATIVE_HALF:
        for x in range(0, count - LANES + 1, LANES):
            narrow_lanes(memory, to + x, values, place + x)
        if count >= LANES:
            narrow_lanes(memory, to + count - LANES, values, place + count - LANES)
        else:
            narrow_part(memory, to, values, place, count)
    else:
        for x in range(count):
            memory[to + x] = store_half(values[place + x])


@inner
def move_row(memory: Halfwords, to: int, words: Halfwords, first: int, count: int) -> None:
    """Stores exactly `count` neighbours; NaN becomes +infinity. The last vector overlaps the one before."""
    for x in range(0, count - LANES + 1, LANES):
        move_lanes(memory, to + x, words, first + x)
    if count >= LANES:
        move_lanes(memory, to + count - LANES, words, first + count - LANES)
    elif first + LANES <= words.size:
        move_part(memory, to, words, first, count)
    else:
        for x in range(count):
            memory[to + x] = canonical(words[first + x])


@inner
def fetch_tile(
    memory: Halfwords, base: int, row_stride: int, stride: int, rows: int, columns: int, pitch: int, values: Floats,
    place: int,
) -> None:  # fmt: skip
    """values[place + y * pitch + x] = memory[base + y * row_stride + x * stride] as the data path sees it.

    Writes up to the end of the LANES rows that the last row belongs to.
    """
    if row_stride == 0 and stride != 0 and rows > 1:
        fetch_row(memory, base, stride, columns, values, place)
        for x in range(pitch, rows * pitch, LANES):
            copy_lanes(values, place + x, values, place + x - pitch)
    elif stride == 0:
        _repeat(memory, base, row_stride, rows, pitch, values, place)
    elif stride == 1 and row_stride == pitch:
        widen_row(memory, base, (rows - 1) * pitch + columns, values, place)
    elif stride == 1:
        for y in range(rows):
            widen_row(memory, base + y * row_stride, columns, values, place + y * pitch)
    elif NATIVE_HALF and row_stride == 1 and _has_room(memory, base, stride, rows, columns):
        for y in range(0, rows, LANES):
            for x in range(0, columns, LANES):
                to = place + y * pitch + x
                widen_square(values, to, pitch, memory, base + y + x * stride, stride, columns - x)
    else:
        for y in range(rows):
            fetch_row(memory, base + y * row_stride, stride, columns, values, place + y * pitch)


@inner
def fetch_row(memory: Halfwords, base: int, stride: int, columns: int, values: Floats, place: int) -> None:
    """One row of a tile, its elements `stride` apart."""
    if stride == 1:
        widen_row(memory, base, columns, values, place)
        return
    for x in range(columns):
        values[place + x] = read_half(memory[base + x * stride])


@inner
def _has_room(memory: Halfwords, base: int, stride: int, rows: int, columns: int) -> Any:
    """Whether whole vectors of rows can be read."""
    return base + (columns - 1) * stride + pitch_of(rows) <= memory.size


@inner
def _repeat(
    memory: Halfwords, base: int, row_stride: int, rows: int, pitch: int, values: Floats, place: int
) -> None:  # fmt: skip
    """One value for each row, or for all."""
    if row_stride == 0:
        fill(values, place, rows * pitch, read_half(memory[base]))
        return
    for y in range(rows):
        fill(values, place + y * pitch, pitch, read_half(memory[base + y * row_stride]))


@inner
def fill(values: Floats, place: int, count: int, value: float) -> None:
    """The same value `count` times, and less than LANES times behind them."""
    for x in range(place, place + count, LANES):
        fill_lanes(values, x, np.float32(value))


@inner
def store_tile(
    values: Floats, place: int, pitch: int, memory: Halfwords, base: int, row_stride: int, stride: int, rows: int,
    columns: int, away: bool,
) -> None:  # fmt: skip
    """memory[base + y * row_stride + x * stride] = fp16 of values[place + y * pitch + x].

    Args:
        away: ties go away from zero, else to even.
    """
    if stride == 1 and not away:
        if columns == pitch and row_stride == pitch:
            narrow_row(memory, base, values, place, rows * pitch)
            return
        for y in range(rows):
            narrow_row(memory, base + y * row_stride, values, place + y * pitch, columns)
        return
    for y in range(rows):
        for x in range(columns):
            value = values[place + y * pitch + x]
            memory[base + y * row_stride + x * stride] = store_half_away(value) if away else store_half(value)


@inner
def store_words(
    words: Halfwords, pitch: int, memory: Halfwords, base: int, row_stride: int, stride: int, rows: int, columns: int
) -> None:  # fmt: skip
    """memory[base + y * row_stride + x * stride] = words[y * pitch + x]."""
    if stride == 1 and columns == pitch and row_stride == pitch:
        move_row(memory, base, words, np.int64(0), rows * pitch)
    elif stride == 1:
        for y in range(rows):
            move_row(memory, base + y * row_stride, words, y * pitch, columns)
    else:
        for y in range(rows):
            for x in range(columns):
                memory[base + y * row_stride + x * stride] = words[y * pitch + x]


@inner
def fetch_words(
    memory: Halfwords, base: int, row_stride: int, stride: int, rows: int, columns: int, pitch: int, words: Halfwords
) -> None:  # fmt: skip
    """`fetch_tile` of halfwords; NaN becomes +infinity."""
    if row_stride == 1 and _has_room(memory, base, stride, rows, columns):
        for y in range(0, rows, LANES):
            for x in range(0, columns, LANES):
                move_square(words, y * pitch + x, pitch, memory, base + y + x * stride, stride, columns - x)
        return
    for y in range(rows):
        for x in range(columns):
            words[y * pitch + x] = canonical(memory[base + y * row_stride + x * stride])
