"""A program as a table, for notebooks and pandas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from openane.core import html
from openane.core.frames import to_frame

if TYPE_CHECKING:
    from openane.program.program import Program

COLUMNS = ("task", "engine", "operation", "from", "to", "kernel bytes", "bytes", "layers")
NUMERIC = ("task", "kernel bytes", "bytes")


def task_rows(program: Program, first: int = 0) -> Iterator[tuple[object, ...]]:
    """One row a task under COLUMNS; without a codec only what the container tells.

    Args:
        program: the program.
        first: number of its first task.
    """
    for index, task in enumerate(program.tasks, first):
        layers = str(task.origin)
        if program.codec is None:
            yield (index, "", "", "", "", 0, task.size_bytes, layers)
            continue
        found = program.codec.summarize(task)
        shapes = ("x".join(map(str, shape)) for shape in (found.source_shape, found.result_shape))
        yield (index, found.engine, found.operation, *shapes, found.kernel_bytes, task.size_bytes, layers)


def program_html(program: Program) -> str:
    """Surfaces and tasks as two tables."""
    surfaces = [
        (each.name, each.role.value, each.dtype.value, "x".join(map(str, each.shape)), each.size_bytes, each.buffer)
        for each in program.surfaces
    ]
    title = f"{program.name}: {len(program.tasks)} tasks for {program.target}, {len(program.constants)} constant bytes"
    columns = ("surface", "role", "type", "N D C H W", "bytes", "buffer")
    return html.table(title, columns, surfaces, ("bytes", "buffer")) + html.table(
        "tasks", COLUMNS, task_rows(program), NUMERIC
    )


def program_frame(program: Program) -> Any:
    """The tasks as a `pandas.DataFrame`.

    Raises:
        UnavailableError: pandas is not installed.
    """
    return to_frame(COLUMNS, task_rows(program))
