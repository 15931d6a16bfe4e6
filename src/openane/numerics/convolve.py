"""Dense convolutions: sums of products in a defined order, the same bits with any blocking and any number of threads.

Every output element is one chain of additions over the steps k = 0, 1, ... of the kernel stream. Blocks of steps
only interrupt the chain (the running sum is kept in fp32 and taken up again), blocks of pixels and channels never
share one.

A unit of work is a block of output channels (tiles of ROWS) and of pixels. For each block of steps its weights are
widened once (they stay in the second cache), and for every VECTOR pixels a panel is gathered (it stays in the first
cache) that all tiles are multiplied with.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from openane.numerics.cut import cut_tile
from openane.numerics.finish import (
    ACC_BIAS,
    FLUSH_BELOW,
    OUTPUT_LIMIT,
    POST_SCALE,
    RELU,
    TABLE,
    finish_row,
    scaled,
)
from openane.numerics.jit import (
    BLOCK,
    NATIVE_HALF,
    ROWS,
    VECTOR,
    compiled,
)
from openane.numerics.lookup import evaluate_row, read_half, read_row, store_row
from openane.numerics.micro import (
    LINE_TILES,
    NO_STRAIGHT,
    finish_tile,
    multiply_line,
    multiply_tile,
    widen_finite,
)
from openane.numerics.panel import find_runs, gather, gather_halfwords, spread_channels, spread_row

Floats = npt.NDArray[np.float32]
Halfwords = npt.NDArray[np.uint16]
Integers = npt.NDArray[np.int64]

STEP_BLOCK = 256
"""Steps between two visits of a sum: a panel of pixels takes 16 KiB, half of the first cache."""

PIXEL_BLOCK = 192
"""Most pixels of a unit: a multiple of VECTOR; every widened weight is used by so many."""

TILE_BLOCK = 32
"""Most tiles of a unit: the widened weights (192 KiB) stay in the second cache."""

_WEIGHTS_AT = STEP_BLOCK * VECTOR + 2 * VECTOR
SUMS_AT = _WEIGHTS_AT + TILE_BLOCK * STEP_BLOCK * ROWS + BLOCK
SCRATCH_FLOATS = SUMS_AT + TILE_BLOCK * ROWS * PIXEL_BLOCK
"""Of `convolve_unit`: a panel, weights, sums."""

RUNS_SIZE = 2 * (PIXEL_BLOCK + 1)
"""Lanes and offsets of as many runs as a unit may have."""

FEW_SIDE = LINE_TILES * VECTOR
"""Channels that `convolve_few` takes together."""


def pack_weights(weights: npt.NDArray[Any], packed: npt.NDArray[Any], side: int = ROWS) -> None:
    """Puts weights in the order of the micro-kernel: (channel tiles, steps, channels of a tile), missing channels zero.

    Args:
        weights: (output channels, steps), of any type.
        packed: same type, flat; `packed_size` elements.
        side: ROWS for tiles of ROWS; FEW_SIDE for tiles of VECTOR, whole groups of them.
    """
    channels, steps = weights.shape
    width = VECTOR if side == FEW_SIDE else side
    whole = channels // width
    tiles = packed.reshape(-1, steps, width)
    tiles[:whole] = weights[: whole * width].reshape(whole, width, steps).transpose(0, 2, 1)
    tiles[whole:] = 0
    if channels % width:
        tiles[whole, :, : channels % width] = weights[whole * width :].T


def packed_size(channels: int, steps: int, side: int = ROWS) -> int:
    """Elements of `pack_weights`."""
    return -(-channels // side) * side * steps


@compiled
def _widen_weights(weights: Halfwords, start: int, size: int, finite: bool, target: Floats) -> None:
    """Some weights to float32; up to BLOCK - 1 more are read and written."""
    if NATIVE_HALF and finite:
        for i in range(0, size, BLOCK):
            widen_finite(target, i, weights, start + i)
    else:
        read_row(weights[start : start + size], size, target)


@compiled
def convolve_unit(
    memory: Halfwords, image: Floats, direct: bool, base: int, taps: Integers, row_step: int, spacing: int, width: int,
    weights: Halfwords, weights_base: int, finite: bool, held: Floats, tile_first: int, tile_end: int,
    pixel_first: int, pixel_end: int, cut: bool, scratch: Floats, straight: int, ending: Floats, bias: Floats,
    bias_base: int, channels: int, result_base: int, strides: Integers, result_width: int, words: Halfwords,
    runs: Integers,
) -> None:  # fmt: skip
    """Sums of a unit: pixel p of step k is [base + taps[k] + (p // width) * row_step + p % width * spacing].

    They are ended and stored at once when the micro-kernel knows how (`straight`), else left in lines of `line_pitch`
    from SUMS_AT on in the scratch, one for each channel.

    Args:
        memory, image: where the pixels are: halfwords of memory if `direct`, else floats of the padded image. SLACK
            elements follow the end of both.
        weights: `pack_weights` of all channels from `weights_base` on, no exponent 31 among them if `finite`.
        held: the same as float32 from its first element on; empty when they are to be widened.
        tile_first, tile_end: tiles of ROWS channels, at most TILE_BLOCK.
        pixel_first, pixel_end: at most PIXEL_BLOCK.
        cut: adds as `Accumulate.TILE4` has it; not with a straight ending.
        scratch: SCRATCH_FLOATS.
        straight: a code of `micro`, and `ending` its numbers.
        bias: bias[bias_base + c] belongs to channel c of `channels`.
        result_base, strides, result_width: pixel (y, x) of channel c goes to
            memory[result_base + c * strides[2] + y * strides[3] + x * strides[4]].
        words: scratch for VECTOR pixels of all channels of the unit.
        runs: scratch of RUNS_SIZE.
    """
    steps, tiles = taps.size, tile_end - tile_first
    pitch = line_pitch(pixel_end - pixel_first)
    panel, sums = scratch[:_WEIGHTS_AT], scratch[SUMS_AT:]
    lanes, offsets = runs[: RUNS_SIZE // 2], runs[RUNS_SIZE // 2 :]
    for step_first in range(0, steps, STEP_BLOCK):
        block = min(STEP_BLOCK, steps - step_first)
        fresh, last = step_first == 0, step_first + block == steps
        size = block * ROWS
        wide, first_own, next_own = scratch, _WEIGHTS_AT, size
        if held.size:
            wide, first_own, next_own = held, (tile_first * steps + step_first) * ROWS, steps * ROWS
        else:
            for tile in range(tiles):
                start = weights_base + ((tile_first + tile) * steps + step_first) * ROWS
                _widen_weights(weights, start, size, finite, scratch[_WEIGHTS_AT + tile * size :])
        for p in range(0, pixel_end - pixel_first, VECTOR):
            first = pixel_first + p
            count = min(VECTOR, pixel_end - first)
            found = find_runs(first, count, width, row_step, spacing, lanes, offsets)
            if direct:
                gather_halfwords(memory, base, taps, step_first, block, lanes, offsets, found, panel)
            else:
                gather(image, base, taps, step_first, block, spacing, lanes, offsets, found, panel)
            if last and straight != NO_STRAIGHT:
                _finish_vector(
                    wide, first_own, next_own, panel, block, sums, p, pitch, fresh, tile_first, tile_end, straight,
                    ending, bias, bias_base, channels, memory, result_base, strides, result_width, first, count, words,
                    lanes, offsets,
                )  # fmt: skip
                continue
            for tile in range(tiles):
                place, own = tile * ROWS * pitch + p, first_own + tile * next_own
                if cut:
                    cut_tile(wide, own, panel, block, sums, place, pitch, fresh)
                else:
                    multiply_tile(wide, own, panel, 0, block, sums, place, pitch, fresh)


@compiled
def _finish_vector(
    wide: Floats, first_own: int, next_own: int, panel: Floats, block: int, sums: Floats, p: int, pitch: int,
    fresh: bool, tile_first: int, tile_end: int, straight: int, ending: Floats, bias: Floats, bias_base: int,
    channels: int, memory: Halfwords, result_base: int, strides: Integers, width: int, first: int, count: int,
    words: Halfwords, lanes: Integers, offsets: Integers,
) -> None:  # fmt: skip
    """The last steps of VECTOR pixels from `first` on, of which `count` are stored, and the straight ending.

    Whole tiles of whole vectors that stand side by side are stored at once; all others by way of `words`.
    """
    y, x = first // width, first % width
    near = strides[4] == 1 and (x + VECTOR <= width or strides[3] == width) and count == VECTOR
    stored = max(min(tile_end, channels // ROWS), tile_first) if near else tile_first
    to = result_base + y * strides[3] + x
    for tile in range(tile_first, tile_end):
        own = first_own + (tile - tile_first) * next_own
        place, channel = (tile - tile_first) * ROWS * pitch + p, tile * ROWS
        result, stride, at = memory, strides[2], to + channel * strides[2]
        if tile >= stored:
            result, stride, at = words, VECTOR, (tile - stored) * ROWS * VECTOR
        finish_tile(
            wide, own, panel, 0, block, sums, place, pitch, fresh, bias, bias_base + channel, straight, ending,
            result, at, stride,
        )  # fmt: skip
    if stored < tile_end:
        found = find_runs(first, count, width, strides[3], strides[4], lanes, offsets)
        own, kept = stored * ROWS, min(tile_end * ROWS, channels) - stored * ROWS
        origin = result_base + own * strides[2]
        spread_channels(words, lanes, offsets, found, memory, origin, strides[2], strides[4], kept)


@compiled
def convolve_few(
    memory: Halfwords, image: Floats, direct: bool, base: int, taps: Integers, row_step: int, spacing: int, width: int,
    weights: Halfwords, weights_base: int, finite: bool, first: int, end: int, pixels: int, scratch: Floats,
) -> None:  # fmt: skip
    """`convolve_unit` of at most ROWS pixels, where channels take the place of pixels in the micro-kernel.

    Leaves a line of all channels of the unit for each of ROWS pixels from SUMS_AT on.

    Args:
        first, end: groups of FEW_SIDE channels, at most PIXEL_BLOCK / FEW_SIDE.
    """
    steps, pitch = taps.size, (end - first) * FEW_SIDE
    panel, sums = scratch[:_WEIGHTS_AT], scratch[SUMS_AT:]
    alone = pixels == 1 and finite and NATIVE_HALF
    rows = 1 if alone else ROWS
    for step_first in range(0, steps, STEP_BLOCK):
        block, fresh = min(STEP_BLOCK, steps - step_first), step_first == 0
        for k in range(block):
            start = base + taps[step_first + k]
            for p in range(rows):
                at = start + (p // width) * row_step + (p % width) * spacing
                value = np.float32(0)
                if p < pixels:
                    value = read_half(memory[at]) if direct else image[at]
                panel[k * rows + p] = value
        for vector in range(first * LINE_TILES, end * LINE_TILES, LINE_TILES if alone else 1):
            start = weights_base + (vector * steps + step_first) * VECTOR
            place = (vector - first * LINE_TILES) * VECTOR
            if alone:
                multiply_line(weights, start, panel, block, steps * VECTOR, sums, place, fresh)
            else:
                _widen_weights(weights, start, block * VECTOR, finite, scratch[_WEIGHTS_AT:])
                multiply_tile(panel, 0, scratch, _WEIGHTS_AT, block, sums, place, pitch, fresh)


@compiled
def line_pitch(count: int) -> int:
    """Floats of a line of sums of `count` pixels."""
    return (count + VECTOR - 1) // VECTOR * VECTOR


@compiled
def finish_unit(
    sums: Floats, pitch: int, channel_first: int, channel_end: int, pixel_first: int, count: int, width: int,
    factors: Floats, function: int, table: Floats, meta: Integers, bias: Floats, bias_base: int, memory: Halfwords,
    base: int, strides: Integers, words: Halfwords, runs: Integers,
) -> None:  # fmt: skip
    """Stores sums that `convolve_unit` has left.

    Args:
        sums: a line of `pitch` for each channel.
        pixel_first, count: pixels.
        width: of a row of the result.
        bias: bias[bias_base + c] belongs to channel c.
        memory: pixel (y, x) of channel c goes to memory[base + c * strides[2] + y * strides[3] + x * strides[4]].
        words: scratch for a line.
        runs: scratch of RUNS_SIZE.
    """
    dense = strides[4] == 1 and (strides[3] == width or pixel_first + count <= width)
    lanes, offsets = runs[: RUNS_SIZE // 2], runs[RUNS_SIZE // 2 :]
    found = 0 if dense else find_runs(pixel_first, count, width, strides[3], strides[4], lanes, offsets)
    for channel in range(channel_first, channel_end):
        line = (channel - channel_first) * pitch
        row, own, origin = sums[line : line + count], bias[bias_base + channel], base + channel * strides[2]
        if dense:
            target = memory[origin + pixel_first : origin + pixel_first + count]
            finish_row(row, count, own, factors, function, table, meta, target)
        else:
            finish_row(row, count, own, factors, function, table, meta, words)
            spread_row(words, lanes, offsets, found, memory, origin, strides[4])


@compiled
def finish_few(
    sums: Floats, pitch: int, channel_first: int, channel_end: int, pixels: int, width: int, factors: Floats,
    function: int, table: Floats, meta: Integers, bias: Floats, bias_base: int, memory: Halfwords, base: int,
    strides: Integers, words: Halfwords,
) -> None:  # fmt: skip
    """Stores what `convolve_few` left: a line of `pitch` channels for each pixel; arguments as in `finish_unit`."""
    count = channel_end - channel_first
    acc_bias, scale = factors[ACC_BIAS], factors[POST_SCALE]
    flush, limit = factors[FLUSH_BELOW], factors[OUTPUT_LIMIT]
    for p in range(pixels):
        row = sums[p * pitch : p * pitch + count]
        own = bias[bias_base + channel_first : bias_base + channel_end]
        for c in range(count):
            v = scaled(row[c], own[c], acc_bias, scale, flush, limit)
            row[c] = np.float32(0) if function == RELU and not v > 0 else v
        if function == TABLE:
            evaluate_row(row, table, meta)
        store_row(row, count, words)
        at = base + channel_first * strides[2] + p // width * strides[3] + p % width * strides[4]
        for c in range(count):
            memory[at + c * strides[2]] = words[c]


@compiled
def pack_kernel(memory: Halfwords, base: int, places: Integers, result: int, begin: int, end: int) -> None:
    """Weights that an earlier task has computed, in the order of the micro-kernel: element j of the packed kernel is
    memory[base + places[j]], or 0 where the place is negative."""
    for j in range(begin, end):
        memory[result + j] = memory[base + places[j]] if places[j] >= 0 else np.uint16(0)
