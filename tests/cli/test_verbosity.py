"""-v shows what the library logs, -q leaves out what is neither a result nor an error."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

import openane
from openane.cli import main

DIGITS = str(Path(openane.__file__).parent / "data" / "digits.onnx")


@pytest.fixture(autouse=True)
def log() -> Iterator[None]:
    logger = logging.getLogger("openane")
    before = logger.level, list(logger.handlers)
    yield
    logger.setLevel(before[0])
    logger.handlers[:] = before[1]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    try:
        main(list(arguments))
    except SystemExit as stop:
        assert not stop.code
    return capsys.readouterr()


@pytest.mark.parametrize("place", [0, 1, 2])
def test_verbose_may_stand_anywhere(capsys: pytest.CaptureFixture[str], place: int) -> None:
    arguments = ["run", DIGITS, "--no-cache"]
    arguments.insert(place, "-v")
    _, err = run(capsys, *arguments)
    assert "12 nodes as read" in err
    assert "after fold-constants" not in err


def test_twice_verbose_shows_every_pass(capsys: pytest.CaptureFixture[str]) -> None:
    assert "after fold-constants" in run(capsys, "-vv", "run", DIGITS, "--no-cache")[1]


def test_quiet_shows_results_only(capsys: pytest.CaptureFixture[str]) -> None:
    loud, quiet = (run(capsys, "run", DIGITS, "--no-cache", *more) for more in ([], ["-q"]))
    assert "generated from a fixed seed" in loud[0]
    assert "generated from a fixed seed" not in quiet[0]
    assert "probabilities" in quiet[0]
    assert not quiet[1]
