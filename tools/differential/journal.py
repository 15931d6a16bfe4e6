"""The journal of a campaign: one line of JSON a case, written at once, readable after any kill."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Line = Mapping[str, Any]


def read(journal: Path) -> Iterator[dict[str, Any]]:
    """The whole lines; one that was cut short by a kill is left out."""
    if not journal.exists():
        return
    with journal.open() as file:
        for text in file:
            try:
                yield json.loads(text)
            except ValueError:
                continue


def append(journal: Path, line: Line) -> None:
    """Adds a line in one write, so that several processes can write and none loses a finished case."""
    data = json.dumps(line).encode() + b"\n"
    descriptor = os.open(journal, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        cut_short = size and os.pread(descriptor, 1, size - 1) != b"\n"
        os.write(descriptor, b"\n" * bool(cut_short) + data)
    finally:
        os.close(descriptor)


def unfinished(journal: Path, start: int) -> Iterator[int]:
    """The numbers from `start` on that have no line yet, for ever."""
    done = {int(line["seed"]) for line in read(journal)}
    seed = start
    while True:
        if seed not in done:
            yield seed
        seed += 1
