"""What the H13 engine holds and accepts, as data; and the habits of compilers of different years.

Sources are named beside each value: limits.md#sizes (limits that Apple's compiler enforces or that were
measured), encoding.md (recorded programs), or the width of a register field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from openane.core.errors import UnsupportedError

#: Bytes of on-chip memory for tensors (encoding.md#l2-allocation: tensors must fit side by side in 2 MB).
L2_BYTES = 2 << 20
#: Weight memory of one NE core; a task with many pixels keeps its slice there (encoding.md#splitting-channels).
KERNEL_BYTES_PER_NE = 64 << 10
#: Output pixels above which a task's weights must fit into the kernel memory (encoding.md#splitting-channels).
STREAMED_KERNEL_PIXELS = 128
#: Cores of the MAC engine that take coefficients (16 lanes).
LANES = 16
#: Rows and columns of a tensor (limits.md#sizes: 16385 is rejected on a real M1).
MAX_WIDTH = 16384
MAX_HEIGHT = 16384
#: Channels, and batch (limits.md#sizes).
MAX_CHANNELS = 65536
MAX_BATCH = 65536
#: Groups of one task: NumGroups is bits 12:0 of Common 0x24.
MAX_GROUPS = (1 << 13) - 1
#: Taps of an fp16 kernel (limits.md#sizes).
MAX_KERNEL_WIDTH = 13
MAX_KERNEL_HEIGHT = 29
#: Padding in front: Px, Py are 5-bit fields of ConvCfg (0x1C).
MAX_PAD = (1 << 5) - 1
#: The stride fields hold two bits; recorded: 1 and 2.
MAX_STRIDE = 2
#: Pooling has the same two bits (docs/assumptions.md A4) and 5-bit window extents; no record.
MAX_POOL_STRIDE = 3
MAX_WINDOW = (1 << 5) - 1
#: Every DMA stride and base is a multiple of this (the fields begin at bit 6).
DMA_ALIGNMENT_BYTES = 64
#: Every L2 stride and base is a multiple of this.
L2_ALIGNMENT_BYTES = 16
#: Fields of DMA strides end at bit 31.
MAX_DMA_STRIDE_BYTES = 0xFFFFFFC0
#: First buffer index of user surfaces.
FIRST_SURFACE_BUFFER = 4
#: Buffer indices: text 0, constants 1, scratch 3.
CONSTANT_BUFFER = 1
SCRATCH_BUFFER = 3
#: Buffer indices are 5-bit fields.
MAX_BUFFERS = 32
#: Surfaces and the scratch buffer start on pages of this size.
PAGE_BYTES = 0x4000
#: Section of a program without constants (encoding.md#program).
EMPTY_CONSTANT_BYTES = 0x4000
#: Largest constant section of one program (limits.md#sizes: single program weights about 2 GB).
MAX_CONSTANT_BYTES = 2 << 30
#: Link fields and task numbers: header word 0 has 16 bits for the task number.
MAX_TASKS = 1 << 16


@dataclass(frozen=True, slots=True)
class Dialect:
    """Layout habits of one compiler generation.

    Attributes:
        name: as in :class:`~openane.program.Program`.
        surface_order: "names": inputs and outputs together by name; "outputs first": outputs, then inputs, each as
            the network lists them.
        compact: tasks without coefficients take the short record form.
        task_alignment_bytes: of task starts in the text.
        earlier: the words of macOS 11 (`targets.h13.macos11`).
        evidence: where the habits were read.
    """

    name: str
    surface_order: str
    compact: bool
    task_alignment_bytes: int
    earlier: bool
    evidence: str


DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {
        dialect.name: dialect
        for dialect in (
            Dialect("macos-26", "names", True, 0x100, False, "198 records of zin 9.509"),
            Dialect("macos-11", "outputs first", False, 0x100, True, "pairs and goldens of zin 4.2.1"),
            Dialect("linux", "outputs first", True, 0x100, False, "libane's order of buffers in an .anec"),
        )
    }
)
DEFAULT_DIALECT = "macos-26"


def too_many_tasks(network: str, count: int | str) -> UnsupportedError:
    """The refusal of a network of more than `MAX_TASKS` tasks."""
    return UnsupportedError(
        "the network has more tasks than task numbers",
        where=network,
        rule="h13.task-count",
        value=count,
        limit=f"1 to {MAX_TASKS}",
    )
