"""An opened .hwx file: every load command, views of what they hold, and the image of the program."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from openane.core.errors import FormatError
from openane.core.reader import Reader
from openane.core.types import DType
from openane.formats.hwx import codec, layout
from openane.formats.hwx.layout import CommandKind, Flavor
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
from openane.program import Relocation, Role, Surface

#: Main version of Apple's compiler -> the dialect that its layout is.
COMPILER_DIALECTS = {4: "macos-11", 5: "macos-12", 7: "macos-14", 9: "macos-26"}
_COMPILER = re.compile(r"zin_ane_compiler v(\d+)([.\d]*)")
_OWN_DIALECT = re.compile(r"--dialect=([\w-]+)")
#: A surface larger than this is refused: the engine addresses 4 GB.
_LARGEST_SURFACE = 1 << 32


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
        return tuple(codec.decode_segment(self.inside(command)) for command in self.of_kind(CommandKind.SEGMENT))

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """All sections; relocations and symbols count them from 1 in this order."""
        return tuple(section for segment in self.segments for section in segment.sections)

    def section_at(self, address: int) -> Section | None:
        """The section that an address is in (or begins, for an empty one)."""
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
        commands = self.of_kind(CommandKind.NAME_OLD, CommandKind.NAME)
        names = (codec.decode_name(self.inside(command)) for command in commands)
        return {each.address: each.name for each in names}

    @cached_property
    def program_state(self) -> ProgramState:
        """The program descriptor.

        Raises:
            FormatError: there is none, or it is too short.
        """
        for command in self.of_kind(CommandKind.THREAD):
            reader = self.inside(command)
            flavor = reader.u32(8, "flavor")
            if flavor in (Flavor.PROGRAM, Flavor.PROGRAM_NEW):
                return codec.decode_program_state(reader)
        raise FormatError("there is no program descriptor", where=self.reader.where)

    @cached_property
    def surface_states(self) -> tuple[SurfaceState, ...]:
        """One for each input and output, in the order of the file."""
        states = []
        for command in self.of_kind(CommandKind.THREAD):
            reader = self.inside(command)
            if reader.u32(8, "flavor") == Flavor.SURFACE:
                states.append(codec.decode_surface_state(reader))
        return tuple(states)

    @cached_property
    def metadata(self) -> str:
        """The compiler's banner and options, one a line; empty if there are none."""
        for command in self.of_kind(CommandKind.METADATA):
            return bytes(command.data[8:]).split(b"\0", 1)[0].decode("utf-8", "replace")
        return ""

    @cached_property
    def symbols(self) -> tuple[Symbol, ...]:
        """The symbol table, debug entries included.

        Raises:
            FormatError: the table or a name is not inside the file.
        """
        tables = (codec.decode_symbol_table(self.inside(command)) for command in self.of_kind(CommandKind.SYMBOLS))
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
        """The program as bytes, with its surfaces and what the file reports about it.

        Raises:
            FormatError: the parts contradict each other.
        """
        return image_of(self)


def _address(view: memoryview) -> int:
    return int(np.frombuffer(view, np.uint8).ctypes.data)


def image_of(file: HwxFile) -> Image:
    """The program in a .hwx file as bytes, with its surfaces.

    Raises:
        FormatError: sections are missing, overlap, or leave the file; surfaces have no buffer.
    """
    state = file.program_state
    text = _section_of(file, state, layout.TEXT_BUFFER, "__text")
    if text is None:
        raise FormatError("there is no __text section", where=file.reader.where)
    constants = _section_of(file, state, layout.CONSTANT_BUFFER, "__const")
    _check_ranges(file, [section for section in (text, constants) if section])
    return Image(
        where=file.reader.where,
        cpu_subtype=file.header.cpu_subtype,
        text=file.contents(text),
        constants=_constants(file, constants),
        surfaces=tuple(_surfaces(file, state)),
        first_task_bytes=state.first_task_bytes,
        task_count=state.task_count,
        scratch_bytes=_buffer_bytes(file, state, layout.SCRATCH_BUFFER),
        second_scratch_bytes=_buffer_bytes(file, state, layout.SECOND_SCRATCH_BUFFER),
        name=state.name or "net",
        dialect=dialect_of(file),
        relocations=tuple(Relocation(*pair) for pair in file.relocations(text)),
        notes=_notes(file),
    )


def dialect_of(file: HwxFile) -> str:
    """Whose layout habits a file follows: from its banner, else from the kind of its name commands."""
    own = _OWN_DIALECT.search(file.metadata)
    if own:
        return own.group(1)
    compiler = _COMPILER.search(file.metadata)
    if compiler:
        main = int(compiler.group(1)) if len(compiler.group(1)) < 4 else 0
        older = [version for version in COMPILER_DIALECTS if version <= main]
        return COMPILER_DIALECTS[max(older)] if older else "macos-11"
    return "macos-26" if any(True for _ in file.of_kind(CommandKind.NAME)) else "macos-11"


def compiler_of(file: HwxFile) -> str:
    """The compiler that wrote a file, e.g. "zin_ane_compiler v4.2.1"; empty if the file does not say."""
    lines = file.metadata.splitlines()
    return lines[1].strip() if len(lines) > 1 else ""


def _notes(file: HwxFile) -> dict[str, str]:
    compiler = compiler_of(file)
    notes = {"compiler": compiler} if compiler else {}
    for note in layout.RECORDED_NOTES:
        found = re.search(rf"--{note}=([\w-]+)", file.metadata)
        if found:
            notes[note] = found.group(1).replace("-", " ")
    return notes


