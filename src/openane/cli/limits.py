"""`openane limits`: list every rule by which the compiler refuses a layer."""

from __future__ import annotations

from dataclasses import asdict

import click

from openane.cli._show import JSON_OPTION, print_json, print_table
from openane.targets.registry import DEFAULT_TARGET


@click.command()
@click.argument("target", default=DEFAULT_TARGET)
@JSON_OPTION
def command(target: str, as_json: bool) -> None:
    """List the limits of TARGET: the rules that `compile`, `explain` and their messages use."""
    from openane.compiler.rules import limits
    from openane.targets import get

    found = limits(get(target))
    if as_json:
        print_json("limits", {"limits": [asdict(limit) for limit in found]})
        return
    print_table(
        f"limits of {target}",
        ("units", "rule", "limit of", "refused", "accepted", "evidence"),
        [(limit.family, limit.name, limit.kind, limit.text, limit.limit, limit.evidence) for limit in found],
    )
