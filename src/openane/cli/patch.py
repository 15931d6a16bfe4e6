"""`openane patch`: change fields of tasks in a compiled program."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from openane.cli._compiled import (
    Compiled,
    container_of,
    numbered,
    open_compiled,
    program_pieces,
    warn_about,
    write_compiled,
)
from openane.cli._say import say
from openane.cli._show import FILE

if TYPE_CHECKING:
    from openane.core.reader import Buffer
    from openane.program import Program, Task


@click.command()
@click.argument("file", type=FILE)
@click.argument("changes", nargs=-1, required=True, metavar="'task[0].PE.Cfg.OpMode=mul' ...")
@click.option("-o", "--output", type=FILE, required=True, metavar="OUT", help="OUT.hwx or OUT.anec.")
def command(file: Path, changes: tuple[str, ...], output: Path) -> None:
    """Change fields of tasks in FILE and write OUT.

    If OUT has the same container as FILE, all other bytes are unchanged.
    """
    from openane.formats.anec import AnecFile
    from openane.program.patch import Patch, apply_patches

    kind = container_of(output)
    patches = [Patch.parse(change) for change in changes]
    compiled = open_compiled(file)
    patched = apply_patches(compiled.program, patches)
    warn_about(patched)
    same = isinstance(compiled.container, AnecFile)  # of a .anec, the numbers are those of the file
    write_compiled(output, _pieces(compiled, patched, kind), patched if same else numbered(patched, kind))
    words = sum(
        one != two for a, b in zip(compiled.program.tasks, patched.tasks, strict=True) for one, two in _words(a, b)
    )
    say(f"{output}: {words} words changed")


def _words(one: Task, two: Task) -> list[tuple[int, int]]:
    pairs = [*zip(one.header, two.header, strict=True), *zip(one.extra, two.extra, strict=True)]
    for a, b in zip(one.bursts, two.bursts, strict=True):
        pairs += zip(a.words, b.words, strict=True)
    return pairs


def _pieces(compiled: Compiled, patched: Program, kind: str) -> list[Buffer]:
    """The same file with other task words, or a new one if the kind of file differs."""
    from openane.formats.anec import AnecFile
    from openane.formats.hwx import HwxFile
    from openane.program.patch import patched_text

    file = compiled.container
    if isinstance(file, HwxFile) and kind == "hwx":
        start = file.offset_of(file.image().text)
    elif isinstance(file, AnecFile) and kind == "anec":
        start = file.header_bytes
    else:
        return program_pieces(patched, kind)
    text = file.image().text
    data = memoryview(file.reader.data)
    return [data[:start], patched_text(compiled.program, patched, text), data[start + len(text) :]]
