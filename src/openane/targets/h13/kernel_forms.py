"""Kernels in fewer bytes: with a palette, or without zeros, where the weights stay exactly the same.

The weights of a dense convolution of stride 1 come from the streams that `packing.pack_dense` has made. A palette is
per lane: 2^b fp16 values padded to 64 bytes, before the rounds; then b-bit indices, lowest bit first, each round padded
to a byte (docs/assumptions.md, A9). Without zeros, a round has masks as with stride 2, in the plain order (A18).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from openane.backend.ir.plan import KernelPlan, NeMode, NeWork, Nonlinearity, TaskPlan
from openane.targets.h13.packing import LANE_ALIGNMENT_BYTES, masked, pad_lane, rounds, sparse_slots

PALETTE_BITS = (1, 2, 4, 6, 8)
"""Sizes of an index that the register has."""
TABLE_BYTES = 128

Words = npt.NDArray[np.uint16]
Round = tuple[Words, Words, int]
"""The bias words of a round, its weights (steps, channels), and how many of the channels the kernel has."""


def compressed(plan: TaskPlan) -> TaskPlan:
    """A task with its kernel in the form that takes the fewest bytes; the same weights, bit by bit.

    A weight of -0.0 counts as zero where zeros are left out. Tasks without such a form are returned as they are.

    Args:
        plan: a task whose kernel is packed.
    """
    kernel = plan.kernel
    if kernel is None or not _is_dense(plan, kernel):
        return plan
    lanes = [_rounds_of(plan, kernel, number) for number in range(len(kernel.lanes))]
    table = TABLE_BYTES if _has_table(plan) else 0
    heads = [lane[:table] for lane in kernel.lanes]
    slots = sparse_slots(plan.view.channels, plan.result_view.width, plan.result_view.height, kernel.group_channels)
    choices = [replace(kernel, lanes=_without_zeros(heads, lanes, slots), sparse=True)]
    bits = _palette_bits(lanes)
    if bits:
        choices.append(replace(kernel, lanes=_with_palette(heads, lanes, bits), palette_bits=bits))
    best = min(choices, key=_size)
    if _size(best) >= _size(kernel):
        return plan
    return replace(plan, kernel=best)


def _is_dense(plan: TaskPlan, kernel: KernelPlan) -> bool:
    work = plan.work
    if not isinstance(work, NeWork) or work.mode is not NeMode.CONVOLUTION or work.pairs or work.stride != (1, 1):
        return False
    special = kernel.sparse or kernel.palette_bits or kernel.table_lanes or kernel.source or plan.unicast
    return bool(kernel.lanes) and not special and plan.view.groups == 1


def _has_table(plan: TaskPlan) -> bool:
    return isinstance(plan.work, NeWork) and plan.work.nonlinearity is Nonlinearity.TABLE


def _size(kernel: KernelPlan) -> int:
    return sum(map(len, kernel.lanes))


def _rounds_of(plan: TaskPlan, kernel: KernelPlan, number: int) -> list[Round]:
    """The rounds of a dense stream, that of the lane `number`."""
    assert isinstance(plan.work, NeWork)
    steps = plan.view.channels * plan.work.kernel_width * plan.work.kernel_height
    words = np.frombuffer(kernel.lanes[number], "<u2", offset=TABLE_BYTES if _has_table(plan) else 0)
    channels, lanes = plan.result_view.channels, len(kernel.lanes)
    found, position = [], 0
    for first, count in rounds(-(-channels // lanes), kernel.group_channels):
        biases = count if kernel.bias else 0
        weights = words[position + biases : position + biases + steps * count]
        present = min(max(channels - first * lanes - number * count, 0), count)
        found.append((words[position : position + biases], weights.reshape(steps, count), present))
        position += biases + steps * count
    return found


def _palette_bits(lanes: Sequence[Sequence[Round]]) -> int:
    """The smallest index for the different weights of any lane; 0 where they are too many."""
    most = max(_palette(lane).size for lane in lanes)
    return next((bits for bits in PALETTE_BITS if most <= 1 << bits), 0)


def _palette(lane: Sequence[Round]) -> Words:
    """The different weights of a lane, without those of channels that the kernel does not have."""
    return np.unique(np.concatenate([weights[:, :present].ravel() for _, weights, present in lane]))


def _with_palette(heads: Sequence[bytes], lanes: Sequence[Sequence[Round]], bits: int) -> tuple[bytes, ...]:
    streams = []
    for head, lane in zip(heads, lanes, strict=True):
        palette = _palette(lane)
        entries = np.zeros(1 << bits, np.uint16)
        entries[: palette.size] = palette
        stream = bytearray(head + entries.tobytes())
        stream += bytes(-len(stream) % LANE_ALIGNMENT_BYTES)
        for bias, weights, present in lane:
            indices = np.zeros(weights.shape, np.uint8)
            indices[:, :present] = np.searchsorted(palette, weights[:, :present])
            planes = np.unpackbits(indices.reshape(-1, 1), axis=1, count=bits, bitorder="little")
            stream += bias.tobytes() + np.packbits(planes.ravel(), bitorder="little").tobytes()
        streams.append(pad_lane(stream))
    return tuple(streams)


def _without_zeros(heads: Sequence[bytes], lanes: Sequence[Sequence[Round]], slots: int) -> tuple[bytes, ...]:
    streams = []
    for head, lane in zip(heads, lanes, strict=True):
        stream = bytearray(head)
        for bias, weights, _ in lane:
            filled = np.pad(weights, ((0, 0), (0, -weights.shape[1] % slots)))
            stream += bias.tobytes() + masked(filled.ravel().view(np.float16))
        streams.append(pad_lane(stream))
    return tuple(streams)
