"""`openane dis`: print a compiled program as assembly text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from openane.cli._compiled import open_compiled
from openane.cli._say import say_text
from openane.cli._show import FILE, JSON_OPTION, print_json

if TYPE_CHECKING:
    from openane.core.reader import Buffer
    from openane.formats.assembly.write import ConstantLines

#: Longer constants are written to a separate file next to the text, or referenced in the disassembled file.
INLINE_BYTES = 1 << 20


@click.command()
@click.argument("file", type=FILE)
@click.option("-o", "--output", type=FILE, metavar="OUT.s", help="Write the text to a file instead of the terminal.")
@click.option(
    "--constants",
    type=click.Choice(["auto", "inline", "file", "reference"]),
    default="auto",
    show_default=True,
    help="Where constants go: in the text, in a file next to OUT.s, or referenced in FILE. Auto: inline up to 1 MiB.",
)
@click.option(
    "--program", "program_only", is_flag=True, help="Omit the container; the assembler then writes a new one."
)
@JSON_OPTION
def command(file: Path, output: Path | None, constants: str, program_only: bool, as_json: bool) -> None:
    """Disassemble FILE (.hwx, .anec; a model is compiled first). `openane asm` restores the same bytes."""
    from openane.analysis.listing import listing
    from openane.core.files import write_atomically
    from openane.formats.assembly import Parts
    from openane.program import Program
    from openane.targets.assembly import disassemble, open_container

    if as_json:
        print_json("dis", listing(open_compiled(file).program))
        return
    container = open_container(file)
    source = container if container is not None else open_compiled(file).program
    data = source.constants if isinstance(source, Program) else source.image().constants
    choice, extra = _constants(constants, file if container else None, output, data)
    parts = Parts.PROGRAM if program_only else Parts.ALL
    text = disassemble(source, parts=parts, constants=choice)
    if extra is not None:
        write_atomically(*extra)
    if output is None:
        say_text(text)
    else:
        write_atomically(output, text.encode())


def _constants(
    wanted: str, file: Path | None, output: Path | None, constants: Buffer
) -> tuple[ConstantLines, tuple[Path, Buffer] | None]:
    """How constants are written, and the file that accompanies the text; `file` is None if it does not hold them."""
    from openane.formats.assembly.data import reference_line
    from openane.formats.assembly.write import inline

    if wanted == "auto":
        wanted = "inline" if len(constants) <= INLINE_BYTES else "file" if output else "reference"
    if wanted == "inline" or not len(constants) or (file is None and output is None):
        return inline, None
    if output is not None and (wanted == "file" or file is None):
        sidecar = output.with_suffix(".constants.bin")
        return (lambda data: [reference_line(sidecar.name, 0, data)]), (sidecar, constants)
    assert file is not None
    return (lambda data: [reference_line(str(file), _offset(file, data), data)]), None


def _offset(file: Path, data: Buffer) -> int:
    """The offset of the constants in a file, in bytes."""
    from openane.formats.hwx import HwxFile
    from openane.targets.assembly import open_container

    container = open_container(file)
    if isinstance(container, HwxFile):
        return container.offset_of(container.image().constants)
    assert container is not None
    return container.header_bytes + container.header.constants_offset
