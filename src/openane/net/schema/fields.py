"""Typed access to the dictionaries of an untrusted property list."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from openane.core.errors import FormatError, UnsupportedError
from openane.numerics.fp16 import from_word

#: No extent, count or offset of a real network comes near this.
LARGEST_INTEGER = 1 << 40


def describe(value: object) -> str:
    """A short text for messages; never walks into containers, which a hostile file can make endless."""
    if isinstance(value, (str, int, float, bool)):
        text = repr(value) if not isinstance(value, int) or abs(value) < 1 << 200 else "a huge integer"
        return text if len(text) <= 60 else text[:57] + "..."
    names: dict[type, str] = {dict: "a dictionary", list: "an array", bytes: "data"}
    return names.get(type(value), type(value).__name__)


class Fields:
    """One dictionary: every get checks the type, `finish` refuses what nobody asked for.

    Args:
        data: the dictionary as parsed.
        where: the place, for messages.
    """

    def __init__(self, data: object, where: str) -> None:
        if not isinstance(data, Mapping):
            raise FormatError("not a dictionary", where=where, value=describe(data))
        for key in data:
            if not isinstance(key, str):
                raise FormatError("a key is not text", where=where, value=describe(key))
        self.data: Mapping[str, Any] = data
        self.where = where
        self._asked: set[str] = set()

    def has(self, key: str) -> bool:
        """Whether the key is there."""
        return key in self.data

    def get(self, key: str) -> Any:
        """The value as parsed, None if there is none."""
        self._asked.add(key)
        return self.data.get(key)

    def skip(self, *keys: str) -> None:
        """Accepts keys that have no meaning for a reader."""
        self._asked.update(keys)

    def text(self, key: str, default: str | None = None) -> str:
        """A text; `default` None makes it required."""
        value = self.get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or not value:
            raise self._wrong(key, value, "a text")
        return value

    def texts(self, key: str, *, single: bool = False) -> list[str]:
        """An array of texts, empty if there is none; `single` accepts one text in place of the array."""
        value = self.get(key)
        if value is None:
            return []
        if single and isinstance(value, str):
            value = [value]
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            raise self._wrong(key, value, "an array of texts")
        return value

    def integer(self, key: str, default: int | None = None, *, least: int = 0, most: int = LARGEST_INTEGER) -> int:
        """An integer between `least` and `most`; `default` None makes it required."""
        value = self.get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self._wrong(key, value, f"an integer from {least} to {most}")
        return value

    def flag(self, key: str) -> bool:
        """A boolean, false if there is none."""
        value = self.get(key)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(key, value, "true or false")
        return bool(value)

    def number(self, key: str, default: float) -> float:
        """A real number, infinities included."""
        value = self.get(key)
        if value is None:
            return default
        if not isinstance(value, (int, float)) or isinstance(value, bool) or math.isnan(float(value)):
            raise self._wrong(key, value, "a number")
        return float(value)

    def half_bits(self, key: str, default: float) -> float:
        """A half-precision number stored as the integer of its bit pattern, as in BiasScalar 16354."""
        if not self.has(key):
            return default
        return from_word(self.integer(key, most=0xFFFF))

    def pair(self, key: str, default: tuple[int, int] = (1, 1), *, least: int = 1) -> tuple[int, int]:
        """Two integers (x, y); a third, for depth, must be 1."""
        value = self.get(key)
        if value is None:
            return default
        good = isinstance(value, list) and len(value) in (2, 3)
        if not good or not all(isinstance(v, int) and not isinstance(v, bool) and least <= v <= 1 << 24 for v in value):
            raise self._wrong(key, value, f"two integers of at least {least}")
        if len(value) == 3 and value[2] != 1:
            raise UnsupportedError(f"{key} along Depth is not supported", where=self.where, value=value[2])
        return value[0], value[1]

    def fields(self, key: str) -> Fields:
        """A dictionary inside this one."""
        return Fields(self.get(key), f"{self.where}: {key}")

    def finish(self) -> None:
        """Refuses keys that nobody asked for: ignoring one could change the answer without a word.

        Raises:
            UnsupportedError: there is such a key.
        """
        unknown = [key for key in self.data if key not in self._asked]
        if unknown:
            raise UnsupportedError(
                f"the key {describe(unknown[0])} is not understood",
                where=self.where,
                hint="openane does not guess what it does to the answer.",
            )

    def _wrong(self, key: str, value: object, wanted: str) -> FormatError:
        if value is None and key not in self.data:
            return FormatError(f"{key} is missing", where=self.where, limit=wanted)
        return FormatError(f"{key} is wrong", where=self.where, value=describe(value), limit=wanted)
