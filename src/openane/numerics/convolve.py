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

from openane.numerics.jit import BLOCK, NATIVE_HALF, ROWS, VECTOR, inner
from openane.numerics.lookup import read_row
from openane.numerics.micro import (
    LINE_TILES,
    REST_SIDE,
    REST_TILES,
    finish_rest,
    finish_tile,
    multiply_rest,
    multiply_tile,
    widen_finite,
)
from openane.numerics.panel import find_runs, gather, gather_halfwords, spread_channels

Floats = npt.NDArray[np.float32]
Halfwords = npt.NDArray[np.uint16]
Integers = npt.NDArray[np.int64]

STEP_BLOCK = 256
"""Steps between two visits of a sum: a panel of pixels takes 16 KiB, half of the first cache."""

PIXEL_BLOCK = 192
"""Most pixels of a unit: a multiple of VECTOR; every widened weight is used by so many."""

TILE_BLOCK = 32
"""Most tiles of a unit: the widened weights (192 KiB) stay in the second cache."""

WEIGHTS_AT = STEP_BLOCK * VECTOR + 2 * VECTOR
SUMS_AT = WEIGHTS_AT + TILE_BLOCK * STEP_BLOCK * ROWS + BLOCK
_REST_PIXELS = 6
"""Pixels behind whole vectors that are computed one by one instead of as a vector of which most is lost."""

_REST_AT = SUMS_AT + TILE_BLOCK * ROWS * PIXEL_BLOCK
_REST_LINE = TILE_BLOCK * REST_SIDE
SCRATCH_FLOATS = _REST_AT + _REST_PIXELS * _REST_LINE
"""Of `convolve_unit`: a panel, weights, sums, sums of the rest."""

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


@inner
def widen_weights(weights: Halfwords, start: int, size: int, finite: bool, target: Floats) -> None:
    """Some weights to float32; up to BLOCK - 1 more are read and written."""
    if NATIVE_HALF and finite:
        for i in range(0, size, BLOCK):
            widen_finite(target, i, weights, start + i)
    else:
        read_row(weights[start : start + size], size, target)


@inner
def widen_tiles(
    weights: Halfwords, start: int, stride: int, size: int, tiles: int, finite: bool, scratch: Floats
) -> None:
    """Some steps of tiles that are `stride` apart, side by side from WEIGHTS_AT on."""
    for tile in range(tiles):
        widen_weights(weights, start + tile * stride, size, finite, scratch[WEIGHTS_AT + tile * size :])


