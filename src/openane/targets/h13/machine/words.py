"""The words of one H13 task, by register path and field name. Registers that a task does not write are 0."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

from openane.core.errors import FaultError
from openane.numerics.definition.fp16 import value
from openane.program import Task
from openane.program.fields import Field, Kind
from openane.targets.h13.registers import REGISTERS


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a task.

    Attributes:
        words: by register address.
        header: the words of the header.
        where: the task, for messages.
    """

    words: Mapping[int, int]
    header: tuple[int, ...]
    where: str

    @classmethod
    def of(cls, task: Task, index: int, written: Mapping[int, int] | None = None) -> Words:
        """Of a task and its place in the chain; `written` are its registers, when they are known already."""
        where = f"task {index}" + (f" ({task.origin})" if str(task.origin) else "")
        return cls(task.registers() if written is None else written, task.header, where)

    def word(self, path: str) -> int:
        """A whole register."""
        register = REGISTERS[path]
        if path.startswith("Header."):
            return self.header[register.address // 4]
        return self.words.get(register.address, 0)

    def __call__(self, path: str, name: str) -> int:
        """A field."""
        in_header, key, shift, mask, field = _place(path, name)
        word = self.header[key] if in_header else self.words.get(key, 0)
        return word >> shift & mask if field is None else field.get(word)

    def half(self, path: str, name: str) -> float:
        """A field of 16 bits as the data path reads it; exponent 31 is an ordinary number."""
        return _half(self(path, name))

    def single(self, path: str) -> float:
        """A register of 32 bits as a number."""
        return float(struct.unpack("<f", struct.pack("<I", self.word(path)))[0])

    def refuse(self, what: str, path: str, limit: object = "", hint: str = "") -> FaultError:
        """The error about a register that cannot be run."""
        return FaultError(what, where=f"{self.where}: {path}", value=f"{self.word(path):#x}", limit=limit, hint=hint)


@lru_cache(4096)
def _half(bits: int) -> float:
    return float(value(bits))


@cache
def _place(path: str, name: str) -> tuple[bool, int, int, int, Field | None]:
    """Where the bits of a field are: (in the header, index or address, shift, mask, the field unless plain)."""
    register = REGISTERS[path]
    field, in_header = register[name], path.startswith("Header.")
    plain = field.kind is not Kind.SIGNED and field.unit == 1
    key = register.address // 4 if in_header else register.address
    return in_header, key, field.lsb, field.mask, None if plain else field
