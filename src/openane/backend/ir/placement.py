"""A plan with addresses: what allocation makes and encoding reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from openane.backend.ir.plan import Strides, TaskPlan, TensorPlace, TileShape

NO_BUFFER = -1
"""Buffer index of an operand without a DRAM address."""


@dataclass(frozen=True, slots=True)
class Spot:
    """Where one operand of one task is.

    Attributes:
        tensor: root tensor, whose memory it is.
        dma: the tile DMA moves it between DRAM and L2.
        buffer: buffer index of its DRAM address, NO_BUFFER when it has none.
        dram_base: byte offset in that buffer.
        dram: DMA stride words.
        l2_base: L2 address of the resident tensor or of the staged copy.
        l2: L2 stride words.
        interleave: channels side by side in DRAM.
    """

    tensor: str
    dma: bool
    buffer: int
    dram_base: int
    dram: Strides
    l2_base: int
    l2: Strides
    interleave: int = 1


@dataclass(frozen=True, slots=True)
class PlacedTask:
    """A task with every address known.

    Attributes:
        plan: what to do.
        sources: where the sources are.
        result: where the result is.
        tile: rows of a tile and whether columns are tiled.
        kernel_buffer, kernel_base: of the constant section, or of a run-time kernel.
        block: index of its block.
    """

    plan: TaskPlan
    sources: tuple[Spot, ...]
    result: Spot
    tile: TileShape
    block: int
    kernel_buffer: int = NO_BUFFER
    kernel_base: int = 0


@dataclass(frozen=True, slots=True)
class Placement:
    """A plan with addresses.

    Attributes:
        tasks: in execution order.
        buffers: surface tensor -> buffer index.
        places: root tensor -> where it lives.
        scratch_bytes: used bytes of the scratch buffer.
    """

    tasks: tuple[PlacedTask, ...]
    buffers: Mapping[str, int]
    places: Mapping[str, TensorPlace]
    scratch_bytes: int
