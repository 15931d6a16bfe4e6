"""The assembler: text to a program, and to a file."""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from openane.core.errors import FormatError, OpenaneError
from openane.core.reader import Buffer
from openane.core.suggestions import suggest
from openane.core.types import DType
from openane.formats.anec import anec_pieces, read_anec
from openane.formats.assembly.anec_text import AnecReader
from openane.formats.assembly.data import LARGEST_BYTES, DataBlock, Opener, Supply
from openane.formats.assembly.hwx_text import HwxReader, Region
from openane.formats.assembly.syntax import AssemblyLine, AssemblyToken, lines_of
from openane.formats.assembly.tasks import TaskReader
from openane.formats.assembly.write import VERSION
from openane.formats.hwx.read import read_hwx
from openane.formats.hwx.write import hwx_pieces
from openane.program import Program, Relocation, Role, StreamCodec, Surface

#: Gives the codec of a generation by name; raises InputError for an unknown one.
CodecOf = Callable[[str], StreamCodec]
_AXES = 5
#: Files hold padding to pages, not more; a longer gap is a mistake in a number.
_LARGEST_GAP_BYTES = 1 << 26


@dataclass(frozen=True, slots=True)
class Assembled:
    """What a text says.

    Attributes:
        program: the program; None when its tasks are given as bytes only.
        container: "hwx" or "anec" when the text holds a container, else "".
        pieces: the exact file in that container, as pieces in order; empty without one.
    """

    program: Program | None
    container: str
    pieces: tuple[Buffer, ...]

    def file(self, container: str) -> list[Buffer]:
        """The file in a container, as pieces in order: exactly as the text says where it does, else newly made.

        Args:
            container: "hwx" or "anec".

        Raises:
            InputError: the program does not fit the container.
        """
        if container == self.container:
            return list(self.pieces)
        if self.program is None:
            raise FormatError("tasks given as bytes can only be put back into their own container", value=container)
        return hwx_pieces(self.program) if container == "hwx" else anec_pieces(self.program)


def assemble_text(text: str, codec_of: CodecOf, opener: Opener, where: str = "assembly") -> Assembled:
    """Assembles a text.

    Args:
        text: the text.
        codec_of: codec of a generation by name.
        opener: bytes of a file that an `incbin` line names, and whether the line reports their digest, as one who has
            seen them can; raises OpenaneError.
        where: name of the text, for messages.

    Raises:
        FormatError: with line and column of what is wrong.
    """
    reader = _AssemblyReader(codec_of, opener, where)
    for line in lines_of(text, where):
        reader.add(line)
    return reader.result()


