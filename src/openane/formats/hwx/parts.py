"""The parts of a .hwx file as values; `codec` turns load commands into them and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: Words of a load command that no attribute explains: byte offset in the command -> u32.
Words = Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Header:
    """The eight words at the start: magic, then these."""

    cpu_type: int
    cpu_subtype: int
    file_type: int
    command_count: int
    commands_bytes: int
    flags: int
    reserved: int


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


@dataclass(frozen=True, slots=True)
class Section:
    """A section of a segment; `align` is a power of two as its exponent."""

    name: str
    segment: str
    address: int
    size: int
    file_offset: int
    align: int
    relocation_offset: int
    relocation_count: int
    flags: int

    @property
    def end(self) -> int:
        """The address behind the last byte."""
        return self.address + self.size


@dataclass(frozen=True, slots=True)
class Segment:
    """A range of the address space, with the part of the file that fills it."""

    name: str
    address: int
    size: int
    file_offset: int
    file_size: int
    max_protection: int
    protection: int
    flags: int
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
        name: of the network, empty if it is not told.
        task_count: number of tasks.
        first_task_bytes: size of the first task descriptor, None if it is not told.
        text_address: address of the tasks.
        strings: where the name stands, as a byte offset in the command; 0 if it is not told.
        state_bytes: size of the command when it is not told where the name stands, else 0.
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


@dataclass(frozen=True, slots=True)
class SurfaceState:
    """What a thread state tells about one input or output.

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

    is_output: bool
    network: str
    tensor: str
    symbol: str
    element_type: int
    extents: tuple[int, int, int, int, int]
    batch_stride: int
    plane_stride: int
    row_stride: int
    element_bytes: int
    total_bytes: int
    used_bytes: int
    interleave: int
    strings: int
    words: Words = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SymbolTable:
    """Where the symbol table and its names are in the file."""

    offset: int
    count: int
    strings: int
    strings_bytes: int


@dataclass(frozen=True, slots=True)
class Symbol:
    """An entry of the symbol table (nlist of 64 bits)."""

    name: str
    kind: int
    section: int
    description: int
    value: int
