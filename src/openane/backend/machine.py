"""What one generation of the engine holds and accepts: every limit and constant that the back end reads.

A generation declares one :class:`MachineSpec` (and its compilers' :class:`Dialect`\\ s) in its own folder; nothing
else in the package states such a number. The source of each value is in that declaration.
"""

from __future__ import annotations

from dataclasses import dataclass

from openane.program.buffers import Buffers


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineSpec:
    """One generation of the engine.

    Attributes:
        name: of the generation, as on the command line.
        lanes: MAC cores that take coefficients, each with its own stream.
        kernel_bytes_per_lane: weight memory of one lane; a task with many output pixels keeps its slice there.
        streamed_kernel_pixels: output pixels above which a task's weights must fit into that memory.
        round_channels: output channels that a lane computes in one round.
        small_source_bytes: weights of one round that may stay in a lane while a small image streams through.
        max_width, max_height, max_channels, max_batch: largest dimensions of a tensor.
        max_groups: groups of one task.
        max_kernel_width, max_kernel_height: taps of an fp16 kernel.
        max_pad: padding at the left and the top.
        max_pool_stride, max_window: of pooling.
        l2_bytes: on-chip memory for tensors.
        banks, bank_bytes: of that memory; addresses and strides in it are multiples of `bank_bytes`.
        segment_columns: columns of a matrix operand that are staged together.
        planar_distance_banks: least distance of the first banks of two rows that the planar engine fetches together.
        dma_alignment_bytes: every DMA stride and base is a multiple of this.
        max_dma_stride_bytes: the largest DMA stride.
        buffers: indices by what they hold.
        page_bytes: surfaces and the scratch buffer start on pages of this size.
        empty_constant_bytes: constant section of a program without constants.
        max_constant_bytes: largest constant section of one program.
        max_tasks: tasks of one program.
    """

    name: str
    lanes: int
    kernel_bytes_per_lane: int
    streamed_kernel_pixels: int
    round_channels: int
    small_source_bytes: int
    max_width: int
    max_height: int
    max_channels: int
    max_batch: int
    max_groups: int
    max_kernel_width: int
    max_kernel_height: int
    max_pad: int
    max_pool_stride: int
    max_window: int
    l2_bytes: int
    banks: int
    bank_bytes: int
    segment_columns: int
    planar_distance_banks: int
    dma_alignment_bytes: int
    max_dma_stride_bytes: int
    buffers: Buffers
    page_bytes: int
    empty_constant_bytes: int
    max_constant_bytes: int
    max_tasks: int

    @property
    def dma_columns(self) -> int:
        """fp16 columns of one DMA unit: parts of rows begin at multiples of it."""
        return self.dma_alignment_bytes // 2

    @property
    def segment_bytes(self) -> int:
        """Bytes of a row that are staged together."""
        return 2 * self.segment_columns

    def lane_count(self, channels: int) -> int:
        """Lanes that compute `channels` output channels."""
        return min(channels, self.lanes)

    def channels_per_lane(self, channels: int) -> int:
        """Output channels of one lane, rounded up."""
        return -(-channels // self.lanes)


@dataclass(frozen=True, slots=True)
class Dialect:
    """Layout habits of one compiler.

    Attributes:
        name: as in :class:`~openane.program.Program`.
        surface_order: "names": inputs and outputs together by name; "outputs first": outputs, then inputs, each as
            the network lists them.
        compact: tasks without coefficients take the short record form.
        task_alignment_bytes: of task starts in the text.
        explicit_layout: convolutions state the L2 layout of a result that goes to DRAM.
        separate_groups: a task that reads all its sources from DRAM begins a group of its own.
        encoding: the variant of register words, as the generation names it; empty for its usual one.
        evidence: where the habits were read.
    """

    name: str
    surface_order: str
    compact: bool
    task_alignment_bytes: int
    explicit_layout: bool
    separate_groups: bool
    encoding: str
    evidence: str
