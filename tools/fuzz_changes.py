"""Changes to inputs: at random in the bytes, or in what the bytes mean, so that damage gets past the first check."""

from __future__ import annotations

import io
import json
import pickle
import plistlib
import random
import re
import struct
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

Change = Callable[[bytes, random.Random], bytes]
"""Makes another input of an input."""

INTERESTING = (
    *(0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x4000),
    *(0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 63, (1 << 64) - 1),
)
TROUBLE = (
    *("0", "-1", "1e999", "nan", "99999999999999999999", "4294967296", "", "../../etc/passwd", "\0", "\ud800"),
    *(
        "<",
        ">",
        "[",
        "]",
        "{",
        "}",
        "(",
        ")",
        '"',
        "'",
        "=",
        ",",
        ":",
        "..",
        "*",
        "%s",
        "\u2028",
        "\u202e",
        "\x1b]0;x\a",
    ),
    *("\u0664", "\u00b2", "\u1d7d8", "1_0", "0x", "0x1_0", " 1", "+1", "1e5", "inf", "true", "A" * 300),
    *("[" * 3000, "(" * 3000, "9" * 5000),
)
"""Texts that make trouble: no numbers, signs of every grammar, digits of other scripts, long and deep ones."""
WORDS = (*(text.encode("utf-8", "surrogatepass") for text in TROUBLE), b"\xff")
_TOKEN = re.compile(rb"[A-Za-z_]\w*|\d+|[^\s\w]")
_HEADER_BYTES = 0x6000


def change_bytes(data: bytes, source: random.Random) -> bytes:
    """One to eight random changes, most of them near the start, where headers are."""
    result = bytearray(data)
    changes = _TEXT_CHANGES if _is_text(data) and source.random() < 0.7 else _CHANGES
    for _ in range(source.choice((1, 1, 1, 2, 3, 8))):
        source.choice(changes)(result, source)
        if not result:
            break
    return bytes(result)


def _is_text(data: bytes) -> bool:
    return b"\0" not in data[:1000]


def _place(data: bytearray, source: random.Random) -> int:
    limit = len(data) if source.random() < 0.3 else min(len(data), _HEADER_BYTES)
    return source.randrange(max(limit, 1))


def _flip(data: bytearray, source: random.Random) -> None:
    if data:
        data[_place(data, source)] ^= 1 << source.randrange(8)


def _word(data: bytearray, source: random.Random) -> None:
    at = _place(data, source) & ~3
    code = source.choice(("<I", "<I", "<Q", "<H", "<B"))
    value = source.choice(INTERESTING) & (1 << 8 * struct.calcsize(code)) - 1
    packed = struct.pack(code, value)
    data[at : at + len(packed)] = packed[: len(data) - at]


def _truncate(data: bytearray, source: random.Random) -> None:
    del data[_place(data, source) :]


def _copy(data: bytearray, source: random.Random) -> None:
    start, to, size = _place(data, source), _place(data, source), source.choice((4, 8, 40, 0x98))
    data[to : to + size] = data[start : start + size]


def _insert(data: bytearray, source: random.Random) -> None:
    at = _place(data, source)
    data[at:at] = source.choice(WORDS)


def _remove(data: bytearray, source: random.Random) -> None:
    start = _place(data, source)
    del data[start : start + source.choice((1, 2, 4, 8, 64))]


def _replace_token(data: bytearray, source: random.Random) -> None:
    """A word or number of the text by another one, of the text or of those that make trouble."""
    at = _place(data, source)
    first, second = _TOKEN.search(data, at), _TOKEN.search(data, _place(data, source))
    if first is not None:
        other = bytes(second[0]) if second is not None and source.random() < 0.5 else source.choice(WORDS)
        data[first.start() : first.end()] = other


def _repeat_line(data: bytearray, source: random.Random) -> None:
    lines = data.split(b"\n")
    lines.insert(source.randrange(len(lines) + 1), source.choice(lines))
    data[:] = b"\n".join(lines)


_Edit = Callable[[bytearray, random.Random], None]
_CHANGES: tuple[_Edit, ...] = (_flip, _word, _word, _truncate, _copy, _remove)
_TEXT_CHANGES: tuple[_Edit, ...] = (_replace_token, _replace_token, _insert, _repeat_line, _remove, _truncate, _flip)

# Trees: JSON and property lists ----------------------------------------------------------------------------------


def _odd_value(source: random.Random) -> Any:
    number = source.choice(INTERESTING)
    return source.choice(
        (
            number,
            -number,
            number * 0.5,
            float("nan"),
            float("inf"),
            True,
            None,
            [],
            {},
            source.choice(TROUBLE),
            b"\0" * 9,
        )
    )


