"""Damaged input for every reader: sound inputs made by rule, changed by seeds that are kept, within the limits."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("limits of the process are set on Linux only", allow_module_level=True)
pytest.importorskip("onnx")

import fuzz_readers
from fuzz_journal import Turn, append, read, report
from fuzz_readers import attempt, limits, place, replay, run_here, what
from fuzz_targets import FOREIGN_LIMIT_SECONDS, READERS, Reader

# Importing it takes long, and is done by another process.
pytestmark = pytest.mark.skipif(importlib.util.find_spec("coremltools") is None, reason="coremltools is missing")

RUNS = 15
INPUTS = sorted(Path(__file__).with_name("inputs").glob("*.bin"))
OWN = [name for name, reader in READERS.items() if reader.limit_seconds < FOREIGN_LIMIT_SECONDS]
"""Readers of our own; Keras and PyTorch take seconds to begin."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", OWN)
def test_readers_answer_or_refuse(name: str) -> None:
    outcome = run_here(name, RUNS, seed=1, seconds=10.0)
    assert outcome.findings == []
    if not outcome.counts[name]:
        pytest.skip("a package that makes the sound inputs is missing")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.stem)
def test_findings_stay_mended(path: Path) -> None:
    """Inputs of other people's formats that no rule makes; the name begins with the reader."""
    assert replay([path]) == []


def hang(data: bytes, folder: Path) -> None:
    while True:
        try:
            sum(range(1000))
        except Exception:
            continue


def grow(data: bytes, folder: Path) -> None:
    bytearray(2 << 30)


def escape(data: bytes, folder: Path) -> None:
    raise IndexError("list index out of range")


def hide(data: bytes, folder: Path) -> None:
    from openane.core.errors import FormatError

    try:
        bytearray(2 << 30)
    except MemoryError as error:
        raise FormatError("damaged") from error


@pytest.mark.parametrize(
    ("use", "kind"),
    [(hang, "TooLongError"), (grow, "MemoryError"), (escape, "IndexError"), (hide, "MemoryError")],
)
def test_the_limits_hold(use, kind, tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """A reader that hangs, takes too much memory, lets an error escape or hides one is found out."""
    readers = {"bad": Reader(lambda: [b"x"], use)}
    monkeypatch.setattr("fuzz_targets.READERS", readers)
    monkeypatch.setattr(fuzz_readers, "READERS", readers)
    with limits():
        error = attempt("bad", b"", tmp_path)
    assert error is not None
    assert what(error).startswith(kind)
    assert place(error).startswith(kind)


def test_the_journal_adds_up(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    for turn in (Turn("hwx", False, 100, 2.0, 0, 3, 0), Turn("hwx", True, 50, 1.0, 1, 9, 700)):
        append(path, turn)
    with path.open("a") as file:
        file.write('{"reader": "hw')  # killed while it was written
    assert len(read(path)) == 2
    (row,) = [line for line in report(read(path), ["hwx"]).splitlines() if line.startswith("| hwx")]
    assert row == "| hwx | 150 | 50 | 3 | 50 | 700 | 9 | 1 |"
