"""Runs that are known to be right are not compared again, and only those."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from tests.support.onnx_models import model, node, value

from openane.analysis import hazards
from openane.artifact.cache import LARGEST_NOTE_BYTES, Cache
from openane.cli.run import command
from openane.compiler.checked_runs import CheckedRuns
from openane.compiler.driver import Options


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "relu.onnx"
    onnx.save(model([node("Relu", ["x"], ["y"])], [value("x", [1, 4, 8, 8])], [value("y", [1, 4, 8, 8])]), path)
    return path


def arrays(**values: float) -> dict[str, np.ndarray]:
    return {name: np.full((2, 3), number, np.float32) for name, number in values.items()}


def test_only_the_same_run_is_known(source: Path, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    checked = CheckedRuns(source, Options(), cache)
    assert not checked.know(arrays(x=1), arrays(y=1))
    checked.add(arrays(x=1, z=2), arrays(y=1))
    assert CheckedRuns(source, Options(), cache).know(arrays(z=2, x=1), arrays(y=1))
    assert not checked.know(arrays(x=1, z=3), arrays(y=1))
    assert not checked.know(arrays(x=1, z=2), arrays(y=2))
    assert not checked.know(arrays(x=1), arrays(z=2, y=1))
    other = {"x": np.ones((3, 2), np.float32), "z": arrays(z=2)["z"]}
    assert not checked.know(other, arrays(y=1))
    assert not CheckedRuns(source, Options(rescale=True), cache).know(arrays(x=1, z=2), arrays(y=1))
    source.write_bytes(source.read_bytes() + b"\x72\x00")
    assert not CheckedRuns(source, Options(), cache).know(arrays(x=1, z=2), arrays(y=1))


def test_without_a_cache_nothing_is_known(source: Path) -> None:
    checked = CheckedRuns(source, Options(), None)
    checked.add(arrays(x=1), arrays(y=1))
    assert not checked.know(arrays(x=1), arrays(y=1))


def test_models_with_weights_in_other_files_are_not_noted(tmp_path: Path) -> None:
    path = tmp_path / "add.onnx"
    weights = {"w": np.ones((1, 400, 8, 8), np.float32)}
    made = model([node("Add", ["x", "w"], ["y"])], [value("x", [1, 400, 8, 8])], [value("y", None)], weights)
    onnx.save(made, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    checked = CheckedRuns(path, Options(), Cache(tmp_path / "cache"))
    checked.add(arrays(x=1), arrays(y=1))
    assert not checked.know(arrays(x=1), arrays(y=1))
    assert not (tmp_path / "cache").exists()


def test_a_damaged_note_is_no_note(source: Path, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    checked = CheckedRuns(source, Options(), cache)
    checked.add(arrays(x=1), arrays(y=1))
    (note,) = (tmp_path / "cache").iterdir()
    for content in (b"", note.read_bytes()[:-1], b"0" * (LARGEST_NOTE_BYTES + 1)):
        note.write_bytes(content)
        assert not checked.know(arrays(x=1), arrays(y=1))


def test_run_compares_once(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    compared: list[str] = []
    ours = hazards.matches

    def matches(*operands: object) -> bool:
        compared.append("again")
        return ours(*operands)  # type: ignore[arg-type]

    monkeypatch.setattr(hazards, "matches", matches)
    other = tmp_path / "x.npy"
    np.save(other, np.ones((1, 4, 8, 8), np.float32))
    for expected, more in (
        (1, []),
        (1, []),
        (2, ["--input", f"x={other}"]),
        (3, ["--no-cache"]),
        (3, ["--no-hazards"]),
    ):
        done = CliRunner().invoke(command, [str(source), *more])
        assert done.exit_code == 0, done.output
        assert len(compared) == expected, more
