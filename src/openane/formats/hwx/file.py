"""An opened .hwx file: every load command, and views of what they say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from openane.core.errors import FormatError
from openane.core.reader import Reader
from openane.formats.hwx import codec, layout
from openane.formats.hwx.layout import Command, Flavor
from openane.formats.hwx.parts import (
    Header,
    LoadCommand,
    ProgramState,
    Section,
    Segment,
    SurfaceState,
    Symbol,
)
from openane.formats.image import Image


@dataclass(frozen=True)
class HwxFile:
    """A .hwx file. Nothing is copied: all views point into the (mapped) bytes.

    Attributes:
        reader: all bytes.
        header: the first words.
        commands: every load command, in order.
    """

    reader: Reader
    header: Header
    commands: tuple[LoadCommand, ...]

    def __bytes__(self) -> bytes:
        """The file, unchanged."""
        return bytes(self.reader.data)

    def of_kind(self, *kinds: int) -> Iterator[LoadCommand]:
        """The load commands of some kinds."""
        return (command for command in self.commands if command.kind in kinds)

    def inside(self, command: LoadCommand) -> Reader:
        """A reader over one load command."""
        return Reader(command.data, f"{self.reader.where}: load command at {command.offset:#x}")

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """All segments with their sections, in the order of the file.

        Raises:
            FormatError: a segment command is too short for its sections.
        """
        return tuple(codec.decode_segment(self.inside(command)) for command in self.of_kind(Command.SEGMENT))

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """All sections; relocations and symbols count them from 1 in this order."""
        return tuple(section for segment in self.segments for section in segment.sections)

    def section_at(self, address: int) -> Section | None:
        """The section that an address lies in (or begins, for an empty one)."""
        for section in self.sections:
            if section.address <= address < max(section.end, section.address + 1):
                return section
        return None

    def contents(self, section: Section) -> memoryview:
        """The bytes of a section, a view.

        Raises:
            FormatError: they are not inside the file.
        """
        name = f"section {section.segment},{section.name}"
        return self.reader.bytes_at(section.file_offset, section.size, name)

    def offset_of(self, part: memoryview) -> int:
        """Where a view of the file, as `contents` gives it, begins."""
        return _address(part) - _address(memoryview(self.reader.data))

    @cached_property
    def names(self) -> dict[int, str]:
        """Address of a memory object -> its name."""
        commands = self.of_kind(Command.NAME_OLD, Command.NAME)
        names = (codec.decode_name(self.inside(command)) for command in commands)
        return {each.address: each.name for each in names}

    @cached_property
    def program_state(self) -> ProgramState:
        """The program descriptor.

        Raises:
            FormatError: there is none, or it is too short.
        """
        for command in self.of_kind(Command.THREAD):
            reader = self.inside(command)
            flavor = reader.u32(8, "flavor")
            if flavor in (Flavor.PROGRAM, Flavor.PROGRAM_NEW):
                return codec.decode_program_state(reader)
        raise FormatError("there is no program descriptor", where=self.reader.where)

    @cached_property
    def surface_states(self) -> tuple[SurfaceState, ...]:
        """One for each input and output, in the order of the file."""
        states = []
        for command in self.of_kind(Command.THREAD):
            reader = self.inside(command)
            if reader.u32(8, "flavor") == Flavor.SURFACE:
                states.append(codec.decode_surface_state(reader))
        return tuple(states)

    @cached_property
    def metadata(self) -> str:
        """The compiler's banner and options, one a line; empty if there are none."""
        for command in self.of_kind(Command.METADATA):
            return bytes(command.data[8:]).split(b"\0", 1)[0].decode("utf-8", "replace")
        return ""

    @cached_property
    def symbols(self) -> tuple[Symbol, ...]:
        """The symbol table, debug entries included.

        Raises:
            FormatError: the table or a name is not inside the file.
        """
        tables = (codec.decode_symbol_table(self.inside(command)) for command in self.of_kind(Command.SYMBOLS))
        return tuple(symbol for table in tables for symbol in codec.decode_symbols(self.reader, table))

    def relocations(self, section: Section) -> tuple[tuple[int, int], ...]:
        """(address, info) of each relocation of a section.

        Raises:
            FormatError: they are not inside the file.
        """
        size = section.relocation_count * layout.RELOCATION_BYTES
        self.reader.bytes_at(section.relocation_offset, size, "relocations")
        words = self.reader.unpack(f"{2 * section.relocation_count}I", section.relocation_offset, "relocations")
        return tuple(zip(words[::2], words[1::2], strict=True))

    def image(self) -> Image:
        """The program as bytes, with its surfaces and what the file tells about it.

        Raises:
            FormatError: the parts contradict each other.
        """
        from openane.formats.hwx.read import image_of

        return image_of(self)


def _address(view: memoryview) -> int:
    return int(np.frombuffer(view, np.uint8).ctypes.data)
