"""Bytes in assembly text: hexadecimal lines with repeats, zeros left out, or a part of another file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256

from openane.core.reader import Buffer
from openane.formats.assembly.syntax import AssemblyLine, quote

LINE_BYTES = 32
_CHUNK_BYTES = 1 << 20
#: Longest data that a text may ask for: the largest constant section of Apple's compiler.
LARGEST_BYTES = 1 << 31
#: All data that is in no file: zeros and repeats are many bytes in few words.
WITHOUT_FILE_BYTES = 1 << 29

#: Gives the bytes of a file that a text names.
Opener = Callable[[str, bool], Buffer]


def data_lines(data: Buffer) -> Iterator[str]:
    """The lines of some bytes: "0x40: 0038 0038", "0x80 *16: ..." for repeats; zeros have no line."""
    view = memoryview(data)
    start, last, count = 0, b"", 0
    for offset in range(0, len(view), LINE_BYTES):
        if not offset % _CHUNK_BYTES and not last and not any_set(view[offset : offset + _CHUNK_BYTES]):
            continue
        chunk = bytes(view[offset : offset + LINE_BYTES])
        if chunk == last and offset == start + count * LINE_BYTES:
            count += 1
            continue
        if last:
            yield _line(start, last, count)
        start, last, count = offset, chunk if chunk.strip(b"\0") else b"", 1
    if last:
        yield _line(start, last, count)


def _line(offset: int, data: bytes, count: int) -> str:
    repeat = f" *{count}" if count > 1 else ""
    return f"{offset:#08x}{repeat}: {data.hex(' ', -2)}"


def any_set(view: Buffer) -> bool:
    """Whether some byte is not 0; looks at a megabyte at a time."""
    data = memoryview(view)
    return any(
        bytes(data[i : i + _CHUNK_BYTES]).count(0) != len(data[i : i + _CHUNK_BYTES])
        for i in range(0, len(data), _CHUNK_BYTES)
    )


def reference_line(file: str, offset: int, data: Buffer) -> str:
    """The line that takes bytes from another file, with their hash."""
    return f"incbin {quote(file)} offset={offset:#x} size={len(data):#x} sha256={sha256(data).hexdigest()}"


class Supply:
    """Where the bytes of all data of a text come from: files, and numbers that the text reports.

    Args:
        opener: gives the bytes of a file that an `incbin` line names.
    """

    def __init__(self, opener: Opener) -> None:
        self.file = opener
        self._left = WITHOUT_FILE_BYTES

    def take(self, line: AssemblyLine, count: int) -> None:
        """Says that so many bytes will be made out of what the text reports.

        Raises:
            FormatError: they are more than a text may ask for.
        """
        self._left -= count
        if self._left < 0:
            raise line.error(
                "a text may not ask for so much data that is in no file",
                limit=f"{WITHOUT_FILE_BYTES} bytes",
                hint="Put it into a file next to the text, and name that by incbin.",
            )


class DataBlock:
    """Bytes that are read from the lines of a block.

    Args:
        supply: of its bytes.
        line: the line that begins the block.
        size: number of bytes in all.
    """

    def __init__(self, supply: Supply, line: AssemblyLine, size: int) -> None:
        if not 0 <= size <= LARGEST_BYTES:
            raise line.error("an impossible size", value=size, limit=f"0..{LARGEST_BYTES}")
        self._supply = supply
        self._size = size
        self._line = line
        self._runs: list[tuple[int, bytes, int]] = []
        self._whole: Buffer | None = None

    def add(self, line: AssemblyLine) -> None:
        """Takes one line of the block.

        Raises:
            FormatError: no data, beyond the end, or a file that has not the bytes.
        """
        if line.word == "incbin":
            self._include(line)
            return
        position = next((i for i, token in enumerate(line.tokens) if token.text.endswith(":")), None)
        if position is None or position > 1:
            raise line.error("data is needed, like 0x40: 0038 0038 or 0x40 *16: 0038")
        head = [token.text.removesuffix(":") for token in line.tokens[: position + 1]]
        offset = line.number_of(line.tokens[0], head[0])
        count = 1
        if len(head) == 2:
            if not head[1].startswith("*"):
                raise line.error("a repeat is needed, like *16", line.tokens[1], value=head[1])
            count = line.number_of(line.tokens[1], head[1][1:])
        data = bytearray()
        for token in line.tokens[position + 1 :]:
            try:
                data += bytes.fromhex(token.text)
            except ValueError:
                raise line.error("not hexadecimal bytes", token, value=token.text[:20]) from None
        if offset < 0 or count < 1 or offset + count * len(data) > self._size:
            raise line.error(
                "data beyond the end of its block",
                value=f"{count * len(data)} bytes at {offset:#x}",
                limit=f"{self._size:#x} bytes",
            )
        self._supply.take(line, count * len(data))
        self._runs.append((offset, bytes(data), count))

    def _include(self, line: AssemblyLine) -> None:
        if len(line.tokens) < 2:
            raise line.error("incbin needs a file name")
        pairs = line.pairs(("offset", "size", "sha256"), 2)
        name = line.string_of(line.tokens[1])
        data = memoryview(self._supply.file(name, "sha256" in pairs))
        offset = line.number_of(pairs["offset"]) if "offset" in pairs else 0
        size = line.number_of(pairs["size"]) if "size" in pairs else len(data) - offset
        if offset < 0 or size != self._size or offset + size > len(data):
            raise line.error(
                "the file has not these bytes",
                line.tokens[1],
                value=f"{size:#x} bytes at {offset:#x} of {len(data):#x}",
                limit=f"{self._size:#x} bytes",
            )
        part = data[offset : offset + size]
        if "sha256" in pairs and sha256(part).hexdigest() != pairs["sha256"].text:
            raise line.error("the file holds other bytes than when this text was made", line.tokens[1], value=name)
        self._whole = part

    def bytes(self) -> Buffer:
        """The bytes, zeros where no line set any."""
        if self._whole is not None and not self._runs:
            return self._whole
        self._supply.take(self._line, self._size)
        if not self._runs and self._size > _CHUNK_BYTES:
            return bytes(self._size)
        result = bytearray(self._whole) if self._whole is not None else bytearray(self._size)
        for offset, data, count in self._runs:
            result[offset : offset + count * len(data)] = data * count
        return result
