"""The multiply-accumulate kernels: sums of products in a defined order, the same bits with any blocking or threads.

Every output element is one chain of additions over the steps k = 0, 1, ... of the kernel stream. Blocks of steps
only interrupt the chain (the running sum is kept in fp32 and taken up again), blocks of pixels and channels never
share one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from openane.numerics.finish import find_runs
from openane.numerics.jit import ROWS, VECTOR, bits_of_float, compiled, float_of_bits, move_vector, multiply_tile
from openane.numerics.lookup import read_half, read_row

Floats = npt.NDArray[np.float32]
Halfwords = npt.NDArray[np.uint16]
Offsets = npt.NDArray[np.int64]

STEP_BLOCK = 256
"""Steps between two visits of a sum: a panel of pixels (16 KiB) stays in the first cache."""

SLACK = 2 * VECTOR
"""Floats behind the last pixel that vector moves may read."""

PIXEL_BLOCK = 192
"""Pixels of one work unit: their panels (192 KiB) stay in the second cache."""


def pack_weights(weights: Halfwords) -> Halfwords:
    """Weights in the order of the micro-kernel: (channel tiles, steps, ROWS), missing channels zero.

    Args:
        weights: fp16 bits, (output channels, steps).
    """
    channels, steps = weights.shape
    tiles = -(-channels // ROWS)
    padded = np.zeros((tiles * ROWS, steps), np.uint16)
    padded[:channels] = weights
    return np.ascontiguousarray(padded.reshape(tiles, ROWS, steps).transpose(0, 2, 1)).reshape(-1)


@compiled
def _gather(
    source: Floats, taps: Offsets, step_first: int, block: int, pixels: Offsets, first: int, count: int,
    spacing: int, panel: Floats, place: int, runs: Offsets,
) -> None:  # fmt: skip
    """Up to VECTOR pixels of every step of a block into a panel.

    A run is moved as a whole vector; what stands behind its end is overwritten by the next run or the next step,
    and what remains belongs to pixels that nobody stores.
    """
    if spacing <= 2:
        found = find_runs(pixels, first, count, spacing, runs)
        for k in range(block):
            base = taps[step_first + k]
            target = place + k * VECTOR
            for r in range(found):
                at = runs[r]
                move_vector(panel, target + at, source, base + pixels[first + at], spacing)
    else:
        for k in range(block):
            base = taps[step_first + k]
            for j in range(count):
                panel[place + k * VECTOR + j] = source[base + pixels[first + j]]


@compiled
def convolve(
    packed: Halfwords, source: Floats, taps: Offsets, pixels: Offsets, spacing: int, tile_first: int, tile_end: int,
    pixel_first: int, pixel_end: int, sums: Floats,
) -> None:  # fmt: skip
    """Sums of a block of output channels and pixels of a convolution.

    Args:
        packed: `pack_weights` of all channels.
        source: the padded input; pixel p of step k is source[taps[k] + pixels[p]]. SLACK floats follow its end.
        spacing: distance of neighbours inside a row of pixels.
        tile_first, tile_end: tiles of ROWS channels to compute.
        pixel_first, pixel_end: pixels to compute, at most PIXEL_BLOCK.
        sums: zeros; a line of `line_pitch` for each channel.
    """
    steps = taps.size
    panels = (pixel_end - pixel_first + VECTOR - 1) // VECTOR
    pitch = panels * VECTOR
    panel = np.empty(panels * STEP_BLOCK * VECTOR + VECTOR, np.float32)
    runs = np.empty(VECTOR, np.int64)
    weights = np.empty(STEP_BLOCK * ROWS, np.float32)
    for step_first in range(0, steps, STEP_BLOCK):
        block = min(STEP_BLOCK, steps - step_first)
        for p in range(panels):
            first = pixel_first + p * VECTOR
            filled = min(VECTOR, pixel_end - first)
            place = p * STEP_BLOCK * VECTOR
            _gather(source, taps, step_first, block, pixels, first, filled, spacing, panel, place, runs)
        for tile in range(tile_first, tile_end):
            start = (tile * steps + step_first) * ROWS
            read_row(packed[start : start + block * ROWS], block * ROWS, weights)
            for p in range(panels):
                place = (tile - tile_first) * ROWS * pitch + p * VECTOR
                multiply_tile(weights, 0, panel, p * STEP_BLOCK * VECTOR, block, sums, place, pitch)


def line_pitch(count: int) -> int:
    """Floats of a line of sums of `count` pixels."""
    return -(-count // VECTOR) * VECTOR


@compiled
def convolve_channels(
    weights: Halfwords, source: Floats, source_stride: int, taps: Offsets, pixels: Offsets, spacing: int,
    width: int, length: int, channel_first: int, channel_end: int, sums: Floats,
) -> None:  # fmt: skip
    """Sums of output channels with a few steps each and inputs of their own (depthwise).

    With a spacing of 1 all rows are one long line of sums, with unused ones between the rows: long loops are worth it.

    Args:
        weights: fp16 bits, (channels, steps) flat; channel c reads source[c * source_stride + taps[k] + pixels[p]].
        width: pixels in a row; offsets inside a row are equally spaced.
        length: of a line of sums: from the first to the last pixel with a spacing of 1, else the number of pixels.
        sums: zeros, one line for each channel.
    """
    steps, count = taps.size, pixels.size
    for channel in range(channel_first, channel_end):
        own = sums[(channel - channel_first) * length : (channel - channel_first + 1) * length]
        for k in range(steps):
            weight = read_half(weights[channel * steps + k])
            start = channel * source_stride + taps[k]
            if spacing == 1:
                line = source[start + pixels[0] : start + pixels[0] + length]
                for x in range(length):
                    own[x] += weight * line[x]
            else:
                for row in range(0, count, width):
                    origin = start + pixels[row]
                    part, line = own[row : row + width], source[origin : origin + width * spacing]
                    for x in range(width):
                        part[x] += weight * line[x * spacing]


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


@compiled
def convolve_tile4(
    packed: Halfwords, source: Floats, taps: Offsets, pixels: Offsets, channel_first: int, channel_end: int,
    sums: Floats,
) -> None:  # fmt: skip
    """`convolve` with the accumulation of `Accumulate.TILE4`, one sum after the other; lines have no padding."""
    steps, count = taps.size, pixels.size
    for channel in range(channel_first, channel_end):
        tile, row = channel // ROWS, channel % ROWS
        for p in range(count):
            total = np.float32(0)
            partial = np.float32(0)
            for k in range(steps):
                weight = read_half(packed[(tile * steps + k) * ROWS + row])
                partial = _add_cut(weight * source[taps[k] + pixels[p]], partial)
                if k % 4 == 3 or k == steps - 1:
                    total += partial
                    partial = np.float32(0)
            sums[(channel - channel_first) * count + p] = total
