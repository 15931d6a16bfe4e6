"""Reads .hwx files of every compiler version seen, and makes the image of the program in them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from openane.core.errors import FormatError
from openane.core.reader import Reader
from openane.core.types import DType
from openane.formats import structure
from openane.formats.hwx import layout
from openane.formats.hwx.file import HwxFile
from openane.formats.hwx.layout import Command
from openane.formats.hwx.parts import Header, LoadCommand, ProgramState, Section, SurfaceState
from openane.formats.image import Image
from openane.formats.source import Source, open_source
from openane.program import Relocation, Role, Surface

#: Main version of Apple's compiler -> the dialect that its layout is.
COMPILER_DIALECTS = {4: "macos-11", 5: "macos-12", 7: "macos-14", 9: "macos-26"}
_COMPILER = re.compile(r"zin_ane_compiler v(\d+)([.\d]*)")
_OWN_DIALECT = re.compile(r"--dialect=([\w-]+)")
#: A surface larger than this is refused: the engine addresses 4 GB.
_LARGEST_SURFACE = 1 << 32


def read_hwx(source: Source, name: str = "") -> HwxFile:
    """Opens a .hwx file; constants stay where they are (a mapped file).

    Args:
        source: a path, or the bytes.
        name: for messages; the file's name when empty.

    Raises:
        InputError: the file cannot be read.
        FormatError: it is no .hwx, or its load commands do not fit.
    """
    reader = open_source(source, name)
    if len(reader) < 4 or reader.u32(0) != layout.MAGIC:
        found = bytes(reader.data[:4]).hex(" ")
        raise FormatError("not a .hwx file", where=reader.where, value=f"first bytes {found}", limit="ce fa ef be")
    header = Header(**structure.read(Header, reader, 0, "header"))
    return HwxFile(reader, header, tuple(_commands(reader, header)))


def _commands(reader: Reader, header: Header) -> Iterable[LoadCommand]:
    region = layout.HEADER_BYTES + header.commands_bytes
    reader.bytes_at(layout.HEADER_BYTES, header.commands_bytes, "load commands")
    offset = layout.HEADER_BYTES
    for number in range(header.command_count):
        where = f"{reader.where}: load command {number} at {offset:#x}"
        if offset + 8 > region:
            raise FormatError(
                "load commands run over their end",
                where=where,
                value=f"{header.command_count} commands",
                limit=f"{header.commands_bytes} bytes",
            )
        kind, size = reader.unpack("2I", offset)
        if size < 8 or offset + size > region:
            raise FormatError(
                "the load command has an impossible size",
                where=where,
                value=f"{size} bytes",
                limit=f"8..{region - offset} bytes",
            )
        yield LoadCommand(kind, offset, reader.bytes_at(offset, size))
        offset += size


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
    return "macos-26" if any(True for _ in file.of_kind(Command.NAME)) else "macos-11"


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
    """The section that a buffer index stands for; by its name in __TEXT when the table has no address."""
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
    """(depth, batch) strides: the file has only the batch's. Depth lies inside a batch element or outside the batch."""
    batch, channels, _, _, depth = state.extents
    inside = state.plane_stride * -(-channels // interleave)
    if depth == 1 or state.batch_stride == inside * depth:
        return inside, state.batch_stride
    return state.batch_stride * batch, state.batch_stride
