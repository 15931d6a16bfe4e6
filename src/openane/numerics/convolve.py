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

from openane.numerics.finish import finish_row
from openane.numerics.jit import (
    BLOCK,
    NATIVE_HALF,
    ROWS,
    VECTOR,
    bits_of_float,
    compiled,
    float_of_bits,
    move_vector,
    multiply_tile,
    widen_block,
)
from openane.numerics.lookup import read_half, read_row

Floats = npt.NDArray[np.float32]
Halfwords = npt.NDArray[np.uint16]
Integers = npt.NDArray[np.int64]

STEP_BLOCK = 256
"""Steps between two visits of a sum: a panel of pixels takes 16 KiB, half of the first cache."""

PIXEL_BLOCK = 192
"""Most pixels of a unit: a multiple of VECTOR; every widened weight is used by so many."""

TILE_BLOCK = 16
"""Most tiles of a unit: the widened weights (96 KiB) stay in the second cache."""

SLACK = 4 * VECTOR
"""Floats or halfwords behind the last pixel that vector moves may read."""

_WEIGHTS_AT = STEP_BLOCK * VECTOR + 2 * VECTOR
_SUMS_AT = _WEIGHTS_AT + TILE_BLOCK * STEP_BLOCK * ROWS
SCRATCH_FLOATS = _SUMS_AT + TILE_BLOCK * ROWS * PIXEL_BLOCK
"""Of `convolve_unit`: a panel, weights, sums."""


def pack_weights(weights: npt.NDArray[Any], packed: npt.NDArray[Any], side: int = ROWS) -> None:
    """Puts weights in the order of the micro-kernel: (channel tiles, steps, side), missing channels zero.

    Args:
        weights: (output channels, steps), of any type.
        packed: same type, flat; `packed_size` elements.
        side: channels of a tile: ROWS, or VECTOR for `convolve_few`.
    """
    channels, steps = weights.shape
    whole = channels // side
    tiles = packed.reshape(-1, steps, side)
    tiles[:whole] = weights[: whole * side].reshape(whole, side, steps).transpose(0, 2, 1)
    if channels % side:
        tiles[whole] = 0
        tiles[whole, :, : channels % side] = weights[whole * side :].T


