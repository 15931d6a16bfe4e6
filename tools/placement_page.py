"""Writes docs/placement.md: how to ask, how to measure, and how far the prediction agrees with what was measured.

    python tools/placement_page.py            writes the page
    python tools/placement_page.py --check    fails when the page is not what would be written

Needs the measured tables (`hw/placement.json`) in the folder OPENANE_SHARED.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.placement_agreement import Agreement, agreements  # noqa: E402  # of the tests

PAGE = ROOT / "docs" / "placement.md"
HEAD = ROOT / "tools" / "placement_head.md"


def main() -> None:
    """Writes or checks the page."""
    shared = Path(os.environ.get("OPENANE_SHARED", ROOT.parent / "shared"))
    tables: dict[str, Any] = json.loads((shared / "hw" / "placement.json").read_text())
    page = HEAD.read_text() + "\n".join(_agreement(agreements(tables))) + "\n"
    if sys.argv[1:] == ["--check"]:
        sys.exit(0 if PAGE.exists() and PAGE.read_text() == page else f"{PAGE.name} is old: run {Path(__file__).name}")
    PAGE.write_text(page)


def _agreement(found: list[Agreement]) -> Iterator[str]:
    yield "| table | rows | agree | ties | differ |"
    yield "|---|---|---|---|---|"
    for each in found:
        yield f"| {each.table} | {each.rows} | {each.agreed} | {each.ties} | {len(each.differ)} |"
    yield ""
    differ = [f"- {each.table}: {text}" for each in found for text in each.differ]
    yield "Disagreements:" if differ else "Disagreements: none."
    yield from differ


if __name__ == "__main__":
    main()
