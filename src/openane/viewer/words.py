"""Registers of tasks in a compact form: the declarations once, the words as one block of bytes."""

from __future__ import annotations

import base64
import struct
from typing import Any

from openane.program import Program, Register, RegisterMap, Task


class Words:
    """The words of all tasks of a page, and the declarations of the registers that they write.

    Attributes:
        declarations: generation -> declarations of header words and registers.
        templates: lists of register addresses; most tasks write the same ones.
    """

    def __init__(self) -> None:
        self.declarations: dict[str, dict[str, Any]] = {}
        self.templates: list[list[int]] = []
        self._known: dict[tuple[int, ...], int] = {}
        self._words: list[int] = []

    def add(self, program: Program, task: Task) -> dict[str, Any]:
        """The place of a task's words: offset in the block, number of header words, template."""
        assert program.codec is not None
        registers = program.codec.registers
        written = task.registers()
        addresses = tuple(written)
        if addresses not in self._known:
            self._known[addresses] = len(self.templates)
            self.templates.append(list(addresses))
        head = (*task.header, *task.extra)
        place = {"words": len(self._words), "head": len(task.header), "extra": len(task.extra)}
        self._words += [*head, *written.values()]
        self._declare(program.target, registers, addresses)
        return place | {"template": self._known[addresses]}

    def encoded(self) -> str:
        """All words, little endian, as base64."""
        return base64.b64encode(struct.pack(f"<{len(self._words)}I", *self._words)).decode()

    def _declare(self, name: str, registers: RegisterMap, addresses: tuple[int, ...]) -> None:
        if name not in self.declarations:
            head = [register_values(each) for each in registers.header.registers]
            extra = [register_values(each) for each in registers.extra.registers] if registers.extra else []
            blocks = {block.name: block.meaning for block in registers.all_blocks}
            self.declarations[name] = {"header": head, "extra": extra, "blocks": blocks, "registers": {}}
        known = self.declarations[name]["registers"]
        for address in addresses:
            if str(address) not in known:
                known[str(address)] = register_values(registers.register_at(address))


def register_values(register: Register) -> dict[str, Any]:
    """A declaration as plain values; a field is (name, lsb, width, meaning, kind, values, unit, default, evidence,
    source, reserved)."""
    return {
        "path": register.path,
        "block": register.block or "not declared",
        "address": register.address,
        "meaning": register.meaning,
        "fields": [
            [
                each.name,
                each.lsb,
                each.width,
                each.meaning,
                each.kind.value,
                {str(number): name for number, name in each.values.items()},
                each.unit,
                each.default,
                each.evidence.value,
                each.source,
                int(each.reserved),
            ]
            for each in register.fields
        ],
    }
