"""The parts of a .hwx file around the program, as text and back."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from openane.core.errors import OpenaneError
from openane.core.reader import Buffer
from openane.core.suggestions import suggest
from openane.formats.assembly.data import DataBlock, Supply, any_set, data_lines
from openane.formats.assembly.syntax import AssemblyLine, AssemblyToken, indent, quote
from openane.formats.hwx import codec, layout
from openane.formats.hwx.file import HwxFile
from openane.formats.hwx.layout import CommandKind, Flavor
from openane.formats.hwx.parts import (
    Header,
    LoadCommand,
    ObjectName,
    ProgramState,
    Section,
    Segment,
    SurfaceState,
    Symbol,
    SymbolTable,
)
from openane.formats.image import Image
from openane.program import Relocation

#: A part of the file: where it begins, and its bytes.
Region = tuple[int, Buffer]

#: Directive -> the value it means, how it is decoded and encoded.
_Codec = tuple[type[Any], Callable[[Any], Any], Callable[[Any], bytes]]
_COMMANDS: dict[str, _Codec] = {
    ".segment": (Segment, codec.decode_segment, codec.encode_segment),
    ".name": (ObjectName, codec.decode_name, codec.encode_name),
    ".program_state": (ProgramState, codec.decode_program_state, codec.encode_program_state),
    ".surface_state": (SurfaceState, codec.decode_surface_state, codec.encode_surface_state),
    ".symbol_table": (SymbolTable, codec.decode_symbol_table, codec.encode_symbol_table),
}
_DIRECTIVES: dict[int, str] = {
    CommandKind.SEGMENT: ".segment",
    CommandKind.NAME: ".name",
    CommandKind.NAME_OLD: ".name",
    CommandKind.SYMBOLS: ".symbol_table",
    CommandKind.METADATA: ".metadata",
}
_STATES: dict[int, str] = {
    Flavor.PROGRAM: ".program_state",
    Flavor.PROGRAM_NEW: ".program_state",
    Flavor.SURFACE: ".surface_state",
}
_SYMBOL_FIELDS = ("kind", "section", "description", "value")
_RAW = ".command"
_METADATA = ".metadata"


def _directive(file: HwxFile, command: LoadCommand) -> str:
    if command.kind == CommandKind.THREAD:
        return _STATES.get(file.inside(command).u32(8, "flavor"), _RAW)
    return _DIRECTIVES.get(command.kind, _RAW)


# Values as tokens --------------------------------------------------------------------------------------------------

_SKIPPED = {"sections", "words", "buffers", "command_count", "commands_bytes"}
#: Attributes that read better in decimal.
_DECIMAL = {"task_count", "extents", "count", "align", "element_type", "flavor", "relocation_count", "element_bytes"}


def _show(name: str, value: Any) -> str:
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if value is None:
        return "none"
    return str(int(value)) if name in _DECIMAL or isinstance(value, bool) or abs(value) < 10 else f"{value:#x}"


def _tokens(value: Any) -> str:
    """The attributes of a part, without the ones that have lines of their own."""
    return " ".join(
        f"{each.name}={_show(each.name, getattr(value, each.name))}"
        for each in fields(value)
        if each.name not in _SKIPPED
    )


def _parse(line: AssemblyLine, kind: type[Any], **more: Any) -> Any:
    """A part from the attributes of a line."""
    wanted = {each.name: each.type for each in fields(kind) if each.name not in _SKIPPED}
    pairs = line.pairs(tuple(wanted))
    missing = [name for name in wanted if name not in pairs]
    if missing:
        raise line.error(f"{line.word} needs {', '.join(missing)}")
    values = {name: _value(line, pairs[name], str(wanted[name])) for name in wanted}
    return kind(**values, **more)


def _value(line: AssemblyLine, token: AssemblyToken, kind: str) -> Any:
    if kind == "str":
        return line.string_of(token)
    if kind.startswith("tuple"):
        return tuple(line.number_of(token, part) for part in token.text.split(","))
    if "None" in kind and token.text == "none":
        return None
    number = line.number_of(token)
    return bool(number) if kind == "bool" else number


# Writing -----------------------------------------------------------------------------------------------------------


def hwx_lines(file: HwxFile, image: Image) -> Iterator[str]:
    """The container part of a .hwx file.

    Args:
        file: the file.
        image: the program in it, which the text reports elsewhere: tasks, constants, relocations.
    """
    data = memoryview(file.reader.data)
    regions: list[tuple[int, int]] = []
    yield f".hwx size={len(data):#x}"
    yield f".header {_tokens(file.header)}"
    for command in file.commands:
        yield from _command_lines(file, command)
    used = layout.HEADER_BYTES + sum(len(command.data) for command in file.commands)
    regions.append((0, used))
    if used != layout.HEADER_BYTES + file.header.commands_bytes:
        yield f".commands_size {file.header.commands_bytes:#x}"
    for word, part in ((".text", image.text), (".constants_at", image.constants)):
        if len(part):
            offset = file.offset_of(part)
            regions.append((offset, len(part)))
            yield f"{word} offset={offset:#x}"
    for command in file.of_kind(CommandKind.SYMBOLS):
        yield from _symbol_lines(file, command, regions)
    for section in file.sections:
        yield from _relocation_lines(file, section, image, regions)
    yield from _rest_lines(data, regions)
    yield ".end"


def _command_lines(file: HwxFile, command: LoadCommand) -> Iterator[str]:
    """A load command by its attributes where they say all, else as bytes."""
    directive = _directive(file, command)
    if directive == _METADATA:
        body = bytes(command.data[8:])
        text = body.rstrip(b"\0").decode("utf-8", "replace")
        if codec.encode_command(CommandKind.METADATA, text.encode() + b"\0") == bytes(command.data):
            yield _METADATA
            yield from indent(quote(line) for line in text.split("\n"))
            return
        directive = _RAW
    if directive in _COMMANDS:
        _, decode, encode = _COMMANDS[directive]
        try:
            value = decode(file.inside(command))
            exact = encode(value) == bytes(command.data)
        except (OpenaneError, ValueError):
            exact = False
        if exact:
            yield f"{directive} {_tokens(value)}"
            yield from indent(_parts_of(value))
            return
    yield f"{_RAW} {command.kind:#x} size={len(command.data):#x}"
    yield from indent(data_lines(command.data[8:]))


def _parts_of(value: Any) -> Iterator[str]:
    for section in getattr(value, "sections", ()):
        yield f".section {_tokens(section)}"
    for buffer, address in getattr(value, "buffers", {}).items():
        yield f".buffer {buffer} {address:#x}"
    for offset, word in getattr(value, "words", {}).items():
        yield f".word {offset:#x} {word:#x}"


def _symbol_lines(file: HwxFile, command: LoadCommand, regions: list[tuple[int, int]]) -> Iterator[str]:
    table = codec.decode_symbol_table(file.inside(command))
    try:
        symbols = codec.decode_symbols(file.reader, table)
    except OpenaneError:
        return
    entries, strings = codec.encode_symbols(symbols)
    parts = ((table.offset, entries), (table.strings, strings))
    data = memoryview(file.reader.data)
    if any(data[offset : offset + len(part)] != part for offset, part in parts) or not symbols:
        return
    spans = [(offset, len(part)) for offset, part in parts]
    if any(_overlap(span, regions) for span in spans):
        return
    regions += spans
    yield f".symbols offset={table.offset:#x} strings={table.strings:#x}"
    for symbol in symbols:
        attributes = ((name, getattr(symbol, name)) for name in _SYMBOL_FIELDS)
        tokens = "".join(f" {name}={_show(name, value)}" for name, value in attributes if value)
        yield from indent([quote(symbol.name) + tokens])


def _relocation_lines(file: HwxFile, section: Section, image: Image, regions: list[tuple[int, int]]) -> Iterator[str]:
    """Where the relocations of a section are; those of the text stand with the program."""
    span = (section.relocation_offset, section.relocation_count * layout.RELOCATION_BYTES)
    if not span[1] or _overlap(span, regions) or sum(span) > len(file.reader):
        return
    pairs = file.relocations(section)
    if pairs == tuple((each.offset, each.info) for each in image.relocations):
        regions.append(span)
        yield f".relocations offset={span[0]:#x}"


def _overlap(span: tuple[int, int], regions: list[tuple[int, int]]) -> bool:
    return any(span[0] < start + size and start < span[0] + span[1] for start, size in regions)


def _rest_lines(data: memoryview, regions: list[tuple[int, int]]) -> Iterator[str]:
    """Bytes that are in no region and not 0."""
    position = 0
    for start, size in sorted([*regions, (len(data), 0)]):
        gap = data[position:start]
        if any_set(gap):
            yield f".bytes offset={position:#x} size={len(gap):#x}"
            yield from indent(data_lines(gap))
        position = max(position, start + size)


# Reading -----------------------------------------------------------------------------------------------------------


@dataclass
class _Draft:
    """A load command whose lines are still being read."""

    line: AssemblyLine
    value: Any = None
    sections: list[Section] = field(default_factory=list)
    buffers: dict[int, int] = field(default_factory=dict)
    words: dict[int, int] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    data: DataBlock | None = None
    kind: int = 0

    def encoded(self) -> bytes:
        """The bytes of the command."""
        if self.line.word == _METADATA:
            return codec.encode_command(CommandKind.METADATA, "\n".join(self.texts).encode() + b"\0")
        if self.data is not None:
            body = bytes(self.data.bytes())
            return self.kind.to_bytes(4, "little") + (len(body) + 8).to_bytes(4, "little") + body
        extra: dict[str, Any] = {
            name: getattr(self, name) for name in ("buffers", "words") if name in {f.name for f in fields(self.value)}
        }
        if isinstance(self.value, Segment):
            extra["sections"] = tuple(self.sections)
        try:
            return _COMMANDS[self.line.word][2](replace(self.value, **extra))
        except OpenaneError as error:
            raise self.line.wrap(error, self.line.tokens[0]) from None
        except Exception as error:
            raise self.line.error("a value does not fit in the load command", value=str(error)) from None


class HwxReader:
    """Builds the container part of a .hwx file from its lines.

    Args:
        line: the `.hwx` line.
        supply: of the bytes of its data.
    """

    def __init__(self, line: AssemblyLine, supply: Supply) -> None:
        pairs = line.pairs(("size",))
        if "size" not in pairs:
            raise line.error(".hwx needs size=")
        self.size = line.number_of(pairs["size"])
        self._supply = supply
        self._header: Header | None = None
        self._commands: list[_Draft] = []
        self._commands_size: int | None = None
        self._symbols: list[tuple[int, int, list[Symbol]]] = []
        self._places: dict[str, int] = {}
        self._bytes: list[tuple[int, DataBlock]] = []
        self._block = ""

    def add(self, line: AssemblyLine) -> None:
        """Takes one line.

        Raises:
            FormatError: what is wrong with it, pointing at the place.
        """
        if line.word.startswith("."):
            self._directive(line)
        elif self._block == _METADATA:
            line.need(0, "one quoted text")
            self._commands[-1].texts.append(line.string_of(line.tokens[0]))
        elif self._block == _RAW:
            self._draft_data(line).add(line)
        elif self._block == ".bytes":
            self._bytes[-1][1].add(line)
        elif self._block == ".symbols":
            self._add_symbol(line)
        else:
            raise line.error(f"unknown word {line.word!r} in the container")

    def _draft_data(self, line: AssemblyLine) -> DataBlock:
        block = self._commands[-1].data
        if block is None:
            raise line.error("data without a block")
        return block

    def _u32(self, line: AssemblyLine, token: AssemblyToken) -> int:
        value = line.number_of(token)
        if not 0 <= value < 1 << 32:
            raise line.error("a word of 32 bits is needed", token, value=token.text)
        return value

    def _directive(self, line: AssemblyLine) -> None:
        if line.word in (".section", ".buffer", ".word"):
            self._part(line)
            return
        self._block = line.word
        if line.word == ".header":
            self._header = _parse(line, Header, command_count=0, commands_bytes=0)
        elif line.word in _COMMANDS:
            self._commands.append(_Draft(line, _parse(line, _COMMANDS[line.word][0])))
        elif line.word == _METADATA:
            self._commands.append(_Draft(line))
        elif line.word == _RAW:
            pairs = line.pairs(("size",), 2)
            size = line.number_of(pairs["size"]) if "size" in pairs else 8
            draft = _Draft(line, data=DataBlock(self._supply, line, size - 8))
            draft.kind = self._u32(line, line.tokens[1])
            self._commands.append(draft)
        elif line.word == ".commands_size":
            line.need(1, "a number")
            self._commands_size = self._u32(line, line.tokens[1])
        else:
            self._block_directive(line)

    def _block_directive(self, line: AssemblyLine) -> None:
        known = {
            ".symbols": ("offset", "strings"),
            ".bytes": ("offset", "size"),
            **dict.fromkeys((".text", ".constants_at", ".relocations"), ("offset",)),
        }
        if line.word not in known:
            raise line.error(
                f"unknown directive {line.word!r} in the container", hint=suggest(line.word, [*_COMMANDS, *known])
            )
        pairs = line.pairs(known[line.word])
        if len(pairs) != len(known[line.word]):
            raise line.error(f"{line.word} needs {', '.join(known[line.word])}")
        numbers = [line.number_of(pairs[name]) for name in known[line.word]]
        if line.word == ".symbols":
            self._symbols.append((numbers[0], numbers[1], []))
        elif line.word == ".bytes":
            self._bytes.append((numbers[0], DataBlock(self._supply, line, numbers[1])))
        else:
            self._places[line.word] = numbers[0]

    def _part(self, line: AssemblyLine) -> None:
        if not self._commands or self._commands[-1].value is None:
            raise line.error(f"{line.word} is after no load command")
        draft = self._commands[-1]
        if line.word == ".section":
            draft.sections.append(_parse(line, Section))
            return
        line.need(2, "two numbers")
        key, value = (line.number_of(token) for token in line.tokens[1:])
        (draft.buffers if line.word == ".buffer" else draft.words)[key] = value

    def _add_symbol(self, line: AssemblyLine) -> None:
        pairs = line.pairs(_SYMBOL_FIELDS)
        numbers = [line.number_of(pairs[name]) if name in pairs else 0 for name in _SYMBOL_FIELDS]
        limits = (1 << 8, 1 << 8, 1 << 16, 1 << 64)
        for name, value, limit in zip(_SYMBOL_FIELDS, numbers, limits, strict=True):
            if not 0 <= value < limit:
                raise line.error("the value does not fit", pairs[name], limit=f"0..{limit - 1}")
        self._symbols[-1][2].append(Symbol(line.string_of(line.tokens[0]), *numbers))

    def regions(self, text: Buffer, constants: Buffer, relocations: Sequence[Relocation]) -> list[Region]:
        """All parts of the file.

        Args:
            text, constants, relocations: the program.

        Raises:
            FormatError: a value does not fit in its load command.
        """
        commands = [draft.encoded() for draft in self._commands]
        size = sum(map(len, commands)) if self._commands_size is None else self._commands_size
        regions: list[Region] = []
        if self._header is not None:
            header = replace(self._header, command_count=len(commands), commands_bytes=size)
            regions.append((0, codec.encode_header(header) + b"".join(commands)))
        for offset, strings, symbols in self._symbols:
            table, names = codec.encode_symbols(symbols)
            regions += [(offset, table), (strings, names)]
        packed = b"".join(struct.pack("<2I", each.offset, each.info) for each in relocations)
        parts: dict[str, Buffer] = {".text": text, ".constants_at": constants, ".relocations": packed}
        regions += [(offset, parts[word]) for word, offset in self._places.items()]
        regions += [(offset, block.bytes()) for offset, block in self._bytes]
        return regions
