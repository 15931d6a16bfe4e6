"""An opened .hwx file: every load command, and views of what they say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from openane.core.errors import FormatError
from openane.core.reader import Reader
from openane.formats.hwx import layout
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
        return tuple(_segment(self.inside(command)) for command in self.of_kind(Command.SEGMENT))

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

    @cached_property
    def names(self) -> dict[int, str]:
        """Address of a memory object -> its name."""
        names = {}
        for command in self.of_kind(Command.NAME_OLD, Command.NAME):
            reader = self.inside(command)
            wide = command.kind == Command.NAME
            address = reader.u64(0x10, "address") if wide else reader.u32(0x10, "address")
            start = reader.u32(8, "offset of the name")
            names[address] = reader.text(start, len(reader) - start)
        return names

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
                return _program_state(reader, Flavor(flavor))
        raise FormatError("there is no program descriptor", where=self.reader.where)

    @cached_property
    def surface_states(self) -> tuple[SurfaceState, ...]:
        """One for each input and output, in the order of the file."""
        states = []
        for command in self.of_kind(Command.THREAD):
            reader = self.inside(command)
            if reader.u32(8, "flavor") == Flavor.SURFACE:
                states.append(_surface_state(reader))
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
        symbols: list[Symbol] = []
        for command in self.of_kind(Command.SYMBOLS):
            start, count, strings, strings_bytes = self.inside(command).unpack("4I", 8, "symbol table command")
            self.reader.bytes_at(start, count * layout.SYMBOL_BYTES, "symbol table")
            texts = Reader(
                self.reader.bytes_at(strings, strings_bytes, "symbol names"), f"{self.reader.where}: symbol names"
            )
            for i in range(count):
                name, kind, section, description, value = self.reader.unpack("IBBHQ", start + i * layout.SYMBOL_BYTES)
                symbols.append(Symbol(texts.text(name, strings_bytes - name), kind, section, description, value))
        return tuple(symbols)

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


def _fixed_text(raw: memoryview) -> str:
    return bytes(raw).split(b"\0", 1)[0].decode("utf-8", "replace")


def _segment(reader: Reader) -> Segment:
    address, size, file_offset, file_size, *rest = reader.unpack("4Q4I", 0x18, "segment")
    max_protection, protection, count, flags = rest
    reader.bytes_at(layout.SEGMENT_BYTES, count * layout.SECTION_BYTES, f"table of {count} sections")
    sections = tuple(_section(reader, layout.SEGMENT_BYTES + i * layout.SECTION_BYTES) for i in range(count))
    name = _fixed_text(reader.bytes_at(8, 16, "segment name"))
    return Segment(name, address, size, file_offset, file_size, max_protection, protection, flags, sections)


def _section(reader: Reader, offset: int) -> Section:
    name, segment = (_fixed_text(reader.bytes_at(offset + at, 16, "section name")) for at in (0, 16))
    fields = reader.unpack("2Q5I", offset + 0x20, "section")
    return Section(name, segment, *fields)


def _program_state(reader: Reader, flavor: Flavor) -> ProgramState:
    where = layout.PROGRAM_LAYOUTS[flavor]
    count = (layout.BUFFER_TABLE_END - layout.BUFFER_TABLE) // where.stride
    addresses = (reader.u64(layout.BUFFER_TABLE + where.stride * i, "table of buffer addresses") for i in range(count))
    buffers = {i: address for i, address in enumerate(addresses) if address}
    first = 4 * (reader.u32(where.first_task, "size of the first task") + 1) if where.first_task else None
    name = ""
    if where.name:
        start = reader.u32(where.name, "offset of the network's name")
        name = reader.text(start, len(reader) - start, "network name")
    return ProgramState(int(flavor), buffers, first, reader.u32(where.task_count, "number of tasks"), name)


def _surface_state(reader: Reader) -> SurfaceState:
    direction, _, _, tensor, element_type = reader.unpack("5I", 0x14, "surface")
    extents = reader.unpack("5I", 0x28, "extents")
    batch, plane, row, element, total = reader.unpack("5Q", 0x50, "strides")
    interleave, symbol = reader.unpack("2I", 0x78, "surface")
    names = [reader.text(start, len(reader) - start, "surface name") for start in (tensor, symbol)]
    return SurfaceState(
        is_output=direction == 2,
        tensor=names[0],
        symbol=names[1],
        element_type=element_type,
        extents=(extents[0], extents[1], extents[2], extents[3], extents[4]),
        batch_stride=batch,
        plane_stride=plane,
        row_stride=row,
        element_bytes=element,
        total_bytes=total,
        interleave=interleave,
    )
