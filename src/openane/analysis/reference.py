"""The register reference of a generation, from its declarations: one source for the command and the docs site."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from openane.program.fields import Block, Evidence, Field, Register
from openane.targets.registry import Generation

_INDEX = re.compile(r"\[\d+\]$")


def register_reference(generation: Generation) -> str:
    """The reference as Markdown.

    Args:
        generation: any one, also those that openane only reads.
    """
    return "\n".join(_lines(generation)) + "\n"


def registers_as_values(generation: Generation) -> dict[str, Any]:
    """The reference as dictionaries, lists, numbers and texts."""
    registers = generation.codec.registers
    return {
        "generation": generation.name,
        "chips": generation.chips,
        "standing": generation.standing,
        "note": registers.note,
        "blocks": [
            {
                "name": block.name,
                "base": block.base,
                "meaning": block.meaning,
                "registers": [_register_values(register) for register in block.registers],
            }
            for block in registers.all_blocks
        ],
    }


def _register_values(register: Register) -> dict[str, Any]:
    return {
        "name": register.name,
        "address": register.address,
        "meaning": register.meaning,
        "default": register.default,
        "fields": [
            {
                "name": each.name,
                "lsb": each.lsb,
                "width": each.width,
                "meaning": each.meaning,
                "kind": each.kind.value,
                "values": {str(value): name for value, name in each.values.items()},
                "unit": each.unit,
                "default": each.default,
                "evidence": each.evidence.value,
                "source": each.source,
                "reserved": each.reserved,
            }
            for each in register.fields
        ],
    }


_EVIDENCE = {
    Evidence.PROVED: "running programs, or hardware, gives right results with this reading only",
    Evidence.SEEN: "agrees with every program seen",
    Evidence.GUESS: "by analogy, or from one unverified source",
    Evidence.UNKNOWN: "set by programs, named by nobody",
}


def _lines(generation: Generation) -> Iterator[str]:
    registers = generation.codec.registers
    yield f"# Registers of {generation.name.upper()} ({generation.chips})"
    yield ""
    yield f"{generation.standing[:1].upper()}{generation.standing[1:]}. {registers.note}".strip()
    yield ""
    yield "Values of fields with a unit are multiples of it, in bytes. Evidence:"
    yield ""
    for evidence, text in _EVIDENCE.items():
        yield f"- {evidence.value}: {text}"
    for block in registers.all_blocks:
        yield ""
        yield from _block_lines(block, block in (registers.header, registers.extra))


def _block_lines(block: Block, is_header: bool) -> Iterator[str]:
    place = "header words" if is_header else f"at {block.base:#x}"
    yield f"## {block.name}, {place}"
    yield ""
    if block.meaning:
        yield f"{block.meaning[:1].upper()}{block.meaning[1:]}."
        yield ""
    yield "| address | register | bits | field | meaning | values | default | evidence | source |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for _, group in groupby(block.registers, key=lambda each: (_INDEX.sub("", each.name), each.fields)):
        members = list(group)
        yield from _register_lines(members)


def _register_lines(members: list[Register]) -> Iterator[str]:
    first, last = members[0], members[-1]
    address, name = f"{first.address:#x}", first.name
    if len(members) > 1:
        address += f"..{last.address:#x}"
        name = _INDEX.sub(f"[0..{len(members) - 1}]", name)
    named = [each for each in first.fields if not each.reserved]
    if not named:
        yield f"| {address} | {name} | 31:0 | | {first.meaning} | | | unknown | |"
    for each in named:
        meaning = each.meaning
        if each is named[0] and first.meaning:
            meaning = f"{first.meaning}: {meaning}" if meaning else first.meaning
        yield f"| {address} | {name} | {_bits(each)} | {each.name} | {_escape(meaning)} | {_values(each)} |" + (
            f" {_default(each)} | {each.evidence.value} | {_escape(each.source)} |"
        )
        address = name = ""


def _bits(field: Field) -> str:
    return str(field.lsb) if field.width == 1 else f"{field.lsb + field.width - 1}:{field.lsb}"


def _values(field: Field) -> str:
    if field.values:
        return ", ".join(f"{value} {name}" for value, name in field.values.items())
    if field.kind.is_float:
        return field.kind.value
    return f"multiples of {field.unit}" if field.unit > 1 else ""


def _default(field: Field) -> str:
    return field.show(field.default) if field.default else ""


def _escape(text: str) -> str:
    return text.replace("|", "\\|")
