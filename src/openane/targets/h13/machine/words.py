"""The words of one H13 task, by register path and field name. Registers that a task does not write are 0."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from openane.core.errors import FaultError
from openane.numerics.definition.fp16 import value
from openane.program import Task
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
    def of(cls, task: Task, index: int) -> Words:
        """Of a task and its place in the chain."""
        where = f"task {index}" + (f" ({task.origin})" if str(task.origin) else "")
        return cls(task.registers(), task.header, where)

    def word(self, path: str) -> int:
        """A whole register."""
        register = REGISTERS[path]
        if path.startswith("Header."):
            return self.header[register.address // 4]
        return self.words.get(register.address, 0)

    def __call__(self, path: str, name: str) -> int:
        """A field."""
        return REGISTERS[path][name].get(self.word(path))

    def half(self, path: str, name: str) -> float:
        """A field of 16 bits as the data path reads it; exponent 31 is an ordinary number."""
        return float(value(self(path, name)))

    def single(self, path: str) -> float:
        """A register of 32 bits as a number."""
        return float(struct.unpack("<f", struct.pack("<I", self.word(path)))[0])

    def refuse(self, what: str, path: str, limit: object = "", hint: str = "") -> FaultError:
        """The error about a register that cannot be run."""
        return FaultError(what, where=f"{self.where}: {path}", value=f"{self.word(path):#x}", limit=limit, hint=hint)
