"""The operands and the header of .anec files on the command line."""

from __future__ import annotations

from openane.cli._say import say
from openane.cli._show import print_table
from openane.compiler.driver import OutputKind
from openane.core.errors import InputError
from openane.formats.anec import HEADER_SIZES, libane_order
from openane.formats.anec_operands import LIBRARIES, operand_rows
from openane.program import Program, Role


def header_size(text: str | None, kind: OutputKind) -> int:
    """The size of a .anec header in bytes.

    Args:
        text: of --header; None for the default.
        kind: of the output.

    Raises:
        InputError: not one of the two sizes, or the output has no such header.
    """
    if text is None:
        return HEADER_SIZES[0]
    if kind is not OutputKind.ANEC:
        raise InputError("only a .anec has this header", value=f"--header {text}", limit="an output OUT.anec")
    sizes = {name: size for size in HEADER_SIZES for name in (hex(size), str(size))}
    if text.lower() not in sizes:
        known = "; ".join(f"{size:#x} for {readers}" for size, readers in LIBRARIES.items())
        raise InputError("not a size of the header of a .anec", value=f"--header {text}", limit=known)
    return sizes[text.lower()]


def anec_facts(program: Program, header_bytes: int) -> dict[str, object]:
    """Header size and operands of a .anec that a program was written to, as plain values."""
    ordered = libane_order(program)
    operands = {"inputs": operand_rows(ordered.inputs), "outputs": operand_rows(ordered.outputs)}
    return {"header_bytes": header_bytes, "libraries": LIBRARIES[header_bytes], **operands}


def show_operands(program: Program, header_bytes: int) -> None:
    """Prints the operands of a .anec file in the order in which a library takes them."""
    ordered = libane_order(program)
    rows: list[tuple[object, ...]] = []
    for role, surfaces in ((Role.INPUT, ordered.inputs), (Role.OUTPUT, ordered.outputs)):
        for each in operand_rows(surfaces):
            shape = "x".join(map(str, each["shape"]))
            facts = (each["buffer"], each["type"], shape, each["plane_bytes"], each["row_bytes"])
            rows.append((f"{role.value} {each['index']}", each["name"], *facts))
    columns = ("operand", "name", "buffer", "type", "N C H W", "bytes per plane", "bytes per row")
    print_table("operands, numbered as the library's functions take them", columns, rows, ("buffer", *columns[5:]))
    say(f"header of {header_bytes:#x} bytes, for {LIBRARIES[header_bytes]}")
