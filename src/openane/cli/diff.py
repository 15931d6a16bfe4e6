"""`openane diff`: show the differences between two programs."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from openane.cli._compiled import open_compiled
from openane.cli._ending import WRONG_STATUS
from openane.cli._options import TARGET_OPTION
from openane.cli._say import say
from openane.cli._show import FILE, JSON_OPTION, print_json

if TYPE_CHECKING:
    from openane.analysis.diff import FieldDifference, ProgramDifference, TaskDifference

_SHOWN_LINES = 40


@click.command()
@click.argument("first", type=FILE, metavar="A")
@click.argument("second", type=FILE, metavar="B")
@click.option("--all", "show_all", is_flag=True, help="Show all lines.")
@TARGET_OPTION
@JSON_OPTION
def command(first: Path, second: Path, show_all: bool, target: str, as_json: bool) -> None:
    """Compare A and B (compiled files, assembly text, or models, which are compiled first).

    Exits with status 0 if they are equal, 1 if they differ.
    """
    from openane.analysis.diff import diff_programs

    one, two = open_compiled(first, target), open_compiled(second, target)
    difference = diff_programs(one.program, two.program, (one.container, two.container))
    if as_json:
        print_json("diff", asdict(difference))
    else:
        _print(difference, str(first), str(second), None if show_all else _SHOWN_LINES)
    sys.exit(0 if difference.same else WRONG_STATUS)


def _print(difference: ProgramDifference, first: str, second: str, limit: int | None) -> None:
    say(f"--- {first}")
    say(f"+++ {second}")
    if difference.same:
        say("no difference")
        return
    _print_fields("program", difference.program)
    _print_fields("surfaces", difference.surfaces)
    for task in difference.tasks:
        _print_task(task)
    say(f"tasks: {difference.equal_tasks} equal, {len(difference.tasks)} different")
    sizes = difference.constant_sizes
    if difference.constants or sizes[0] != sizes[1]:
        say(f"constants: {sizes[0]} bytes, {sizes[1]} bytes")
        _print_some([f"  {r.start:#x}..{r.end:#x}: {r.count} bytes differ" for r in difference.constants], limit)
    if difference.container:
        say("container:")
        _print_some([f"  {line}" for line in difference.container], limit)


def _print_some(lines: list[str], limit: int | None) -> None:
    shown = lines if limit is None else lines[:limit]
    for line in shown:
        say(line)
    if len(shown) < len(lines):
        say(f"  ... {len(lines) - len(shown)} more lines (--all shows them)")


def _print_fields(title: str, fields: tuple[FieldDifference, ...]) -> None:
    if fields:
        say(f"{title}:")
    for each in fields:
        _print_field(each)


def _print_field(each: FieldDifference) -> None:
    values = (value if value is not None else "absent" for value in (each.first, each.second))
    meaning = f"   ({each.meaning})" if each.meaning else ""
    say(f"  {each.path}: {' -> '.join(values)}{meaning}")


def _print_task(task: TaskDifference) -> None:
    if task.second is None:
        say(f"task {task.first} only in A: {task.first_summary}")
    elif task.first is None:
        say(f"task {task.second} only in B: {task.second_summary}")
    else:
        index = str(task.first) if task.first == task.second else f"{task.first} (in B {task.second})"
        say(f"task {index}: {task.first_summary}")
        if task.second_summary != task.first_summary:
            say(f"  in B: {task.second_summary}")
    for each in task.fields:
        _print_field(each)
