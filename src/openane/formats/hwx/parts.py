"""The parts of a .hwx file as values with their byte offsets; `codec` turns load commands into them and back.

A field declared with `at` is read from and written to that offset of its load command or table entry; adding one is a
line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from openane.formats.structure import at, structure

_INPUT, _OUTPUT = 1, 2

#: Words of a load command that no attribute explains: byte offset in the command -> u32.
Words = Mapping[int, int]


@structure
class Header:
    """The eight words at the start: magic, then these."""

    cpu_type: int = at(0x04, "I")
    cpu_subtype: int = at(0x08, "I")
    file_type: int = at(0x0C, "I")
    command_count: int = at(0x10, "I")
    commands_bytes: int = at(0x14, "I")
    flags: int = at(0x18, "I")
    reserved: int = at(0x1C, "I")


@dataclass(frozen=True, slots=True)
class LoadCommand:
    """One load command.

    Attributes:
        kind: number of the command, see `layout.Command`.
        offset: place in the file.
        data: all of its bytes, kind and size included; a view of the file.
    """

    kind: int
    offset: int
    data: memoryview


@structure
class Section:
    """A section of a segment; `align` is a power of two as its exponent."""

    name: str = at(0x00, "16s")
    segment: str = at(0x10, "16s")
    address: int = at(0x20, "Q")
    size: int = at(0x28, "Q")
    file_offset: int = at(0x30, "I")
    align: int = at(0x34, "I")
    relocation_offset: int = at(0x38, "I")
    relocation_count: int = at(0x3C, "I")
    flags: int = at(0x40, "I")

    @property
    def end(self) -> int:
        """The address after the last byte."""
        return self.address + self.size


@structure
class Segment:
    """A range of the address space, with the part of the file that fills it."""

    name: str = at(0x08, "16s")
    address: int = at(0x18, "Q")
    size: int = at(0x20, "Q")
    file_offset: int = at(0x28, "Q")
    file_size: int = at(0x30, "Q")
    max_protection: int = at(0x38, "I")
    protection: int = at(0x3C, "I")
    flags: int = at(0x44, "I")
    sections: tuple[Section, ...] = ()


@dataclass(frozen=True, slots=True)
class ObjectName:
    """The name of a memory object; `wide` commands (compilers since macOS 14) hold a 64-bit address."""

    name: str
    address: int
    wide: bool


@dataclass(frozen=True, slots=True)
class ProgramState:
    """The program descriptor.

    Attributes:
        flavor: number of the thread state.
        name: of the network, empty if it is not reported.
        task_count: number of tasks.
        first_task_bytes: size of the first task descriptor, None if it is not reported.
        text_address: address of the tasks.
        strings: where the name is, as a byte offset in the command; 0 if it is not reported.
        state_bytes: size of the command when it is not reported where the name is, else 0.
        buffers: buffer index -> device address, for those that are not 0 (index 0 is the text).
        words: what else is not 0.
    """

    flavor: int
    name: str
    task_count: int
    first_task_bytes: int | None
    text_address: int
    strings: int
    state_bytes: int = 0
    buffers: Mapping[int, int] = field(default_factory=dict)
    words: Words = field(default_factory=dict)


@structure
class SurfaceState:
    """What a thread state reports about one input or output.

    Attributes:
        is_output: direction.
        network: name of the network.
        tensor: name of the tensor in the network.
        symbol: name of its memory object.
        element_type: number, see `layout.ELEMENT_TYPES`.
        extents: N, C, H, W, D.
        batch_stride, plane_stride, row_stride, element_bytes: distances in bytes.
        total_bytes: of one batch element, or of all.
        used_bytes: the same again, or the end of the last element (outputs of old compilers).
        interleave: channels per element group; 1 in every file (that this word is the interleave is a guess).
        strings: where the names stand, as a byte offset in the command.
        words: what else is not 0.
    """

    is_output: bool = at(0x14, "I", decode=_OUTPUT.__eq__, encode=lambda is_output: _OUTPUT if is_output else _INPUT)
    network: str
    tensor: str
    symbol: str
    element_type: int = at(0x24, "I")
    extents: tuple[int, int, int, int, int] = at(0x28, "5I")
    batch_stride: int = at(0x50, "Q")
    plane_stride: int = at(0x58, "Q")
    row_stride: int = at(0x60, "Q")
    element_bytes: int = at(0x68, "Q")
    total_bytes: int = at(0x70, "Q")
    used_bytes: int = at(0x80, "Q")
    interleave: int = at(0x78, "I")
    strings: int = at(0x18, "I")
    words: Words = field(default_factory=dict)


@structure
class SymbolTable:
    """Where the symbol table and its names are in the file."""

    offset: int = at(0x08, "I")
    count: int = at(0x0C, "I")
    strings: int = at(0x10, "I")
    strings_bytes: int = at(0x14, "I")


@dataclass(frozen=True, slots=True)
class Symbol:
    """An entry of the symbol table (nlist of 64 bits)."""

    name: str
    kind: int
    section: int
    description: int
    value: int
