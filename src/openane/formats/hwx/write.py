"""Writes a program as a complete .hwx file, in the layout of the dialect it names.

What Apple's files have and ours have not: the compiler's option list (ours is one line about openane), names of
kernels (Apple's carry a hash of something that is not in the file; ours the SHA-256 of the bytes), and two counters
of the program descriptor whose rule is not known (0x848, 0x850).
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from openane.core.errors import InputError, UnsupportedError
from openane.core.reader import Buffer
from openane.formats.hwx import codec, layout
from openane.formats.hwx.codec import align
from openane.formats.hwx.dialects import file_dialect
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
from openane.formats.hwx.symbols import Located, make_symbols
from openane.program import Program, Role, Surface

_LAST_BUFFER = 255
_READ, _WRITE, _EXECUTE = 1, 2, 4
#: Length of the section that programs without constants carry.
_EMPTY_CONSTANT_BYTES = 0x4000
#: The note of the compiler of macOS 12, as in every file of it.
_NOTE = struct.pack("<16s3Q", b"src model info", 0x28, 1, 0)
_BANNER = "ANEC v1\nopenane\n\t-t {target}\n\t--dialect={dialect}\n"


def write_hwx(program: Program) -> bytes:
    """The program as a .hwx file; reading it back gives an equal program.

    Args:
        program: with a codec attached (`targets.attach`).

    Raises:
        InputError: the dialect is unknown, surfaces share a buffer or a name, or something does not fit.
        UnsupportedError: the program is for a generation whose descriptors are not known well enough.
    """
    return b"".join(hwx_pieces(program))


def hwx_pieces(program: Program) -> list[Buffer]:
    """The file as pieces in order; constants are the program's own bytes, not a copy.

    Raises:
        InputError: as :func:`write_hwx`.
    """
    return _HwxWriter(program).pieces()


@dataclass(frozen=True, slots=True)
class _Object:
    """A surface or an intermediate buffer with its place in memory."""

    address: int
    size: int
    buffer: int
    surface: Surface | None

    @property
    def span(self) -> int:
        return align(max(self.size, 1), layout.PAGE_BYTES)


class _HwxWriter:
    """Places everything first, then writes load commands, tables and sections."""

    def __init__(self, program: Program) -> None:
        _check(program)
        self.program = program
        self.dialect = file_dialect(program.dialect)
        self.text = bytes(program.encode_text())
        self.const_offset = align(len(self.text), 64)
        self.constants: Buffer = program.constants if len(program.constants) else bytes(_EMPTY_CONSTANT_BYTES)
        self.text_span = align(self.const_offset + len(self.constants), layout.PAGE_BYTES)
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

    def tensor(self, surface: Surface) -> str:
        """The name of a surface's tensor; one suffix is taken off again when the file is read."""
        suffixed = self.dialect.suffixed or surface.name.endswith(layout.OUTPUT_SUFFIX)
        return surface.name + layout.OUTPUT_SUFFIX * (suffixed and surface.role is Role.OUTPUT)

    def symbol(self, surface: Surface) -> str:
        """The name of a surface's memory object."""
        return surface.name if self.dialect.plain_symbols else self.tensor(surface)

    def pieces(self) -> list[Buffer]:
        """Header and load commands, tables, padding, text, constants, padding."""
        tables_offset = layout.HEADER_BYTES + sum(map(len, self._commands(SymbolTable(0, 0, 0, 0), 0, 0)))
        symbols, strings = codec.encode_symbols(self._symbols())
        table = SymbolTable(
            tables_offset, len(symbols) // layout.SYMBOL_BYTES, tables_offset + len(symbols), len(strings)
        )
        tables = symbols + strings
        relocations = b"".join(struct.pack("<2I", each.offset, each.info) for each in self.program.relocations)
        relocation_offset = align(tables_offset + len(tables), 8) if relocations else 0
        if relocations:
            tables += bytes(relocation_offset - tables_offset - len(tables)) + relocations
        file_offset = align(tables_offset + len(tables), layout.PAGE_BYTES)
        commands = self._commands(table, file_offset, relocation_offset)
        head = b"".join((codec.encode_header(self._header(commands)), *commands, tables))
        start = head + bytes(file_offset - len(head)) + self.text + bytes(self.const_offset - len(self.text))
        return [start, self.constants, bytes(self.text_span - self.const_offset - len(self.constants))]

    def _header(self, commands: list[bytes]) -> Header:
        subtype = self.program.codec.cpu_subtype if self.program.codec else 0
        size = sum(map(len, commands))
        return Header(layout.CPU_TYPE, subtype, layout.FILE_TYPE, len(commands), size, layout.HEADER_FLAGS, 0)

    def _banner(self) -> str:
        """The compiler's name and what is worth knowing of the program, in the form of its options."""
        banner = _BANNER.format(target=self.program.target, dialect=self.dialect.name)
        for name in layout.RECORDED_NOTES:
            text = self.program.notes.get(name, "")
            if re.fullmatch(r"[\w -]+", text):
                banner += f"\t--{name}={text.replace(' ', '-')}\n"
        return banner

    def _commands(self, table: SymbolTable, file_offset: int, relocation_offset: int) -> list[bytes]:
        text = self._text_segment(file_offset, relocation_offset)
        surfaces = [self._surface_segment(each) for each in self.surfaces]
        scratch = [_segment("__DATA", each, _READ | _WRITE, 4, ("__bss", 6, 0x25)) for each in self.scratch]
        zero = Segment("__PAGEZERO", 0, layout.PAGE_BYTES, 0, 0, 0, 0, 4)
        body = [*scratch, *surfaces, text] if self.dialect.surfaces_first else [text, *scratch, *surfaces]
        note = [codec.encode_command(CommandKind.NOTE, _NOTE)] if self.dialect.note else []
        return [
            *map(codec.encode_segment, (zero, *body)),
            *(codec.encode_name(self._name(each)) for each in self.surfaces),
            codec.encode_program_state(self._program_state()),
            *(codec.encode_surface_state(self._surface_state(each)) for each in self.program.surfaces),
            codec.encode_command(CommandKind.METADATA, self._banner().encode() + b"\0"),
            *note,
            codec.encode_symbol_table(table),
        ]

    def _text_segment(self, file_offset: int, relocation_offset: int) -> Segment:
        count = len(self.program.relocations)
        flags = 0x128 if count else 0x28
        address, offset = self.text_address + self.const_offset, file_offset + self.const_offset
        sections = (
            Section(
                "__text", "__TEXT", self.text_address, len(self.text), file_offset, 14, relocation_offset, count, flags
            ),
            Section("__const", "__TEXT", address, len(self.constants), offset, 6, 0, 0, 0x26),
        )
        protection = _READ | _EXECUTE
        span = self.text_span
        flags = 0 if count else 4
        return Segment("__TEXT", self.text_address, span, file_offset, span, protection, protection, flags, sections)

    def _surface_segment(self, each: _Object) -> Segment:
        if each.surface is not None and each.surface.role is Role.OUTPUT:
            return _segment("__FVMLIB", each, _WRITE, 6, ("__data", 14, 0x23))
        return _segment("__FVMLIB", each, _READ, 6, ("__const", 14, 0x21))

    def _name(self, each: _Object) -> ObjectName:
        assert each.surface is not None
        return ObjectName(self.symbol(each.surface), each.address, self.dialect.name_command is CommandKind.NAME)

    def _program_state(self) -> ProgramState:
        tasks = self.program.tasks
        newer = self.dialect.name_command is CommandKind.NAME
        # 0x858 fits the files at hand and a described program of eight tasks; a fit, not proved.
        words = {0x824: 0xFFFF, 0x850: 0x11, 0x858: len(tasks) + 2 + newer}
        if newer:
            words |= {0x860: 1, 0x868: 9, 0x86C: 8}
        return ProgramState(
            flavor=Flavor.PROGRAM,
            name=self.program.name,
            task_count=len(tasks),
            first_task_bytes=tasks[0].size_bytes,
            text_address=self.text_address,
            strings=self.dialect.program_strings,
            buffers={
                layout.TEXT_BUFFER: self.text_address,
                layout.CONSTANT_BUFFER: self.text_address + self.const_offset,
                **{each.buffer: each.address for each in (*self.scratch, *self.surfaces)},
            },
            words=words,
        )

    def _surface_state(self, surface: Surface) -> SurfaceState:
        n, d, c, h, w = surface.shape
        batch, _, plane, row, element = surface.strides_bytes
        output = surface.role is Role.OUTPUT
        total = batch if n > 1 else surface.size_bytes
        short = (c - 1) * plane + (h - 1) * row + w * element
        return SurfaceState(
            is_output=output,
            network=self.program.name,
            tensor=self.tensor(surface),
            symbol=self.symbol(surface),
            element_type=layout.ELEMENT_CODES[surface.dtype],
            extents=(n, c, h, w, d),
            batch_stride=batch,
            plane_stride=plane,
            row_stride=row,
            element_bytes=element,
            total_bytes=total,
            used_bytes=short if output and self.dialect.short_outputs else total,
            interleave=surface.interleave,
            strings=self.dialect.surface_strings,
        )

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
    if program.codec is not None and not program.codec.writes_files:
        raise UnsupportedError(
            f"new .hwx files for {program.target} cannot be written",
            where=program.name,
            hint="Only files that were read, or assembly text with its container, can be written for it.",
        )
    _check_name(program.name, program.name)
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
        _check_name(surface.name, where)
        if sum(each.name == surface.name for each in program.surfaces) > 1:
            raise InputError("two surfaces have one name", where=where)
        if surface.dtype not in layout.ELEMENT_CODES:
            raise InputError("the container has no such element type", where=where, value=surface.dtype.value)
    last = program.text_bytes - 4
    for each in program.relocations:
        if not 0 <= each.offset <= last:
            raise InputError("a relocation is outside the text", where=program.name, value=f"{each.offset:#x}")


def _check_name(name: str, where: str) -> None:
    """Raises InputError for a name that cannot be written."""
    raw = name.encode("utf-8", "ignore")
    if not name or "\0" in name or raw.decode() != name or len(raw) > layout.LONGEST_NAME // 2:
        raise InputError(
            "a name needs characters of Unicode other than zero",
            where=where,
            value=repr(name)[:60],
            limit="UTF-8, 4096 bytes",
        )


def _segment(name: str, each: _Object, protection: int, flags: int, kind: tuple[str, int, int]) -> Segment:
    """A segment of one section without bytes in the file."""
    section_name, alignment, section_flags = kind
    section = Section(section_name, name, each.address, each.size, 0, alignment, 0, 0, section_flags)
    return Segment(name, each.address, each.span, 0, 0, protection, protection, flags, (section,))
