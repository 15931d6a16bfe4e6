"""Makes the reference pages of the docs from the code, so that they cannot fall behind it; a hook of mkdocs.

    mkdocs build            (reads mkdocs.yml, which names this file as a hook)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import click

from openane.analysis.reference import register_reference
from openane.cli import root
from openane.core import errors
from openane.graph import Operation
from openane.graph import ops
from openane.targets import generation, get


def commands() -> Iterator[str]:
    """Every verb with its help, as the command line prints it."""
    yield "# Commands\n"
    context = click.Context(root, info_name="openane")
    for name in root.list_commands(context):
        command = root.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context)
        yield f"## openane {name}\n\n```text\n{command.get_help(inner)}\n```\n"


def operations() -> Iterator[str]:
    """Every operation of the graph: what it computes and its attributes."""
    yield "# Operations of the graph\n\nWhat front ends read models into. Names of inputs ending in `?` are optional.\n"
    for name in sorted(vars(ops)):
        operation = getattr(ops, name)
        if not (inspect.isclass(operation) and issubclass(operation, Operation)) or operation is Operation:
            continue
        text = inspect.cleandoc(operation.__doc__ or "")
        inputs = ", ".join(f"`{each}`" for each in operation.input_names)
        body, _, attributes = text.partition("Attributes:")
        yield f"## {name}\n\n{body.strip()}\n\nInputs: {inputs}\n"
        rows = [line.strip() for line in attributes.splitlines() if line.strip()]
        if rows:
            yield "\n".join(f"- {row}" if ":" in row else f"  {row}" for row in rows) + "\n"


def limits() -> Iterator[str]:
    """Every rule by which the compiler refuses."""
    yield "# Limits of H13\n\nThe very rules that compiling, explaining and their messages use.\n"
    yield "| units | rule | refused | accepted | what would help | evidence |\n|---|---|---|---|---|---|"
    for limit in get("h13").limits():
        cells = (limit.family, f"`{limit.name}`", limit.text, limit.limit, limit.hint, limit.evidence)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def error_classes() -> Iterator[str]:
    """Every kind of error, with its meaning."""
    yield "# Errors\n\nEvery fault of the input is one of these; the command line prints its one line and ends with 1.\n"
    for name, kind in vars(errors).items():
        if inspect.isclass(kind) and issubclass(kind, errors.OpenaneError):
            yield f"## {name}\n\n{inspect.cleandoc(kind.__doc__ or '').split('Args:')[0].strip()}\n"


PAGES: dict[str, Callable[[], Iterator[str]]] = {
    "reference/commands.md": commands,
    "reference/operations.md": operations,
    "reference/limits.md": limits,
    "reference/registers-h13.md": lambda: iter([register_reference(generation("h13"))]),
    "reference/errors.md": error_classes,
}


def on_files(files: Any, config: Any) -> Any:
    """Called by mkdocs: adds the generated pages."""
    from mkdocs.structure.files import File

    for path, make in PAGES.items():
        files.append(File.generated(config, path, content="\n".join(make())))
    return files
