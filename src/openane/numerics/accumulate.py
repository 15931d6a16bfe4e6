"""The multiply-accumulate kernels: sums of products in a defined order, the same bits with any blocking or threads.

Every output element is one chain of additions over the steps k = 0, 1, ... of the kernel stream. Blocks of steps
only interrupt the chain (the running sum is kept in fp32 and taken up again), blocks of pixels and channels never
share one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from openane.numerics.finish import finish
from openane.numerics.jit import ROWS, VECTOR, bits_of_float, compiled, float_of_bits, multiply_tile, widen
from openane.numerics.lookup import INFINITY, from_halfwords, read_half

Floats = npt.NDArray[np.float32]
Halfwords = npt.NDArray[np.uint16]
Offsets = npt.NDArray[np.int64]

STEP_BLOCK = 256
"""Steps between two visits of a sum: a panel of pixels (16 KiB) stays in the first cache."""

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
def _gather(source: Floats, base: int, pixels: Offsets, first: int, count: int, panel: Floats, place: int) -> None:
    """Up to VECTOR pixels of one step into a panel."""
    start = pixels[first]
    if count == VECTOR and pixels[first + VECTOR - 1] - start == VECTOR - 1:
        for j in range(VECTOR):
            panel[place + j] = source[base + start + j]
    else:
        for j in range(count):
            panel[place + j] = source[base + pixels[first + j]]
        for j in range(count, VECTOR):
            panel[place + j] = np.float32(0)


@compiled
def _widen_weights(packed: Halfwords, first: int, count: int, result: Floats) -> None:
    for i in range(count):
        bits = packed[first + i]
        value = widen(bits)
        if bits & 0x7C00 == 0x7C00:
            value = np.float32(-INFINITY) if bits == 0xFC00 else np.float32(INFINITY)
        result[i] = value


@compiled
def _finish_rows(
    sums: Floats, pitch: int, channel_first: int, channel_end: int, pixel_first: int, count: int, bias: Floats,
    factors: Floats, function: int, table: Floats, meta: Offsets, memory: Halfwords, base: int,
    channel_stride: int, places: Offsets,
) -> None:  # fmt: skip
    row = np.empty(count, np.uint16)
    for channel in range(channel_first, channel_end):
        start = (channel - channel_first) * pitch
        own = bias[channel]
        for j in range(count):
            row[j] = finish(sums[start + j], own, factors, function, table, meta)
        target = base + channel * channel_stride
        for j in range(count):
            memory[target + places[pixel_first + j]] = row[j]


@compiled
def convolve(
    packed: Halfwords, tile_first: int, tile_end: int, channels: int, source: Floats, taps: Offsets, pixels: Offsets,
    pixel_first: int, pixel_end: int, bias: Floats, factors: Floats, function: int, table: Floats, meta: Offsets,
    memory: Halfwords, base: int, channel_stride: int, places: Offsets,
) -> None:  # fmt: skip
    """A block of output channels and pixels of a convolution, from fp32 pixels to stored halfwords.

    Args:
        packed: `pack_weights` of all channels.
        tile_first, tile_end: tiles of ROWS channels to compute.
        channels: number of output channels in all.
        source: the padded input; pixel p of step k is source[taps[k] + pixels[p]].
        pixel_first, pixel_end: pixels to compute, at most PIXEL_BLOCK.
        bias: fp32, one per channel; factors, function, table, meta: see `numerics.finish`.
        memory: result (c, p) goes to memory[base + c * channel_stride + places[p]], in halfwords.
    """
    steps = taps.size
    count = pixel_end - pixel_first
    panels = (count + VECTOR - 1) // VECTOR
    pitch = panels * VECTOR
    panel = np.empty(panels * STEP_BLOCK * VECTOR, np.float32)
    weights = np.empty(STEP_BLOCK * ROWS, np.float32)
    sums = np.zeros((tile_end - tile_first) * ROWS * pitch, np.float32)
    for step_first in range(0, steps, STEP_BLOCK):
        block = min(STEP_BLOCK, steps - step_first)
        for p in range(panels):
            first = pixel_first + p * VECTOR
            filled = min(VECTOR, pixel_end - first)
            for k in range(block):
                _gather(source, taps[step_first + k], pixels, first, filled, panel, (p * STEP_BLOCK + k) * VECTOR)
        for tile in range(tile_first, tile_end):
            _widen_weights(packed, (tile * steps + step_first) * ROWS, block * ROWS, weights)
            for p in range(panels):
                place = (tile - tile_first) * ROWS * pitch + p * VECTOR
                multiply_tile(weights, 0, panel, p * STEP_BLOCK * VECTOR, block, sums, place, pitch)
    _finish_rows(
        sums, pitch, tile_first * ROWS, min(tile_end * ROWS, channels), pixel_first, count, bias,
        factors, function, table, meta, memory, base, channel_stride, places,
    )  # fmt: skip


@compiled
def convolve_channels(
    weights: Halfwords, channel_first: int, channel_end: int, source: Floats, source_stride: int, taps: Offsets,
    pixels: Offsets, width: int, bias: Floats, factors: Floats, function: int, table: Floats, meta: Offsets,
    memory: Halfwords, base: int, channel_stride: int, places: Offsets,
) -> None:  # fmt: skip
    """Output channels with a few steps each and inputs of their own (depthwise): row by row.

    Args:
        weights: fp16 bits, (channels, steps) flat; channel c reads source[c * source_stride + taps[k] + pixels[p]].
        width: pixels in a row; offsets inside a row are equally spaced.
        Others as in `convolve`.
    """
    steps = taps.size
    sums = np.empty(width, np.float32)
    spacing = pixels[1] - pixels[0] if width > 1 else np.int64(1)
    for channel in range(channel_first, channel_end):
        for row in range(0, pixels.size, width):
            sums[:] = np.float32(0)
            start = channel * source_stride + pixels[row]
            for k in range(steps):
                weight = read_half(weights[channel * steps + k])
                origin = start + taps[k]
                if spacing == 1:
                    for x in range(width):
                        sums[x] += weight * source[origin + x]
                else:
                    for x in range(width):
                        sums[x] += weight * source[origin + x * spacing]
            _finish_rows(
                sums, width, channel, channel + 1, row, width, bias, factors, function, table, meta,
                memory, base, channel_stride, places,
            )  # fmt: skip


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
    packed: Halfwords, channel_first: int, channel_end: int, source: Floats, taps: Offsets, pixels: Offsets,
    bias: Floats, factors: Floats, function: int, table: Floats, meta: Offsets,
    memory: Halfwords, base: int, channel_stride: int, places: Offsets,
) -> None:  # fmt: skip
    """`convolve` with the accumulation of `Accumulate.TILE4`, one sum after the other."""
    steps = taps.size
    sums = np.empty(pixels.size, np.float32)
    for channel in range(channel_first, channel_end):
        tile, row = channel // ROWS, channel % ROWS
        for p in range(pixels.size):
            total = np.float32(0)
            partial = np.float32(0)
            for k in range(steps):
                weight = read_half(packed[(tile * steps + k) * ROWS + row])
                partial = _add_cut(weight * source[taps[k] + pixels[p]], partial)
                if k % 4 == 3 or k == steps - 1:
                    total += partial
                    partial = np.float32(0)
            sums[p] = total
        _finish_rows(
            sums, pixels.size, channel, channel + 1, 0, pixels.size, bias, factors, function, table, meta,
            memory, base, channel_stride, places,
        )  # fmt: skip


@compiled
def gather_columns(
    source: Floats, taps: Offsets, pixels: Offsets, pixel_first: int, pixel_end: int, result: Floats
) -> None:
    """The pixels of every step side by side: result (steps, pixel_end - pixel_first), for a library's product."""
    count = pixel_end - pixel_first
    for k in range(taps.size):
        base = taps[k]
        for p in range(count):
            result[k, p] = source[base + pixels[pixel_first + p]]


@compiled
def finish_block(
    sums: Floats, channels: int, pixel_first: int, bias: Floats, factors: Floats, function: int, table: Floats,
    meta: Offsets, memory: Halfwords, base: int, channel_stride: int, places: Offsets,
) -> None:  # fmt: skip
    """Stores sums (channels, pixels) that were computed elsewhere."""
    count = sums.shape[1]
    _finish_rows(
        sums.reshape(-1), count, 0, channels, pixel_first, count, bias, factors, function, table, meta,
        memory, base, channel_stride, places,
    )  # fmt: skip


__all__ = [
    "PIXEL_BLOCK",
    "convolve",
    "convolve_channels",
    "convolve_tile4",
    "finish_block",
    "from_halfwords",
    "gather_columns",
    "pack_weights",
]
