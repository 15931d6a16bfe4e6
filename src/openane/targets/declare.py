"""Registers from tables: one line per register, and only the differences where a generation has a parent.

A line declares a register, or takes registers over from the block of the parent generation:

    0x08 + CoeffDMAConfig[16] | En 0, CrH 5:4, Addr 31:6 *64 | meaning
    0x0c + = SourceBase..Source2GroupStride
    0x20 + = ConvCfg | Kw 5:0, Kh 11:6, -OCGSize | meaning
    - Unused, Src2Cfg

The columns are the offset in the block, the evidence, the name (with the length of an array), the fields with their
bits and unit, and the meaning. The evidence is "+" for what published programs agree with, "-" for one source without
a program, "?" where sources disagree and the more consistent one was taken. A line with "=" places the parent's
register, or a run of them, at the offset; the fields it lists are moved, added, or (with "-") removed. A line with "-"
alone drops registers of the parent. Registers of the parent that no line names keep their offset.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from openane.program.fields import Block, Evidence, Field, Register

_DECLARED = re.compile(r"(0x[0-9a-f]+) ([-+?]) ([\w.]+)(?:\[(\d+)\])? \|(.*?)\|(.*)")
_INHERITED = re.compile(r"(0x[0-9a-f]+) ([-+?]) = ([\w\[\]]+)(?:\.\.([\w\[\]]+))?(?: \|(.*?)\|(.*))?")
_DROPPED = re.compile(r"- ([\w\[\], ]+)")
_FIELD = re.compile(r"(\w+) (\d+)(?::(\d+))?(?: \*(\d+))?")
_RESERVED = "Reserved_"
_EVIDENCE = {
    "+": (Evidence.SEEN, "programs, maps"),
    "-": (Evidence.GUESS, "one map"),
    "?": (Evidence.GUESS, "maps, which disagree"),
}


def block(
    name: str,
    base: int,
    meaning: str,
    table: str = "",
    *,
    parent: Block | None = None,
    mark: str = "-",
    words: int | None = None,
) -> Block:
    """A block from its table.

    Args:
        name: of the block.
        base: byte address of its first register.
        meaning: one clause.
        table: lines as described in the module's docstring.
        parent: the block of another generation that this one differs from.
        mark: evidence of the registers that keep the parent's offset.
        words: length of the block; offsets without a name become registers called ``Reserved_<address>``. None: the
            block ends with its last register and has no reserved ones.
    """
    registers: dict[str, tuple[int, Register]] = {}
    if parent is not None:
        kept = (old for old in parent.registers if not old.name.startswith(_RESERVED))
        registers = {old.name: (old.address - parent.base, _with_mark(old, mark)) for old in kept}
    for line in filter(None, (line.strip() for line in table.splitlines())):
        dropped = _DROPPED.fullmatch(line)
        if dropped is not None:
            for gone in _texts(dropped[1]):
                del registers[gone]
            continue
        for offset, register in _inherited(line, parent) if parent is not None and " = " in line else _declared(line):
            taken = [other for other, (at, _) in registers.items() if at == offset]
            for other in taken:
                del registers[other]
            registers[register.name] = (offset, register)
    placed = {base + offset: register for offset, register in registers.values()}
    for address in range(base, base + 4 * (words or 0), 4):
        placed.setdefault(address, Register(f"{_RESERVED}{address:#x}", address, ()))
    ordered = (replace(placed[address], address=address, block=name) for address in sorted(placed))
    return Block(name, base, tuple(ordered), meaning)


def _with_mark(register: Register, mark: str) -> Register:
    """The register with the evidence of this generation, which is weaker than that of its parent."""
    evidence, source = _EVIDENCE[mark]
    fields = (each for each in register.fields if not each.reserved)
    return replace(register, fields=tuple(replace(each, evidence=evidence, source=source) for each in fields))


def _declared(line: str) -> Iterator[tuple[int, Register]]:
    match = _DECLARED.fullmatch(line)
    assert match is not None, line
    offset, mark, name, length, fields, meaning = match.groups()
    declared = tuple(_new_field(text, mark) for text in _texts(fields))
    for i in range(int(length or 1)):
        full = f"{name}[{i}]" if length else name
        yield int(offset, 16) + 4 * i, Register(full, 0, declared, meaning.strip())


def _inherited(line: str, parent: Block) -> Iterator[tuple[int, Register]]:
    match = _INHERITED.fullmatch(line)
    assert match is not None, line
    offset, mark, first, last, fields, meaning = match.groups()
    names = [register.name for register in parent.registers]
    run = parent.registers[names.index(first) : names.index(last or first) + 1]
    for i, old in enumerate(run):
        register = _with_mark(old, mark)
        if fields is not None:
            changed = _changed(register.fields, _texts(fields), mark)
            register = replace(register, fields=changed, meaning=meaning.strip() or register.meaning)
        yield int(offset, 16) + 4 * i, register


def _changed(fields: Iterable[Field], texts: Iterable[str], mark: str) -> tuple[Field, ...]:
    """Fields of the parent, moved, removed and added."""
    by_name = {each.name: each for each in fields if not each.reserved}
    for text in texts:
        if text.startswith("-"):
            del by_name[text[1:]]
            continue
        new = _new_field(text, mark)
        old = by_name.get(new.name)
        by_name[new.name] = new if old is None else replace(old, lsb=new.lsb, width=new.width)
    return tuple(by_name.values())


def _texts(fields: str) -> list[str]:
    return [text.strip() for text in fields.split(",") if text.strip()]


def _new_field(text: str, mark: str) -> Field:
    match = _FIELD.fullmatch(text)
    assert match is not None, text
    name, high, low, unit = match.groups()
    lsb = int(low if low is not None else high)
    evidence, source = _EVIDENCE[mark]
    return Field(name, lsb, int(high) - lsb + 1, unit=int(unit or 1), evidence=evidence, source=source)
