"""`openane doctor`: report what works on this machine and what to do next."""

from __future__ import annotations

from dataclasses import asdict

import click

from openane.cli._say import say
from openane.cli._show import JSON_OPTION, print_json, print_table
from openane.runtimes.doctor import examine

MARKS = {True: "yes", False: "no", None: ""}


@click.command(name="doctor", short_help="Look at this machine: devices, drivers, packages; what works, what to do.")
@JSON_OPTION
def command(as_json: bool) -> None:
    """Looks at this machine and says what openane can use: chip, drivers, permissions, frameworks, packages.

    Nothing is changed and no model is loaded. Attach the output of --json to reports.
    """
    report = examine()
    if as_json:
        print_json(asdict(report))
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
