"""Dense convolutions whose sums are not ended by the micro-kernel: lines of sums first, which are ended row by row."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from openane.numerics.convolve import (
    RUNS_SIZE,
    STEP_BLOCK,
    SUMS_AT,
    WEIGHTS_AT,
    gather_vector,
    line_pitch,
    widen_tiles,
)
from openane.numerics.cut import cut_tile
from openane.numerics.finish import finish_row
from openane.numerics.jit import ROWS, VECTOR, inner
from openane.numerics.micro import multiply_tile
from openane.numerics.panel import find_runs, spread_row

Floats = npt.NDArray[np.float32]
Halfwords = npt.NDArray[np.uint16]
Integers = npt.NDArray[np.int64]


@inner
def sum_unit(
    memory: Halfwords, image: Floats, direct: bool, base: int, taps: Integers, row_step: int, spacing: int, width: int,
    weights: Halfwords, weights_base: int, finite: bool, tile_first: int, tile_end: int, pixel_first: int,
    pixel_end: int, cut: bool, scratch: Floats, runs: Integers,
) -> None:  # fmt: skip
    """Sums of a unit, in lines of `line_pitch` from SUMS_AT on in the scratch, one for each channel.

    Args:
        cut: adds as `Accumulate.TILE4` has it. All others as in `convolve_unit`.
    """
    steps, sums = taps.size, scratch[SUMS_AT:]
    pitch = line_pitch(pixel_end - pixel_first)
    for step_first in range(0, steps, STEP_BLOCK):
        block, fresh = min(STEP_BLOCK, steps - step_first), step_first == 0
        size = block * ROWS
        start = weights_base + (tile_first * steps + step_first) * ROWS
        widen_tiles(weights, start, steps * ROWS, size, tile_end - tile_first, finite, scratch)
        for first in range(pixel_first, pixel_end, VECTOR):
            gather_vector(
                memory, image, direct, base, taps, row_step, spacing, width, step_first, block, first,
                min(VECTOR, pixel_end - first), runs, scratch,
            )  # fmt: skip
            for tile in range(tile_end - tile_first):
                place, own = tile * ROWS * pitch + first - pixel_first, WEIGHTS_AT + tile * size
                if cut:
                    cut_tile(scratch, own, scratch, block, sums, place, pitch, fresh)
                else:
                    multiply_tile(scratch, own, scratch, 0, block, sums, place, pitch, fresh)


@inner
def finish_unit(
    sums: Floats, pitch: int, channel_first: int, channel_end: int, pixel_first: int, count: int, width: int,
    factors: Floats, function: int, table: Floats, meta: Integers, bias: Floats, bias_base: int, memory: Halfwords,
    base: int, strides: Integers, words: Halfwords, runs: Integers,
) -> None:  # fmt: skip
    """Stores sums that `sum_unit` has left.

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
