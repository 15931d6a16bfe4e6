"""`openane passes`: list every pass of the compiler, in order."""

from __future__ import annotations

from dataclasses import asdict

import click

from openane.cli._show import JSON_OPTION, print_json, print_table


@click.command()
@JSON_OPTION
def command(as_json: bool) -> None:
    """List every pass of the compiler in order, with the reason for its position."""
    from openane.compiler.pipeline import all_steps

    steps = all_steps()
    if as_json:
        print_json("passes", {"passes": [asdict(step) for step in steps]})
        return
    rows: list[tuple[object, ...]] = [
        (str(number), step.level, step.name, step.reason) for number, step in enumerate(steps)
    ]
    print_table(
        "passes (openane compile --stop-after NAME or NUMBER)", ("", "level", "pass", "reason for its position"), rows
    )
