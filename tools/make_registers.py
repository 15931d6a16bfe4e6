"""Writes the register tables of the generations that openane only reads, from the fact sheets.

    python tools/make_registers.py FOLDER_WITH_SHEETS

The tables in `src/openane/targets/<generation>/registers.py` were made once by this tool and then read through;
make them again when a sheet changes. What a sheet calls reserved is left out, arrays become one line.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

GENERATIONS = ("h11", "h14", "h15", "h16", "h17", "h18")
PACKAGE = Path(__file__).parent.parent / "src" / "openane" / "targets"
#: Blocks whose addresses nobody knows stand behind everything that a burst command can address.
UNKNOWN_BASE = 0x4000000
LONGEST_LINE = 118


def evidence(register: dict[str, Any]) -> str:
    """The mark of a register: seen in programs, sources disagree, or one source."""
    if "programs" in register.get("sources", ()):
        return "+"
    return "?" if register.get("confidence") == "conflict" else "-"


def field_text(field: dict[str, Any]) -> str:
    """ "Addr 31:6 *64"."""
    lsb, width = field["lsb"], field["width"]
    bits = str(lsb) if width == 1 else f"{lsb + width - 1}:{lsb}"
    unit = 1 << lsb if lsb in (4, 6) and width > 8 and re.search("Addr|Stride|Base|Size", field["name"]) else 1
    return f"{field['name']} {bits}" + (f" *{unit}" if unit > 1 else "")


def fields_text(register: dict[str, Any]) -> str:
    """All fields that have a name."""
    return ", ".join(field_text(f) for f in register.get("fields", ()) if f.get("kind") != "reserved")


def meaning(register: dict[str, Any]) -> str:
    """The sheet's words, without what would break the table."""
    text = re.sub(r"\s+", " ", register.get("doc", "")).replace("|", "/")
    return text.split(";")[0].strip()[:60].strip()


def lines(registers: list[dict[str, Any]]) -> Iterator[str]:
    """The table of a block."""
    for _, group in groupby(registers, key=lambda r: (r.get("array") or r["name"], fields_text(r), evidence(r))):
        members = list(group)
        first = members[0]
        name = first["name"]
        if first.get("array") and len(members) > 1:
            name = f"{first['array']}[{len(members)}]"
        line = f"{int(first['offset'], 16):#04x} {evidence(first)} {name} | {fields_text(first)} | {meaning(first)}"
        yield re.sub(r" +", " ", line).rstrip()


def wrapped(name: str, base: int, text: str, table: list[str]) -> str:
    """A call of `block`."""
    body = "\n".join(f"        {line}" for line in table)
    arguments = (f'"{name}"', f"{base:#x}", f'"{text}"', f'"""\n{body}\n        """')
    return "    block(\n" + "".join(f"        {each},\n" for each in arguments) + "    ),"


def header_table(sheet: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The lines of the fixed header words, and of the optional one."""
    words: dict[int, list[dict[str, Any]]] = {}
    for field in sheet["header"]["fields"]:
        words.setdefault(field["word"], []).append(field)
    table = []
    for word in sorted(words):
        fields = [f for f in words[word] if f.get("kind") != "reserved"]
        name = fields[0]["name"] if len(fields) == 1 else f"W{word}"
        docs = {"doc": fields[0].get("doc", "") if len(fields) == 1 else ""}
        register = {"fields": fields}
        table.append(f"{4 * word:#04x} - {name} | {fields_text(register)} | {meaning(docs)}".rstrip())
    return table[: sheet["header"]["words"]], table[sheet["header"]["words"] :]


def module(sheet: dict[str, Any]) -> str:
    """The source of one registers.py."""
    name = sheet["generation"]
    header, extra = header_table(sheet)
    status = re.sub(r"\s+", " ", sheet["status"]).replace('"', "'")
    blocks = []
    unknown = UNKNOWN_BASE
    for each in sheet["blocks"]:
        base = int(each["base"], 16) if each["base"] is not None else unknown
        text = each.get("doc", "") if each["base"] is not None else "address not known"
        table = list(lines(each["registers"]))
        blocks.append(wrapped(each["name"], base, text, table))
        unknown += 0x1000
    parts = [
        f'"""Registers of {name.upper()} ({", ".join(sheet["socs"])}): for reading programs only.\n',
        "Made by tools/make_registers.py from the fact sheet of the generation; the table form is told in",
        '`openane.targets.declare`.\n"""\n',
        "# ruff: noqa: E501",
        "from openane.program.registers import RegisterMap",
        "from openane.targets.declare import block\n",
        wrapped("Header", 0, "the first words of a task descriptor", header).strip()[:-1].join(("_HEADER = ", "\n")),
        wrapped("Extra", 4 * sheet["header"]["words"], "only when TDE is set", extra)
        .strip()[:-1]
        .join(("_EXTRA = ", "\n")),
        "_BLOCKS = (",
        *blocks,
        ")\n",
        f'REGISTERS = RegisterMap("{name}", _HEADER, _BLOCKS, _EXTRA, "{status[:1].upper() + status[1:]}.")',
    ]
    return "\n".join(parts) + "\n"


def main() -> None:
    """Writes one file a generation."""
    folder = Path(sys.argv[1])
    for name in GENERATIONS:
        sheet = json.loads((folder / f"{name}.json").read_text())
        target = PACKAGE / name
        target.mkdir(exist_ok=True)
        (target / "registers.py").write_text(module(sheet))
        print(f"{target / 'registers.py'}: {sum(len(b['registers']) for b in sheet['blocks'])} registers")


if __name__ == "__main__":
    main()
