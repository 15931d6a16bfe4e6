"""The planar engine's arithmetic, and the other element-by-element work, on strided halfwords. Compiled.

Strides and bases count halfwords; extents and strides are int64 arrays of (groups, depth, channels, height, width).
A source that is repeated along an axis has stride 0 there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from openane.numerics.accumulate import convolve_channels
from openane.numerics.finish import find_runs, finish_rows, scatter
from openane.numerics.jit import BLOCK, NATIVE_HALF, bits_of_float, compiled, widen_block
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

_CACHED = 1 << 14
"""Floats of the channels that are computed together: they stay in the second cache."""

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
def fetch_plane(
    source: Halfwords, base: int, row_stride: int, step: int, H: int, W: int, result: Floats, place: int
) -> None:  # fmt: skip
    """`fetch` of H rows of W, side by side from result[place] on.

    Rows shorter than a block are read as a block where both arrays have room; the next row overwrites the rest.
    """
    for y in range(H):
        start, to = base + y * row_stride, place + y * W
        room = start + BLOCK <= source.size and to + BLOCK <= result.size
        if NATIVE_HALF and step == 1 and W < BLOCK and room:
            widen_block(result, to, source, start)
        else:
            fetch(source, start, step, W, result[to : to + W])


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
    b = np.zeros(plane + BLOCK, np.float32)
    pair = flags[ROWS] != 0
    for triple in range(triple_first, triple_end):
        g, d, c = triple // (D * C), triple // C % D, triple % C
        a0 = first_base + g * s1[0] + d * s1[1] + c * s1[2]
        b0 = second_base + g * s2[0] + d * s2[1] + c * s2[2]
        factor = read_half(second[b0 + s2[3]]) if pair else np.float32(1)
        a = joined[(triple - triple_first) * plane : (triple - triple_first + 1) * plane]
        fetch_plane(first, a0, s1[3], s1[4], H, W, joined, (triple - triple_first) * plane)
        if pair:
            fetch(second, b0, 0, plane, b)
        elif flags[SECOND]:
            fetch_plane(second, b0, s2[3], s2[4], H, W, b, 0)
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
    """One row of pooled values; padding adds nothing to a sum and never wins a maximum or minimum.

    Every value joins its window row by row, from left to right; neighbours take the same step together.
    """
    count, columns, step, pad = totals.size, window[1], window[3], window[5]
    totals[:] = empty_value(kind)
    for y in range(y_first, y_end):
        for column in range(columns):
            first = min(max((pad - column + step - 1) // step, 0), count)
            end = min(max((W - 1 + pad - column) // step + 1, first), count)
            row, line = totals[first:end], plane[y * W + first * step + column - pad : (y + 1) * W]
            _gather_line(row, line, step, kind)
    if kind == _AVERAGE:
        rows = y_end - y_first
        for ox in range(count):
            left = ox * step - pad
            inside = min(left + columns, W) - max(left, 0)
            totals[ox] = np.float32(totals[ox] / np.float32(max(rows * inside, 1)))


@compiled
def _gather_line(totals: Floats, line: Floats, step: int, kind: int) -> None:
    """`_gather` of every total with its own value of a line; loops that become vector instructions."""
    count = totals.size
    if kind == _LARGEST and step == 2:
        for x in range(count):
            totals[x] = line[2 * x] if line[2 * x] > totals[x] else totals[x]
    elif kind == _LARGEST:
        for x in range(count):
            totals[x] = line[x * step] if line[x * step] > totals[x] else totals[x]
    elif kind == _SMALLEST:
        for x in range(count):
            totals[x] = line[x * step] if line[x * step] < totals[x] else totals[x]
    else:
        for x in range(count):
            totals[x] = np.float32(totals[x] + line[x * step])


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
    side_by_side = NATIVE_HALF and s[4] == 1 and so[4] == 1 and so[3] == W and W < BLOCK
    for triple in range(channel_first, channel_end):
        g, d, c = triple // (D * C), triple // C % D, triple % C
        origin = source_base + g * s[0] + d * s[1] + c * s[2]
        target = result_base + g * so[0] + d * so[1] + c * so[2]
        for y in range(H):
            line, place = origin + y * s[3], target + y * so[3]
            if s[4] == 1 and so[4] == 1:
                row = result[place : place + W]
                if side_by_side and (H - y) * W >= BLOCK and line + BLOCK <= source.size:
                    widen_block(result, place, source, line)  # the next row of the channel overwrites the rest
                else:
                    read_row(source[line : line + W], W, row)
                if relu_in:
                    for x in range(W):
                        row[x] = max(row[x], np.float32(0))
            else:
                for x in range(W):
                    value = read_half(source[line + x * s[4]])
                    result[place + x * so[4]] = max(value, np.float32(0)) if relu_in else value


@compiled
def convolve_depthwise(
    source: Halfwords, source_base: int, source_strides: Integers, extents: Integers, relu_in: bool, plane: int,
    origin: int, image_strides: Integers, inputs: int, weights: Halfwords, taps: Integers, pixels: Integers,
    spacing: int, width: int, length: int, positions: Integers, factors: Floats, function: int, table: Floats,
    meta: Integers, bias: Floats, memory: Halfwords, bases: Integers, places: Integers, channel_first: int,
    channel_end: int,
) -> None:  # fmt: skip
    """Loads, sums and stores output channels with inputs of their own, so few at a time that they stay in the cache.

    Args:
        plane: floats of a padded input channel, the first pixel at `origin`.
        inputs: input channels of an output channel.
        positions: as in `finish_rows`; the other arguments as in `load`, `convolve_channels` and `finish_rows`.
    """
    stride, steps = inputs * plane, taps.size
    block = max(1, _CACHED // (stride + length))
    image = np.zeros(block * stride, np.float32)
    sums = np.empty(block * length, np.float32)
    for first in range(channel_first, channel_end, block):
        end = min(first + block, channel_end)
        target = origin - first * stride
        load(
            source, source_base, source_strides, extents, relu_in, image, target, image_strides, first * inputs,
            end * inputs,
        )  # fmt: skip
        sums[:] = 0
        own = weights[first * steps : end * steps]
        convolve_channels(own, image, stride, taps, pixels, spacing, width, length, 0, end - first, sums)
        finish_rows(
            sums, length, positions, factors, function, table, meta, bias, memory, bases, places, first, end, 0,
            pixels.size,
        )  # fmt: skip
