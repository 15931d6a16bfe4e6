"""Registers declared once: encoder, decoder, text, documentation and checks follow from the declaration.

A :class:`Field` is a run of bits with a meaning, a :class:`Register` is a 32-bit word, a :class:`Block` is a run
of registers of one unit of the engine, a :class:`RegisterMap` is everything a generation has. The header words of a
task descriptor are declared the same way, as a block of their own.

Values of fields are integers: the bits of the field, times `unit` where the hardware counts in units (a stride of
0xC80 bytes is the value 0xC80 though the field holds 0x32). Floating-point fields take a Python float as a number
and an int as its bits. Enumerated fields also take the name. Every bit of a register belongs to a field: bits
that nobody has named become fields called ``Reserved_<lsb>``, so that nothing is lost between words and values.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum, IntFlag

from openane.core.errors import InputError
from openane.core.parsing import parse_integer
from openane.core.suggestions import suggest

#: What a field accepts: bits or bytes, a number for floating-point fields, a name for enumerated ones.
Value = int | float | str

WORD_BITS = 32


class Evidence(Enum):
    """How we know a field."""

    PROVED = "proved"  # running Apple's programs, or hardware, gives right results with this reading only
    SEEN = "seen"  # agrees with every program seen
    GUESS = "guess"  # a name or meaning by analogy
    UNKNOWN = "unknown"  # nobody has named these bits


class FieldKind(Enum):
    """How the bits of a field are a number."""

    UNSIGNED = "unsigned"
    SIGNED = "signed"
    FP16 = "fp16"
    FP32 = "fp32"

    @property
    def is_float(self) -> bool:
        """Whether the bits are an IEEE 754 number."""
        return self in _FLOAT_CODES


_FLOAT_CODES = {FieldKind.FP16: ("<e", "<H"), FieldKind.FP32: ("<f", "<I")}


def float_bits(kind: FieldKind, number: float) -> int:
    """The bits of a number, rounded to nearest even; beyond the largest finite number it is infinity."""
    value_code, bits_code = _FLOAT_CODES[kind]
    try:
        packed = struct.pack(value_code, number)
    except OverflowError:
        packed = struct.pack(value_code, float("inf") if number > 0 else float("-inf"))
    return int(struct.unpack(bits_code, packed)[0])


def bits_float(kind: FieldKind, bits: int) -> float:
    """The number that the bits are."""
    value_code, bits_code = _FLOAT_CODES[kind]
    return float(struct.unpack(value_code, struct.pack(bits_code, bits))[0])


def names_of(codes: type[IntEnum] | type[IntFlag] | None) -> Mapping[int, str]:
    """The text of each code: the member's name in lower case; of a set of bits, the names of its members joined."""
    if codes is None:
        return {}
    if issubclass(codes, IntFlag):
        members = list(codes)
        masks = range(1 << len(members))
        return {mask: "".join(each.name or "" for each in members if each & mask) or "none" for mask in masks}
    return {int(code): code.name.lower() for code in codes}


