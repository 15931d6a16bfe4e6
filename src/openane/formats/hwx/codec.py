"""Load commands of .hwx files as values and back: every `encode` is the inverse of its `decode`."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from openane.core.errors import FormatError
from openane.core.reader import Reader
from openane.formats.hwx import layout
from openane.formats.hwx.layout import Command, Flavor
from openane.formats.hwx.parts import (
    Header,
    ObjectName,
    ProgramState,
    Section,
    Segment,
    SurfaceState,
    Symbol,
    SymbolTable,
    Words,
)

_SECTION = struct.Struct("<16s16s2Q5I12x")
_NAME_BYTES = 16
_SURFACE_KIND = 3
_INPUT, _OUTPUT = 1, 2
_COUNT_OFFSET = 0xC


def align(value: int, step: int) -> int:
    """The next multiple of `step`."""
    return -(-value // step) * step


def encode_command(kind: int, body: bytes) -> bytes:
    """A load command, padded to a multiple of 8 bytes."""
    size = align(8 + len(body), 8)
    return struct.pack("<2I", kind, size) + body + bytes(size - 8 - len(body))


def encode_header(header: Header) -> bytes:
    """The start of the file."""
    return struct.pack(
        "<8I",
        layout.MAGIC,
        header.cpu_type,
        header.cpu_subtype,
        header.file_type,
        header.command_count,
        header.commands_bytes,
        header.flags,
        header.reserved,
    )


# Segments ----------------------------------------------------------------------------------------------------------


def _fixed_text(raw: memoryview) -> str:
    return bytes(raw).split(b"\0", 1)[0].decode("utf-8", "replace")


def _name16(name: str) -> bytes:
    raw = name.encode()
    if len(raw) > _NAME_BYTES:
        raise FormatError("a segment name is too long", value=repr(name), limit=f"{_NAME_BYTES} bytes")
    return raw


def decode_segment(reader: Reader) -> Segment:
    """The segment of a command.

    Raises:
        FormatError: the command is too short for its sections.
    """
    address, size, file_offset, file_size, *rest = reader.unpack("4Q4I", 8 + _NAME_BYTES, "segment")
    max_protection, protection, count, flags = rest
    reader.bytes_at(layout.SEGMENT_BYTES, count * layout.SECTION_BYTES, f"table of {count} sections")
    sections = tuple(_decode_section(reader, layout.SEGMENT_BYTES + i * layout.SECTION_BYTES) for i in range(count))
    name = _fixed_text(reader.bytes_at(8, _NAME_BYTES, "segment name"))
    return Segment(name, address, size, file_offset, file_size, max_protection, protection, flags, sections)


def _decode_section(reader: Reader, offset: int) -> Section:
    name, segment = (_fixed_text(reader.bytes_at(offset + at, _NAME_BYTES, "name")) for at in (0, _NAME_BYTES))
    return Section(name, segment, *reader.unpack("2Q5I", offset + 2 * _NAME_BYTES, "section"))


def encode_segment(segment: Segment) -> bytes:
    """The command of a segment and its sections."""
    head = struct.pack(
        "<16s4Q4I",
        _name16(segment.name),
        segment.address,
        segment.size,
        segment.file_offset,
        segment.file_size,
        segment.max_protection,
        segment.protection,
        len(segment.sections),
        segment.flags,
    )
    return encode_command(Command.SEGMENT, head + b"".join(map(_encode_section, segment.sections)))


def _encode_section(section: Section) -> bytes:
    return _SECTION.pack(
        _name16(section.name),
        _name16(section.segment),
        section.address,
        section.size,
        section.file_offset,
        section.align,
        section.relocation_offset,
        section.relocation_count,
        section.flags,
    )


# Names -------------------------------------------------------------------------------------------------------------


def decode_name(reader: Reader) -> ObjectName:
    """The name and address of a memory object.

    Raises:
        FormatError: the name is not inside the command.
    """
    wide = reader.u32(0) == Command.NAME
    address = reader.u64(0x10, "address") if wide else reader.u32(0x10, "address")
    start = reader.u32(8, "offset of the name")
    return ObjectName(reader.text(start, len(reader) - start), address, wide)


def encode_name(name: ObjectName) -> bytes:
    """The command that names a memory object."""
    text = name.name.encode() + b"\0"
    if name.wide:
        return encode_command(Command.NAME, struct.pack("<2IQ", 0x18, 0, name.address) + text)
    return encode_command(Command.NAME_OLD, struct.pack("<3I", 0x14, 0, name.address) + text)


# Thread states -----------------------------------------------------------------------------------------------------


def _other_words(reader: Reader, end: int, known: Iterable[int]) -> dict[int, int]:
    """The words up to `end` that are not 0 and not at the known offsets."""
    count = (min(end, len(reader)) - 0x10) // 4
    words = reader.unpack(f"{max(count, 0)}I", 0x10)
    explained = set(known)
    return {0x10 + 4 * i: word for i, word in enumerate(words) if word and 0x10 + 4 * i not in explained}


def _double(offset: int) -> tuple[int, int]:
    return offset, offset + 4


def decode_program_state(reader: Reader) -> ProgramState:
    """The program descriptor of a thread command.

    Raises:
        FormatError: too short, or the name is not inside.
    """
    flavor = reader.u32(8, "flavor")
    where = layout.PROGRAM_LAYOUTS[Flavor(flavor)]
    count = (layout.BUFFER_TABLE_END - layout.BUFFER_TABLE) // where.stride
    places = [layout.BUFFER_TABLE + where.stride * i for i in range(count)]
    addresses = [reader.u64(place, "table of buffer addresses") for place in places]
    first = 4 * (reader.u32(where.first_task, "size of the first task") + 1) if where.first_task else None
    strings = reader.u32(where.name, "offset of the network's name") if where.name else 0
    name = reader.text(strings, len(reader) - strings, "network name") if strings else ""
    known = [word for place in places for word in _double(place)]
    known += [*_double(layout.TEXT_ADDRESS), where.first_task, where.task_count, where.name]
    words = _other_words(reader, strings or len(reader), known)
    told = reader.u32(_COUNT_OFFSET, "count")
    if told != _count(strings or len(reader), bool(strings)):
        words[_COUNT_OFFSET] = told
    return ProgramState(
        flavor=flavor,
        name=name,
        task_count=reader.u32(where.task_count, "number of tasks"),
        first_task_bytes=first,
        text_address=reader.u64(layout.TEXT_ADDRESS, "address of the tasks"),
        strings=strings,
        state_bytes=0 if strings else len(reader),
        buffers={i: address for i, address in enumerate(addresses) if address},
        words=words,
    )


def encode_program_state(state: ProgramState) -> bytes:
    """The command of a program descriptor.

    Raises:
        FormatError: a buffer index or a word has no place in it.
    """
    where = layout.PROGRAM_LAYOUTS[Flavor(state.flavor)]
    body = _thread_body(state.flavor, state.strings or state.state_bytes, bool(state.strings))
    for buffer, address in state.buffers.items():
        _put(body, "Q", layout.BUFFER_TABLE + where.stride * buffer, address)
    _put(body, "Q", layout.TEXT_ADDRESS, state.text_address)
    if where.first_task and state.first_task_bytes is not None:
        _put(body, "I", where.first_task, state.first_task_bytes // 4 - 1)
    _put(body, "I", where.task_count, state.task_count)
    if where.name:
        _put(body, "I", where.name, state.strings)
    _put_words(body, state.words)
    return encode_command(Command.THREAD, bytes(body[8:]) + (state.name.encode() + b"\0" if state.strings else b""))


def decode_surface_state(reader: Reader) -> SurfaceState:
    """The surface of a thread command.

    Raises:
        FormatError: too short, or a name is not inside.
    """
    kind, direction, network, _, tensor, element_type = reader.unpack("6I", 0x10, "surface")
    n, c, h, w, d = reader.unpack("5I", 0x28, "extents")
    batch, plane, row, element, total = reader.unpack("5Q", 0x50, "strides")
    interleave, symbol, used = reader.unpack("2IQ", 0x78, "surface")
    names = [reader.text(start, len(reader) - start, "surface name") for start in (network, tensor, symbol)]
    known = [*range(0x14, 0x1C, 4), *range(0x20, 0x3C, 4), *range(0x50, 0x88, 4)]
    words = _other_words(reader, min(network, tensor, symbol), known)
    if kind == _SURFACE_KIND:
        words.pop(0x10, None)
    if direction not in (_INPUT, _OUTPUT):
        words[0x14] = direction
    return SurfaceState(
        is_output=direction == _OUTPUT,
        network=names[0],
        tensor=names[1],
        symbol=names[2],
        element_type=element_type,
        extents=(n, c, h, w, d),
        batch_stride=batch,
        plane_stride=plane,
        row_stride=row,
        element_bytes=element,
        total_bytes=total,
        used_bytes=used,
        interleave=interleave,
        strings=network,
        words=words,
    )


def encode_surface_state(state: SurfaceState) -> bytes:
    """The command of a surface.

    Raises:
        FormatError: a word has no place in it.
    """
    body = _thread_body(Flavor.SURFACE, state.strings, True)
    names = [name.encode() + b"\0" for name in (state.network, state.tensor, state.symbol)]
    tensor = state.strings + len(names[0])
    _put(body, "2I", 0x10, _SURFACE_KIND, _OUTPUT if state.is_output else _INPUT)
    _put(body, "4I", 0x18, state.strings, 0, tensor, state.element_type)
    _put(body, "5I", 0x28, *state.extents)
    strides = (state.batch_stride, state.plane_stride, state.row_stride, state.element_bytes)
    _put(body, "5Q", 0x50, *strides, state.total_bytes)
    _put(body, "2IQ", 0x78, state.interleave, tensor + len(names[1]), state.used_bytes)
    _put_words(body, state.words)
    return encode_command(Command.THREAD, bytes(body[8:]) + b"".join(names))


def _thread_body(flavor: int, size: int, counted: bool) -> bytearray:
    """The zeroed state with its head; the count is the words before the strings."""
    if not 0x10 <= size <= 0x10000:
        raise FormatError("a thread state of impossible size", value=f"{size:#x}", limit="0x10..0x10000")
    body = bytearray(size)
    struct.pack_into("<2I", body, 8, flavor, _count(size, counted))
    return body


def _count(size: int, counted: bool) -> int:
    """The count of a state: words from 0x10 to its strings, or from 8 on where it has none."""
    return (size - 0x10) // 4 if counted else (size - 8) // 4


def _put(body: bytearray, codes: str, offset: int, *values: int) -> None:
    try:
        struct.pack_into("<" + codes, body, offset, *values)
    except struct.error as error:
        raise FormatError(
            "a value does not fit in the load command", value=f"{values} at {offset:#x}", limit=f"{len(body):#x} bytes"
        ) from error


def _put_words(body: bytearray, words: Words) -> None:
    for offset, word in words.items():
        _put(body, "I", offset, word)


# Symbols -----------------------------------------------------------------------------------------------------------


def decode_symbol_table(reader: Reader) -> SymbolTable:
    """Where the symbols are.

    Raises:
        FormatError: the command is too short.
    """
    return SymbolTable(*reader.unpack("4I", 8, "symbol table command"))


def encode_symbol_table(table: SymbolTable) -> bytes:
    """The command that tells where the symbols are."""
    return encode_command(
        Command.SYMBOLS, struct.pack("<4I", table.offset, table.count, table.strings, table.strings_bytes)
    )


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
    """(table, names): names in order behind one zero byte."""
    table, strings = bytearray(), bytearray(b"\0")
    for each in symbols:
        table += struct.pack("<IBBHQ", len(strings), each.kind, each.section, each.description, each.value)
        strings += each.name.encode() + b"\0"
    return bytes(table), bytes(strings)
