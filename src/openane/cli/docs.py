"""`openane docs`: print the register reference of a chip generation."""

from __future__ import annotations

import click

from openane.cli._say import say_text
from openane.cli._show import JSON_OPTION, print_json
from openane.core.errors import InputError
from openane.core.suggestions import suggest
from openane.targets.registry import DEFAULT_TARGET, GENERATIONS, generation

_TOPICS = ("registers",)


@click.command()
@click.argument("topic", metavar="registers")
@click.argument("target", default=DEFAULT_TARGET, metavar=f"[{'|'.join(GENERATIONS)}]")
@JSON_OPTION
def command(topic: str, target: str, as_json: bool) -> None:
    """Print the register reference of a chip generation as Markdown."""
    from openane.analysis.reference import register_reference, registers_as_values

    if topic not in _TOPICS:
        raise InputError("unknown topic", value=topic, limit=", ".join(_TOPICS), hint=suggest(topic, _TOPICS))
    made_for = generation(target)
    if as_json:
        print_json("docs", registers_as_values(made_for))
    else:
        say_text(register_reference(made_for))