def _section_of(file: HwxFile, state: ProgramState, buffer: int, name: str) -> Section | None:
    """The section that a buffer index means; by its name in __TEXT when the table has no address."""
    address = state.buffers.get(buffer)
    found = file.section_at(address) if address is not None else None
    if found is not None and found.segment not in ("__FVMLIB", "__DATA"):
        return found
    for section in file.sections:
        if section.name == name and section.segment == "__TEXT":
            return section
    return None


def _constants(file: HwxFile, section: Section | None) -> memoryview:
    """The constants from the section's start through all sections that follow it both in memory and in the file."""
    if section is None:
        return memoryview(b"")
    end, file_end = section.end, section.file_offset + section.size
    for later in file.sections:
        gap = later.address - end
        if later.name.startswith("__kern_") and gap >= 0 and later.file_offset - file_end == gap and later.size:
            end, file_end = later.end, later.file_offset + later.size
    return file.reader.bytes_at(section.file_offset, end - section.address, "constant section")


def _check_ranges(file: HwxFile, sections: list[Section]) -> None:
    last, owner = layout.HEADER_BYTES + file.header.commands_bytes, "the load commands"
    for section in sorted(sections, key=lambda each: each.file_offset):
        name = f"section {section.segment},{section.name}"
        if section.file_offset < last and section.size:
            raise FormatError(
                f"{name} overlaps {owner}",
                where=f"{file.reader.where}: offset {section.file_offset:#x}",
                limit=f"{last:#x} or later",
            )
        file.contents(section)
        last, owner = section.file_offset + section.size, name
    for segment in file.segments:
        file.reader.bytes_at(segment.file_offset, segment.file_size, f"segment {segment.name}")


def _buffer_bytes(file: HwxFile, state: ProgramState, buffer: int) -> int:
    """The size of an intermediate buffer: from its address to the end of its section."""
    address = state.buffers.get(buffer)
    if not address:
        return 0
    section = file.section_at(address)
    if section is None:
        raise FormatError(
            "an intermediate buffer is in no section", where=file.reader.where, value=f"buffer {buffer} at {address:#x}"
        )
    return section.end - address


def _surfaces(file: HwxFile, state: ProgramState) -> Iterable[Surface]:
    fvmlib = [segment for segment in file.segments if segment.name == "__FVMLIB"]
    by_name: dict[str, list[int]] = {}
    for address, name in file.names.items():
        by_name.setdefault(name, []).append(address)
    buffers = {address: index for index, address in state.buffers.items()}
    for number, surface in enumerate(file.surface_states):
        found = by_name.get(surface.symbol) or by_name.get(surface.tensor) or []
        if len(found) > 1:
            found = [address for address in found if _is_output(file, address) == surface.is_output]
        if len(found) == 1:
            address = found[0]
        elif number < len(fvmlib):
            address = fvmlib[number].address
        else:
            raise FormatError("a surface has no memory", where=file.reader.where, value=surface.tensor)
        index = buffers.get(address)
        if index is None and "/" in surface.tensor:
            continue  # debug builds describe intermediate tensors, too; their names are paths
        if index is None:
            raise FormatError(
                "a surface has no entry in the table of buffers",
                where=file.reader.where,
                value=f"{surface.tensor} at {address:#x}",
            )
        section = file.section_at(address)
        yield surface_of(surface, index, section.end - address if section else None, file.reader.where)


def _is_output(file: HwxFile, address: int) -> bool:
    """Whether the memory at an address is an output's: a data section, inputs have constant ones."""
    section = file.section_at(address)
    return section is not None and section.name == "__data"


def surface_of(state: SurfaceState, buffer: int, section_bytes: int | None, where: str) -> Surface:
    """The surface that a surface state describes.

    Raises:
        FormatError: extents or strides make no tensor.
    """
    batch, channels, height, width, depth = state.extents
    dtype = layout.ELEMENT_TYPES.get(state.element_type, ("", None))[1]
    if dtype is None:
        dtype = DType.UINT8 if state.element_bytes == 1 else DType.UINT16
    place = f"{where}: surface {state.tensor}"
    if min(state.extents) < 1:
        raise FormatError("a surface has an empty extent", where=place, value=state.extents, limit="1 or more")
    interleave = state.interleave if 0 < state.interleave <= channels else 1
    depth_stride, batch_stride = _outer_strides(state, interleave)
    size = section_bytes if section_bytes is not None else state.total_bytes * batch
    shape = (batch, depth, channels, height, width)
    strides = (batch_stride, depth_stride, state.plane_stride, state.row_stride, state.element_bytes)
    reach = sum((extent - 1) * stride for extent, stride in zip(shape, strides, strict=True)) + state.element_bytes
    if size > _LARGEST_SURFACE or reach > _LARGEST_SURFACE:
        raise FormatError(
            "a surface is larger than the address space",
            where=place,
            value=f"{max(size, reach)} bytes",
            limit=f"{_LARGEST_SURFACE} bytes",
        )
    return Surface(
        name=state.tensor.removesuffix(layout.OUTPUT_SUFFIX) if state.is_output else state.tensor,
        role=Role.OUTPUT if state.is_output else Role.INPUT,
        shape=shape,
        strides_bytes=strides,
        size_bytes=max(size, 0),
        buffer=buffer,
        dtype=dtype,
        interleave=interleave,
    )


def _outer_strides(state: SurfaceState, interleave: int) -> tuple[int, int]:
    """(depth, batch) strides: the file has only the batch's. Depth is inside a batch element or outside the batch."""
    batch, channels, _, _, depth = state.extents
    inside = state.plane_stride * -(-channels // interleave)
    if depth == 1 or state.batch_stride == inside * depth:
        return inside, state.batch_stride
    return state.batch_stride * batch, state.batch_stride
