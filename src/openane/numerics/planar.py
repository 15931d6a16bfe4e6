"""The planar engine's arithmetic, and the other element-by-element work, on strided halfwords. Compiled.

Strides and bases count halfwords; extents and strides are int64 arrays of (groups, depth, channels, height, width).
A source that is repeated along an axis has stride 0 there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from openane.numerics.finish import find_runs, scatter
from openane.numerics.jit import bits_of_float, compiled
from openane.numerics.lookup import INFINITY, read_half, read_row, store_half, store_row

Floats = npt.NDArray[np.float32]
Halfwords = npt.NDArray[np.uint16]
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
    FLAG_COUNT,
) = range(12)
"""Places in `flags`."""

NO_SECOND, WITH_SECOND = 0, 1
_MULTIPLY, _MAXIMUM, _MINIMUM, _SQUARED_SUM = 1, 2, 3, 4
_AVERAGE, _LARGEST, _SMALLEST = 1, 2, 3
_RECIPROCAL, _RSQRT = 1, 2


@compiled
def store_half_away(value: float) -> Any:
    """Bits of the nearest fp16, ties away from zero; below 2^-14 ties go to even."""
    v = np.float32(value)
    word = bits_of_float(v)
    magnitude = word & np.uint32(0x7FFFFFFF)
    if v != v or magnitude < np.uint32(0x38800000) or magnitude >= np.uint32(0x477FF000):
        return store_half(v)
    rounded = (magnitude - np.uint32(0x38000000) + np.uint32(0x1000)) >> np.uint32(13)
    return np.uint16(((word >> np.uint32(16)) & np.uint32(0x8000)) | rounded)


@compiled
def fetch(source: Halfwords, base: int, step: int, count: int, result: Floats) -> None:
    """A row of a source as the data path sees it; step 0 repeats one element."""
    if step == 1:
        read_row(source[base : base + count], count, result)
    elif step == 0:
        value = read_half(source[base])
        for x in range(count):
            result[x] = value
    else:
        for x in range(count):
            result[x] = read_half(source[base + x * step])


@compiled
def join_row(a: Floats, b: Floats, count: int, factor: float, numbers: Floats, flags: Integers) -> None:
    """One value of one or two sources, before scale and reduction; left in `a`.

    Args:
        factor: second row of a row pair.
    """
    scale, operation, second = numbers[PRE_SCALE], flags[OPERATION], flags[SECOND] != NO_SECOND
    if flags[NEGATE_FIRST]:
        scale = -scale
    sign = np.float32(-1) if flags[NEGATE_SECOND] else np.float32(1)
    a, b = a[:count], b[:count]
    if flags[RELU_FIRST]:
        for x in range(count):
            a[x] = a[x] if a[x] > 0 else np.float32(0)
    if flags[RELU_SECOND]:
        for x in range(count):
            b[x] = b[x] if b[x] > 0 else np.float32(0)
    if not second:
        for x in range(count):
            a[x] = a[x] * scale
    elif operation == _MULTIPLY:
        for x in range(count):
            a[x] = np.float32(a[x] * scale) * np.float32(b[x] * sign)
    elif operation == _MAXIMUM:
        for x in range(count):
            t, u = np.float32(a[x] * scale), np.float32(b[x] * sign)
            a[x] = t if t > u else u
    elif operation == _MINIMUM:
        for x in range(count):
            t, u = np.float32(a[x] * scale), np.float32(b[x] * sign)
            a[x] = t if t < u else u
    else:
        for x in range(count):
            a[x] = np.float32(a[x] * scale) + np.float32(b[x] * sign)
    if operation == _SQUARED_SUM:
        for x in range(count):
            a[x] = a[x] * a[x]
    if flags[ROWS]:
        for x in range(count):
            a[x] = a[x] * np.float32(factor)
    if flags[ABSOLUTE]:
        for x in range(count):
            a[x] = abs(a[x])


@compiled
def settle_row(t: Floats, count: int, numbers: Floats, flags: Integers) -> None:
    """From the joined or reduced values to the ones that are stored, in place."""
    scale, bias, final, epsilon = numbers[SCALE], numbers[BIAS], numbers[FINAL_SCALE], numbers[EPSILON]
    t = t[:count]
    for x in range(count):
        t[x] = np.float32(np.float32(np.float32(np.float32(t[x] * scale) + bias) * final) + epsilon)
    if flags[FUNCTION] == _RECIPROCAL:
        for x in range(count):
            t[x] = np.float32(INFINITY) if t[x] == 0 else np.float32(1) / t[x]
    elif flags[FUNCTION] == _RSQRT:
        for x in range(count):
            t[x] = np.float32(INFINITY) if t[x] <= 0 else np.float32(1) / np.sqrt(t[x])
    if flags[RELU]:
        for x in range(count):
            t[x] = t[x] if t[x] > 0 else np.float32(0)


@compiled
def join_rows(
    first: Halfwords, first_base: int, first_strides: Integers, second: Halfwords, second_base: int,
    second_strides: Integers, extents: Integers, numbers: Floats, flags: Integers, triple_first: int,
    triple_end: int, joined: Floats,
) -> None:  # fmt: skip
    """One or two sources, element by element, before scale and reduction.

    Args:
        second_strides: with row pairs, the stride of height leads from the first to the second row.
        triple_first, triple_end: counts the outer three axes: the share of one thread.
        joined: (triples of the share, height, width), dense.
    """
    D, C, H, W = extents[1], extents[2], extents[3], extents[4]
    s1, s2 = first_strides, second_strides
    plane = H * W
    b = np.zeros(plane, np.float32)
    pair = flags[ROWS] != 0
    for triple in range(triple_first, triple_end):
        g, d, c = triple // (D * C), triple // C % D, triple % C
        a0 = first_base + g * s1[0] + d * s1[1] + c * s1[2]
        b0 = second_base + g * s2[0] + d * s2[1] + c * s2[2]
        factor = read_half(second[b0 + s2[3]]) if pair else np.float32(1)
        a = joined[(triple - triple_first) * plane : (triple - triple_first + 1) * plane]
        for y in range(H):
            fetch(first, a0 + y * s1[3], s1[4], W, a[y * W : y * W + W])
        if pair:
            fetch(second, b0, 0, plane, b)
        elif flags[SECOND]:
            for y in range(H):
                fetch(second, b0 + y * s2[3], s2[4], W, b[y * W : y * W + W])
        join_row(a, b, plane, factor, numbers, flags)


@compiled
def settle_rows(
    values: Floats, count: int, numbers: Floats, flags: Integers, memory: Halfwords, bases: Integers,
    places: Integers, line_first: int, line_end: int,
) -> None:  # fmt: skip
    """Scales, rounds and stores lines of `count` values: value p of line i goes to memory[bases[i] + places[p]]."""
    words, runs = np.empty(count, np.uint16), np.empty(count, np.int64)
    found = find_runs(places, 0, count, 1, runs)
    for line in range(line_first, line_end):
        start = (line - line_first) * count
        row = values[start : start + count]
        settle_row(row, count, numbers, flags)
        if flags[TIES_AWAY]:
            for j in range(count):
                words[j] = store_half_away(row[j])
        else:
            store_row(row, count, words)
        scatter(words, count, memory, bases[line], places, 0, runs, found)


@compiled
def reduce_lines(values: Floats, length: int, kind: int, totals: Floats) -> None:
    """Reduces lines of `length` values, one after the other."""
    for line in range(totals.size):
        row = values[line * length : (line + 1) * length]
        total = empty_value(kind)
        for x in range(length):
            total = _gather(total, row[x], kind)
        totals[line] = np.float32(total / np.float32(length)) if kind == _AVERAGE else total


@compiled
def empty_value(kind: int) -> Any:
    """What a reduction begins with; also what padding counts for."""
    if kind == _LARGEST:
        return np.float32(-np.inf)
    return np.float32(np.inf) if kind == _SMALLEST else np.float32(0)


@compiled
def _gather(total: float, t: float, kind: int) -> Any:
    if kind == _LARGEST:
        return t if t > total else total
    if kind == _SMALLEST:
        return t if t < total else total
    return np.float32(total + t)


@compiled
def pool_planes(
    planes: Floats, H: int, W: int, window: Integers, out_height: int, kind: int, totals: Floats, out_width: int
) -> None:
    """Reduces windows of planes of height and width, row by row inside a window.

    Args:
        window: rows, columns, step over rows, step over columns, pad on top, pad on the left.
    """
    for plane in range(planes.size // (H * W)):
        source = planes[plane * H * W : (plane + 1) * H * W]
        for oy in range(out_height):
            top = oy * window[2] - window[4]
            start = (plane * out_height + oy) * out_width
            row = totals[start : start + out_width]
            _pool_row(source, W, max(top, 0), min(top + window[0], H), window, kind, row)


@compiled
def _pool_row(
    plane: Floats, W: int, y_first: int, y_end: int, window: Integers, kind: int, totals: Floats
) -> None:  # fmt: skip
    """One row of pooled values; padding adds nothing to a sum and never wins a maximum or minimum."""
    for ox in range(totals.size):
        left = ox * window[3] - window[5]
        x_first, x_end = max(left, 0), min(left + window[1], W)
        total = empty_value(kind)
        for y in range(y_first, y_end):
            row = plane[y * W + x_first : y * W + x_end]
            for x in range(row.size):
                total = _gather(total, row[x], kind)
        if kind == _AVERAGE:
            total = np.float32(total / np.float32(max((y_end - y_first) * (x_end - x_first), 1)))
        totals[ox] = total


@compiled
def combine_channels(
    source: Halfwords, source_base: int, source_strides: Integers, extents: Integers, inputs: int, operation: int,
    relu_in: bool, triple_first: int, triple_end: int, totals: Floats,
) -> None:  # fmt: skip
    """The MAC engine without weights: output channel c joins input channels c * inputs .. + inputs - 1, in order.

    Args:
        extents: of the result; `operation`: 0 sum, 2 product, 3 maximum.
        totals: (triples of the share, height, width), dense.
    """
    D, C, H, W = extents[1], extents[2], extents[3], extents[4]
    s = source_strides
    values = np.empty(W, np.float32)
    for triple in range(triple_first, triple_end):
        g, d, c = triple // (D * C), triple // C % D, triple % C
        origin = source_base + g * s[0] + d * s[1] + c * inputs * s[2]
        for y in range(H):
            start = ((triple - triple_first) * H + y) * W
            row = totals[start : start + W]
            for u in range(inputs):
                fetch(source, origin + u * s[2] + y * s[3], s[4], W, values)
                for x in range(W):
                    value = values[x] if values[x] > 0 or not relu_in else np.float32(0)
                    if u == 0:
                        row[x] = value
                    elif operation == 0:
                        row[x] += value
                    elif operation == 2:
                        row[x] *= value
                    else:
                        row[x] = value if value > row[x] else row[x]


@compiled
def apply_map(
    mapping: Halfwords, source: Halfwords, source_base: int, source_strides: Integers, extents: Integers,
    result: Halfwords, result_base: int, result_strides: Integers, channel_first: int, channel_end: int,
) -> None:  # fmt: skip
    """A function of one halfword, element by element."""
    D, C, H, W = extents[1], extents[2], extents[3], extents[4]
    s, so = source_strides, result_strides
    for triple in range(channel_first, channel_end):
        g, d, c = triple // (D * C), triple // C % D, triple % C
        origin = source_base + g * s[0] + d * s[1] + c * s[2]
        target = result_base + g * so[0] + d * so[1] + c * so[2]
        for y in range(H):
            line, place = origin + y * s[3], target + y * so[3]
            if s[4] == 1 and so[4] == 1:
                words, row = source[line : line + W], result[place : place + W]
                for x in range(W):
                    row[x] = mapping[words[x]]
                continue
            for x in range(W):
                result[place + x * so[4]] = mapping[source[line + x * s[4]]]


@compiled
def load(
    source: Halfwords, source_base: int, source_strides: Integers, extents: Integers, relu_in: bool,
    result: Floats, result_base: int, result_strides: Integers, channel_first: int, channel_end: int,
) -> None:  # fmt: skip
    """Halfwords to float32 as the data path sees them, into another strided layout."""
    D, C, H, W = extents[1], extents[2], extents[3], extents[4]
    s, so = source_strides, result_strides
    for triple in range(channel_first, channel_end):
        g, d, c = triple // (D * C), triple // C % D, triple % C
        origin = source_base + g * s[0] + d * s[1] + c * s[2]
        target = result_base + g * so[0] + d * so[1] + c * so[2]
        for y in range(H):
            line, place = origin + y * s[3], target + y * so[3]
            if s[4] == 1 and so[4] == 1:
                row = result[place : place + W]
                read_row(source[line : line + W], W, row)
                if relu_in:
                    for x in range(W):
                        row[x] = max(row[x], np.float32(0))
            else:
                for x in range(W):
                    value = read_half(source[line + x * s[4]])
                    result[place + x * so[4]] = max(value, np.float32(0)) if relu_in else value
