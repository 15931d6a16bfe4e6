"""Opens .hwx files of every compiler version seen."""

from __future__ import annotations

from collections.abc import Iterable

from openane.core.errors import FormatError
from openane.core.reader import Reader
from openane.formats import structure
from openane.formats.hwx import layout
from openane.formats.hwx.file import HwxFile
from openane.formats.hwx.parts import Header, LoadCommand
from openane.formats.source import Source, open_source


def read_hwx(source: Source, name: str = "") -> HwxFile:
    """Opens a .hwx file; constants stay where they are (a mapped file).

    Args:
        source: a path, or the bytes.
        name: for messages; the file's name when empty.

    Raises:
        InputError: the file cannot be read.
        FormatError: it is not a .hwx, or its load commands do not fit.
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
