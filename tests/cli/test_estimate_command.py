"""`openane estimate` from the outside."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from openane.cli import root
from openane.core.errors import OpenaneError

DIGITS = Path(__file__).parents[2] / "src" / "openane" / "data" / "digits.onnx"

pytest.importorskip("onnx")


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(root, ["estimate", *arguments])


def test_tables() -> None:
    done = _run(str(DIGITS), "--tasks")
    assert done.exit_code == 0, done.output
    for expected in ("by layer", "By task", "conv1", "softmax", "One call:", "(1 program)", "Roofline:", "dispatch"):
        assert expected in done.output


@pytest.mark.parametrize("chip", ["m1", "m5", "M2 Pro"])
def test_json(chip: str) -> None:
    done = _run(str(DIGITS), "--chip", chip, "--json")
    value = json.loads(done.output)
    assert value["chip"] == chip.lower().replace(" ", "")
    assert value["macs"] == 28 * 28 * 16 * 9 + 14 * 14 * 16 * 32 * 9 + 7 * 7 * 32 * 10
    assert {layer["layer"].split(" + ")[0] for layer in value["layers"]} >= {"conv1", "conv2", "linear"}
    assert value["time_us"] > value["times_us"]["dispatch"] > 0


def test_unknown_chip_and_missing_file() -> None:
    done = _run(str(DIGITS), "--chip", "i9")
    assert isinstance(done.exception, OpenaneError) and "no chip 'i9'" in str(done.exception)
    done = _run("missing.onnx")
    assert isinstance(done.exception, OpenaneError) and "missing.onnx" in str(done.exception)
