"""The header of an .anec file as text and back."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from openane.core.reader import Buffer
from openane.formats.anec import HEADER_SIZES, TILE_COUNT, USED_BYTES, AnecFile, AnecHeader
from openane.formats.assembly.data import DataBlock, Supply, any_set, data_lines
from openane.formats.assembly.hwx_text import Region
from openane.formats.assembly.syntax import AssemblyLine, indent
from openane.formats.image import Image

_NUMBERS = (
    "body_bytes",
    "first_task_bytes",
    "task_count",
    "text_bytes",
    "constant_bytes",
    "input_count",
    "output_count",
)
_GEOMETRY = ("n", "c", "h", "w", "plane", "row")


def anec_lines(file: AnecFile, image: Image) -> Iterator[str]:
    """The container part of an .anec file.

    Args:
        file: the file.
        image: the program in it, which the text reports elsewhere.
    """
    data = memoryview(file.reader.data)
    header = file.header
    numbers = " ".join(f"{name}={getattr(header, name)}" for name in _NUMBERS)
    yield f".anec size={len(data):#x} header={file.header_bytes:#x} {numbers}"
    for i, (tiles, geometry) in enumerate(zip(header.tiles, header.geometry, strict=True)):
        if tiles or any(geometry):
            shape = " ".join(f"{name}={value}" for name, value in zip(_GEOMETRY, geometry, strict=True) if value)
            yield from indent([f".tile {i} tiles={tiles} {shape}".rstrip()])
    start = file.header_bytes + header.constants_offset
    spans = [(0, USED_BYTES), (file.header_bytes, len(image.text)), (start, len(image.constants)), (len(data), 0)]
    position = 0
    for offset, size in spans:
        gap = data[position:offset]
        if any_set(gap):
            yield f".bytes offset={position:#x} size={len(gap):#x}"
            yield from indent(data_lines(gap))
        position = offset + size
    yield ".end"


class AnecReader:
    """Builds the container part of an .anec file from its lines.

    Args:
        line: the `.anec` line.
        supply: of the bytes of its data.
    """

    def __init__(self, line: AssemblyLine, supply: Supply) -> None:
        wanted = ("size", "header", *_NUMBERS)
        pairs = line.pairs(wanted)
        missing = [name for name in wanted if name not in pairs]
        if missing:
            raise line.error(f".anec needs {', '.join(missing)}")
        self.size, self._header_bytes, *self._numbers = (line.number_of(pairs[name]) for name in wanted)
        if self._header_bytes not in HEADER_SIZES:
            raise line.error("not a header size", pairs["header"], limit="0x1000 or 0x800")
        self._line = line
        self._supply = supply
        self._tiles = [0] * TILE_COUNT
        self._geometry = [(0,) * len(_GEOMETRY)] * TILE_COUNT
        self._bytes: list[tuple[int, DataBlock]] = []

    def add(self, line: AssemblyLine) -> None:
        """Takes one line.

        Raises:
            FormatError: what is wrong with it, pointing at the place.
        """
        if line.word == ".tile" and len(line.tokens) > 1:
            index = line.number_of(line.tokens[1])
            if not 0 <= index < TILE_COUNT:
                raise line.error("there is no such buffer", line.tokens[1], value=index, limit=f"0..{TILE_COUNT - 1}")
            pairs = line.pairs(("tiles", *_GEOMETRY), 2)
            numbers = {name: line.number_of(token) for name, token in pairs.items()}
            self._tiles[index] = numbers.get("tiles", 0)
            self._geometry[index] = tuple(numbers.get(name, 0) for name in _GEOMETRY)
        elif line.word == ".bytes":
            pairs = line.pairs(("offset", "size"))
            if len(pairs) != 2:
                raise line.error(".bytes needs offset, size")
            block = DataBlock(self._supply, line, line.number_of(pairs["size"]))
            self._bytes.append((line.number_of(pairs["offset"]), block))
        elif self._bytes and not line.word.startswith("."):
            self._bytes[-1][1].add(line)
        else:
            raise line.error(f"unknown word {line.word!r} in the container", limit=".tile, .bytes, .end")

    def regions(self, text: Buffer, constants: Buffer) -> list[Region]:
        """All parts of the file.

        Raises:
            FormatError: a number does not fit in the header.
        """
        numbers = dict(zip(_NUMBERS, self._numbers, strict=True))
        header = AnecHeader(**numbers, tiles=tuple(self._tiles), geometry=tuple(self._geometry))
        try:
            head = header.encode()
        except struct.error as error:
            raise self._line.error("a number does not fit in the header", value=str(error)) from None
        start = self._header_bytes + header.constants_offset
        blocks = [(offset, block.bytes()) for offset, block in self._bytes]
        return [(0, head), (self._header_bytes, text), (start, constants), *blocks]
