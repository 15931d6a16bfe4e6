"""Writes docs/assumptions.md: what no record shows, its meaning, and the cases of verify-device that settle it.

python tools/assumptions_page.py            writes the page
python tools/assumptions_page.py --check    fails when the page is not what would be written
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from openane.runtimes.verification import all_cases
from openane.runtimes.verification.check import compile_case
from openane.targets.h13.evidence.assumptions import ASSUMPTIONS
from openane.targets.h13.read import TaskFields

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "assumptions.md"


def shown_by() -> dict[str, set[str]]:
    """Assumption -> the fields by which the programs of its cases show that they depend on it."""
    found: dict[str, set[str]] = {each.name: set() for each in ASSUMPTIONS}
    cases = {case.name: case for case in all_cases()}
    for each in ASSUMPTIONS:
        for name in each.cases:
            for task in compile_case(cases[name], "h13").tasks:
                found[each.name].update(each.fields_of(TaskFields.of(task)))
    return found


def page() -> Iterator[str]:
    """The lines of the table."""
    fields = shown_by()
    yield "| | subject | encoding | shown by | settled by |"
    yield "|---|---|---|---|---|"
    for each in ASSUMPTIONS:
        shown = ", ".join(f"`{field}`" for field in sorted(fields[each.name])) or "-"
        cases = ", ".join(f"`{name}`" for name in each.cases)
        yield f"| {each.name} | {each.subject} | {each.encoding} | {shown} | {cases} |"


def text() -> str:
    """The whole page."""
    head, tail = ((ROOT / "tools" / f"assumptions_{part}.md").read_text() for part in ("head", "tail"))
    return head + "\n".join(page()) + "\n" + tail


def main() -> None:
    """Writes or checks the page."""
    if sys.argv[1:] == ["--check"]:
        sys.exit(0 if PAGE.read_text() == text() else f"{PAGE.name} is old: run {Path(__file__).name}")
    PAGE.write_text(text())


if __name__ == "__main__":
    main()
