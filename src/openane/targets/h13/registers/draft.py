"""Short forms that the register tables of H13 are written in."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum, IntFlag

from openane.program.fields import Block, Evidence, Field, FieldKind, Register

PROVED, SEEN, GUESS, UNKNOWN = Evidence.PROVED, Evidence.SEEN, Evidence.GUESS, Evidence.UNKNOWN


def field(
    name: str,
    lsb: int,
    width: int,
    meaning: str = "",
    evidence: Evidence = SEEN,
    source: str = "programs, printer",
    *,
    codes: type[IntEnum] | type[IntFlag] | None = None,
    kind: FieldKind = FieldKind.UNSIGNED,
    unit: int = 1,
    default: int = 0,
) -> Field:
    """A field; without a meaning it is one whose name is all we know."""
    if not meaning:
        meaning, evidence = "not known beyond its name", GUESS
    return Field(name, lsb, width, meaning, kind, codes, unit, default, evidence, source)


def unknown(lsb: int, width: int = 1, meaning: str = "set in real programs", *, default: int = 0) -> Field:
    """Bits that programs set and nobody has named."""
    return field(f"Unknown_{lsb}", lsb, width, meaning, UNKNOWN, "programs", default=default)


#: A register without its place: name, meaning, fields.
Draft = tuple[str, str, tuple[Field, ...]]


def block(name: str, base: int, meaning: str, *drafts: Draft) -> Block:
    """Registers that follow each other from `base` on."""
    registers = (
        Register(draft_name, base + 4 * i, fields, text, name) for i, (draft_name, text, fields) in enumerate(drafts)
    )
    return Block(name, base, tuple(registers), meaning)


def draft(name: str, meaning: str, *fields: Field) -> Draft:
    """A register."""
    return name, meaning, fields


def dram(name: str, meaning: str, evidence: Evidence = PROVED, *, named: str = "Stride") -> Draft:
    """A DRAM offset or stride: bits 31:6, in bytes, a multiple of 64."""
    return draft(name, meaning, field(named, 6, 26, "bytes, a multiple of 64", evidence, unit=64))


def l2(name: str, meaning: str, evidence: Evidence = PROVED, *, named: str = "Stride") -> Draft:
    """An address or stride in the engine's L2: bits 20:4, in bytes, a multiple of 16."""
    return draft(name, meaning, field(named, 4, 17, "bytes, a multiple of 16", evidence, unit=16))


def zero(address: int) -> Draft:
    """A register that is 0 in every program."""
    return draft(f"Unknown_{address:#x}", "0 in every program")


def lanes(name: str, make: Callable[[str], Draft]) -> tuple[Draft, ...]:
    """One register for each of the 16 neural engines."""
    return tuple(make(f"{name}[{lane}]") for lane in range(16))