def change_tree(tree: Any, source: random.Random) -> Any:
    """A tree of dictionaries, lists and leaves with one change somewhere inside; the tree itself is changed."""
    holder: Any = {"": tree}
    places = list(_places(holder))
    inside, key = source.choice(places)
    other_inside, other_key = source.choice(places)
    action = source.randrange(4)
    if action == 0:
        inside[key] = _odd_value(source)
    elif action == 1:
        inside[key] = other_inside[other_key]
        if inside is not other_inside and not isinstance(inside[key], (int, float, str)):
            inside[key] = _shallow(inside[key])
    elif action == 2 and isinstance(inside[key], (int, float)):
        inside[key] += source.choice((-1, 1, 1 << 31, 0.5))
    elif key != "":
        del inside[key]
    return holder.get("")


def _places(holder: Any) -> list[tuple[Any, Any]]:
    found, waiting = [], [holder]
    while waiting and len(found) < 10_000:
        inside = waiting.pop()
        keys = list(inside) if isinstance(inside, dict) else range(len(inside))
        for key in keys:
            found.append((inside, key))
            if isinstance(inside[key], (dict, list)):
                waiting.append(inside[key])
    return found


def _shallow(value: Any) -> Any:
    """A copy of one level, so that a tree never holds itself."""
    if isinstance(value, dict):
        return {key: item for key, item in value.items() if not isinstance(item, (dict, list))}
    return [item for item in value if not isinstance(item, (dict, list))] if isinstance(value, list) else value


def change_json(data: bytes, source: random.Random) -> bytes:
    """A JSON text with a change of its meaning."""
    return json.dumps(change_tree(json.loads(data), source)).encode()


def change_json_line(data: bytes, source: random.Random) -> bytes:
    """Lines of JSON, one of them with a change of its meaning."""
    lines = data.split(b"\n")
    at = source.randrange(max(len(lines) - 1, 1))
    lines[at] = change_json(lines[at], source)
    return b"\n".join(lines)


@lru_cache(maxsize=2048)
def _pickled_plist(data: bytes) -> bytes:
    """A parsed property list, for copies that cost little."""
    return pickle.dumps(plistlib.loads(data))


def change_plist(data: bytes, source: random.Random) -> bytes:
    """A property list with changes of its meaning, as XML or binary."""
    tree = pickle.loads(_pickled_plist(data))
    for _ in range(source.choice((1, 1, 2, 4))):
        tree = change_tree(tree, source)
    form = source.choice((plistlib.FMT_XML, plistlib.FMT_BINARY))
    return plistlib.dumps(tree, fmt=form, sort_keys=False)


# Protocol buffers ------------------------------------------------------------------------------------------------

_FIXED_BYTES = {1: 8, 5: 4}
_DEEPEST = 12


@dataclass(frozen=True, slots=True)
class _Field:
    """A field of a message.

    Attributes:
        raw: the field as encoded.
        number, wire: its key.
        value: a number, bytes, or the fields inside.
    """

    raw: bytes
    number: int
    wire: int
    value: Any


_Message = tuple[_Field, ...]


def _read_fields(data: bytes, depth: int = 0) -> _Message:
    """The fields of a message; delimited ones are taken for messages where they read as such.

    Raises:
        ValueError: the bytes are none.
    """
    fields = []
    position = 0
    while position < len(data):
        start = position
        key, position = _read_varint(data, position)
        number, wire = key >> 3, key & 7
        value: Any
        if wire == 0:
            value, position = _read_varint(data, position)
        elif wire == 2:
            size, position = _read_varint(data, position)
            value = data[position : position + size]
            position += size
            if depth < _DEEPEST and 2 <= size < 1 << 16:
                with suppress(ValueError):
                    value = _read_fields(value, depth + 1)
        elif wire in _FIXED_BYTES:
            size = _FIXED_BYTES[wire]
            value = data[position : position + size]
            position += size
        else:
            raise ValueError("not a message")
        if position > len(data) or not number:
            raise ValueError("not a message")
        fields.append(_Field(data[start:position], number, wire, value))
    return tuple(fields)


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("a number without end")


def _varint(value: int) -> bytes:
    result = bytearray()
    while value > 0x7F:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    result.append(value)
    return bytes(result)


