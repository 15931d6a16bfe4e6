"""The symbol table of a .hwx file: memory objects, element types and tensor geometry as debug entries (stabs)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from openane.formats.hwx.dialects import FileDialect
from openane.formats.hwx.layout import ELEMENT_CODES, ELEMENT_TYPES
from openane.formats.hwx.parts import Symbol
from openane.program import Surface

_SECTION_SYMBOL = 0x0F
_TYPE_STAB = 0x80
_TENSOR_STAB = 0x20

#: Ranges of the element types as the debug entries tell them.
_RANGES = {
    "int8": "r2;0;127",
    "uint8": "r1;0;255",
    "int16": "r1;-32768;32767",
    "float16": "r1;2;0",
    "float": "r1;4;0",
    "raw10": "r1;-512;511",
    "uint4": "r1;0;15",
    "uint6": "r1;0;63",
    "uint1": "r1;0,1",
    "uint2": "r1;0;3",
    "packed10": "r1;-512;511",
    "y10": "r1;-512;511",
    "uint16": "r1;0;65535",
    "void": "1",
    "lut": "",
    "e4m3": "r1;1;0",
    "int32": "r1;-2147483648;2147483647",
    "uint32": "r1;0;4294967295",
    "int64": "r1;-9223372036854775808;9223372036854775807",
    "uint64": "r1;0;18446744073709551615",
    "raw12": "r1;-2048;2047",
    "y12": "r1;-2048;2047",
    "int4": "r1;-8;7",
}


@dataclass(frozen=True, slots=True)
class Located:
    """A named place: symbol, number of its section (from 1), address, and the description that old dialects give."""

    name: str
    section: int
    address: int
    description: int


def make_symbols(
    objects: Iterable[Located], surfaces: Iterable[tuple[str, Surface]], dialect: FileDialect
) -> list[Symbol]:
    """The symbol table.

    Args:
        objects: kernels and memory objects.
        surfaces: symbol and surface, in the order of the file.
        dialect: whose table.
    """
    table = [
        Symbol(each.name, _SECTION_SYMBOL, each.section, each.description * dialect.described_symbols, each.address)
        for each in objects
    ]
    for number in range(1, dialect.last_type + 1):
        name = ELEMENT_TYPES[number][0]
        table.append(Symbol(f"{name}:t{number}={_RANGES[name]}", _TYPE_STAB, 0, 0, 0))
    number = dialect.last_type + 1
    for symbol, surface in surfaces:
        table.append(Symbol(_geometry(symbol, surface, number), _TENSOR_STAB, 0, number % 32, 0))
        number += 5
    return table


def _geometry(symbol: str, surface: Surface, number: int) -> str:
    """The debug entry of a tensor: an array of arrays with a stride each."""
    n, _, c, h, w = surface.shape
    strides = surface.strides_bytes
    levels = zip((n, c, h, w), (strides[0], *strides[2:]), "nchw", strict=True)
    arrays = (f"ar1;0;{e};{number + level}=s{s}{axis}:" for level, (e, s, axis) in enumerate(levels, 1))
    return f"{symbol}:t{number}=" + "".join(arrays) + str(ELEMENT_CODES[surface.dtype])
