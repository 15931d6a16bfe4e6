"""Load commands of .hwx files as values and back: every `encode` is the inverse of its `decode`."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import replace
from itertools import accumulate

from openane.core.errors import FormatError
from openane.core.reader import Reader
from openane.formats import structure
from openane.formats.hwx import layout
from openane.formats.hwx.layout import CommandKind, Flavor
from openane.formats.hwx.parts import (
    Header,
    ObjectName,
    ProgramState,
    Section,
    Segment,
    SurfaceState,
    Symbol,
    SymbolTable,
)

_SURFACE_KIND = 3
#: Byte offsets in load commands: the count of a thread state, the number of a segment's sections, and where a surface
#: state says that the names of its network, tensor and symbol begin.
_COUNT_OFFSET = 0xC
_SECTION_COUNT = 0x40
_SURFACE_NAMES = (0x18, 0x20, 0x7C)


def align(value: int, step: int) -> int:
    """The next multiple of `step`."""
    return -(-value // step) * step


def encode_command(kind: int, body: bytes) -> bytes:
    """A load command, padded to a multiple of 8 bytes."""
    size = align(8 + len(body), 8)
    return struct.pack("<2I", kind, size) + body + bytes(size - 8 - len(body))


def encode_header(header: Header) -> bytes:
    """The start of the file."""
    raw = bytearray(layout.HEADER_BYTES)
    structure.put(raw, "I", 0, layout.MAGIC)
    structure.write(header, raw)
    return bytes(raw)


# Segments ----------------------------------------------------------------------------------------------------------


def decode_segment(reader: Reader) -> Segment:
    """The segment of a command.

    Raises:
        FormatError: the command is too short for its sections.
    """
    count = reader.u32(_SECTION_COUNT, "number of sections")
    reader.bytes_at(layout.SEGMENT_BYTES, count * layout.SECTION_BYTES, f"table of {count} sections")
    starts = range(layout.SEGMENT_BYTES, layout.SEGMENT_BYTES + count * layout.SECTION_BYTES, layout.SECTION_BYTES)
    sections = tuple(Section(**structure.read(Section, reader, start, "section")) for start in starts)
    return Segment(**structure.read(Segment, reader, 0, "segment"), sections=sections)


def encode_segment(segment: Segment) -> bytes:
    """The command of a segment and its sections."""
    raw = bytearray(layout.SEGMENT_BYTES + len(segment.sections) * layout.SECTION_BYTES)
    structure.write(segment, raw)
    structure.put(raw, "I", _SECTION_COUNT, len(segment.sections))
    for i, section in enumerate(segment.sections):
        structure.write(section, raw, layout.SEGMENT_BYTES + i * layout.SECTION_BYTES)
    return encode_command(CommandKind.SEGMENT, bytes(raw[8:]))


# Names -------------------------------------------------------------------------------------------------------------


def decode_name(reader: Reader) -> ObjectName:
    """The name and address of a memory object.

    Raises:
        FormatError: the name is not inside the command.
    """
    wide = reader.u32(0) == CommandKind.NAME
    address = reader.u64(0x10, "address") if wide else reader.u32(0x10, "address")
    start = reader.u32(8, "offset of the name")
    return ObjectName(reader.text(start, len(reader) - start), address, wide)


def encode_name(name: ObjectName) -> bytes:
    """The command that names a memory object."""
    text = name.name.encode() + b"\0"
    if name.wide:
        return encode_command(CommandKind.NAME, struct.pack("<2IQ", 0x18, 0, name.address) + text)
    return encode_command(CommandKind.NAME_OLD, struct.pack("<3I", 0x14, 0, name.address) + text)


# Thread states -----------------------------------------------------------------------------------------------------


def decode_program_state(reader: Reader) -> ProgramState:
    """The program descriptor of a thread command.

    Raises:
        FormatError: too short, or the name is not inside.
    """
    flavor = reader.u32(8, "flavor")
    where = layout.PROGRAM_LAYOUTS[Flavor(flavor)]
    addresses = [reader.u64(place, "table of buffer addresses") for place in where.buffer_places]
    strings = reader.u32(where.name, "offset of the network's name") if where.name else 0
    state = ProgramState(
        flavor=flavor,
        name=reader.text(strings, len(reader) - strings, "network name") if strings else "",
        task_count=reader.u32(where.task_count, "number of tasks"),
        first_task_bytes=4 * (reader.u32(where.first_task, "size of the first task") + 1) if where.first_task else None,
        text_address=reader.u64(layout.TEXT_ADDRESS, "address of the tasks"),
        strings=strings,
        state_bytes=0 if strings else len(reader),
        buffers={i: address for i, address in enumerate(addresses) if address},
    )
    return replace(state, words=_other_words(encode_program_state(state), reader, strings or len(reader)))


def encode_program_state(state: ProgramState) -> bytes:
    """The command of a program descriptor.

    Raises:
        FormatError: a buffer index or a word has no place in it.
    """
    where = layout.PROGRAM_LAYOUTS[Flavor(state.flavor)]
    body = _thread_body(state.flavor, state.strings or state.state_bytes, bool(state.strings))
    for buffer, address in state.buffers.items():
        structure.put(body, "Q", layout.BUFFER_TABLE + where.stride * buffer, address)
    structure.put(body, "Q", layout.TEXT_ADDRESS, state.text_address)
    if where.first_task and state.first_task_bytes is not None:
        structure.put(body, "I", where.first_task, state.first_task_bytes // 4 - 1)
    structure.put(body, "I", where.task_count, state.task_count)
    if where.name:
        structure.put(body, "I", where.name, state.strings)
    structure.put_words(body, state.words)
    return encode_command(CommandKind.THREAD, bytes(body[8:]) + (state.name.encode() + b"\0" if state.strings else b""))


def decode_surface_state(reader: Reader) -> SurfaceState:
    """The surface of a thread command.

    Raises:
        FormatError: too short, or a name is not inside.
    """
    starts = [reader.u32(offset, "offset of a name") for offset in _SURFACE_NAMES]
    network, tensor, symbol = (reader.text(start, len(reader) - start, "surface name") for start in starts)
    values = structure.read(SurfaceState, reader, 0, "surface")
    state = SurfaceState(network=network, tensor=tensor, symbol=symbol, **values)
    return replace(state, words=_other_words(encode_surface_state(state), reader, min(starts)))


def encode_surface_state(state: SurfaceState) -> bytes:
    """The command of a surface.

    Raises:
        FormatError: a word has no place in it.
    """
    body = _thread_body(Flavor.SURFACE, state.strings, True)
    names = [name.encode() + b"\0" for name in (state.network, state.tensor, state.symbol)]
    structure.write(state, body)
    structure.put(body, "I", layout.BUFFER_TABLE, _SURFACE_KIND)
    for offset, start in zip(_SURFACE_NAMES, accumulate(map(len, names[:-1]), initial=state.strings), strict=True):
        structure.put(body, "I", offset, start)
    structure.put_words(body, state.words)
    return encode_command(CommandKind.THREAD, bytes(body[8:]) + b"".join(names))


def _other_words(encoded: bytes, reader: Reader, end: int) -> dict[int, int]:
    """The words of a thread state that its attributes do not explain."""
    return structure.differing_words(encoded, reader, _COUNT_OFFSET, end)


def _thread_body(flavor: int, size: int, counted: bool) -> bytearray:
    """The zeroed state with its head; the count is the words from 0x10 to the strings, or from 8 where it has none."""
    if not 0x10 <= size <= 0x10000:
        raise FormatError("a thread state of impossible size", value=f"{size:#x}", limit="0x10..0x10000")
    body = bytearray(size)
    count = (size - 0x10) // 4 if counted else (size - 8) // 4
    structure.put(body, "2I", 8, flavor, count)
    return body


# Symbols -----------------------------------------------------------------------------------------------------------


def decode_symbol_table(reader: Reader) -> SymbolTable:
    """Where the symbols are.

    Raises:
        FormatError: the command is too short.
    """
    return SymbolTable(**structure.read(SymbolTable, reader, 0, "symbol table command"))


def encode_symbol_table(table: SymbolTable) -> bytes:
    """The command that reports where the symbols are."""
    raw = bytearray(structure.size_bytes(SymbolTable))
    structure.write(table, raw)
    return encode_command(CommandKind.SYMBOLS, bytes(raw[8:]))


def decode_symbols(reader: Reader, table: SymbolTable) -> tuple[Symbol, ...]:
    """The entries of the symbol table.

    Raises:
        FormatError: the table or a name is not inside the file.
    """
    reader.bytes_at(table.offset, table.count * layout.SYMBOL_BYTES, "symbol table")
    if table.count > layout.MOST_SYMBOLS:
        raise FormatError("too many symbols", where=reader.where, value=table.count, limit=layout.MOST_SYMBOLS)
    names = bytes(reader.bytes_at(table.strings, table.strings_bytes, "symbol names"))
    symbols = []
    for i in range(table.count):
        at = table.offset + i * layout.SYMBOL_BYTES
        start, kind, section, description, value = reader.unpack("IBBHQ", at, "symbol")
        end = names.find(b"\0", start, start + layout.LONGEST_NAME)
        if end < 0:
            raise FormatError("a symbol name has no end", where=f"{reader.where}: offset {at:#x}", value=f"{start:#x}")
        try:
            text = names[start:end].decode()
        except UnicodeDecodeError as error:
            raise FormatError("a symbol name is not UTF-8", where=f"{reader.where}: offset {at:#x}") from error
        symbols.append(Symbol(text, kind, section, description, value))
    return tuple(symbols)


def encode_symbols(symbols: Iterable[Symbol]) -> tuple[bytes, bytes]:
    """(table, names): names in order after one zero byte."""
    table, strings = bytearray(), bytearray(b"\0")
    for each in symbols:
        table += struct.pack("<IBBHQ", len(strings), each.kind, each.section, each.description, each.value)
        strings += each.name.encode() + b"\0"
    return bytes(table), bytes(strings)
