"""A compiled model as tables, for notebooks and pandas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openane.core import html
from openane.core.frames import to_frame
from openane.program.notebook import COLUMNS, NUMERIC, task_rows

if TYPE_CHECKING:
    from openane.compiler.plan import Artifact


def artifact_rows(artifact: Artifact) -> list[tuple[object, ...]]:
    """One row a task under (program, COLUMNS); tasks are numbered over all programs."""
    rows: list[tuple[object, ...]] = []
    for number, program in enumerate(artifact.programs):
        rows += [(number, *row) for row in task_rows(program, len(rows))]
    return rows


def artifact_html(artifact: Artifact) -> str:
    """Inputs, outputs, steps and tasks."""
    plan = artifact.plan
    pairs = [("target", artifact.target), ("programs", len(artifact.programs))]
    host = len(plan.steps) - len(artifact.programs)
    pairs += [("host steps", host)] if host else []
    pairs += [(f"input {name}", kind) for name, kind in plan.inputs.items()]
    pairs += [(f"output {name}", kind) for name, kind in plan.outputs.items()]
    pairs += [("warning", warning) for warning in artifact.warnings]
    tasks = html.table("tasks", ("program", *COLUMNS), artifact_rows(artifact), ("program", *NUMERIC))
    return html.facts(plan.name, pairs) + tasks


def artifact_frame(artifact: Artifact) -> Any:
    """The tasks of all programs as a `pandas.DataFrame`.

    Raises:
        UnavailableError: pandas is not installed.
    """
    return to_frame(("program", *COLUMNS), artifact_rows(artifact))