@dataclass(frozen=True, slots=True)
class Field:
    """A run of bits of a register.

    Attributes:
        name: as the hardware (or its debug printer) has it.
        lsb: lowest bit.
        width: number of bits.
        meaning: one clause for people.
        kind: how the bits are a number.
        codes: the known values, in an enumeration; a set of bits for an `IntFlag`.
        unit: what one count means, e.g. 64 for strides in 64-byte units; values of the field are multiples of it.
        default: the value an encoder writes when nothing is said, and text leaves out.
        evidence: how we know.
        source: short reference to where we know it from.
        reserved: bits nobody has named and no program sets.
        mask, lowest, highest, default_bits, values: derived: bits at position 0, range of values, default in its place,
            names of the known values.
    """

    name: str
    lsb: int
    width: int
    meaning: str = ""
    kind: FieldKind = FieldKind.UNSIGNED
    codes: type[IntEnum] | type[IntFlag] | None = None
    unit: int = 1
    default: int = 0
    evidence: Evidence = Evidence.SEEN
    source: str = ""
    reserved: bool = False
    mask: int = field(init=False, repr=False, compare=False)
    lowest: int = field(init=False, repr=False, compare=False)
    highest: int = field(init=False, repr=False, compare=False)
    default_bits: int = field(init=False, repr=False, compare=False)
    values: Mapping[int, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        assert self.lsb >= 0 and self.width > 0 and self.lsb + self.width <= WORD_BITS, self.name
        mask = (1 << self.width) - 1
        signed = self.kind is FieldKind.SIGNED
        derived = {
            "mask": mask,
            "lowest": -(mask // 2 + 1) * self.unit if signed else 0,
            "highest": (mask >> 1 if signed else mask) * self.unit,
            "default_bits": (self.default // self.unit & mask) << self.lsb,
            "values": names_of(self.codes),
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    def get(self, word: int) -> int:
        """The value in a register word: bits of a float, bytes of a counted field, else the plain number."""
        bits = word >> self.lsb & self.mask
        if self.kind is FieldKind.SIGNED and bits > self.mask >> 1:
            bits -= self.mask + 1
        return bits * self.unit

    def number(self, word: int) -> float:
        """The value in a register word as a number, also for floating-point fields."""
        value = self.get(word)
        return bits_float(self.kind, value) if self.kind.is_float else float(value)

    def put(self, word: int, value: Value) -> int:
        """The register word with this field set to `value`.

        Raises:
            InputError: the value does not fit the field.
        """
        return word & ~(self.mask << self.lsb) | self.bits(value) << self.lsb

    def bits(self, value: Value) -> int:
        """The field's bits for a value, not shifted.

        Raises:
            InputError: the value does not fit the field.
        """
        if type(value) is int and self.lowest <= value <= self.highest:
            if self.unit == 1:
                return value & self.mask
            if value % self.unit == 0:
                return value // self.unit & self.mask
        return self._checked_bits(value)

    def _checked_bits(self, value: Value) -> int:
        """The slow path of :meth:`bits`: names, numbers, numpy integers, and everything that is wrong."""
        if isinstance(value, str):
            value = self.parse(value)
        if isinstance(value, float):
            if self.kind.is_float:
                return float_bits(self.kind, value)
            raise InputError("an integer is needed", where=self.name, value=value)
        value = int(value)
        if value % self.unit:
            raise InputError(f"not a multiple of {self.unit}", where=self.name, value=f"{value:#x}")
        if not self.lowest <= value <= self.highest:
            raise InputError(
                "the value does not fit the field",
                where=self.name,
                value=f"{value} ({value:#x})",
                limit=f"{self.lowest}..{self.highest}" + (f" in steps of {self.unit}" if self.unit > 1 else ""),
            )
        return value // self.unit & self.mask

    def parse(self, text: str) -> int | float:
        """The value that a text means: a name, a number, or (with 0x, for floats) bits.

        Raises:
            InputError: neither a known name nor a number.
        """
        wanted = text.strip().lower()
        for value, name in self.values.items():
            if name.lower() == wanted:
                return value
        try:
            if self.kind.is_float and not wanted.lstrip("+-").startswith("0x"):
                return float(wanted)
            return parse_integer(wanted)
        except ValueError:
            known = ", ".join(self.values.values())
            raise InputError(
                "not a value of this field",
                where=self.name,
                value=repr(text),
                limit=f"{known} or a number" if known else "a number",
                hint=suggest(text, self.values.values()),
            ) from None

    def show(self, value: int) -> str:
        """The text of a value, which :meth:`parse` takes back to the same bits."""
        if value in self.values:
            return self.values[value]
        if self.kind.is_float:
            number = bits_float(self.kind, value)
            exact = number == number and float_bits(self.kind, number) == value
            return repr(number) if exact else f"{value:#x}"
        if self.unit > 1 or self.reserved or self.width >= 24:
            return f"{value:#x}" if value > 9 else str(value)
        return str(value)

    def __str__(self) -> str:
        bits = f"{self.lsb}" if self.width == 1 else f"{self.lsb + self.width - 1}:{self.lsb}"
        return f"{self.name} [{bits}]"


def complete(fields: Iterable[Field]) -> tuple[Field, ...]:
    """The fields in order of their bits, with reserved fields in the gaps."""
    result: list[Field] = []
    bit = 0
    for each in [*sorted(fields, key=lambda f: f.lsb), None]:
        start = WORD_BITS if each is None else each.lsb
        assert start >= bit, f"fields overlap at {each}"
        if start > bit:
            result.append(Field(f"Reserved_{bit}", bit, start - bit, evidence=Evidence.UNKNOWN, reserved=True))
        if each is not None:
            result.append(each)
            bit = each.lsb + each.width
    return tuple(result)


@dataclass(frozen=True, slots=True)
class Register:
    """A 32-bit register.

    Attributes:
        name: as the hardware has it; members of arrays are called "CoeffDMAConfig[3]".
        address: byte address as in the stream's commands; for header words, byte offset in the descriptor.
        fields: all 32 bits, lowest first (gaps are filled by the constructor).
        meaning: one clause for people.
        block: name of the block.
        default, reserved, named, by_name: derived: the word of all defaults, the bits of reserved fields, the
            enumerated fields, and the fields by name.
    """

    name: str
    address: int
    fields: tuple[Field, ...]
    meaning: str = ""
    block: str = ""
    default: int = field(init=False, repr=False, compare=False)
    reserved: int = field(init=False, repr=False, compare=False)
    named: tuple[Field, ...] = field(init=False, repr=False, compare=False)
    by_name: Mapping[str, Field] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        fields = complete(self.fields)
        object.__setattr__(self, "fields", fields)
        object.__setattr__(self, "by_name", {each.name: each for each in fields})
        assert len(self.by_name) == len(fields), f"{self.name}: two fields of one name"
        object.__setattr__(self, "default", sum(each.default_bits for each in fields))
        object.__setattr__(self, "reserved", sum(each.mask << each.lsb for each in fields if each.reserved))
        object.__setattr__(self, "named", tuple(each for each in fields if each.values))

    @property
    def path(self) -> str:
        """Block and register name: "PE.Cfg"."""
        return f"{self.block}.{self.name}" if self.block else self.name

    def __getitem__(self, name: str) -> Field:
        """The field of that name.

        Raises:
            InputError: the register has no such field.
        """
        try:
            return self.by_name[name]
        except KeyError:
            raise InputError(
                f"{self.path} has no field {name!r}",
                limit=", ".join(each.name for each in self.fields if not each.reserved),
                hint=suggest(name, self.by_name),
            ) from None

    def encode(self, values: Mapping[str, Value] | None = None, /, **named: Value) -> int:
        """The word with the given fields; all others have their defaults.

        Raises:
            InputError: an unknown field, or a value that does not fit.
        """
        return self.change(self.default, values, **named)

    def change(self, word: int, values: Mapping[str, Value] | None = None, /, **named: Value) -> int:
        """`word` with the given fields changed.

        Raises:
            InputError: an unknown field, or a value that does not fit.
        """
        for name, value in (values | named if values else named).items():  # type: ignore[operator]
            each = self.by_name.get(name) or self[name]
            try:
                word = word & ~(each.mask << each.lsb) | each.bits(value) << each.lsb
            except InputError as error:
                raise error.at(self.path) from None
        return word

    def decode(self, word: int) -> dict[str, int]:
        """Every field's value by name, reserved ones included; `encode` of it is `word` again."""
        return {each.name: each.get(word) for each in self.fields}

    def changed(self, word: int) -> Iterator[tuple[Field, int]]:
        """The fields (and their values) that are not at their default."""
        for each in self.fields:
            value = each.get(word)
            if value != each.default:
                yield each, value

    def describe(self, word: int) -> str:
        """The fields that differ from their default, as text: "OpMode=mul SecSrc=2"."""
        return " ".join(f"{each.name}={each.show(value)}" for each, value in self.changed(word))


@dataclass(frozen=True, slots=True)
class Block:
    """A run of registers of one unit.

    Attributes:
        name: as the hardware has it ("TileDMASrc").
        base: byte address of the first register.
        registers: in order of address.
        meaning: one clause for people.
    """

    name: str
    base: int
    registers: tuple[Register, ...]
    meaning: str = ""
    by_name: Mapping[str, Register] = field(init=False, repr=False, compare=False)
    field_paths: Mapping[str, tuple[Register, Field]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_name = {register.name: register for register in self.registers}
        assert len(by_name) == len(self.registers), f"{self.name}: two registers of one name"
        object.__setattr__(self, "by_name", by_name)
        object.__setattr__(self, "field_paths", self._paths())

    def _paths(self) -> dict[str, tuple[Register, Field]]:
        """ "Register.Field" of all fields, and "Field" of those whose name is unique in the block."""
        paths: dict[str, tuple[Register, Field]] = {}
        short: dict[str, tuple[Register, Field] | None] = {}
        for register in self.registers:
            for each in register.fields:
                paths[f"{register.name}.{each.name}"] = (register, each)
                short[each.name] = None if each.name in short else (register, each)
        paths.update((name, found) for name, found in short.items() if found and not found[1].reserved)
        return paths

    def __getitem__(self, name: str) -> Register:
        """The register of that name.

        Raises:
            InputError: the block has no such register.
        """
        try:
            return self.by_name[name]
        except KeyError:
            raise InputError(f"block {self.name} has no register {name!r}", hint=suggest(name, self.by_name)) from None

    def encode(self, values: Mapping[str, Value]) -> tuple[int, ...]:
        """The words of all registers of the block, in order.

        Args:
            values: by "Register.Field", or by "Field" where that name is unique in the block.

        Raises:
            InputError: an unknown field, or a value that does not fit.
        """
        words = {register.name: register.default for register in self.registers}
        for path, value in values.items():
            found = self.field_paths.get(path)
            if found is None:
                raise InputError(f"block {self.name} has no field {path!r}", hint=suggest(path, self.field_paths))
            register, each = found
            try:
                words[register.name] = each.put(words[register.name], value)
            except InputError as error:
                raise error.at(register.path) from None
        return tuple(words.values())

    def decode(self, words: Iterable[int]) -> dict[str, int]:
        """Every field's value by "Register.Field", for the words of all registers in order."""
        return {
            f"{register.name}.{each.name}": each.get(word)
            for register, word in zip(self.registers, words, strict=True)
            for each in register.fields
        }
