"""The type information that the package ships is enough for strict users, and wrong uses are noticed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).with_name("downstream.py")


def check(path: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """mypy --strict, with the package found as an installed one."""
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--config-file="]
    return subprocess.run(
        [*command, "--cache-dir", str(folder / "cache"), "--allow-untyped-calls", str(path)],
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
    )


@pytest.mark.slow
def test_a_strict_user(tmp_path: Path) -> None:
    """One run for both: what is right passes, each wrong line is reported."""
    wrong = tmp_path / "wrong.py"
    lines = EXAMPLE.read_text() + (
        "\n\nnumber: int = openane.disassemble('a.hwx')\n"
        "openane.compile('a.onnx', nothing=1)\n"
        "openane.compile('a.onnx').programme\n"
    )
    wrong.write_text(lines)
    found = [line for line in check(wrong, tmp_path).stdout.splitlines() if ": error:" in line]
    first = len(EXAMPLE.read_text().splitlines())
    assert [int(line.split(":")[1]) - first for line in found] == [3, 4, 5], found
    assert [line.rsplit("[", 1)[1].rstrip("]") for line in found] == ["assignment", "call-arg", "attr-defined"]