@inner
def gather_vector(
    memory: Halfwords, image: Floats, direct: bool, base: int, taps: Integers, row_step: int, spacing: int, width: int,
    step_first: int, block: int, first: int, count: int, runs: Integers, panel: Floats,
) -> None:  # fmt: skip
    """A panel of up to VECTOR pixels and a block of steps; arguments as in `convolve_unit`."""
    lanes, offsets = runs[: RUNS_SIZE // 2], runs[RUNS_SIZE // 2 :]
    found = find_runs(first, count, width, row_step, spacing, lanes, offsets)
    if direct:
        gather_halfwords(memory, base, taps, step_first, block, lanes, offsets, found, panel)
    else:
        gather(image, base, taps, step_first, block, spacing, lanes, offsets, found, panel)


@inner
def convolve_unit(
    memory: Halfwords, image: Floats, direct: bool, base: int, taps: Integers, row_step: int, spacing: int, width: int,
    weights: Halfwords, weights_base: int, finite: bool, held: Floats, tile_first: int, tile_end: int,
    pixel_first: int, pixel_end: int, scratch: Floats, straight: int, ending: Floats, bias: Floats, bias_base: int,
    channels: int, result_base: int, strides: Integers, result_width: int, words: Halfwords, runs: Integers,
) -> None:  # fmt: skip
    """Sums of a unit: pixel p of step k is [base + taps[k] + (p // width) * row_step + p % width * spacing].

    Args:
        memory, image: where the pixels are: halfwords of memory if `direct`, else floats of the padded image. SLACK
            elements follow the end of both.
        weights: `pack_weights` of all channels from `weights_base` on, no exponent 31 among them if `finite`.
        held: the same as float32 from its first element on; empty when they are to be widened.
        tile_first, tile_end: tiles of ROWS channels, at most TILE_BLOCK.
        pixel_first, pixel_end: at most PIXEL_BLOCK.
        scratch: SCRATCH_FLOATS.
        straight: a code of `micro`, not NO_STRAIGHT, and `ending` its numbers.
        bias: bias[bias_base + c] belongs to channel c of `channels`.
        result_base, strides, result_width: pixel (y, x) of channel c goes to
            memory[result_base + c * strides[2] + y * strides[3] + x * strides[4]].
        words, runs: scratch for VECTOR pixels of all channels of the unit, and of RUNS_SIZE.
    """
    steps, tiles = taps.size, tile_end - tile_first
    pitch, sums = line_pitch(pixel_end - pixel_first), scratch[SUMS_AT:]
    for step_first in range(0, steps, STEP_BLOCK):
        block = min(STEP_BLOCK, steps - step_first)
        fresh, last = step_first == 0, step_first + block == steps
        wide, first_own, next_own = scratch, WEIGHTS_AT, block * ROWS
        if held.size:
            wide, first_own, next_own = held, (tile_first * steps + step_first) * ROWS, steps * ROWS
        else:
            start = weights_base + (tile_first * steps + step_first) * ROWS
            widen_tiles(weights, start, steps * ROWS, next_own, tiles, finite, scratch)
        for first in range(pixel_first, pixel_end, VECTOR):
            count, p = min(VECTOR, pixel_end - first), first - pixel_first
            gather_vector(
                memory, image, direct, base, taps, row_step, spacing, width, step_first, block, first, count, runs,
                scratch,
            )  # fmt: skip
            if count <= _REST_PIXELS:
                _sum_rest(wide, first_own, next_own, tiles, block, scratch, count, fresh)
            elif last:
                _finish_vector(
                    wide, first_own, next_own, scratch, block, sums, p, pitch, fresh, tile_first, tile_end, straight,
                    ending, bias, bias_base, channels, memory, result_base, strides, result_width, first, count, words,
                    runs,
                )  # fmt: skip
            else:
                for tile in range(tiles):
                    place, own = tile * ROWS * pitch + p, first_own + tile * next_own
                    multiply_tile(wide, own, scratch, 0, block, sums, place, pitch, fresh)
    count = (pixel_end - pixel_first) % VECTOR
    if 0 < count <= _REST_PIXELS:
        first = pixel_end - count
        _finish_rest(
            scratch, tile_first, tile_end, straight, ending, bias, bias_base, channels, memory, result_base, strides,
            result_width, first, count, words,
        )  # fmt: skip


@inner
def _finish_vector(
    wide: Floats, first_own: int, next_own: int, panel: Floats, block: int, sums: Floats, p: int, pitch: int,
    fresh: bool, tile_first: int, tile_end: int, straight: int, ending: Floats, bias: Floats, bias_base: int,
    channels: int, memory: Halfwords, result_base: int, strides: Integers, width: int, first: int, count: int,
    words: Halfwords, runs: Integers,
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
        lanes, offsets = runs[: RUNS_SIZE // 2], runs[RUNS_SIZE // 2 :]
        found = find_runs(first, count, width, strides[3], strides[4], lanes, offsets)
        own, kept = stored * ROWS, min(tile_end * ROWS, channels) - stored * ROWS
        origin = result_base + own * strides[2]
        spread_channels(words, lanes, offsets, found, memory, origin, strides[2], strides[4], kept)


@inner
def _sum_rest(
    wide: Floats, first_own: int, next_own: int, tiles: int, block: int, scratch: Floats, count: int, fresh: bool
) -> None:
    """Some steps of a few pixels."""
    for pixel in range(count):
        for tile in range(0, tiles, REST_TILES):
            place, own = _REST_AT + pixel * _REST_LINE + tile * REST_SIDE, first_own + tile * next_own
            multiply_rest(wide, own, next_own, tiles - tile, scratch, pixel, block, place, fresh)


@inner
def _finish_rest(
    scratch: Floats, tile_first: int, tile_end: int, straight: int, ending: Floats, bias: Floats, bias_base: int,
    channels: int, memory: Halfwords, result_base: int, strides: Integers, width: int, first: int, count: int,
    words: Halfwords,
) -> None:  # fmt: skip
    """The straight ending of what `_sum_rest` left of pixels from `first` on."""
    for pixel in range(count):
        y, x = (first + pixel) // width, (first + pixel) % width
        place, to = _REST_AT + pixel * _REST_LINE, result_base + y * strides[3] + x * strides[4]
        for tile in range(tile_first, tile_end, 2):
            own = bias_base + tile * ROWS
            finish_rest(scratch, place + (tile - tile_first) * REST_SIDE, bias, own, straight, ending, words)
            for channel in range(tile * ROWS, min(min(tile + 2, tile_end) * ROWS, channels)):
                lane = channel - tile * ROWS
                memory[to + channel * strides[2]] = words[lane + (lane // ROWS) * (REST_SIDE - ROWS)]


@inner
def line_pitch(count: int) -> int:
    """Floats of a line of sums of `count` pixels."""
    return (count + VECTOR - 1) // VECTOR * VECTOR


@inner
def pack_kernel(memory: Halfwords, base: int, places: Integers, result: int, begin: int, end: int) -> None:
    """Weights that an earlier task has computed, in the order of the micro-kernel: element j of the packed kernel is
    memory[base + places[j]], or 0 where the place is negative."""
    for j in range(begin, end):
        memory[result + j] = memory[base + places[j]] if places[j] >= 0 else np.uint16(0)
