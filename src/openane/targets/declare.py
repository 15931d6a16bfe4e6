"""Registers from tables: one line a register, for generations that openane only reads.

    0x08 + CoeffDMAConfig[16] | En 0, CrH 5:4, Addr 31:6 *64 | what it is

is: offset in the block; evidence; name (with the length of an array); fields with their bits and unit; meaning. The
evidence is "+" for what published programs agree with, "-" for one source without a program, "?" where sources
disagree and the more consistent one was taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from openane.program.fields import Block, Evidence, Field, Register

_LINE = re.compile(r"(0x[0-9a-f]+) ([-+?]) ([\w.]+)(?:\[(\d+)\])? \|(.*?)\|(.*)")
_FIELD = re.compile(r"(\w+) (\d+)(?::(\d+))?(?: \*(\d+))?")
_EVIDENCE = {
    "+": (Evidence.SEEN, "programs, maps"),
    "-": (Evidence.GUESS, "one map"),
    "?": (Evidence.GUESS, "maps, which disagree"),
}


def block(name: str, base: int, meaning: str, table: str) -> Block:
    """A block from its table.

    Args:
        name: of the block.
        base: byte address of its first register.
        meaning: one clause.
        table: lines as in the module's docstring.
    """
    lines = (line.strip() for line in table.strip().splitlines())
    return Block(name, base, tuple(register for line in lines for register in _registers(name, base, line)), meaning)


def _registers(block_name: str, base: int, line: str) -> Iterator[Register]:
    match = _LINE.fullmatch(line)
    assert match is not None, line
    offset, mark, name, length, fields, meaning = match.groups()
    evidence, source = _EVIDENCE[mark]
    declared = tuple(_field(text.strip(), evidence, source) for text in fields.split(",") if text.strip())
    for i in range(int(length or 1)):
        full = f"{name}[{i}]" if length else name
        yield Register(full, base + int(offset, 16) + 4 * i, declared, meaning.strip(), block_name)


def _field(text: str, evidence: Evidence, source: str) -> Field:
    match = _FIELD.fullmatch(text)
    assert match is not None, text
    name, high, low, unit = match.groups()
    lsb = int(low if low is not None else high)
    return Field(name, lsb, int(high) - lsb + 1, unit=int(unit or 1), evidence=evidence, source=source)
