"""The record of what was run: lines of JSON that add up over many runs of tools/fuzz_readers.py."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn of a reader gave.

    Attributes:
        reader: by name.
        guided: whether coverage led the way.
        runs: inputs read.
        seconds: of processor time.
        findings: inputs that were answered badly, each place in the code counted once.
        corpus: inputs that turns begin with.
        edges: branches seen by a guided turn; 0 for others.
    """

    reader: str
    guided: bool
    runs: int
    seconds: float
    findings: int
    corpus: int
    edges: int


def append(path: Path, turn: Turn) -> None:
    """Adds a line; several processes may do so at a time."""
    with path.open("ab") as file:
        file.write(json.dumps(asdict(turn)).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read(path: Path) -> list[Turn]:
    """The turns of a journal; a line that was cut short by a kill is left out."""
    turns = []
    for line in path.read_text().splitlines() if path.exists() else []:
        with suppress(ValueError, TypeError):
            turns.append(Turn(**json.loads(line)))
    return turns


def report(turns: Iterable[Turn], names: Iterable[str]) -> str:
    """The sums of a journal as a table in Markdown, a row a reader."""
    kept = list(turns)
    head = ("reader", "executions", "guided", "processor seconds", "executions a second", "edges", "corpus", "findings")
    rows = [_row(name, [turn for turn in kept if turn.reader == name]) for name in names]
    rows.append(("all", *_sums(kept)[:4], "", "", _sums(kept)[4]))
    lines = [head, ("---", *("---:" for _ in head[1:])), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _sums(turns: list[Turn]) -> tuple[str, str, str, str, str]:
    runs, seconds = sum(turn.runs for turn in turns), sum(turn.seconds for turn in turns)
    guided = sum(turn.runs for turn in turns if turn.guided)
    rate = runs / seconds if seconds else 0.0
    return f"{runs:,}", f"{guided:,}", f"{seconds:,.0f}", f"{rate:,.0f}", str(sum(turn.findings for turn in turns))


def _row(name: str, turns: list[Turn]) -> tuple[str, ...]:
    runs, guided, seconds, rate, findings = _sums(turns)
    edges = max((turn.edges for turn in turns), default=0)
    corpus = turns[-1].corpus if turns else 0
    return name, runs, guided, seconds, rate, str(edges or "-"), str(corpus), findings
