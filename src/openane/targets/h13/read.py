"""The one view of an H13 task's fields, by register path and field name; decoding, text, costs and checks use it.

Registers and header words that a task does not have read as 0.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import NamedTuple

from openane.core.errors import FaultError
from openane.numerics.definition.fp16 import value
from openane.program import Task
from openane.program.fields import Field, FieldKind
from openane.targets.h13.registers import REGISTERS
from openane.targets.h13.registers.codes import SourceType, TaskType
from openane.targets.h13.spec import MACHINE


class Stream(NamedTuple):
    """An enabled kernel stream.

    Attributes:
        lane: the coefficient lane that takes it.
        offset: first byte in the kernel's buffer.
        size_bytes: how much is read.
    """

    lane: int
    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class TaskFields:
    """The fields of one task.

    Attributes:
        words: of the registers that are written, by address.
        header: the words of the header.
        where: the task, for messages.
    """

    words: Mapping[int, int]
    header: tuple[int, ...] = ()
    where: str = ""

    @classmethod
    def of(cls, task: Task, index: int | None = None, written: Mapping[int, int] | None = None) -> TaskFields:
        """Of a task.

        Args:
            task: with its header.
            index: position in the chain, for messages.
            written: its registers, when they are known already.
        """
        where = "" if index is None else f"task {index}" + (f" ({task.origin})" if str(task.origin) else "")
        return cls(task.registers() if written is None else written, task.header, where)

    def word(self, path: str) -> int:
        """A whole register."""
        in_header, key = _register(path)
        return self._header(key) if in_header else self.words.get(key, 0)

    def __call__(self, path: str, name: str) -> int:
        """A field."""
        in_header, key, shift, mask, field = _FIELDS[path, name]
        word = self._header(key) if in_header else self.words.get(key, 0)
        return word >> shift & mask if field is None else field.get(word)

    def _header(self, index: int) -> int:
        return self.header[index] if index < len(self.header) else 0

    def name(self, path: str, name: str) -> str:
        """A field as shown to people."""
        return REGISTERS[path][name].show(self(path, name))

    def half(self, path: str, name: str) -> float:
        """A field of 16 bits as the data path reads it; exponent 31 is an ordinary number."""
        return _half(self(path, name))

    def single(self, path: str) -> float:
        """A register of 32 bits as a number."""
        return float(struct.unpack("<f", struct.pack("<I", self.word(path)))[0])

    @property
    def is_ne(self) -> bool:
        """Whether the neural engine runs the task; otherwise the planar engine does."""
        return self("Common.Cfg", "TaskType") == TaskType.NE

    @property
    def reads_dram(self) -> bool:
        """Whether source 1 is in DRAM."""
        return SourceType(self("L2.SourceCfg", "SourceType")).in_dram

    def streams(self) -> tuple[Stream, ...]:
        """The enabled kernel streams."""
        word = self.words.get
        return tuple(
            [
                Stream(lane, base.get(word(base_at, 0)), size.get(word(size_at, 0)))
                for lane, on_at, on, base_at, base, size_at, size in _STREAMS
                if word(on_at, 0) & on
            ]
        )

    def refuse(self, what: str, path: str, limit: object = "", hint: str = "") -> FaultError:
        """The error about a register that cannot be run."""
        return FaultError(what, where=f"{self.where}: {path}", value=f"{self.word(path):#x}", limit=limit, hint=hint)


@lru_cache(4096)
def _half(bits: int) -> float:
    return float(value(bits))


@cache
def _register(path: str) -> tuple[bool, int]:
    """Where a register is: (in the header, index or address)."""
    address, in_header = REGISTERS[path].address, path.startswith("Header.")
    return in_header, address // 4 if in_header else address


_Bits = tuple[bool, int, int, int, Field | None]
"""Where the bits of a field are: (in the header, index or address, shift, mask, the field unless plain)."""


class _Places(dict[tuple[str, str], _Bits]):
    """The places of fields by path and name, each looked up when it is first asked for."""

    def __missing__(self, key: tuple[str, str]) -> _Bits:
        path, name = key
        field = REGISTERS[path][name]
        plain = field.kind is not FieldKind.SIGNED and field.unit == 1
        found = self[key] = *_register(path), field.lsb, field.mask, None if plain else field
        return found


_FIELDS = _Places()


def _bits(path: str, field: str) -> tuple[int, Field]:
    register = REGISTERS[path]
    return register.address, register[field]


def _stream(lane: int) -> tuple[int, int, int, int, Field, int, Field]:
    on_at, on = _bits(f"KernelDMASrc.CoeffDMAConfig[{lane}]", "En")
    base_at, base = _bits(f"KernelDMASrc.CoeffBaseAddr[{lane}]", "Addr")
    size_at, size = _bits(f"KernelDMASrc.CoeffBfrSize[{lane}]", "MemBfrSize")
    return lane, on_at, on.mask << on.lsb, base_at, base, size_at, size


_STREAMS = tuple(map(_stream, range(MACHINE.lanes)))
"""Lane, then what a task says of its stream: (address, bits) of whether it is on, (address, field) of offset, size."""