def _field(number: int, wire: int, value: Any) -> _Field:
    """A field with its encoding; only what changed is encoded again."""
    key = _varint(number << 3 | wire)
    if wire == 0:
        return _Field(key + _varint(value), number, wire, value)
    content = _encoded(value) if isinstance(value, tuple) else value
    return _Field(key + (_varint(len(content)) if wire == 2 else b"") + content, number, wire, value)


def _encoded(message: _Message) -> bytes:
    return b"".join(field.raw for field in message)


_Path = tuple[int, ...]


@lru_cache(maxsize=2048)
def _parsed(data: bytes) -> tuple[_Message, tuple[_Path, ...]]:
    message = _read_fields(data)
    return message, _paths(message)


def _paths(message: _Message) -> tuple[_Path, ...]:
    """Where messages are in a message: the numbers of the fields on the way down."""
    found: list[_Path] = []
    waiting: list[tuple[_Path, _Message]] = [((), message)]
    while waiting:
        path, inner = waiting.pop()
        found.append(path)
        waiting += [((*path, i), field.value) for i, field in enumerate(inner) if isinstance(field.value, tuple)]
    return tuple(found)


def change_protobuf(data: bytes, source: random.Random) -> bytes:
    """A message with changes to its fields; every length around them is right again."""
    message, paths = _parsed(data)
    message = _changed_at(message, source.choice(paths), source)
    for _ in range(source.choice((0, 0, 0, 1, 3))):
        message = _changed_at(message, source.choice(_paths(message)), source)
    return _encoded(message)


def _changed_at(message: _Message, path: _Path, source: random.Random) -> _Message:
    """The message with a change in the one that a path leads to."""
    if not path:
        return _changed(message, source)
    at, *rest = path
    field = message[at]
    inner = _changed_at(field.value, tuple(rest), source)
    return (*message[:at], _field(field.number, field.wire, inner), *message[at + 1 :])


def _changed(message: _Message, source: random.Random) -> _Message:
    if not message:
        return message
    at = source.randrange(len(message))
    field, other = message[at], source.choice(message)
    match source.randrange(8):
        case 0:
            new: _Message = ()
        case 1:
            new = (field, field)
        case 2:
            new = (other, field)
        case 3:
            numbers = (field.number + 1, max(field.number - 1, 1), source.randrange(1, 40))
            new = (_field(source.choice(numbers), field.wire, field.value),)
        case 4 if field.wire == other.wire:
            new = (_field(field.number, field.wire, other.value),)
        case _:
            new = (_field(field.number, field.wire, _other_value(field, source)),)
    return (*message[:at], *new, *message[at + 1 :])


def _other_value(field: _Field, source: random.Random) -> Any:
    value = field.value
    if field.wire == 0:
        return source.choice((*INTERESTING, value + 1, max(value - 1, 0), value ^ 1 << source.randrange(6)))
    if isinstance(value, tuple):
        return source.choice((value * 2, value[: len(value) // 2], value[::-1], ()))
    if field.wire == 2 and source.random() < 0.3:
        return source.choice((*WORDS, b"", value * 2))
    changed = change_bytes(value, source)
    size = _FIXED_BYTES.get(field.wire)
    return changed if size is None else changed[:size].ljust(size, b"\0")


# Archives ----------------------------------------------------------------------------------------------------------


def change_zip(inner: Callable[[str], Change]) -> Change:
    """A change of one member of an archive, or of the list of members.

    Args:
        inner: the change for a member of that name.
    """

    def change(data: bytes, source: random.Random) -> bytes:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(info.filename, archive.read(info)) for info in archive.infolist()]
        at = source.randrange(len(members))
        name, content = members[at]
        action = source.randrange(10)
        if action == 0:
            del members[at]
        elif action == 1:
            members.append(members[at])
        elif action == 2:
            members[at] = (source.choice(members)[0], content)
        elif action == 3:
            members[at] = (name + source.choice(TROUBLE), content)
        else:
            members[at] = (name, inner(name)(content, source))
        return _archive(members, source.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA)))

    return change


def _archive(members: list[tuple[str, bytes]], compression: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in members:
            with suppress(UnicodeError, UserWarning):
                archive.writestr(zipfile.ZipInfo(name or "x"), content, compression)
    return stream.getvalue()


def change_any(*changes: Change) -> Change:
    """One of several changes at random; of the bytes where the others do not fit the input, and in every fourth."""

    def change(data: bytes, source: random.Random) -> bytes:
        if changes and source.random() < 0.75:
            with suppress(Exception):  # damaged inputs are changed again, and need not make sense to a parser
                return source.choice(changes)(data, source)
        return change_bytes(data, source)

    return change