def packed_size(channels: int, steps: int, side: int = ROWS) -> int:
    """Elements of `pack_weights`."""
    return -(-channels // side) * side * steps


@compiled
def _find_runs(
    first: int, count: int, width: int, row_step: int, spacing: int, lanes: Integers, offsets: Integers
) -> int:
    """Splits up to VECTOR pixels from `first` on where a row ends.

    Args:
        width: pixels of a row; neighbours are `spacing` apart, rows `row_step`.
        lanes, offsets: for each run its first lane and the offset of its first pixel.

    Returns:
        The number of runs.
    """
    found, lane = 0, 0
    while lane < count:
        y, x = (first + lane) // width, (first + lane) % width
        lanes[found], offsets[found] = lane, y * row_step + x * spacing
        lane += min(width - x, count - lane)
        found += 1
    lanes[found] = count
    return found


@compiled
def _gather(
    image: Floats, base: int, taps: Integers, step_first: int, block: int, spacing: int, lanes: Integers,
    offsets: Integers, found: int, panel: Floats,
) -> None:  # fmt: skip
    """Up to VECTOR pixels of every step of a block into a panel.

    A run is moved as a whole vector; what stands behind its end is overwritten by the next run or the next step,
    and what remains belongs to pixels that nobody stores.
    """
    if spacing <= 2:
        for k in range(block):
            start = base + taps[step_first + k]
            for r in range(found):
                move_vector(panel, k * VECTOR + lanes[r], image, start + offsets[r], spacing)
    else:
        for k in range(block):
            start = base + taps[step_first + k]
            for r in range(found):
                for j in range(lanes[r], lanes[r + 1]):
                    panel[k * VECTOR + j] = image[start + offsets[r] + (j - lanes[r]) * spacing]


@compiled
def _gather_halfwords(
    memory: Halfwords, base: int, taps: Integers, step_first: int, block: int, lanes: Integers, offsets: Integers,
    found: int, panel: Floats,
) -> None:  # fmt: skip
    """`_gather` of pixels that stand side by side, straight from memory."""
    for k in range(block):
        start = base + taps[step_first + k]
        for r in range(found):
            place, origin = k * VECTOR + lanes[r], start + offsets[r]
            if NATIVE_HALF:
                for part in range(0, VECTOR, BLOCK):
                    widen_block(panel, place + part, memory, origin + part)
            else:
                for j in range(lanes[r + 1] - lanes[r]):
                    panel[place + j] = read_half(memory[origin + j])


@compiled
def convolve_unit(
    memory: Halfwords, image: Floats, direct: bool, base: int, taps: Integers, row_step: int, spacing: int, width: int,
    weights: Halfwords, weights_base: int, tile_first: int, tile_end: int, pixel_first: int, pixel_end: int,
    cut: bool, scratch: Floats,
) -> int:  # fmt: skip
    """Sums of a unit: pixel p of step k is [base + taps[k] + (p // width) * row_step + p % width * spacing].

    Args:
        memory, image: where the pixels are: halfwords of memory if `direct`, else floats of the padded image. SLACK
            elements follow the end of both.
        weights: `pack_weights` of all channels from `weights_base` on.
        tile_first, tile_end: tiles of ROWS channels, at most TILE_BLOCK.
        pixel_first, pixel_end: at most PIXEL_BLOCK.
        cut: adds as `Accumulate.TILE4` has it.
        scratch: SCRATCH_FLOATS.

    Returns:
        Where the sums begin in `scratch`: a line of `line_pitch` for each channel.
    """
    steps, tiles = taps.size, tile_end - tile_first
    pitch = line_pitch(pixel_end - pixel_first)
    panel, sums = scratch[:_WEIGHTS_AT], scratch[_SUMS_AT:]
    lanes, offsets = np.empty(VECTOR + 1, np.int64), np.empty(VECTOR + 1, np.int64)
    for step_first in range(0, steps, STEP_BLOCK):
        block = min(STEP_BLOCK, steps - step_first)
        size = block * ROWS
        for tile in range(tiles):
            start = weights_base + ((tile_first + tile) * steps + step_first) * ROWS
            read_row(weights[start : start + size], size, scratch[_WEIGHTS_AT + tile * size :])
        for p in range(0, pixel_end - pixel_first, VECTOR):
            first = pixel_first + p
            count = min(VECTOR, pixel_end - first)
            found = _find_runs(first, count, width, row_step, spacing, lanes, offsets)
            if direct:
                _gather_halfwords(memory, base, taps, step_first, block, lanes, offsets, found, panel)
            else:
                _gather(image, base, taps, step_first, block, spacing, lanes, offsets, found, panel)
            for tile in range(tiles):
                place, own = tile * ROWS * pitch + p, _WEIGHTS_AT + tile * size
                if cut:
                    _cut_tile(scratch, own, panel, block, sums, place, pitch, step_first == 0)
                else:
                    multiply_tile(scratch, own, panel, 0, block, sums, place, pitch, step_first == 0)
    return _SUMS_AT


@compiled
def convolve_few(
    memory: Halfwords, image: Floats, direct: bool, base: int, taps: Integers, row_step: int, spacing: int, width: int,
    weights: Halfwords, weights_base: int, vector_first: int, vector_end: int, pixels: int, scratch: Floats,
) -> int:  # fmt: skip
    """`convolve_unit` of at most ROWS pixels, where channels take the place of pixels in the micro-kernel.

    Args:
        weights: packed by VECTOR instead of ROWS.
        vector_first, vector_end: vectors of channels, at most PIXEL_BLOCK / VECTOR.

    Returns:
        Where the sums begin: a line of all channels of the unit for each of ROWS pixels.
    """
    steps, pitch = taps.size, (vector_end - vector_first) * VECTOR
    panel, sums = scratch[:_WEIGHTS_AT], scratch[_SUMS_AT:]
    for step_first in range(0, steps, STEP_BLOCK):
        block = min(STEP_BLOCK, steps - step_first)
        for k in range(block):
            start = base + taps[step_first + k]
            for p in range(ROWS):
                at = start + (p // width) * row_step + (p % width) * spacing
                value = np.float32(0)
                if p < pixels:
                    value = read_half(memory[at]) if direct else image[at]
                panel[k * ROWS + p] = value
        for vector in range(vector_first, vector_end):
            start = weights_base + (vector * steps + step_first) * VECTOR
            read_row(weights[start : start + block * VECTOR], block * VECTOR, scratch[_WEIGHTS_AT:])
            place = (vector - vector_first) * VECTOR
            multiply_tile(panel, 0, scratch, _WEIGHTS_AT, block, sums, place, pitch, step_first == 0)
    return _SUMS_AT


@compiled
def turn_sums(scratch: Floats, sums: int, pixels: int, channels: int, pitch: int) -> int:
    """Puts the sums of `convolve_few` into lines of VECTOR for each channel; returns where they begin."""
    for channel in range(channels):
        for p in range(pixels):
            scratch[channel * VECTOR + p] = scratch[sums + p * pitch + channel]
    return 0


@compiled
def line_pitch(count: int) -> int:
    """Floats of a line of sums of `count` pixels."""
    return (count + VECTOR - 1) // VECTOR * VECTOR


@compiled
def finish_unit(
    sums: Floats, pitch: int, channel_first: int, channel_end: int, pixel_first: int, pixel_end: int, width: int,
    factors: Floats, function: int, table: Floats, meta: Integers, bias: Floats, bias_base: int, memory: Halfwords,
    base: int, strides: Integers, words: Halfwords,
) -> None:  # fmt: skip
    """Stores the sums of a unit.

    Args:
        sums: a line of `pitch` for each channel.
        width: pixels of a row of the result.
        bias: bias[bias_base + c] belongs to channel c.
        memory: pixel (y, x) of channel c goes to memory[base + c * strides[2] + y * strides[3] + x * strides[4]].
        words: scratch for a line.
    """
    count = pixel_end - pixel_first
    dense = strides[4] == 1 and (strides[3] == width or pixel_end <= width)
    for channel in range(channel_first, channel_end):
        line = (channel - channel_first) * pitch
        row, own = sums[line : line + count], bias[bias_base + channel]
        origin = base + channel * strides[2]
        if dense:
            target = memory[origin + pixel_first : origin + pixel_end]
            finish_row(row, count, own, factors, function, table, meta, target)
            continue
        finish_row(row, count, own, factors, function, table, meta, words)
        done = 0
        while done < count:
            y, x = (pixel_first + done) // width, (pixel_first + done) % width
            length = min(width - x, count - done)
            at = origin + y * strides[3] + x * strides[4]
            if strides[4] == 1:
                target, part = memory[at : at + length], words[done : done + length]
                for j in range(length):
                    target[j] = part[j]
            else:
                for j in range(length):
                    memory[at + j * strides[4]] = words[done + j]
            done += length


@compiled
def pack_kernel(memory: Halfwords, base: int, places: Integers, result: int, begin: int, end: int) -> None:
    """Weights that an earlier task has computed, in the order of the micro-kernel: element j of the packed kernel is
    memory[base + places[j]], or 0 where the place is negative."""
    for j in range(begin, end):
        memory[result + j] = memory[base + places[j]] if places[j] >= 0 else np.uint16(0)


@compiled
def _cut_tile(
    weights: Floats, first_weight: int, panel: Floats, count: int, sums: Floats, first_sum: int, pitch: int,
    fresh: bool,
) -> None:  # fmt: skip
    """`multiply_tile` with the accumulation of `Accumulate.TILE4`; STEP_BLOCK is a multiple of its four steps."""
    for row in range(ROWS):
        for x in range(VECTOR):
            place = first_sum + row * pitch + x
            total = np.float32(0) if fresh else sums[place]
            partial = np.float32(0)
            for k in range(count):
                product = weights[first_weight + k * ROWS + row] * panel[k * VECTOR + x]
                partial = _add_cut(product, partial)
                if k % 4 == 3 or k == count - 1:
                    total += partial
                    partial = np.float32(0)
            sums[place] = total


@compiled
def _add_cut(a: float, b: float) -> Any:
    """a + b where the smaller one loses its bits below the 12-bit significand of the larger one, as does the sum."""
    if abs(a) < abs(b):
        a, b = b, a
    exponent = np.int64((bits_of_float(np.float32(a)) >> np.uint32(23)) & np.uint32(0xFF))
    if exponent <= 11 or b == 0:
        total = np.float32(a)
    else:
        unit = float_of_bits(np.uint32((exponent - 11) << 23))
        total = np.float32(a) + np.float32(np.trunc(np.float32(b) / unit)) * unit
    return float_of_bits(np.uint32(bits_of_float(total) & np.uint32(0xFFFFF000)))
