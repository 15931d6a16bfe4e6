"""Shared output of commands: tables, progress, JSON, quantities. Imports nothing slow."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from openane.cli._layout import GAP, fit
from openane.cli._say import is_quiet, say_json
from openane.cli._schemas import VERSIONS
from openane.core.errors import InputError, OpenaneError, printable

if TYPE_CHECKING:
    from rich.progress import TextColumn

FILE = click.Path(path_type=Path)
JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
SHAPE_OPTION = click.option(
    "--shape",
    "shapes",
    multiple=True,
    metavar="NAME=1,3,224,224",
    help="Shape of an input with open dimensions; repeatable.",
)
PAGE_COLUMNS = 160
"""Width of tables that are written to a file or a pipe, in characters."""


def print_json(schema: str, value: Mapping[str, Any]) -> None:
    """Prints an object as JSON, with its schema; inf and nan, which JSON does not have, become strings.

    Args:
        schema: a name in `_schemas.VERSIONS`.
        value: the other keys.
    """
    document = {"schema": schema, "schema_version": VERSIONS[schema], **value}
    say_json(json.dumps(_plain(document), indent=2, ensure_ascii=False))


def print_errors(error: OpenaneError, status: int) -> None:
    """Prints the findings of an error as JSON."""
    found = [
        {name: getattr(each, name) for name in ("what", "where", "rule", "limit", "value", "hint")}
        for each in error.diagnostics
    ]
    print_json("error", {"kind": type(error).__name__, "status": status, "errors": found})


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if hasattr(value, "item"):  # a numpy scalar; avoids importing numpy
        return _plain(value.item())
    return value


def print_table(
    title: str, columns: tuple[str, ...], rows: list[tuple[object, ...]], numeric: tuple[str, ...] = ()
) -> None:
    """Prints a table to standard output, without empty columns.

    Args:
        title: above the table.
        columns: titles.
        rows: cells.
        numeric: columns that are aligned to the right and never shortened.
    """
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, emoji=False, width=PAGE_COLUMNS)
    cells = [[printable(str(cell), keep="") for cell in row] for row in rows]
    titles, cells = fit(columns, cells, numeric, console.width)
    table = Table(
        title=printable(title, keep=""), title_justify="left", title_style="bold", box=None, padding=(0, GAP, 0, 0)
    )
    for column in titles:
        table.add_column(column, justify="right" if column in numeric else "left", overflow="fold")
    for row in cells:
        table.add_row(*row, style=None)
    console.print(table)


@contextmanager
def working(what: str) -> Iterator[None]:
    """Shows an activity and its elapsed time on the terminal while the block runs; silent without a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal or is_quiet():
        yield
        return
    from rich.progress import Progress, SpinnerColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), progress_text(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        progress.add_task(printable(what, keep=""))
        yield


def progress_text() -> TextColumn:
    """The text of a progress display, without interpreting file names as markup."""
    from rich.progress import TextColumn

    return TextColumn("{task.description}", markup=False)


def quantity(count: float, unit: str = "") -> str:
    """A count in thousands: 1234567 -> "1.23 M"; for bytes use powers of 1024: "B" -> "1.18 MiB"."""
    step, prefixes = (1024.0, ("", "Ki", "Mi", "Gi", "Ti")) if unit == "B" else (1000.0, ("", "k", "M", "G", "T"))
    index = 0
    while abs(count) >= step and index < len(prefixes) - 1:
        count /= step
        index += 1
    number = f"{count:.0f}" if index == 0 else f"{count:.3g}" if count < 100 else f"{count:.0f}"
    return f"{number} {prefixes[index]}{unit}".strip()


def parse_shapes(pairs: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """The sizes of `--shape NAME=1,3,224,224` options.

    Raises:
        InputError: not of that form, or a size below 1.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for pair in pairs:
        name, sign, sizes = pair.rpartition("=")
        try:
            shape = tuple(int(size) for size in sizes.replace("x", ",").split(","))
        except ValueError:
            shape = ()
        if not sign or not name or not shape or min(shape) < 1:
            raise InputError("malformed --shape option", value=pair, limit="NAME=1,3,224,224, sizes of at least 1")
        shapes[name] = shape
    return shapes
