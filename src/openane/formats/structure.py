"""Binary structures declared once: a dataclass whose fields say where they are, read and written from that.

    @structure
    class Section:
        name: str = at(0x00, "16s")
        address: int = at(0x20, "Q")

Codes are those of `struct`, little-endian; "16s" is a zero-padded text, a count such as "5I" makes a tuple.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, TypeVar, dataclass_transform

from openane.core.errors import FormatError
from openane.core.reader import Reader

_PLACE = "place"
Declared = TypeVar("Declared")


@dataclass(frozen=True, slots=True)
class FieldPlace:
    """Where a field is in its structure.

    Attributes:
        offset: in bytes.
        code: of `struct`, without the byte order.
        decode, encode: between the number in the file and the value of the field.
    """

    offset: int
    code: str
    decode: Callable[[int], Any] | None = None
    encode: Callable[[Any], int] | None = None

    @property
    def is_text(self) -> bool:
        """Whether the field is a zero-padded text."""
        return self.code.endswith("s")


def at(
    offset: int,
    code: str,
    *,
    decode: Callable[[int], Any] | None = None,
    encode: Callable[[Any], int] | None = None,
) -> Any:
    """A dataclass field at a byte offset; `decode` and `encode` convert a single number."""
    return field(metadata={_PLACE: FieldPlace(offset, code, decode, encode)})


@dataclass_transform(frozen_default=True, field_specifiers=(at, field))
def structure(declaration: type[Declared]) -> type[Declared]:
    """Makes a frozen, slotted dataclass of a class whose fields say where they are."""
    return dataclass(frozen=True, slots=True)(declaration)


def _placed(declaration: type) -> Iterator[tuple[str, FieldPlace]]:
    each: Field[Any]
    for each in fields(declaration):
        if _PLACE in each.metadata:
            yield each.name, each.metadata[_PLACE]


def size_bytes(declaration: type) -> int:
    """The end of the last declared field."""
    return max(place.offset + struct.calcsize("<" + place.code) for _, place in _placed(declaration))


def read(declaration: type, reader: Reader, base: int, what: str) -> dict[str, Any]:
    """The values of all declared fields by name.

    Args:
        declaration: a class with fields made by :func:`at`.
        reader: the bytes.
        base: byte offset of the structure.
        what: the structure's name, for messages.

    Raises:
        FormatError: the structure is not inside the bytes.
    """
    values: dict[str, Any] = {}
    for name, place in _placed(declaration):
        if place.is_text:
            raw = reader.bytes_at(base + place.offset, int(place.code[:-1]), f"{what} {name}")
            values[name] = bytes(raw).split(b"\0", 1)[0].decode("utf-8", "replace")
            continue
        numbers = reader.unpack(place.code, base + place.offset, what)
        single = len(numbers) == 1
        values[name] = (place.decode(numbers[0]) if place.decode else numbers[0]) if single else numbers
    return values


def write(value: object, body: bytearray, base: int = 0) -> None:
    """Puts all declared fields of `value` into `body`.

    Raises:
        FormatError: a value does not fit its field, or the field is not inside `body`.
    """
    for name, place in _placed(type(value)):
        content = getattr(value, name)
        if place.is_text:
            raw = content.encode()
            if len(raw) > int(place.code[:-1]):
                raise FormatError(
                    "a name is too long", where=name, value=repr(content), limit=f"{place.code[:-1]} bytes"
                )
            put(body, place.code, base + place.offset, raw)
            continue
        numbers = content if isinstance(content, tuple) else (place.encode(content) if place.encode else content,)
        put(body, place.code, base + place.offset, *numbers)


def put(body: bytearray, code: str, offset: int, *values: int | bytes) -> None:
    """`struct.pack_into`, little-endian.

    Raises:
        FormatError: a value does not fit, or the place is not inside `body`.
    """
    try:
        struct.pack_into("<" + code, body, offset, *values)
    except struct.error as error:
        raise FormatError(
            "a value does not fit in the load command", value=f"{values} at {offset:#x}", limit=f"{len(body):#x} bytes"
        ) from error


def differing_words(expected: bytes | bytearray, reader: Reader, begin: int, end: int) -> dict[int, int]:
    """The 32-bit words from `begin` to `end` in which the bytes differ from `expected`: offset -> the word found."""
    end = min(end, len(reader), len(expected))
    count = max(end - begin, 0) // 4
    found = reader.unpack(f"{count}I", begin)
    known = struct.unpack_from(f"<{count}I", expected, begin) if count else ()
    pairs = zip(found, known, strict=True)
    return {begin + 4 * i: word for i, (word, other) in enumerate(pairs) if word != other}


def put_words(body: bytearray, words: Mapping[int, int]) -> None:
    """Puts 32-bit words at their byte offsets.

    Raises:
        FormatError: a word is not inside `body`.
    """
    for offset, word in words.items():
        put(body, "I", offset, word)
