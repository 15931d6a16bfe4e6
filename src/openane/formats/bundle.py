"""The container of bundles: named members in a ZIP file without compression, or the same files in a folder.

Members are stored without compression: programs are read in place from the mapped file, and no member is larger than
its share of the file. Each member begins at a multiple of 64 bytes.
"""

from __future__ import annotations

import re
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from openane.core.errors import FormatError, InputError
from openane.core.files import staged
from openane.core.reader import Buffer, Reader
from openane.formats.mapped_archive import open_archive
from openane.formats.source import open_source

MANIFEST = "bundle.json"
"""Name of the member that describes the others."""
ALIGNMENT_BYTES = 64
LONGEST_NAME = 200
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
_LOCAL = struct.Struct("<4s5H3I2H")
_PADDING = struct.Struct("<HH")
_PADDING_KIND = 0xD935
"""Kind of an extra field that only aligns what follows it, as the tools of Android write it."""
_ENCRYPTED = 1
_TIME = (1980, 1, 1, 0, 0, 0)
"""Of every member, so that the same members make the same bytes."""


@dataclass(frozen=True, slots=True)
class BundleFiles:
    """The members of an opened bundle.

    Attributes:
        where: the bundle's name, for messages.
        folder: of an unpacked bundle; None for a file.
        members: name -> bytes, of a file.
    """

    where: str
    folder: Path | None
    members: Mapping[str, Buffer]

    def read(self, name: str) -> Buffer:
        """The bytes of a member, mapped and not copied.

        Raises:
            FormatError: the name leaves the bundle, or there is no such member.
            InputError: the file in the folder cannot be read.
        """
        check_member_name(name, self.where)
        if self.folder is None:
            if name not in self.members:
                raise FormatError("the bundle lacks a member", where=self.where, value=name, hint="Write it again.")
            return self.members[name]
        path = self.folder / name
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise FormatError("a member is outside of the bundle", where=self.where, value=name)
        if not path.is_file():
            raise FormatError("the bundle lacks a member", where=self.where, value=name, hint="Write it again.")
        if not path.stat().st_size:
            return b""
        return open_source(path, f"{self.where}: {name}").data


def check_member_name(name: str, where: str) -> None:
    """Refuses names that are no plain relative paths.

    Raises:
        FormatError: the name is absolute, has "..", a backslash or other unusual characters, or is too long.
    """
    if len(name) > LONGEST_NAME or _NAME.fullmatch(name) is None:
        raise FormatError(
            "the name of a member is not a plain relative path",
            where=where,
            value=name,
            limit=f"letters, digits, '_', '-', '.' and '/', at most {LONGEST_NAME}",
        )


def open_bundle(path: Path) -> BundleFiles:
    """Opens a bundle: a ZIP file, or a folder with its members.

    Raises:
        InputError: it cannot be read.
        FormatError: it is not such a file, or it is damaged: compressed, encrypted, double or overlapping members.
    """
    if path.is_dir():
        return BundleFiles(path.name, path, {})
    reader = open_source(path)
    try:
        with open_archive(reader.data) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, OverflowError) as error:
        raise FormatError("not a bundle, or truncated", where=reader.where, value=str(error)) from error
    for entry in entries:
        _check_stored(entry, f"{reader.where}: {entry.filename}")
    total = sum(entry.file_size for entry in entries)
    if total > len(reader):
        raise FormatError(
            "the members are larger than the file",
            where=reader.where,
            value=f"{total} bytes",
            limit=f"{len(reader)} bytes",
            hint="The file is damaged.",
        )
    members: dict[str, Buffer] = {}
    for entry in entries:
        if entry.filename in members:
            raise FormatError("the bundle has two members of one name", where=reader.where, value=entry.filename)
        members[entry.filename] = _content(reader, entry)
    return BundleFiles(reader.where, None, members)


def _check_stored(entry: zipfile.ZipInfo, where: str) -> None:
    if entry.flag_bits & _ENCRYPTED:
        raise FormatError("members of a bundle are not encrypted", where=where)
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
        raise FormatError(
            "members of a bundle are not compressed",
            where=where,
            value=f"method {entry.compress_type}",
            limit="method 0 (stored)",
            hint="Pack it with zip -0.",
        )


def _content(reader: Reader, entry: zipfile.ZipInfo) -> memoryview:
    head = _LOCAL.unpack(reader.bytes_at(entry.header_offset, _LOCAL.size, "header of a member"))
    if head[0] != b"PK\x03\x04":
        where = f"{reader.where}: {entry.filename}"
        raise FormatError("a member has no header", where=where, hint="The file is damaged.")
    start = entry.header_offset + _LOCAL.size + head[-2] + head[-1]
    return reader.bytes_at(start, entry.file_size, "member")


def save_members(path: Path, members: Mapping[str, Buffer]) -> None:
    """Writes members to a bundle file, whole or not at all; the same members make the same bytes.

    Args:
        path: of the file.
        members: name -> bytes, in order; the manifest is among them.

    Raises:
        InputError: the file cannot be written.
    """
    if path.is_dir():
        raise InputError("cannot write: a folder is in its place", where=str(path))
    with staged(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            entry = zipfile.ZipInfo(name, _TIME)
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            assert archive.fp is not None
            entry.extra = _padding(archive.fp.tell() + _LOCAL.size + len(name))
            archive.writestr(entry, data)


def _padding(position: int) -> bytes:
    """An extra field after which the content of a member is aligned."""
    missing = -position % ALIGNMENT_BYTES
    if not missing:
        return b""
    if missing < _PADDING.size:
        missing += ALIGNMENT_BYTES
    return _PADDING.pack(_PADDING_KIND, missing - _PADDING.size) + bytes(missing - _PADDING.size)
