"""Convolutions whose output channels have a few inputs of their own, and the padded image of the others. Compiled.

A block of the padded input of one output channel is loaded as float32, its columns and rows sorted by their place in
a step of the window: then neighbouring results read neighbouring floats whatever the stride, and all rows of the
block are one long line of sums (with unused ones between the rows).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from openane.core.errors import InputError
from openane.numerics.chains import CHAINS, end_products, sum_products
from openane.numerics.cut import cut_products
from openane.numerics.finish import finish_row
from openane.numerics.jit import NATIVE_HALF, compiled, inner
from openane.numerics.join import rectify
from openane.numerics.lookup import read_half
from openane.numerics.micro import NO_STRAIGHT
from openane.numerics.tiles import fetch_row, store_words
from openane.numerics.vector import LANES, fill_lanes, widen_lanes, widen_some, widen_split, widen_split_some

Floats = npt.NDArray[np.float32]
Halfwords = npt.NDArray[np.uint16]
Integers = npt.NDArray[np.int64]

(
    _DEPTH, _CHANNELS, _OUT_HEIGHT, _OUT_WIDTH, _HEIGHT, _WIDTH, _INPUTS, _DOWN, _ACROSS, _GROW_ROWS, _GROW_COLUMNS,
    _TOP, _LEFT, _ROWS, _COLUMNS, _BLOCK_ROWS, _BLOCK_COLUMNS, _PITCH, _EXTRA, _PART, _STEPS, _SEGMENTS, _SHAPE_COUNT,
) = range(23)  # fmt: skip
"""Places in the shape: result, source, step between windows, zeros between elements, pads, window, results of a unit,
floats between the rows of a part of the image, behind its last row, and between parts; steps of a window and their
segments."""

_SEGMENT = 4
"""Numbers of a segment of steps: first and end; first input channel that they read, and how many."""

_IMAGE = 6144
"""Floats of the image that a unit aims at: it stays in the first cache."""

_LARGEST_IMAGE = 1 << 16
_LARGEST_WINDOW, _LARGEST_STEP = 128, 16
_LINE = 1 << 13
"""Floats for a row before its columns are sorted."""

_SUMS = _LARGEST_IMAGE + 704
_PARTIALS = _SUMS + (1 << 15)
"""Places in the scratch memory, behind the image."""

_LONGEST = (1 << 15) - CHAINS
"""Sums of a unit."""


def plan_depthwise(
    source: Sequence[int], result: Sequence[int], inputs: int, step: Sequence[int], grow: Sequence[int],
    pad: Sequence[int], steps: npt.NDArray[np.integer[Any]],
) -> tuple[Integers, Integers, int]:  # fmt: skip
    """Shape and taps for `depthwise`, and its number of units.

    Args:
        source, result: extents.
        inputs: input channels of an output channel.
        step: (rows, columns) between windows.
        grow: distance of the elements of the padded input, 1 when there are no zeros between them.
        pad: rows on top, columns on the left.
        steps: (n, 3): input channel, row and column of the window, in the order of the sum.

    Raises:
        InputError: a window that is too large.
    """
    window = max([0, *steps[:, 1].tolist()]) + 1, max([0, *steps[:, 2].tolist()]) + 1
    if max(window) > _LARGEST_WINDOW or max(step) > _LARGEST_STEP:
        limit = f"{_LARGEST_WINDOW} and {_LARGEST_STEP}"
        raise InputError("the window or its stride is too large", value=(*window, *step), limit=limit)
    height, width = result[3:]
    widest = min(_LINE // 2, _LARGEST_IMAGE // 2 // (window[0] + step[0]))
    columns = max(1, min(width, (widest - window[1]) // step[1]))
    reach = (columns - 1) * step[1] + window[1]
    pitch = -(-reach // step[1])
    if step[1] == 1 and columns == width:  # the zeros on the left of a row are those on the right of the one before
        pitch = min(reach, max(pad[1] + (source[4] - 1) * grow[1] + 1, reach - pad[1]))
    extra = reach - pitch if step[1] == 1 else 0
    layout = _Layout(window, (step[0], step[1]), pitch, extra)
    segments = _segments(steps, max(1, _LARGEST_IMAGE // layout.image_floats(1)))
    most = max(segment[3] for segment in segments)
    rows = 1
    while rows < height and (rows + 1) * pitch <= _LONGEST and layout.image_floats(rows + 1) * most <= _IMAGE:
        rows += 1
    offsets = np.array(layout.offsets(steps, segments, rows), np.int64)
    shape = (
        result[1], result[2], height, width, *source[3:], inputs, *step, *grow, *pad, *window, rows, columns, pitch,
        extra, layout.part_floats(rows), len(steps), len(segments), *(n for segment in segments for n in segment),
    )  # fmt: skip
    units = math.prod(result[:3]) * -(-height // rows) * -(-width // columns)
    return np.array(shape, np.int64), offsets, units


@dataclass(frozen=True, slots=True)
class _Layout:
    """Of an image whose rows and columns are sorted by their place in a step.

    Attributes:
        window, step: (rows, columns).
        pitch: floats from row to row of a part.
        extra: floats behind the last row of a part that are read: the zeros that it shares with no other row.
    """

    window: tuple[int, int]
    step: tuple[int, int]
    pitch: int
    extra: int

    def part_floats(self, rows: int) -> int:
        """Of a part for so many rows of results."""
        high = (rows - 1) * self.step[0] + self.window[0]
        return -(-high // self.step[0]) * self.pitch + self.extra + 2 * LANES

    def image_floats(self, rows: int) -> int:
        """Of all parts of one input channel."""
        return self.part_floats(rows) * self.step[0] * self.step[1]

    def offsets(
        self, steps: npt.NDArray[np.integer[Any]], segments: Sequence[Sequence[int]], rows: int
    ) -> list[int]:  # fmt: skip
        """Where each step reads, from the place of a result on."""
        (down, across), part = self.step, self.part_floats(rows)
        offsets = []
        for begin, end, low, _ in segments:
            for channel, y, x in steps[begin:end].tolist():
                parts = ((channel - low) * down + y % down) * across + x % across
                offsets.append(parts * part + y // down * self.pitch + x // across)
        return offsets


def _segments(steps: npt.NDArray[np.integer[Any]], most: int) -> list[tuple[int, int, int, int]]:
    """Steps that follow one another and read at most `most` input channels."""
    segments: list[tuple[int, int, int, int]] = []
    if not len(steps):
        return [(0, 0, 0, 0)]
    begin, low, high = 0, int(steps[0, 0]), int(steps[0, 0])
    for k, channel in enumerate(map(int, steps[:, 0])):
        if max(high, channel) - min(low, channel) >= most:
            segments.append((begin, k, low, high - low + 1))
            begin, low, high = k, channel, channel
        low, high = min(low, channel), max(high, channel)
    return [*segments, (begin, len(steps), low, high - low + 1)]


@compiled
def depthwise(
    memory: Halfwords, source_base: int, source_strides: Integers, shape: Integers, taps: Integers, relu_in: bool,
    weights: Floats, weight_group: int, bias: Floats, cut: bool, straight: int, ending: Floats, result_base: int,
    result_strides: Integers, factors: Floats, function: int, table: Floats, meta: Integers, scratch: Floats,
    words: Halfwords, begin: int, end: int,
) -> None:  # fmt: skip
    """Sums, ends and stores blocks of output channels. Source and result do not overlap.

    Args:
        shape, taps: of `plan_depthwise`.
        weights: (kernel groups, channels, steps), flat; fp16 values.
        weight_group: channels between the weights of one group and the next; 0 when all groups share them.
        bias: (kernel groups, channels), flat.
        cut: adds as `Accumulate.TILE4` has it; not with a straight ending.
        straight, ending: as in `micro.finish_tile`; else the ending is `factors`, `function` and the table.
    """
    s, so = source_strides, result_strides
    across = (shape[_OUT_WIDTH] + shape[_BLOCK_COLUMNS] - 1) // shape[_BLOCK_COLUMNS]
    down = (shape[_OUT_HEIGHT] + shape[_BLOCK_ROWS] - 1) // shape[_BLOCK_ROWS]
    pitch = shape[_PITCH]
    for unit in range(begin, end):
        rest, left = unit // across, unit % across * shape[_BLOCK_COLUMNS]
        triple, top = rest // down, rest % down * shape[_BLOCK_ROWS]
        rows = min(shape[_BLOCK_ROWS], shape[_OUT_HEIGHT] - top)
        columns = min(shape[_BLOCK_COLUMNS], shape[_OUT_WIDTH] - left)
        c, rest = triple % shape[_CHANNELS], triple // shape[_CHANNELS]
        g, d = rest // shape[_DEPTH], rest % shape[_DEPTH]
        source = source_base + g * s[0] + d * s[1] + c * shape[_INPUTS] * s[2]
        channel = g * weight_group + c
        count = (rows - 1) * pitch + columns
        for segment in range(shape[_SEGMENTS]):
            at = _SHAPE_COUNT + segment * _SEGMENT
            for u in range(shape[at + 3]):
                place = u * shape[_PART] * shape[_DOWN] * shape[_ACROSS]
                plane = source + (shape[at + 2] + u) * s[2]
                _load_block(memory, plane, s[3], s[4], relu_in, shape, top, rows, left, columns, scratch, place)
            own = straight if segment == shape[_SEGMENTS] - 1 else NO_STRAIGHT
            _sum_segment(
                scratch, count, taps, shape[at], shape[at + 1], weights, channel * shape[_STEPS], shape[_STEPS], cut,
                np.float32(bias[channel]), own, ending, words,
            )  # fmt: skip
        if straight == NO_STRAIGHT:
            finish_row(scratch[_SUMS : _SUMS + count], count, bias[channel], factors, function, table, meta, words)
        to = result_base + g * so[0] + d * so[1] + c * so[2] + top * so[3] + left * so[4]
        store_words(words, pitch, memory, to, so[3], so[4], rows, columns)


@inner
def _sum_segment(
    scratch: Floats, count: int, taps: Integers, first: int, end: int, weights: Floats, weight: int, steps: int,
    cut: bool, bias: float, straight: int, ending: Floats, words: Halfwords,
) -> None:  # fmt: skip
    """Adds the products of the steps first ... end - 1 to `count` sums, which begin with the first of `steps`; ends
    them unless `straight` is NO_STRAIGHT."""
    if cut:
        cut_products(scratch, _SUMS, _PARTIALS, count, taps, first, end, weights, weight, steps - 1)
        return
    own, length, fresh = weight + first, end - first, first == 0
    if straight == NO_STRAIGHT:
        for x in range(0, count, CHAINS):
            sum_products(scratch, _SUMS + x, scratch, x, taps, first, weights, own, length, fresh)
    else:
        for x in range(0, count, CHAINS):
            end_products(
                scratch, _SUMS + x, scratch, x, taps, first, weights, own, length, fresh, bias, straight, ending,
                words, x,
            )  # fmt: skip


@inner
def _load_block(
    memory: Halfwords, plane: int, row_stride: int, stride: int, relu_in: bool, shape: Integers, top: int, rows: int,
    left: int, columns: int, scratch: Floats, place: int,
) -> None:  # fmt: skip
    """The part of a padded plane that a block of results reads, from scratch[place] on."""
    down, across, grow = shape[_DOWN], shape[_ACROSS], shape[_GROW_COLUMNS]
    size = shape[_PART] * down * across
    _clear(scratch, place, place + size)
    start, upper = left * across - shape[_LEFT], top * down - shape[_TOP]
    wide, high = shape[_PITCH] * across, (rows - 1) * down + shape[_ROWS]
    if grow == 1 and shape[_GROW_ROWS] == 1:
        x_first, x_end = max(start, 0), min(start + wide, shape[_WIDTH])
        y_first, y_end = max(upper, 0), min(upper + high, shape[_HEIGHT])
    else:
        x_first = max((start + grow - 1) // grow, 0)
        x_end = min((start + wide + grow - 1) // grow, shape[_WIDTH])
        y_first = max((upper + shape[_GROW_ROWS] - 1) // shape[_GROW_ROWS], 0)
        y_end = min((upper + high + shape[_GROW_ROWS] - 1) // shape[_GROW_ROWS], shape[_HEIGHT])
    if x_end <= x_first or y_end <= y_first:
        return
    first, count = plane + y_first * row_stride + x_first * stride, x_end - x_first
    last = plane + (y_end - 1) * row_stride + x_first * stride + count + 2 * LANES
    plain = NATIVE_HALF and stride == 1 and grow == 1 and shape[_GROW_ROWS] == 1 and last <= memory.size
    indent, row = x_first * grow - start, y_first * shape[_GROW_ROWS] - upper
    if plain and across == 1:
        _load_plain(memory, first, row_stride, count, shape, row, y_end - y_first, indent, scratch, place)
    elif plain and across == 2:
        _load_halved(memory, first, row_stride, count, shape, row, y_end - y_first, indent, scratch, place)
    else:
        for y in range(y_end - y_first):
            line = place + _line_of(row + y * shape[_GROW_ROWS], shape)
            for x in range(count):
                column = indent + x * grow
                to = line + column % across * shape[_PART] + column // across
                scratch[to] = read_half(memory[first + y * row_stride + x * stride])
    if relu_in:
        rectify(scratch, place, size)


@inner
def _line_of(row: int, shape: Integers) -> Any:
    """Where a row of the image begins, in the first part of its columns."""
    down = shape[_DOWN]
    if down == 1:
        return row * shape[_PITCH]
    return row % down * shape[_ACROSS] * shape[_PART] + row // down * shape[_PITCH]


@inner
def _load_plain(
    memory: Halfwords, source: int, row_stride: int, count: int, shape: Integers, row: int, rows: int, indent: int,
    scratch: Floats, place: int,
) -> None:  # fmt: skip
    """Rows of the source that follow one another, next to each other; behind each come less than LANES zeros."""
    for y in range(rows):
        to, line = place + _line_of(row + y, shape) + indent, source + y * row_stride
        for x in range(0, count - LANES + 1, LANES):
            widen_lanes(scratch, to + x, memory, line + x)
        rest = count % LANES
        if rest:
            widen_some(scratch, to + count - rest, memory, line + count - rest, rest)


@inner
def _load_halved(
    memory: Halfwords, source: int, row_stride: int, count: int, shape: Integers, row: int, rows: int, indent: int,
    scratch: Floats, place: int,
) -> None:  # fmt: skip
    """`_load_plain` with every other column in the other part; less than 2 * LANES zeros behind a row."""
    part = shape[_PART]
    even = indent % 2 * part + indent // 2
    odd = (indent + 1) % 2 * part + (indent + 1) // 2
    for y in range(rows):
        to, line = place + _line_of(row + y, shape), source + y * row_stride
        for x in range(0, count - 2 * LANES + 1, 2 * LANES):
            widen_split(scratch, to + even + x // 2, to + odd + x // 2, memory, line + x)
        rest = count % (2 * LANES)
        if rest:
            x = count - rest
            widen_split_some(scratch, to + even + x // 2, to + odd + x // 2, memory, line + x, rest)


@inner
def _load_row(
    memory: Halfwords, source: int, stride: int, relu_in: bool, count: int, grow: int, scratch: Floats, line: int,
    first: int, wide: int,
) -> None:  # fmt: skip
    """A row of `wide` floats: `count` elements, `grow` apart, from `first` on; zeros around and between.

    Up to LANES floats behind the row are overwritten.
    """
    _clear(scratch, line, line + first)
    if grow == 1:
        fetch_row(memory, source, stride, count, scratch, line + first)
        end = line + first + count
    else:
        scratch[line + first : line + wide] = 0
        for x in range(count):
            scratch[line + first + x * grow] = read_half(memory[source + x * stride])
        end = line + wide
    if relu_in:
        rectify(scratch, line + first, end - line - first)
    _clear(scratch, end, line + wide)


@inner
def _clear(scratch: Floats, first: int, end: int) -> None:
    """Zeros, and less than LANES of them behind the end."""
    for x in range(first, end, LANES):
        fill_lanes(scratch, x, np.float32(0))


@compiled
def load(
    memory: Halfwords, source_base: int, source_strides: Integers, extents: Integers, relu_in: bool, image: Floats,
    image_base: int, image_strides: Integers, plane: Integers, begin: int, end: int,
) -> None:  # fmt: skip
    """Whole padded planes as float32, the zeros around and between the elements too.

    Args:
        extents: of the source.
        image_strides: of (groups, depth, channels, height, width) in the image, floats.
        plane: rows and columns of a padded plane, rows on top and columns on the left of the first element.
        begin, end: rows of padded planes, counted over all planes.
    """
    s, so = source_strides, image_strides
    rows, columns, top, left = plane[0], plane[1], plane[2], plane[3]
    grow_rows, grow = max(so[3] // columns, 1), max(so[4], 1)
    for unit in range(begin, end):
        triple, row = unit // rows, unit % rows
        c, rest = triple % extents[2], triple // extents[2]
        g, d = rest // extents[1], rest % extents[1]
        line = image_base + g * so[0] + d * so[1] + c * so[2] + row * columns
        y, between = (row - top) // grow_rows, (row - top) % grow_rows
        if y < 0 or y >= extents[3] or between:
            image[line : line + columns] = 0
            continue
        source = source_base + g * s[0] + d * s[1] + c * s[2] + y * s[3]
        if min(rows - row, end - unit) * columns - columns >= LANES:
            _load_row(memory, source, s[4], relu_in, extents[4], grow, image, line, left, columns)
        else:
            _load_last_row(memory, source, s[4], relu_in, extents[4], grow, image, line, left, columns)


@inner
def _load_last_row(
    memory: Halfwords, source: int, stride: int, relu_in: bool, count: int, grow: int, image: Floats, line: int,
    first: int, wide: int,
) -> None:  # fmt: skip
    """`_load_row` that writes nothing behind the row: what follows may be another thread's."""
    image[line : line + wide] = 0
    for x in range(count):
        value = read_half(memory[source + x * stride])
        image[line + first + x * grow] = value if value > 0 or not relu_in else np.float32(0)
