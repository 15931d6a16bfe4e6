"""What the H13 engine holds and accepts, and the habits of its compilers.

Sources are named next to each value: limits.md#sizes (limits that Apple's compiler enforces or that were
measured), encoding.md (recorded programs), or the width of a register field.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from openane.backend.machine import Dialect, MachineSpec
from openane.program.buffers import BUFFERS

MACHINE = MachineSpec(
    name="h13",
    lanes=16,
    kernel_bytes_per_lane=64 << 10,  # encoding.md#splitting-channels
    streamed_kernel_pixels=128,  # encoding.md#splitting-channels
    round_channels=16,  # encoding.md#dense-packing
    small_source_bytes=32768,  # encoding.md#dense-packing
    max_width=16384,  # limits.md#sizes: 16385 is rejected on a real M1
    max_height=16384,
    max_channels=65536,  # limits.md#sizes
    max_batch=65536,
    max_groups=(1 << 13) - 1,  # NumGroups is bits 12:0 of Common 0x24
    max_kernel_width=13,  # limits.md#sizes
    max_kernel_height=29,
    max_pad=(1 << 5) - 1,  # Px, Py are 5-bit fields of ConvCfg (0x1C)
    max_pool_stride=3,  # the stride fields hold two bits (docs/assumptions.md A4); convolutions: 1 and 2 recorded
    max_window=(1 << 5) - 1,  # 5-bit fields; no record
    l2_bytes=2 << 20,  # encoding.md#l2-allocation: tensors must fit side by side in 2 MB
    banks=64,  # encoding.md#bank-rule
    bank_bytes=16,
    segment_columns=128,  # encoding.md#linear: segments of 0x100 bytes
    planar_distance_banks=2,  # encoding.md#bank-rule
    dma_alignment_bytes=64,  # the fields begin at bit 6
    max_dma_stride_bytes=0xFFFFFFC0,  # and end at bit 31
    buffers=BUFFERS,  # 5-bit fields
    page_bytes=0x4000,
    empty_constant_bytes=0x4000,  # encoding.md#program
    max_constant_bytes=2 << 30,  # limits.md#sizes: single program weights about 2 GB
    max_tasks=1 << 16,  # header word 0 has 16 bits for the task number
)

MACOS11 = "macos-11"
"""The register words of the macOS 11 compiler, see `macos11`."""

DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {
        dialect.name: dialect
        for dialect in (
            Dialect("macos-26", "names", True, 0x100, False, False, "", "198 records of zin 9.509"),
            Dialect("macos-11", "outputs first", False, 0x100, True, True, MACOS11, "pairs and goldens of zin 4.2.1"),
            Dialect("linux", "outputs first", True, 0x100, False, False, "", "libane's order of buffers in an .anec"),
        )
    }
)
"""By name; the first is the default."""
