"""`openane view`: write an HTML page about one or two programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from openane.cli._inputs import complete_inputs, read_inputs
from openane.cli._options import compile_options, options_of
from openane.cli._say import say
from openane.cli._show import FILE, quantity, working
from openane.core.errors import InputError, valid
from openane.cost.chips import CHIPS, DEFAULT_CHIP

if TYPE_CHECKING:
    from openane.analysis.comparison import ModelComparison
    from openane.analysis.describe import Description
    from openane.artifact.plan import Artifact
    from openane.compiler.driver import Options
    from openane.graph import Graph
    from openane.net import Net
    from openane.viewer import Choices


@click.command()
@click.argument("file", type=FILE)
@click.argument("other", type=FILE, required=False)
@click.option("-o", "--output", type=FILE, required=True, metavar="PAGE.html", help="The page to write.")
@click.option(
    "--chip", default=DEFAULT_CHIP, show_default=True, metavar="NAME", help=f"Chip for the times: {', '.join(CHIPS)}."
)
@click.option(
    "--compare", "with_errors", is_flag=True, help="Run every layer and show its errors (see openane compare)."
)
@click.option("--input", "inputs", multiple=True, metavar="NAME=ARRAY.npy", help="An input for --compare.")
@compile_options()
def command(
    file: Path,
    other: Path | None,
    output: Path,
    chip: str,
    with_errors: bool,
    inputs: tuple[str, ...],
    **chosen: Any,
) -> None:
    """Write a page about FILE (a model, net.plist, .hwx or .anec), or about the differences between FILE and OTHER.

    The page is one self-contained file.
    """
    from openane.core.files import write_atomically
    from openane.viewer import Choices, document, page

    if output.suffix.lower() not in (".html", ".htm"):
        raise InputError("the page is HTML", where=str(output), value=output.suffix or "no extension", limit=".html")
    if inputs and not with_errors:
        raise InputError("--input needs --compare, which runs the layers")
    options = options_of(chosen)
    with working(f"compiling {file.name}"):
        artifact, source, description = open_any(file, options)
    comparison = None
    if with_errors:
        with working(f"running every layer of {file.name}"):
            comparison = errors_of(artifact, inputs)
    choices = Choices(chip, source, comparison, description)
    if other is None:
        found = document(artifact, choices)
    else:
        with working(f"compiling {other.name}"):
            found = difference_document(artifact, choices, file, other, options)
    text = page(found).encode()
    write_atomically(output, text)
    say(f"{output}: {quantity(len(text), 'B')}, {len(found['layers'])} layers, {len(found['tasks'])} tasks")


def open_any(file: Path, options: Options) -> tuple[Artifact, Graph | Net | None, Description | None]:
    """The compiled file, with the model it came from, or with the description of its container.

    Raises:
        OpenaneError: see `openane.core.errors`.
    """
    from openane.analysis.describe import describe
    from openane.compiler.driver import build, load_chosen
    from openane.graph import Graph
    from openane.net import Net
    from openane.targets.assembly import open_container

    container = open_container(file)
    if container is not None:
        return build(file, options), None, describe(container)
    level = load_chosen(file, options)
    return build(file, options), level if isinstance(level, (Graph, Net)) else None, None


def errors_of(artifact: Artifact, inputs: tuple[str, ...]) -> ModelComparison:
    """The comparison of every layer on the given inputs; missing ones are generated from the fixed seed."""
    from openane.analysis.compare import compare_layers
    from openane.compiler.generated_inputs import blaming_generated

    arrays, made = complete_inputs(read_inputs(inputs, artifact.plan.inputs), artifact.plan)
    with blaming_generated(made):
        return compare_layers(artifact, arrays)


def difference_document(
    artifact: Artifact, choices: Choices, file: Path, other: Path, options: Options
) -> dict[str, Any]:
    """The page of two programs.

    Raises:
        InputError: one of them is not a single program.
    """
    from openane.analysis.diff import diff_programs
    from openane.targets.assembly import open_container
    from openane.viewer import diff_document

    second, _, _ = open_any(other, options)
    containers = (open_container(file), open_container(other))
    difference = diff_programs(artifact.program, second.program, containers)
    found = diff_document(artifact, second, difference, choices)
    found["title"] = valid(f"{file.name} and {other.name}")
    found["difference"]["names"] = [valid(file.name), valid(other.name)]
    return found
