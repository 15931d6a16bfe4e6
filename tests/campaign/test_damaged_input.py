"""Damaged input for every reader: sound inputs made by rule, changed by seeds that are kept, within the limits."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("limits of the process are set on Linux only", allow_module_level=True)
pytest.importorskip("coremltools")
pytest.importorskip("onnx")

from fuzz_readers import READERS, attempt, run_random

RUNS = 25


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", READERS)
def test_readers_answer_or_refuse(name: str) -> None:
    outcome = run_random([name], RUNS, seed=1, seconds=30.0)
    assert [finding.error for finding in outcome.findings] == []
    assert outcome.counts[name] > 0


@pytest.mark.filterwarnings("ignore")
def test_the_limits_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that hangs, takes too much memory or lets an error escape is found out."""
    import fuzz_readers

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

    found = {}
    for use in (hang, grow, escape):
        reader = fuzz_readers.Reader(list, use)
        monkeypatch.setattr(fuzz_readers, "READERS", {"bad": reader})
        with fuzz_readers.limits():
            found[use.__name__] = attempt("bad", b"", tmp_path).partition(":")[0]
    assert found == {"hang": "TooLongError", "grow": "MemoryError", "escape": "IndexError"}
