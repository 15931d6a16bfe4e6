"""`openane explain`: which layer runs where, and why."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from openane.analysis.explain import Explanation, Where, explain
from openane.api import load
from openane.cli._show import (
    FILE,
    JSON_OPTION,
    SHAPE_OPTION,
    TARGET_OPTION,
    parse_shapes,
    print_json,
    print_table,
    quantity,
    working,
)
from openane.compiler.driver import Options, build
from openane.core.errors import InputError
from openane.graph import Graph


@click.command()
@click.argument("file", type=FILE)
@TARGET_OPTION
@SHAPE_OPTION
@click.option(
    "--require", type=click.FloatRange(0, 100), help="Fail unless this percentage of the work is on the engine."
)
@JSON_OPTION
def command(file: Path, target: str, shapes: tuple[str, ...], require: float | None, as_json: bool) -> None:
    """Tell for every layer of the model FILE where it runs, which rule decided, and what would change that."""
    with working(f"compiling {file.name}"):
        source = load(file, shapes=parse_shapes(shapes))
        if not isinstance(source, Graph):
            raise InputError("only models have layers to explain", where=str(file), hint="Try `openane info`.")
        found = explain(build(source, Options(target=target)), source)
    if as_json:
        print_json(as_plain(found))
    else:
        show(found)
    share = 100 * found.engine_share
    if require is not None and share < require:
        click.echo(f"error: {share:.1f} % of the work is on the engine, {require:g} % is required", err=True)
        sys.exit(1)


def as_plain(found: Explanation) -> dict[str, object]:
    """The explanation as plain values."""
    return {
        "model": found.model,
        "target": found.target,
        "engine_share": found.engine_share,
        "programs": found.programs,
        "crossings": found.crossings,
        "layers": [
            {
                "name": layer.name,
                "operation": layer.operation,
                "where": layer.where.value,
                "tasks": list(layer.tasks),
                "macs": layer.macs,
                "reason": None
                if layer.reason is None
                else {
                    "what": layer.reason.what,
                    "rule": layer.reason.rule,
                    "limit": layer.reason.limit,
                    "value": layer.reason.value,
                    "hint": layer.reason.hint,
                },
            }
            for layer in found.layers
        ],
    }


def show(found: Explanation) -> None:
    """Prints the table and the totals."""
    rows: list[tuple[object, ...]] = []
    for layer in found.layers:
        reason = layer.reason
        why = "" if reason is None else reason.what
        limit = "" if reason is None else "; ".join(part for part in (reason.value, reason.limit) if part)
        tasks = _spans(layer.tasks)
        hint = "" if reason is None else reason.hint
        rows.append((layer.name, layer.operation, layer.where.value, tasks, why, limit, hint))
    columns = ("layer", "operation", "where", "tasks", "why", "value; limit", "what would help")
    print_table(f"{found.model} on {found.target}", columns, rows)
    on_host = sum(layer.where is Where.HOST for layer in found.layers)
    total = sum(layer.macs for layer in found.layers)
    click.echo(
        f"{found.engine_share:.1%} of {quantity(total)} multiply-adds on the engine; {found.programs} programs, "
        f"{found.crossings} crossings, {on_host} layers on the host"
    )


def _spans(numbers: tuple[int, ...]) -> str:
    """Task numbers as ranges: "3-5, 9"."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in spans)
