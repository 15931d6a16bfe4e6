"""`openane doctor`: report what works on this machine, and what to do next."""

from __future__ import annotations

from dataclasses import asdict

import click

from openane.cli._say import say
from openane.cli._show import JSON_OPTION, print_json, print_table

MARKS = {True: "yes", False: "no", None: ""}


@click.command(name="doctor", short_help="Report devices, drivers and packages of this machine, and what to do next.")
@JSON_OPTION
def command(as_json: bool) -> None:
    """Report what openane can use on this machine: chip, drivers, permissions, frameworks, packages.

    The command changes nothing and loads no model. Attach the output of --json to bug reports.
    """
    from openane.runtimes.doctor import examine

    report = examine()
    if as_json:
        print_json("doctor", asdict(report))
        return
    rows: list[tuple[object, ...]] = [
        (each.area, each.name, MARKS[each.works], each.value, each.hint) for each in report.findings
    ]
    print_table("This machine", ("area", "what", "works", "found", "hint"), rows)
    say()
    print_table(
        "Runtimes",
        ("runtime", "available", "why", "hint"),
        [(name, MARKS[found.available], found.reason, found.hint) for name, found in report.runtimes.items()],
    )
    details: list[tuple[object, ...]] = [
        (name, fact, value) for name, found in report.runtimes.items() for fact, value in found.facts.items()
    ]
    if details:
        say()
        print_table("Details", ("runtime", "fact", "value"), details)
    say()
    say("Next steps")
    for step in report.next_steps:
        say(f"- {step}")
