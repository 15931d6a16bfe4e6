"""`openane asm`: assemble text into a compiled program."""

from __future__ import annotations

from pathlib import Path

import click

from openane.cli._compiled import container_of, numbered, warn_about, write_compiled
from openane.cli._say import say
from openane.cli._show import FILE, quantity


@click.command()
@click.argument("file", type=FILE, metavar="FILE.s")
@click.option("-o", "--output", type=FILE, required=True, metavar="OUT", help="OUT.hwx or OUT.anec.")
def command(file: Path, output: Path) -> None:
    """Assemble FILE.s to OUT.

    Text that describes a container of the same kind reproduces that file exactly; otherwise a new container is written.
    """
    from openane.targets.assembly import assemble_file

    kind = container_of(output)
    assembled = assemble_file(file)
    if assembled.program is not None:
        warn_about(assembled.program)
    same = assembled.container == kind
    program = assembled.program
    if program is not None and not same:
        program = numbered(program, kind)
    size = write_compiled(output, assembled.file(kind), program)
    how = "as in the text" if same else "new"
    say(f"{output}: {quantity(size, 'B')}, container {how}")
