"""The planar engine's arithmetic, and the other element-by-element work, on strided halfwords. Compiled.

Strides and bases count halfwords; extents and strides are int64 arrays of (groups, depth, channels, height, width).
A source that is repeated along an axis has stride 0 there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from openane.numerics.finish import finish_row
from openane.numerics.jit import bits_of_float, compiled
from openane.numerics.lookup import read_half, read_row, store_half

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
    REDUCTION,
    FUNCTION,
    RELU,
    RELU_FIRST,
    RELU_SECOND,
    TIES_AWAY,
    FLAG_COUNT,
) = range(13)
"""Places in `flags`."""

NO_SECOND, WITH_SECOND = 0, 1
_ADD, _MULTIPLY, _MAXIMUM, _MINIMUM = 0, 1, 2, 3
_SUM, _AVERAGE, _LARGEST, _SMALLEST = 0, 1, 2, 3


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
def join(a: float, b: float, scaled: Any, numbers: Floats, flags: Integers) -> Any:
    """One value of one or two sources (`scaled`: factor of row pairs), before scale and reduction."""
    a = np.float32(a)
    b = np.float32(b)
    if flags[RELU_FIRST]:
        a = max(a, np.float32(0))
    if flags[RELU_SECOND]:
        b = max(b, np.float32(0))
    if flags[NEGATE_FIRST]:
        a = -a
    if flags[NEGATE_SECOND]:
        b = -b
    t = np.float32(a * numbers[PRE_SCALE])
    operation = flags[OPERATION]
    if flags[SECOND] == NO_SECOND:
        if operation == 4:
            t = np.float32(t * t)
    elif operation == _ADD:
        t = np.float32(t + b)
    elif operation == _MULTIPLY:
        t = np.float32(t * b)
    elif operation == _MAXIMUM:
        t = max(t, b)
    elif operation == _MINIMUM:
        t = min(t, b)
    else:
        t = np.float32(t + b)
        t = np.float32(t * t)
    if flags[ROWS]:
        t = np.float32(t * np.float32(scaled))
    return abs(t) if flags[ABSOLUTE] else t


@compiled
def settle(t: float, numbers: Floats, flags: Integers) -> Any:
    """From the joined or reduced value to the one that is stored."""
    y = np.float32(np.float32(t * numbers[SCALE]) + numbers[BIAS])
    y = np.float32(np.float32(y * numbers[FINAL_SCALE]) + numbers[EPSILON])
    if flags[FUNCTION] == 1:
        y = np.float32(65536.0) if y == 0 else np.float32(np.float32(1) / y)
    elif flags[FUNCTION] == 2:
        y = np.float32(65536.0) if y <= 0 else np.float32(np.float32(1) / np.sqrt(y))
    return max(y, np.float32(0)) if flags[RELU] else y


@compiled
def elementwise(
    first: Halfwords, first_base: int, first_strides: Integers, second: Halfwords, second_base: int,
    second_strides: Integers, extents: Integers, channel_first: int, channel_end: int, numbers: Floats, flags: Integers,
    result: Halfwords, result_base: int, result_strides: Integers,
) -> None:  # fmt: skip
    """One or two sources, element by element.

    Args:
        channel_first, channel_end: counts (group, depth, channel) triples: the share of one thread.
        second_strides: with row pairs, the stride of height leads from the first to the second row.
    """
    _, D, C, H, W = extents
    s1, s2, so = first_strides, second_strides, result_strides
    row = np.empty(W, np.uint16)
    rows = flags[ROWS] != 0
    for triple in range(channel_first, channel_end):
        g, d, c = triple // (D * C), triple // C % D, triple % C
        a0 = first_base + g * s1[0] + d * s1[1] + c * s1[2]
        b0 = second_base + g * s2[0] + d * s2[1] + c * s2[2]
        o0 = result_base + g * so[0] + d * so[1] + c * so[2]
        factor = read_half(second[b0 + s2[3]]) if rows else np.float32(1)
        for y in range(H):
            a1, b1, o1 = a0 + y * s1[3], b0 if rows else b0 + y * s2[3], o0 + y * so[3]
            step = 0 if rows else s2[4]
            for x in range(W):
                a = read_half(first[a1 + x * s1[4]])
                b = read_half(second[b1 + x * step])
                row[x] = store_half(settle(join(a, b, factor, numbers, flags), numbers, flags))
            for x in range(W):
                result[o1 + x * so[4]] = row[x]


@compiled
def reduce_all(
    first: Halfwords, first_base: int, first_strides: Integers, second: Halfwords, second_base: int,
    second_strides: Integers, extents: Integers, channel_first: int, channel_end: int, numbers: Floats, flags: Integers,
    result: Halfwords, result_base: int, result_strides: Integers,
) -> None:  # fmt: skip
    """Reduces depth, height and width of every (group, channel) in that order, one after the other."""
    _, D, C, H, W = extents
    s1, s2 = first_strides, second_strides
    kind = flags[REDUCTION]
    for pair in range(channel_first, channel_end):
        g, c = pair // C, pair % C
        total = np.float32(0)
        started = False
        for d in range(D):
            for y in range(H):
                a0 = first_base + g * s1[0] + d * s1[1] + c * s1[2] + y * s1[3]
                b0 = second_base + g * s2[0] + d * s2[1] + c * s2[2] + y * s2[3]
                for x in range(W):
                    a = read_half(first[a0 + x * s1[4]])
                    b = read_half(second[b0 + x * s2[4]])
                    t = join(a, b, np.float32(1), numbers, flags)
                    total = t if kind >= _LARGEST and not started else _gather(total, t, kind)
                    started = True
        if kind == _AVERAGE:
            total = np.float32(total / np.float32(D * H * W))
        value = settle(total, numbers, flags)
        bits = store_half_away(value) if flags[TIES_AWAY] else store_half(value)
        result[result_base + g * result_strides[0] + c * result_strides[2]] = bits


@compiled
def _gather(total: float, t: float, kind: int) -> Any:
    if kind == _LARGEST:
        return max(total, t)
    if kind == _SMALLEST:
        return min(total, t)
    return np.float32(total + t)


@compiled
def pool(
    source: Halfwords, source_base: int, source_strides: Integers, extents: Integers, window: Integers,
    out_height: int, out_width: int, channel_first: int, channel_end: int, numbers: Floats, flags: Integers,
    result: Halfwords, result_base: int, result_strides: Integers,
) -> None:  # fmt: skip
    """Reduces windows of height and width, row by row inside a window.

    Args:
        window: rows, columns, step over rows, step over columns, pad on top, pad on the left.
    """
    _, D, C, H, W = extents
    s, so = source_strides, result_strides
    kind = flags[REDUCTION]
    plane = np.empty((H, W), np.float32)
    totals = np.empty(out_width, np.float32)
    for triple in range(channel_first, channel_end):
        g, d, c = triple // (D * C), triple // C % D, triple % C
        origin = source_base + g * s[0] + d * s[1] + c * s[2]
        for y in range(H):
            for x in range(W):
                value = read_half(source[origin + y * s[3] + x * s[4]])
                plane[y, x] = join(value, np.float32(0), np.float32(1), numbers, flags)
        for oy in range(out_height):
            top = oy * window[2] - window[4]
            y_first, y_end = max(top, 0), min(top + window[0], H)
            _pool_row(plane, y_first, y_end, window, kind, totals)
            place = result_base + g * so[0] + d * so[1] + c * so[2] + oy * so[3]
            for ox in range(out_width):
                left = ox * window[3] - window[5]
                seen = (y_end - y_first) * (min(left + window[1], W) - max(left, 0))
                total = totals[ox]
                if kind == _AVERAGE and seen > 0:
                    total = np.float32(total / np.float32(seen))
                result[place + ox * so[4]] = store_half(settle(total, numbers, flags))


@compiled
def _pool_row(plane: Floats, y_first: int, y_end: int, window: Integers, kind: int, totals: Floats) -> None:
    """One row of pooled values; padding adds nothing to a sum and is the worst value of a maximum or minimum."""
    W = plane.shape[1]
    empty = np.float32(0)
    if kind == _LARGEST:
        empty = np.float32(-65536.0)
    elif kind == _SMALLEST:
        empty = np.float32(65536.0)
    for ox in range(totals.size):
        left = ox * window[3] - window[5]
        total = empty
        for y in range(y_first, y_end):
            for x in range(max(left, 0), min(left + window[1], W)):
                total = _gather(total, plane[y, x], kind)
        totals[ox] = total


@compiled
def combine_channels(
    source: Halfwords, source_base: int, source_strides: Integers, extents: Integers, inputs: int, operation: int,
    channel_first: int, channel_end: int, relu_in: bool, factors: Floats, function: int, table: Floats, meta: Integers,
    result: Halfwords, result_base: int, result_strides: Integers,
) -> None:  # fmt: skip
    """The MAC engine without weights: output channel c joins input channels c * inputs .. + inputs - 1, in order.

    Args:
        extents: of the result; `operation`: 0 sum, 2 product, 3 maximum.
    """
    _, D, C, H, W = extents
    s, so = source_strides, result_strides
    totals = np.empty(W, np.float32)
    row = np.empty(W, np.uint16)
    for triple in range(channel_first, channel_end):
        g, d, c = triple // (D * C), triple // C % D, triple % C
        origin = source_base + g * s[0] + d * s[1] + c * inputs * s[2]
        target = result_base + g * so[0] + d * so[1] + c * so[2]
        for y in range(H):
            for u in range(inputs):
                line = origin + u * s[2] + y * s[3]
                for x in range(W):
                    value = read_half(source[line + x * s[4]])
                    if relu_in:
                        value = max(value, np.float32(0))
                    if u == 0:
                        totals[x] = value
                    elif operation == 0:
                        totals[x] += value
                    elif operation == 2:
                        totals[x] *= value
                    else:
                        totals[x] = max(totals[x], value)
            finish_row(totals, W, np.float32(-0.0), factors, function, table, meta, row)
            for x in range(W):
                result[target + y * so[3] + x * so[4]] = row[x]


@compiled
def unary_map(factors: Floats, function: int, table: Floats, meta: Integers, relu_in: bool) -> Halfwords:
    """The result of a one-input task of the MAC engine for each of the 65,536 halfwords."""
    values = np.empty(65536, np.float32)
    for bits in range(65536):
        value = read_half(bits)
        values[bits] = max(value, np.float32(0)) if relu_in else value
    result = np.empty(65536, np.uint16)
    finish_row(values, 65536, np.float32(-0.0), factors, function, table, meta, result)
    return result


@compiled
def planar_map(numbers: Floats, flags: Integers) -> Halfwords:
    """The result of a one-source task of the planar engine for each of the 65,536 halfwords."""
    result = np.empty(65536, np.uint16)
    for bits in range(65536):
        t = join(read_half(bits), np.float32(0), np.float32(1), numbers, flags)
        result[bits] = store_half(settle(t, numbers, flags))
    return result


@compiled
def apply_map(
    mapping: Halfwords, source: Halfwords, source_base: int, source_strides: Integers, extents: Integers,
    channel_first: int, channel_end: int, result: Halfwords, result_base: int, result_strides: Integers,
) -> None:  # fmt: skip
    """A function of one halfword, element by element."""
    _, D, C, H, W = extents
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
    source: Halfwords, source_base: int, source_strides: Integers, extents: Integers, channel_first: int,
    channel_end: int, relu_in: bool, result: Floats, result_base: int, result_strides: Integers,
) -> None:  # fmt: skip
    """Halfwords to float32 as the data path sees them, into another strided layout."""
    _, D, C, H, W = extents
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
