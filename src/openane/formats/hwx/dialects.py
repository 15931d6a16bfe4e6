"""How compilers of different years lay out a .hwx file: one row for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from openane.core.errors import InputError
from openane.core.suggestions import suggest
from openane.formats.hwx.layout import CommandKind


@dataclass(frozen=True, slots=True)
class FileDialect:
    """Layout habits of one compiler.

    Attributes:
        name: as in `Program.dialect`.
        surfaces_first: surfaces take the lowest addresses and text the last, else text comes first.
        name_command: which command names memory objects.
        program_strings: offset of the strings in the program descriptor.
        surface_strings: offset of the strings in a surface state.
        suffixed: tensors of outputs are called "NAME@output", as in a net.plist.
        plain_symbols: symbols of outputs are NAME all the same.
        short_outputs: output states tell the end of the last element, not of the padded tensor.
        note: a note command is before the symbol table.
        last_type: highest number of the element types that the symbol table declares.
        described_symbols: symbols of constants and inputs carry the description 2.
    """

    name: str
    surfaces_first: bool
    name_command: CommandKind
    program_strings: int
    surface_strings: int
    suffixed: bool
    plain_symbols: bool
    short_outputs: bool
    note: bool
    last_type: int
    described_symbols: bool


_MACOS_11 = FileDialect(
    name="macos-11",
    surfaces_first=False,
    name_command=CommandKind.NAME_OLD,
    program_strings=0x860,
    surface_strings=0x88,
    suffixed=True,
    plain_symbols=False,
    short_outputs=True,
    note=False,
    last_type=10,
    described_symbols=True,
)
_MACOS_12 = replace(_MACOS_11, name="macos-12", surface_strings=0xD38, plain_symbols=True, note=True, last_type=15)
_MACOS_14 = replace(
    _MACOS_12,
    name="macos-14",
    name_command=CommandKind.NAME,
    program_strings=0x878,
    short_outputs=False,
    note=False,
)
_MACOS_26 = replace(
    _MACOS_14, name="macos-26", surfaces_first=True, suffixed=False, last_type=23, described_symbols=False
)
#: The converters of the Linux driver were written for files of the oldest compiler.
_LINUX = replace(_MACOS_11, name="linux")

FILE_DIALECTS: Mapping[str, FileDialect] = MappingProxyType(
    {each.name: each for each in (_MACOS_11, _MACOS_12, _MACOS_14, _MACOS_26, _LINUX)}
)


def file_dialect(name: str) -> FileDialect:
    """The layout of that name.

    Raises:
        InputError: there is none.
    """
    found = FILE_DIALECTS.get(name)
    if found is None:
        raise InputError(
            f"there is no dialect {name!r}", limit=", ".join(FILE_DIALECTS), hint=suggest(name, FILE_DIALECTS)
        )
    return found
