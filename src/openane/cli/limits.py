"""`openane limits`: list every rule by which the compiler refuses."""

from __future__ import annotations

from dataclasses import asdict

import click

from openane.cli._show import JSON_OPTION, print_json, print_table
from openane.targets import get
from openane.targets.registry import DEFAULT_TARGET


@click.command()
@click.argument("target", default=DEFAULT_TARGET)
@JSON_OPTION
def command(target: str, as_json: bool) -> None:
    """Print the limits of TARGET: the very rules that compiling, explaining and their messages use."""
    limits = get(target).limits()
    if as_json:
        print_json([asdict(limit) for limit in limits])
        return
    print_table(
        f"limits of {target}",
        ("units", "rule", "refused", "accepted", "evidence"),
        [(limit.family, limit.name, limit.text, limit.limit, limit.evidence) for limit in limits],
    )
