"""Writes a program as a complete .hwx file, in the layout of the dialect it names.

What Apple's files have and ours have not: the compiler's option list (ours is one line about openane), names of
kernels (Apple's carry a hash of something that is not in the file; ours the SHA-256 of the bytes), and two counters
of the program descriptor whose rule is not known (0x848, 0x850).
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from openane.core.errors import InputError
from openane.core.reader import Buffer
from openane.formats.hwx import layout
from openane.formats.hwx.dialects import file_dialect
from openane.formats.hwx.layout import Command, Flavor
from openane.formats.hwx.parts import Symbol
from openane.formats.hwx.symbols import Located, make_symbols, pack_symbols
from openane.program import Program, Role, Surface

_LAST_BUFFER = 255
_READ, _WRITE, _EXECUTE = 1, 2, 4
#: Length of the section that programs without constants carry.
_EMPTY_CONSTANT_BYTES = 0x4000
_BANNER = "ANEC v1\nopenane\n\t-t {target}\n\t--dialect={dialect}\n"


def write_hwx(program: Program) -> bytes:
    """The program as a .hwx file; reading it back gives an equal program.

    Args:
        program: with a codec attached (`targets.attach`).

    Raises:
        InputError: the dialect is unknown, surfaces share a buffer or a name, or something does not fit.
    """
    return b"".join(hwx_pieces(program))


def hwx_pieces(program: Program) -> list[Buffer]:
    """The file as pieces in order; constants are the program's own bytes, not a copy.

    Raises:
        InputError: as :func:`write_hwx`.
    """
    return _Writer(program).pieces()


@dataclass(frozen=True, slots=True)
class _Object:
    """A surface or an intermediate buffer with its place in memory."""

    address: int
    size: int
    buffer: int
    surface: Surface | None

    @property
    def span(self) -> int:
        return _align(max(self.size, 1), layout.PAGE_BYTES)


class _Writer:
    """Places everything first, then writes load commands, tables and sections."""

    def __init__(self, program: Program) -> None:
        _check(program)
        self.program = program
        self.dialect = file_dialect(program.dialect)
        self.text = bytes(program.encode_text())
        self.const_offset = _align(len(self.text), 64)
        self.constants: Buffer = program.constants if len(program.constants) else bytes(_EMPTY_CONSTANT_BYTES)
        self.text_span = _align(self.const_offset + len(self.constants), layout.PAGE_BYTES)
        self.text_address = layout.BASE_ADDRESS
        self.scratch: list[_Object] = []
        self.surfaces: list[_Object] = []
        self._place()

    def _place(self) -> None:
        """Gives addresses: text, scratch, surfaces; or scratch, surfaces, text."""
        address = layout.BASE_ADDRESS
        if not self.dialect.surfaces_first:
            address += self.text_span
        intermediates = (
            (self.program.scratch_bytes, layout.SCRATCH_BUFFER),
            (self.program.second_scratch_bytes, layout.SECOND_SCRATCH_BUFFER),
        )
        for size, buffer in intermediates:
            if size:
                self.scratch.append(_Object(address, size, buffer, None))
                address += self.scratch[-1].span
        in_memory = sorted(self.program.surfaces, key=lambda each: each.buffer)
        if not self.dialect.surfaces_first:
            in_memory.sort(key=lambda each: each.role is Role.OUTPUT)
        for surface in in_memory:
            self.surfaces.append(_Object(address, surface.size_bytes, surface.buffer, surface))
            address += self.surfaces[-1].span
        if self.dialect.surfaces_first:
            self.text_address = address
            self.surfaces.sort(key=lambda each: each.surface is not None and each.surface.role is Role.OUTPUT)

    def symbol(self, surface: Surface) -> str:
        """The name of a surface's memory object."""
        return surface.name.removesuffix("@output") if self.dialect.plain_symbols else surface.name

    def pieces(self) -> list[Buffer]:
        """Header and load commands, tables, padding, text, constants, padding."""
        commands_bytes = sum(map(len, self._commands(0, 0, 0)))
        tables_offset = layout.HEADER_BYTES + commands_bytes
        symbols, strings = pack_symbols(self._symbols())
        relocations = b"".join(struct.pack("<2I", each.offset, each.info) for each in self.program.relocations)
        tables = symbols + strings
        relocation_offset = _align(tables_offset + len(tables), 8) if relocations else 0
        if relocations:
            tables += bytes(relocation_offset - tables_offset - len(tables)) + relocations
        file_offset = _align(tables_offset + len(tables), layout.PAGE_BYTES)
        symtab = struct.pack(
            "<6I",
            Command.SYMBOLS,
            24,
            tables_offset,
            len(symbols) // layout.SYMBOL_BYTES,
            tables_offset + len(symbols),
            len(strings),
        )
        commands = self._commands(file_offset, relocation_offset, len(self.program.relocations))
        commands[-1] = symtab
        head = b"".join((self._header(commands), *commands, tables))
        padding = file_offset - len(head)
        end = self.text_span - self.const_offset - len(self.constants)
        return [
            head + bytes(padding) + self.text + bytes(self.const_offset - len(self.text)),
            self.constants,
            bytes(end),
        ]

    def _header(self, commands: list[bytes]) -> bytes:
        subtype = self.program.codec.cpu_subtype if self.program.codec else 0
        size = sum(map(len, commands))
        return struct.pack(
            "<8I",
            layout.MAGIC,
            layout.CPU_TYPE,
            subtype,
            layout.FILE_TYPE,
            len(commands),
            size,
            layout.HEADER_FLAGS,
            0,
        )

    def _commands(self, file_offset: int, relocation_offset: int, relocation_count: int) -> list[bytes]:
        text = self._text_segment(file_offset, relocation_offset, relocation_count)
        surfaces = [self._surface_segment(each) for each in self.surfaces]
        scratch = [_segment("__DATA", each, _READ | _WRITE, 4, ("__bss", 6, 0x25)) for each in self.scratch]
        zero = _segment_command("__PAGEZERO", 0, layout.PAGE_BYTES, 0, 0, 0, 4, [])
        body = [*scratch, *surfaces, text] if self.dialect.surfaces_first else [text, *scratch, *surfaces]
        names = [self._name(each) for each in self.surfaces]
        states = [self._program_state(), *(self._surface_state(each) for each in self.program.surfaces)]
        banner = _BANNER.format(target=self.program.target, dialect=self.dialect.name).encode()
        tail = [_command(Command.METADATA, banner + b"\0")]
        if self.dialect.note:
            tail.append(_command(Command.NOTE, struct.pack("<16s4Q", b"src model info", 0x28, 1, 0, 0)[:40]))
        return [zero, *body, *names, *states, *tail, bytes(24)]

    def _text_segment(self, file_offset: int, relocation_offset: int, relocation_count: int) -> bytes:
        relocated = relocation_count > 0
        sections = [
            _section(
                "__text",
                "__TEXT",
                self.text_address,
                len(self.text),
                file_offset,
                14,
                0x128 if relocated else 0x28,
                relocation_offset,
                relocation_count,
            ),
            _section(
                "__const",
                "__TEXT",
                self.text_address + self.const_offset,
                len(self.constants),
                file_offset + self.const_offset,
                6,
                0x26,
            ),
        ]
        flags = 0 if relocated else 4
        return _segment_command(
            "__TEXT", self.text_address, self.text_span, file_offset, self.text_span, _READ | _EXECUTE, flags, sections
        )

    def _surface_segment(self, each: _Object) -> bytes:
        if each.surface is not None and each.surface.role is Role.OUTPUT:
            return _segment("__FVMLIB", each, _WRITE, 6, ("__data", 14, 0x23))
        return _segment("__FVMLIB", each, _READ, 6, ("__const", 14, 0x21))

    def _name(self, each: _Object) -> bytes:
        assert each.surface is not None
        text = self.symbol(each.surface).encode() + b"\0"
        if self.dialect.name_command is Command.NAME:
            return _command(Command.NAME, struct.pack("<2IQ", 0x18, 0, each.address) + text)
        return _command(Command.NAME_OLD, struct.pack("<3I", 0x14, 0, each.address) + text)

    def _program_state(self) -> bytes:
        where = layout.PROGRAM_LAYOUTS[Flavor.PROGRAM]
        strings = self.dialect.program_strings
        state = bytearray(strings)
        struct.pack_into("<2I", state, 8, Flavor.PROGRAM, (strings - 16) // 4)
        addresses = {
            layout.TEXT_BUFFER: self.text_address,
            layout.CONSTANT_BUFFER: self.text_address + self.const_offset,
            **{each.buffer: each.address for each in (*self.scratch, *self.surfaces)},
        }
        for buffer, address in addresses.items():
            struct.pack_into("<Q", state, layout.BUFFER_TABLE + where.stride * buffer, address)
        tasks = self.program.tasks
        struct.pack_into("<Q2I", state, 0x810, self.text_address, tasks[0].size_words - 1, len(tasks))
        struct.pack_into("<I", state, 0x824, 0xFFFF)
        struct.pack_into("<I", state, where.name, strings)
        struct.pack_into("<I", state, 0x850, 0x11)
        newer = strings > 0x860
        # Holds for programs of one, two and eight tasks, with and without an intermediate buffer; a fit, not a rule.
        struct.pack_into("<I", state, 0x858, len(tasks) + 2 + len(self.scratch) + newer)
        if newer:
            struct.pack_into("<4I", state, 0x860, 1, 0, 9, 8)
        return _command(Command.THREAD, bytes(state[8:]) + self.program.name.encode() + b"\0")

    def _surface_state(self, surface: Surface) -> bytes:
        strings = self.dialect.surface_strings
        state = bytearray(strings)
        names = [self.program.name.encode(), surface.name.encode(), self.symbol(surface).encode()]
        offsets = [strings, strings + len(names[0]) + 1, strings + len(names[0]) + len(names[1]) + 2]
        n, d, c, h, w = surface.shape
        strides = surface.strides_bytes
        total = strides[0] if n > 1 else surface.size_bytes
        output = surface.role is Role.OUTPUT
        struct.pack_into("<5I", state, 8, Flavor.SURFACE, (strings - 16) // 4, 3, 2 if output else 1, offsets[0])
        struct.pack_into("<2I", state, 0x20, offsets[1], layout.ELEMENT_CODES[surface.dtype])
        struct.pack_into("<5I", state, 0x28, n, c, h, w, d)
        struct.pack_into("<5Q", state, 0x50, strides[0], strides[2], strides[3], strides[4], total)
        struct.pack_into("<2I", state, 0x78, surface.interleave, offsets[2])
        short = (c - 1) * strides[2] + (h - 1) * strides[3] + w * strides[4]
        struct.pack_into("<Q", state, 0x80, short if output and self.dialect.short_outputs else total)
        return _command(Command.THREAD, bytes(state[8:]) + b"".join(name + b"\0" for name in names))

    def _symbols(self) -> list[Symbol]:
        first_surface = 1 + len(self.scratch) if self.dialect.surfaces_first else 3 + len(self.scratch)
        text_section = first_surface + len(self.surfaces) if self.dialect.surfaces_first else 1
        objects = [
            Located(self.symbol(each.surface), first_surface + i, each.address, 2 * (each.surface.role is Role.INPUT))
            for i, each in enumerate(self.surfaces)
            if each.surface is not None
        ]
        pairs = [(self.symbol(each.surface), each.surface) for each in self.surfaces if each.surface is not None]
        kernels = list(self._kernels(text_section + 1))
        return make_symbols([*kernels, *objects], pairs, self.dialect)

    def _kernels(self, section: int) -> Iterable[Located]:
        """One symbol for each kernel stream that a relocation points at, numbered by engine within a task.

        Apple's names carry a hash of something that the file does not hold; ours the hash of the first stream.
        """
        base = self.text_address + self.const_offset
        starts = sorted(self.program.task_offsets)
        places = [struct.unpack_from("<I", self.text, each.offset)[0] for each in self.program.relocations]
        borders = sorted({*places, len(self.constants)})
        data = memoryview(self.constants)
        task, name, lane = -1, "", 0
        for each, offset in zip(self.program.relocations, places, strict=True):
            owner = bisect_right(starts, each.offset)
            if owner != task:
                end = borders[bisect_right(borders, offset)] if offset < borders[-1] else offset
                task, lane, name = owner, 0, sha256(data[offset:end]).hexdigest().upper()
            yield Located(f"K{name}_ne_{lane}", section, base + offset, 2)
            lane += 1


def _check(program: Program) -> None:
    """Raises InputError for a program that no file can hold."""
    if not program.tasks:
        raise InputError("a program without tasks has no file", where=program.name)
    buffers = [surface.buffer for surface in program.surfaces]
    for surface in program.surfaces:
        where = f"{program.name}: surface {surface.name}"
        if not layout.FIRST_SURFACE_BUFFER <= surface.buffer <= _LAST_BUFFER or buffers.count(surface.buffer) > 1:
            raise InputError(
                "the buffer index cannot be used",
                where=where,
                value=surface.buffer,
                limit=f"{layout.FIRST_SURFACE_BUFFER}..{_LAST_BUFFER}, one for each surface",
            )
        if "\0" in surface.name or not surface.name:
            raise InputError("a surface needs a name without zero bytes", where=where, value=repr(surface.name))
        if surface.dtype not in layout.ELEMENT_CODES:
            raise InputError("the container has no such element type", where=where, value=surface.dtype.value)
    for each in program.relocations:
        if not 0 <= each.offset <= program.text_bytes - 4:
            raise InputError("a relocation is outside the text", where=program.name, value=f"{each.offset:#x}")


def _align(value: int, step: int) -> int:
    return -(-value // step) * step


def _command(kind: Command, body: bytes) -> bytes:
    size = _align(8 + len(body), 8)
    return struct.pack("<2I", kind, size) + body + bytes(size - 8 - len(body))


def _section(
    name: str,
    segment: str,
    address: int,
    size: int,
    file_offset: int,
    align: int,
    flags: int,
    relocation_offset: int = 0,
    relocation_count: int = 0,
) -> bytes:
    return struct.pack(
        "<16s16s2Q8I",
        name.encode(),
        segment.encode(),
        address,
        size,
        file_offset,
        align,
        relocation_offset,
        relocation_count,
        flags,
        0,
        0,
        0,
    )


def _segment_command(
    name: str,
    address: int,
    size: int,
    file_offset: int,
    file_size: int,
    protection: int,
    flags: int,
    sections: list[bytes],
) -> bytes:
    head = struct.pack(
        "<16s4Q4I", name.encode(), address, size, file_offset, file_size, protection, protection, len(sections), flags
    )
    return _command(Command.SEGMENT, head + b"".join(sections))


def _segment(name: str, each: _Object, protection: int, flags: int, kind: tuple[str, int, int]) -> bytes:
    """A segment of one section without bytes in the file."""
    section_name, align, section_flags = kind
    section = _section(section_name, name, each.address, each.size, 0, align, section_flags)
    return _segment_command(name, each.address, each.span, 0, 0, protection, flags, [section])
