"""Dense convolutions of at most ROWS pixels, where channels take the place of pixels in the micro-kernel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from openane.numerics.convolve import FEW_SIDE, STEP_BLOCK, SUMS_AT, WEIGHTS_AT, widen_weights
from openane.numerics.finish import ACC_BIAS, FLUSH_BELOW, OUTPUT_LIMIT, POST_SCALE, RELU, TABLE, scaled
from openane.numerics.jit import NATIVE_HALF, ROWS, VECTOR, inner
from openane.numerics.lookup import evaluate_row, read_half, store_row
from openane.numerics.micro import LINE_TILES, multiply_line, multiply_tile

Floats = npt.NDArray[np.float32]
Halfwords = npt.NDArray[np.uint16]
Integers = npt.NDArray[np.int64]


@inner
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
    panel, sums = scratch[:WEIGHTS_AT], scratch[SUMS_AT:]
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
                widen_weights(weights, start, block * VECTOR, finite, scratch[WEIGHTS_AT:])
                multiply_tile(panel, 0, scratch, WEIGHTS_AT, block, sums, place, pitch, fresh)


@inner
def finish_few(
    sums: Floats, pitch: int, channel_first: int, channel_end: int, pixels: int, width: int, factors: Floats,
    function: int, table: Floats, meta: Integers, bias: Floats, bias_base: int, memory: Halfwords, base: int,
    strides: Integers, words: Halfwords,
) -> None:  # fmt: skip
    """Stores what `convolve_few` left: a line of `pitch` channels for each pixel; see `sums.finish_unit`."""
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
