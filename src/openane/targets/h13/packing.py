"""Weights as the coefficient lanes read them (encoding.md#kernel-dma; sha256 of 36 conv and 21 matmul sections agree).

A lane's stream holds, for each round of output channels: the bias fp16 words, then the weights with the output channel
fastest. Every lane is padded to 64 bytes. Output channels that do not fill the 16 lanes are made up with zeros; no
record shows what Apple's compiler does there.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from openane.backend.alloc.surfaces import align
from openane.numerics.fp16 import to_fp16
from openane.targets.h13.spec import MACHINE

#: Output channels a lane computes in one round, for images of at most 8x8 pixels (encoding.md#dense-packing).
SMALL_IMAGE_ROUND = 32
SMALL_IMAGE_EXTENT = 8
LANE_ALIGNMENT_BYTES = 64
#: Fp16Words a mask byte of a sparse stream speaks for.
MASK_VALUES = 8
#: Output channels that a lane computes at a time: 64 pixels of 4 in small-source mode, else 128 of 2. A sparse stream
#: has a slot for each of them (encoding.md#sparse-packing).
SMALL_SOURCE_SLOTS, SPARSE_SLOTS = 4, 2


def round_capacity(input_channels: int, width: int, height: int, *, matrix: bool) -> int:
    """Output channels a lane computes in one round.

    Args:
        input_channels: of one group.
        width, height: of the input image.
        matrix: the convolution is a matrix product (rows as channels), which keeps 16.
    """
    small = (
        max(width, height) <= SMALL_IMAGE_EXTENT
        and 2 * input_channels * SMALL_IMAGE_ROUND <= MACHINE.small_source_bytes
    )
    return SMALL_IMAGE_ROUND if small and not matrix else MACHINE.round_channels


def is_small_source(input_channels: int, columns: int, rows: int, round_channels: int) -> bool:
    """Whether a task with weights is in small-source mode (encoding.md#patch-shape).

    Args:
        input_channels: of one group.
        columns, rows: of the result.
        round_channels: output channels a lane computes in one round.
    """
    small = 2 * input_channels * round_channels <= MACHINE.small_source_bytes
    return small and max(columns, rows) <= SMALL_IMAGE_EXTENT


def sparse_slots(input_channels: int, columns: int, rows: int, round_channels: int) -> int:
    """What the output channels of a sparse round are filled up to a multiple of; see `is_small_source`."""
    small = is_small_source(input_channels, columns, rows, round_channels)
    return SMALL_SOURCE_SLOTS if small else SPARSE_SLOTS


def rounds(per_lane: int, capacity: int) -> Iterator[tuple[int, int]]:
    """(first channel of the lane, number of channels) of each round."""
    for first in range(0, per_lane, capacity):
        yield first, min(capacity, per_lane - first)


def split_channels(channels: int, bytes_per_channel: int, output_pixels: int) -> tuple[tuple[int, int], ...]:
    """Output channels of each task: (first channel, count), highest first (encoding.md#splitting-channels).

    Above 128 output pixels a lane's weights must fit into 64 KiB; the first task takes the remainder.
    """
    per_lane = MACHINE.channels_per_lane(channels)
    if output_pixels <= MACHINE.streamed_kernel_pixels or per_lane * bytes_per_channel <= MACHINE.kernel_bytes_per_lane:
        return ((0, channels),)
    most = max(MACHINE.kernel_bytes_per_lane // bytes_per_channel, 1)
    if most >= MACHINE.round_channels:
        most -= most % MACHINE.round_channels
    elif most > 1:
        most -= most % 2
    tasks = -(-per_lane // most)
    bounds = [index * most * MACHINE.lanes for index in range(tasks)] + [channels]
    return tuple((first, end - first) for first, end in itertools.pairwise(bounds))[::-1]


def pack_dense(kernel: np.ndarray, bias: np.ndarray | None, capacity: int) -> tuple[bytes, ...]:
    """Streams of a dense convolution with stride 1.

    Args:
        kernel: (Cout, Cin, Kh, Kw).
        bias: (Cout,) or None.
        capacity: output channels of a lane and round.

    Returns:
        One padded stream a lane.
    """
    kernel, bias, lanes = _fill(kernel, bias)
    per_lane = kernel.shape[0] // lanes
    parts: list[np.ndarray] = []
    for first, count in rounds(per_lane, capacity):
        block, block_bias = _round(kernel, bias, lanes, first, count)
        if block_bias is not None:
            parts.append(block_bias)
        parts.append(block.transpose(0, 2, 3, 4, 1).reshape(lanes, -1))
    return _streams(np.concatenate(parts, axis=1))


def pack_grouped(kernel: np.ndarray, bias: np.ndarray | None, groups: int, capacity: int) -> tuple[bytes, ...]:
    """Streams of a grouped convolution: for each lane one block a group, padded to 64 bytes."""
    size = kernel.shape[0] // groups
    blocks = []
    for group in range(groups):
        part = slice(group * size, (group + 1) * size)
        blocks.append(pack_dense(kernel[part], None if bias is None else bias[part], capacity))
    return tuple(b"".join(lane) for lane in zip(*blocks, strict=True))


def pack_depthwise(kernel: np.ndarray, bias: np.ndarray | None) -> tuple[bytes, ...]:
    """Streams of a depthwise convolution: lane i holds channels i, i + 16, ...; each [bias][taps]."""
    channels = kernel.shape[0]
    taps = to_fp16(kernel).reshape(channels, -1)
    if bias is not None:
        taps = np.concatenate([to_fp16(bias)[:, None], taps], axis=1)
    lanes = MACHINE.lane_count(channels)
    return tuple(pad_lane(taps[lane::lanes].tobytes()) for lane in range(lanes))


def pack_sparse(kernel: np.ndarray, bias: np.ndarray | None, capacity: int, slots: int) -> tuple[bytes, ...]:
    """Streams of a dense convolution with stride 2: taps by phase, zeros left out after mask bytes.

    Each round is [bias][3-byte length][masked groups of 8 fp16 words], its channels filled up to a multiple of `slots`
    (sha256 of 8 dense sections, one of them with one channel in 4 slots, one with a bias).
    """
    kernel, bias, lanes = _fill(kernel, bias)
    per_lane = kernel.shape[0] // lanes
    streams = [bytearray() for _ in range(lanes)]
    for first, count in rounds(per_lane, capacity):
        block, block_bias = _round(kernel, bias, lanes, first, count)
        phased = by_phase(block)  # (lane, oc, ic, py, px, ky/2, kx/2)
        filled = np.pad(phased, [(0, 0), (0, -count % slots)] + [(0, 0)] * 5)
        flat = filled.transpose(0, 2, 3, 4, 5, 6, 1).reshape(lanes, -1)
        for lane in range(lanes):
            if block_bias is not None:
                streams[lane] += block_bias[lane].tobytes()
            streams[lane] += masked(flat[lane])
    return _equal_or_padded(streams)


def pack_sparse_grouped(
    kernel: np.ndarray, bias: np.ndarray | None, groups: int, capacity: int, slots: int
) -> tuple[bytes, ...]:
    """Streams of a grouped convolution with stride 2: the sparse blocks of the groups one after another.

    No record shows it: joined from the recorded forms of grouped and of sparse kernels.
    """
    size = kernel.shape[0] // groups
    blocks = []
    for group in range(groups):
        part = slice(group * size, (group + 1) * size)
        blocks.append(pack_sparse(kernel[part], None if bias is None else bias[part], capacity, slots))
    return tuple(b"".join(lane) for lane in zip(*blocks, strict=True))


def pack_sparse_depthwise(kernel: np.ndarray, bias: np.ndarray | None, slots: int) -> tuple[bytes, ...]:
    """Streams of a depthwise convolution with stride 2: one masked block per channel, in the first of `slots` slots."""
    channels = kernel.shape[0]
    lanes = MACHINE.lane_count(channels)
    phased = by_phase(to_fp16(kernel)[:, None])  # (channel, 1, 1, py, px, ky/2, kx/2)
    filled = np.zeros((channels, phased[0].size, slots), np.float16)
    filled[:, :, 0] = phased.reshape(channels, -1)
    streams = [bytearray() for _ in range(lanes)]
    for channel in range(channels):
        stream = streams[channel % lanes]
        if bias is not None:
            stream += to_fp16(bias[channel : channel + 1]).tobytes()
        stream += masked(filled[channel].ravel())
    return _equal_or_padded(streams)


def pack_pairs(kernel: np.ndarray, bias: np.ndarray | None) -> tuple[tuple[bytes, ...], bool]:
    """Streams of a depthwise convolution that computes two neighboring outputs at a time.

    Per channel: the bias twice, then the kernel one column wider for (even, odd) outputs, even columns of all rows and
    then odd ones; without the zeros when that is shorter (sha256 of one section of each form).

    Returns:
        One padded stream per lane, and whether zeros are left out.
    """
    channels, _, rows, columns = kernel.shape
    wide = np.zeros((channels, rows, columns + 1, 2), np.float16)
    wide[:, :, :-1, 0] = wide[:, :, 1:, 1] = to_fp16(kernel[:, 0])
    ordered = [np.concatenate([each[:, ::2].ravel(), each[:, 1::2].ravel()]) for each in wide]
    short = [masked(values) for values in ordered]
    sparse = sum(map(len, short)) < sum(2 * values.size for values in ordered)
    streams = [bytearray() for _ in range(MACHINE.lane_count(channels))]
    for channel, values in enumerate(ordered):
        stream = streams[channel % len(streams)]
        if bias is not None:
            stream += np.repeat(to_fp16(bias[channel : channel + 1]), 2).tobytes()
        stream += short[channel] if sparse else values.tobytes()
    return tuple(pad_lane(stream) for stream in streams), sparse


def by_phase(block: np.ndarray) -> np.ndarray:
    """(..., Kh, Kw) -> (..., py, px, Kh/2, Kw/2): taps extended to an even number and split by parity."""
    height, width = block.shape[-2:]
    even = [(0, 0)] * (block.ndim - 2) + [(0, height % 2), (0, width % 2)]
    block = np.pad(block, even)
    height, width = block.shape[-2:]
    split = block.reshape(*block.shape[:-2], height // 2, 2, width // 2, 2)
    return np.moveaxis(split, (-3, -1), (-4, -3))


def sparse_bytes_per_channel(input_channels: int, kernel_height: int, kernel_width: int) -> int:
    """Bytes of one output channel in the sparse form when no weight is zero: values and masks."""
    taps = align(kernel_height, 2) * align(kernel_width, 2)
    return 2 * input_channels * kernel_height * kernel_width + -(-input_channels * taps // MASK_VALUES)


def _fill(kernel: np.ndarray, bias: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None, int]:
    """Fp16Words, with zero channels after so that every lane has the same number."""
    channels = kernel.shape[0]
    lanes = MACHINE.lane_count(channels)
    extra = -channels % lanes
    kernel = np.pad(to_fp16(kernel), [(0, extra), (0, 0), (0, 0), (0, 0)])
    if bias is not None:
        bias = np.pad(to_fp16(bias), (0, extra))
    return kernel, bias, lanes


def _round(
    kernel: np.ndarray, bias: np.ndarray | None, lanes: int, first: int, count: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Weights (lane, oc, ic, kh, kw) and bias (lane, oc) of the round that begins at channel `first` of a lane."""
    part = slice(first * lanes, (first + count) * lanes)
    block = kernel[part].reshape(lanes, count, *kernel.shape[1:])
    return block, None if bias is None else bias[part].reshape(lanes, count)


def masked(values: np.ndarray) -> bytes:
    """3-byte length, then per 8 fp16 words: a mask byte (bit l: fp16 word l is not zero), the others left out."""
    fp16_words = np.pad(values, (0, -values.size % MASK_VALUES)).reshape(-1, MASK_VALUES)
    present = fp16_words != 0
    masks = np.packbits(present, axis=1, bitorder="little")
    raw = fp16_words.view(np.uint8).reshape(-1, MASK_VALUES, 2)
    everything = np.concatenate([masks[:, :, None], raw.reshape(-1, MASK_VALUES * 2, 1)], axis=1).reshape(-1)
    wanted = np.concatenate([np.ones((len(masks), 1), bool), np.repeat(present, 2, axis=1)], axis=1).reshape(-1)
    body = everything[wanted].tobytes()
    return len(body).to_bytes(3, "little") + body


def pad_lane(stream: bytes | bytearray) -> bytes:
    return bytes(stream) + bytes(-len(stream) % LANE_ALIGNMENT_BYTES)


def _equal_or_padded(streams: list[bytearray]) -> tuple[bytes, ...]:
    return tuple(pad_lane(stream) for stream in streams)


def _streams(lanes: np.ndarray) -> tuple[bytes, ...]:
    return tuple(pad_lane(row.tobytes()) for row in np.ascontiguousarray(lanes))
