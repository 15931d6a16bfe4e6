"""The numbers of the .hwx container: Mach-O with its own magic and its own load commands.

Source: every public .hwx of H13 (compilers 4.2, 5.4, 7.6) parses with these; what is stated for compiler 9 and for
later generations rests on published descriptions (formats.md#hwx-header).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from openane.core.types import DType
from openane.program.buffers import BUFFERS

MAGIC = 0xBEEFFACE
CPU_TYPE = 0x80
#: What Espresso appends to the names of outputs; openane calls them without it at every level.
OUTPUT_SUFFIX = "@output"
#: Notes of a program that our files keep, as options in the compiler's banner.
RECORDED_NOTES = ("functions", "rescale", "encodings")
FILE_TYPE = 2
HEADER_FLAGS = 0x200000
HEADER_BYTES = 0x20
SEGMENT_BYTES = 0x48
SECTION_BYTES = 0x50
SYMBOL_BYTES = 16
RELOCATION_BYTES = 8
PAGE_BYTES = 0x4000
#: Names longer than this, in bytes, and tables with more symbols are taken for damage.
LONGEST_NAME = 1 << 13
MOST_SYMBOLS = 1 << 20
#: First address that segments get; the page below 0x4000 is the zero page.
BASE_ADDRESS = 0x30000000
#: Relocation word of a coefficient address: section 2, relative to the counter, 4 bytes.
RELOCATION_INFO = 0x05000002


class CommandKind(IntEnum):
    """Kinds of load commands."""

    SYMBOLS = 0x02
    THREAD = 0x04
    NAME_OLD = 0x06
    METADATA = 0x08
    SEGMENT = 0x19
    NOTE = 0x31
    NAME = 0x40


class Flavor(IntEnum):
    """Kinds of thread states."""

    PROGRAM = 1
    SURFACE = 3
    PROGRAM_NEW = 4


@dataclass(frozen=True, slots=True)
class ProgramLayout:
    """Where things stand in a program descriptor (a thread state), as byte offsets in its load command.

    Attributes:
        stride: bytes from one buffer address to the next; the table begins at 0x10 and ends at 0x810.
        first_task: u32 words of the first task minus 1; 0 when the descriptor does not tell it.
        task_count: u32 number of tasks.
        name: u32 offset of the network's name; 0 when it is not known where.
    """

    stride: int
    first_task: int
    task_count: int
    name: int

    @property
    def buffer_places(self) -> range:
        """Byte offsets of the buffer addresses."""
        return range(BUFFER_TABLE, BUFFER_TABLE_END, self.stride)


BUFFER_TABLE = 0x10
BUFFER_TABLE_END = 0x810
TEXT_ADDRESS = 0x810
PROGRAM_LAYOUTS = {
    Flavor.PROGRAM: ProgramLayout(8, 0x818, 0x81C, 0x83C),
    Flavor.PROGRAM_NEW: ProgramLayout(16, 0, 0x830, 0),
}
#: Buffer indices with a fixed meaning.
TEXT_BUFFER = 0
CONSTANT_BUFFER = BUFFERS.constants
SECOND_SCRATCH_BUFFER, SCRATCH_BUFFER = BUFFERS.second_scratch, BUFFERS.scratch
FIRST_SURFACE_BUFFER = BUFFERS.first_surface

#: Element type numbers of surface states and debug types; numbers without a numpy type have None.
ELEMENT_TYPES: dict[int, tuple[str, DType | None]] = {
    1: ("void", None),
    2: ("int8", DType.INT8),
    3: ("uint8", DType.UINT8),
    4: ("int16", DType.INT16),
    5: ("float16", DType.FLOAT16),
    6: ("float", DType.FLOAT32),
    7: ("raw10", None),
    8: ("lut", None),
    9: ("uint4", None),
    10: ("uint6", None),
    11: ("uint1", None),
    12: ("uint2", None),
    13: ("packed10", None),
    14: ("y10", None),
    15: ("uint16", DType.UINT16),
    16: ("e4m3", None),
    17: ("int32", DType.INT32),
    18: ("uint32", DType.UINT32),
    19: ("int64", DType.INT64),
    20: ("uint64", DType.UINT64),
    21: ("raw12", None),
    22: ("y12", None),
    23: ("int4", None),
}
ELEMENT_CODES = {dtype: code for code, (_, dtype) in ELEMENT_TYPES.items() if dtype is not None}