class _AssemblyReader:
    """Reads line after line; `_block` takes the lines of the block that is open."""

    def __init__(self, codec_of: CodecOf, opener: Opener, where: str) -> None:
        self._codec_of = codec_of
        self._supply = Supply(opener)
        self._where = where
        self._codec: StreamCodec | None = None
        self._target = ""
        self._name = "net"
        self._dialect = "macos-26"
        self._numbers: dict[str, int] = {}
        self._surfaces: list[tuple[AssemblyLine, Surface]] = []
        self._tasks: list[TaskReader] = []
        self._relocations: list[Relocation] = []
        self._constants: DataBlock | None = None
        self._raw: DataBlock | None = None
        self._gaps: DataBlock | None = None
        self._container: HwxReader | AnecReader | None = None
        self._container_line: AssemblyLine | None = None
        self._block: TaskReader | DataBlock | HwxReader | AnecReader | None = None
        self._handlers: Mapping[str, Callable[[AssemblyLine], None]] = {
            ".openane": self._version,
            ".target": self._set_target,
            ".network": self._set_name,
            ".dialect": self._set_dialect,
            ".scratch": self._number,
            ".second_scratch": self._number,
            ".text_size": self._number,
            ".surface": self._add_surface,
            ".task": self._begin_task,
            ".raw_tasks": self._begin_raw,
            ".gaps": self._begin_gaps,
            ".relocate": self._relocate,
            ".constants": self._begin_constants,
            ".hwx": lambda line: self._begin_container(line, HwxReader(line, self._supply)),
            ".anec": lambda line: self._begin_container(line, AnecReader(line, self._supply)),
            ".end": lambda line: None,
        }

    def add(self, line: AssemblyLine) -> None:
        """Takes one line."""
        if isinstance(self._block, (HwxReader, AnecReader)) and line.word != ".end":
            self._block.add(line)
        elif line.word.startswith("."):
            self._block = None
            handler = self._handlers.get(line.word)
            if handler is None:
                raise line.error(f"unknown directive {line.word!r}", hint=suggest(line.word, self._handlers))
            handler(line)
        elif self._block is not None:
            self._block.add(line)
        else:
            raise line.error(f"{line.word!r} is in no block", hint="Directives begin with a dot, like .task 0.")

    # -- head -------------------------------------------------------------------------------------------------------

    def _version(self, line: AssemblyLine) -> None:
        line.need(1, f".openane {VERSION}")
        if line.number_of(line.tokens[1]) != VERSION:
            raise line.error("another version of the text form", line.tokens[1], limit=VERSION)

    def _set_target(self, line: AssemblyLine) -> None:
        line.need(1, ".target GENERATION")
        try:
            self._codec = self._codec_of(line.tokens[1].text)
        except OpenaneError as error:
            raise line.wrap(error, line.tokens[1]) from None
        self._target = line.tokens[1].text

    def _set_name(self, line: AssemblyLine) -> None:
        line.need(1, '.network "net"')
        self._name = line.string_of(line.tokens[1])

    def _set_dialect(self, line: AssemblyLine) -> None:
        line.need(1, ".dialect macos-26")
        self._dialect = line.tokens[1].text

    def _number(self, line: AssemblyLine) -> None:
        line.need(1, f"{line.word} 0x4000")
        self._numbers[line.word] = _bounded(line, line.tokens[1])

    def _add_surface(self, line: AssemblyLine) -> None:
        if len(line.tokens) < 3:
            raise line.error('.surface needs a role and a name, like .surface input "x" buffer=4 ...')
        role, name = line.tokens[1:3]
        if role.text not in ("input", "output"):
            raise line.error("not a role", role, value=role.text, limit="input, output")
        wanted = ("buffer", "shape", "strides", "size", "dtype")
        pairs = line.pairs((*wanted, "interleave"), 3)
        missing = [each for each in wanted if each not in pairs]
        if missing:
            raise line.error(f".surface needs {', '.join(missing)}")
        shape, strides = (self._five(line, pairs[each]) for each in ("shape", "strides"))
        if math.prod(shape) > LARGEST_BYTES:
            raise line.error("an impossible size", pairs["shape"], limit=f"{LARGEST_BYTES} elements in all")
        dtypes = {dtype.value: dtype for dtype in DType if dtype is not DType.OBJECT}
        dtype = pairs["dtype"]
        if dtype.text not in dtypes:
            raise line.error("not an element type", dtype, value=dtype.text, hint=suggest(dtype.text, dtypes))
        surface = Surface(
            name=line.string_of(name),
            role=Role(role.text),
            shape=shape,
            strides_bytes=strides,
            size_bytes=_bounded(line, pairs["size"]),
            buffer=_bounded(line, pairs["buffer"]),
            dtype=dtypes[dtype.text],
            interleave=_bounded(line, pairs["interleave"]) if "interleave" in pairs else 1,
        )
        self._surfaces.append((line, surface))

    def _five(self, line: AssemblyLine, token: AssemblyToken) -> tuple[int, int, int, int, int]:
        numbers = [line.number_of(token, part) for part in token.text.split(",")]
        if len(numbers) != _AXES or min(numbers) < 0:
            raise line.error("five numbers from 0 are needed: N,D,C,H,W", token, value=token.text)
        for part in token.text.split(","):
            _bounded(line, token, part)
        return (numbers[0], numbers[1], numbers[2], numbers[3], numbers[4])

    # -- blocks -----------------------------------------------------------------------------------------------------

    def _begin_task(self, line: AssemblyLine) -> None:
        if self._codec is None:
            raise line.error(
                "the target must be known before the first task", hint="Put .target with the generation above."
            )
        reader = TaskReader(self._codec, line)
        if reader.index != len(self._tasks):
            raise line.error("tasks are numbered from 0 in order", line.tokens[1], limit=len(self._tasks))
        self._tasks.append(reader)
        self._block = reader

    def _sized(self, line: AssemblyLine) -> DataBlock:
        pairs = line.pairs(("size",))
        if "size" not in pairs:
            raise line.error(f"{line.word} needs size=")
        block = DataBlock(self._supply, line, line.number_of(pairs["size"]))
        self._block = block
        return block

    def _begin_raw(self, line: AssemblyLine) -> None:
        self._raw = self._sized(line)

    def _begin_gaps(self, line: AssemblyLine) -> None:
        self._gaps = self._sized(line)

    def _begin_constants(self, line: AssemblyLine) -> None:
        self._constants = self._sized(line)

    def _relocate(self, line: AssemblyLine) -> None:
        numbers = [line.number_of(token) for token in line.tokens[1:]]
        if len(numbers) < 2 or min(numbers) < 0 or max(numbers) >= 1 << 32:
            raise line.error("the relocation word and offsets are needed, like .relocate 0x5000002 0x74")
        self._relocations += [Relocation(offset, numbers[0]) for offset in numbers[1:]]

    def _begin_container(self, line: AssemblyLine, container: HwxReader | AnecReader) -> None:
        self._container = self._block = container
        self._container_line = line

    # -- result -----------------------------------------------------------------------------------------------------

    def result(self) -> Assembled:
        """What the whole text says."""
        codec = self._codec
        if codec is None:
            raise FormatError(
                "the text has no .target", where=self._where, hint="Begin with .target and the generation."
            )
        if self._raw is None and not self._tasks:
            raise FormatError("the text has no tasks", where=self._where)
        program = self._program(codec) if self._raw is None else None
        if self._container is None:
            return Assembled(program, "", ())
        text = self._raw.bytes() if self._raw else self._text(codec, program)
        constants = self._constants.bytes() if self._constants else b""
        if isinstance(self._container, HwxReader):
            regions = self._container.regions(text, constants, self._relocations)
        else:
            regions = self._container.regions(text, constants)
        pieces = tuple(self._pieces(regions, self._container.size))
        kind = "hwx" if isinstance(self._container, HwxReader) else "anec"
        self._check_container(pieces, kind, (len(text), len(constants)))
        return Assembled(program, kind, pieces)

    def _text(self, codec: StreamCodec, program: Program | None) -> bytearray:
        assert program is not None
        text = codec.write(program.tasks, program.task_offsets, self._numbers.get(".text_size"))
        for position, byte in enumerate(self._gaps.bytes() if self._gaps else b""):
            if byte and position < len(text):
                text[position] = byte
        return text

    def _program(self, codec: StreamCodec) -> Program:
        tasks = []
        offsets: list[int] = []
        for reader in self._tasks:
            try:
                tasks.append(reader.task())
            except OpenaneError as error:
                raise reader.line.wrap(error, reader.line.tokens[0]) from None
            end = offsets[-1] + tasks[-2].size_bytes if offsets else None
            offset = reader.offset if reader.offset is not None else codec.next_offset(end)
            if offset < (end or 0) or offset % 4:
                raise reader.line.error(
                    "the task begins inside another", value=f"{offset:#x}", limit=f"{end:#x} or later"
                )
            offsets.append(offset)
        linked = [reader.linked(codec, tasks, offsets, i) for i, reader in enumerate(self._tasks)]
        return Program(
            target=self._target,
            tasks=tuple(linked),
            task_offsets=tuple(offsets),
            surfaces=tuple(surface for _, surface in self._surfaces),
            constants=memoryview(self._constants.bytes()) if self._constants else b"",
            scratch_bytes=self._numbers.get(".scratch", 0),
            second_scratch_bytes=self._numbers.get(".second_scratch", 0),
            name=self._name,
            dialect=self._dialect,
            relocations=tuple(self._relocations),
            codec=codec,
        )

    def _pieces(self, regions: list[Region], size: int) -> Iterator[Buffer]:
        """The regions in order with zeros between."""
        assert self._container_line is not None
        line = self._container_line
        position = 0
        for offset, data in sorted(regions, key=lambda region: region[0]):
            if not len(data):
                continue
            if not position <= offset <= position + _LARGEST_GAP_BYTES or offset + len(data) > size:
                raise line.error(
                    "parts of the file overlap or do not fit in it",
                    value=f"{len(data):#x} bytes at {offset:#x}",
                    limit=f"{position:#x} to {size:#x}",
                    hint="When tasks or constants changed their length, remove the container part: a new one is made.",
                )
            yield bytes(offset - position)
            yield data
            position = offset + len(data)
        if size - position > _LARGEST_GAP_BYTES:
            raise line.error("the file is much larger than its parts", value=f"{size:#x}", limit=f"{position:#x}")
        yield bytes(size - position)

    def _check_container(self, pieces: tuple[Buffer, ...], kind: str, sizes: tuple[int, int]) -> None:
        """Raises FormatError when the container reports other sizes or surfaces than the text's own lines."""
        assert self._container_line is not None
        data = _without_bulk(pieces)
        try:
            image = read_hwx(data, self._where).image() if kind == "hwx" else read_anec(data, self._where).image()
        except OpenaneError as error:
            raise self._container_line.wrap(error, self._container_line.tokens[0]) from None
        if sizes != (len(image.text), len(image.constants)):
            raise self._container_line.error(
                "the container reports other sizes of tasks and constants",
                value=f"{len(image.text)} and {len(image.constants)} bytes",
                limit=f"{sizes[0]} and {sizes[1]} bytes",
                hint="Remove the container part: a new one is made.",
            )
        reported = {surface.name: surface for surface in image.surfaces}
        for line, surface in self._surfaces:
            found = reported.get(surface.name)
            if found is None or replace(found, name=surface.name) != surface:
                raise line.error(
                    "the container reports this surface differently",
                    value=surface.name,
                    hint="Change both, or remove the container part: a new one is made.",
                )


#: Longer pieces are constants; nothing in a container is found by looking into them.
_BULK_BYTES = 1 << 20


def _without_bulk(pieces: tuple[Buffer, ...]) -> memoryview:
    """The file with zeros for its constants, whose pages then take no memory."""
    data = memoryview(mmap.mmap(-1, max(1, sum(map(len, pieces)))))
    position = 0
    for piece in pieces:
        if len(piece) <= _BULK_BYTES:
            data[position : position + len(piece)] = piece
        position += len(piece)
    return data


def _bounded(line: AssemblyLine, token: AssemblyToken, text: str | None = None) -> int:
    """A size, stride or index: an integer that the fields of a file and the memory of a machine can hold."""
    value = line.number_of(token, text)
    if not 0 <= value <= LARGEST_BYTES:
        raise line.error("an impossible size", token, value=value, limit=f"0..{LARGEST_BYTES}")
    return value
