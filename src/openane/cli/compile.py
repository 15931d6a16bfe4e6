"""`openane compile`: a file of any level in, a container or a net.plist out."""

from __future__ import annotations

from pathlib import Path

import click

from openane.api import compile
from openane.cli._show import (
    FILE,
    JSON_OPTION,
    SHAPE_OPTION,
    TARGET_OPTION,
    parse_shapes,
    print_json,
    quantity,
    working,
)
from openane.compiler.driver import output_kind, save


@click.command()
@click.argument("file", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, metavar="OUT", help="OUT.hwx, OUT.anec or OUT.plist.")
@click.option("--dialect", metavar="NAME", help="Whose layout habits to follow: macos-26, macos-11 or linux.")
@SHAPE_OPTION
@TARGET_OPTION
@JSON_OPTION
def command(file: Path, output: Path, dialect: str | None, shapes: tuple[str, ...], target: str, as_json: bool) -> None:
    """Compile FILE (a model, net.plist or program) and write OUT; its ending says what to write."""
    output_kind(output)
    with working(f"compiling {file.name}"):
        artifact = compile(file, target, dialect=dialect, shapes=parse_shapes(shapes), host=False)
        save(artifact, output)
    program = artifact.program
    facts = {
        "output": str(output),
        "bytes": output.stat().st_size,
        "target": artifact.target,
        "dialect": program.dialect,
        "tasks": len(program.tasks),
        "constant_bytes": len(program.constants),
        "scratch_bytes": program.scratch_bytes,
    }
    if as_json:
        print_json(facts)
    else:
        click.echo(
            f"{output}: {quantity(output.stat().st_size, 'B')}, {len(program.tasks)} tasks for {artifact.target} "
            f"({program.dialect}), constants {quantity(len(program.constants), 'B')}"
        )
