"""The one view of an H13 task's fields, by register path and field name; decoding, text, costs and checks use it.

Registers and header words that a task does not have read as 0.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import compress
from operator import and_, rshift
from typing import NamedTuple

from openane.backend.task_cost import FP16_KERNEL
from openane.core.errors import FaultError
from openane.numerics.definition.fp16 import value
from openane.program import Task
from openane.program.fields import Field, FieldKind
from openane.sim.decoded_task import Lane
from openane.targets.h13.registers import REGISTERS
from openane.targets.h13.registers.codes import ElementFormat, SourceType, TaskType
from openane.targets.h13.spec import MACHINE


class FieldGroup(NamedTuple):
    """Fields that are read together, see `field_group`.

    Attributes:
        addresses: of their registers.
        absent: what a register that is not written reads as, for each of them.
        shifts, masks: of their bits; the unit of a field is in them.
    """

    addresses: tuple[int, ...]
    absent: tuple[int, ...]
    shifts: tuple[int, ...]
    masks: tuple[int, ...]


def field_group(*fields: str) -> FieldGroup:
    """Fields of registers by path and name, such as "Common.InDim.Hin"; not those of the header, nor signed ones."""
    addresses, shifts, masks = [], [], []
    for each in fields:
        path, _, name = each.rpartition(".")
        field = REGISTERS[path][name]
        unit_bits = field.unit.bit_length() - 1
        assert field.kind is not FieldKind.SIGNED and not path.startswith("Header."), each
        assert field.unit == 1 << unit_bits and field.lsb >= unit_bits, each
        addresses.append(REGISTERS[path].address)
        shifts.append(field.lsb - unit_bits)
        masks.append(field.mask << unit_bits)
    return FieldGroup(tuple(addresses), (0,) * len(addresses), tuple(shifts), tuple(masks))


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

    def of_group(self, group: FieldGroup) -> list[int]:
        """The fields of a group, in its order: several times faster than one after the other."""
        addresses, absent, shifts, masks = group
        return list(map(and_, map(rshift, map(self.words.get, addresses, absent), shifts), masks))

    def _header(self, index: int) -> int:
        return self.header[index] if index < len(self.header) else 0

    def name(self, path: str, name: str) -> str:
        """A field as shown to people."""
        return REGISTERS[path][name].show(self(path, name))

    def half(self, path: str, name: str) -> float:
        """A field of 16 bits as the data path reads it; exponent 31 is an ordinary number."""
        return fp16_number(self(path, name))

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

    def streams(self) -> tuple[Lane, ...]:
        """The enabled kernel streams."""
        enabled = self.of_group(_STREAMS_ON)
        if not any(enabled):
            return ()
        streams = zip(range(len(enabled)), self.of_group(_STREAM_OFFSETS), self.of_group(_STREAM_SIZES), strict=True)
        return tuple(map(Lane._make, compress(streams, enabled)))

    def refuse(self, what: str, path: str, limit: object = "", hint: str = "") -> FaultError:
        """The error about a register that cannot be run."""
        return FaultError(what, where=f"{self.where}: {path}", value=f"{self.word(path):#x}", limit=limit, hint=hint)


@lru_cache(4096)
def fp16_number(bits: int) -> float:
    """Bits of fp16 as the data path reads them; exponent 31 is an ordinary number."""
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


def _of_streams(field: str) -> FieldGroup:
    return field_group(*(field.format(lane) for lane in range(MACHINE.lanes)))


_STREAMS_ON = _of_streams("KernelDMASrc.CoeffDMAConfig[{}].En")
_STREAM_OFFSETS = _of_streams("KernelDMASrc.CoeffBaseAddr[{}].Addr")
_STREAM_SIZES = _of_streams("KernelDMASrc.CoeffBfrSize[{}].MemBfrSize")


def kernel_form(fields: TaskFields) -> str:
    """How the weights of a task are stored, for people."""
    words = []
    if fields("NE.KernelCfg", "PalettizedEn"):
        words.append(f"{fields('NE.KernelCfg', 'PalettizedBits')}-bit palette")
    elif fields("NE.KernelCfg", "KernelFmt") != ElementFormat.FP16:
        words.append("8-bit")
    if fields("NE.KernelCfg", "SparseFmt"):
        words.append("without zeros")
    return " ".join(words) or FP16_KERNEL
