"""Reading integers out of untrusted bytes: every access is bounded and its failure names the offset."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from openane.core.errors import FormatError

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Reader:
    """A window on little-endian bytes.

    Attributes:
        data: the bytes, never copied.
        where: what the bytes are, for messages ("a.hwx").
    """

    data: Buffer
    where: str = "input"

    def __len__(self) -> int:
        return len(self.data)

    def bytes_at(self, offset: int, size_bytes: int, what: str = "data") -> memoryview:
        """A view of `size_bytes` bytes at `offset`.

        Raises:
            FormatError: the range is not inside the data.
        """
        if offset < 0 or size_bytes < 0 or offset + size_bytes > len(self.data):
            raise FormatError(
                f"{what} does not fit in the file",
                where=f"{self.where}: offset {offset:#x}",
                value=f"{size_bytes} bytes at {offset:#x}",
                limit=f"{len(self.data)} bytes in all",
                hint="The file is truncated or damaged.",
            )
        return memoryview(self.data)[offset : offset + size_bytes]

    def unpack(self, layout: str, offset: int, what: str = "data") -> tuple[int, ...]:
        """`struct.unpack` of little-endian `layout` at `offset`."""
        layout = "<" + layout
        return struct.unpack(layout, self.bytes_at(offset, struct.calcsize(layout), what))

    def u32(self, offset: int, what: str = "word") -> int:
        """The unsigned 32-bit word at `offset`."""
        return self.unpack("I", offset, what)[0]

    def u64(self, offset: int, what: str = "double word") -> int:
        """The unsigned 64-bit word at `offset`."""
        return self.unpack("Q", offset, what)[0]

    def text(self, offset: int, limit_bytes: int, what: str = "name") -> str:
        """The zero-terminated UTF-8 text at `offset`, at most `limit_bytes` long.

        Raises:
            FormatError: no end within the limit, or not UTF-8.
        """
        window = bytes(self.bytes_at(offset, max(0, min(limit_bytes, len(self.data) - offset)), what))
        end = window.find(b"\0")
        if end < 0:
            raise FormatError(
                f"{what} has no end",
                where=f"{self.where}: offset {offset:#x}",
                limit=f"{limit_bytes} bytes",
                hint="The file is truncated or damaged.",
            )
        try:
            return window[:end].decode("utf-8")
        except UnicodeDecodeError as error:
            raise FormatError(f"{what} is not UTF-8", where=f"{self.where}: offset {offset:#x}") from error
