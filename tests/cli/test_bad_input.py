"""Bad input on the command line: one line that says what, where and what to do; nothing left after."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from openane.cli import main

Run = Callable[..., str]


@pytest.fixture
def fails(capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs the command line in this process, expects failure, returns the only error line."""

    def run(*arguments: str | Path, code: int = 2) -> str:
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        assert stop.value.code == code
        captured = capfd.readouterr()
        lines = [line for line in captured.err.splitlines() if line.startswith("error: ")]
        assert lines, captured.err
        assert "Traceback" not in captured.err
        return lines[0]

    return run


def save_model(path: Path, op: str = "Relu", shape: tuple[int | str, ...] = (1, 4, 8, 8), **attributes: object) -> Path:
    """A model of one node."""
    graph = helper.make_graph(
        [helper.make_node(op, ["x"], ["y"], name="the_node", **attributes)],
        "one_node",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_no_such_file(fails: Run, tmp_path: Path) -> None:
    assert "missing.onnx" in fails("run", tmp_path / "missing.onnx")


def test_not_a_model(fails: Run, tmp_path: Path) -> None:
    path = tmp_path / "notes.onnx"
    path.write_text("just some notes\n")
    assert "notes.onnx" in fails("run", path)


@pytest.mark.parametrize("content", [b"", b"\0" * 1000, b"\xff" * 1000])
def test_bytes_that_are_nothing(fails: Run, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(content)
    assert "x.bin" in fails("info", path)


def test_folder_that_is_no_model(fails: Run, tmp_path: Path) -> None:
    assert str(tmp_path) in fails("run", tmp_path)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.95])
def test_truncated_model(fails: Run, tmp_path: Path, share: float) -> None:
    whole = (Path(__file__).parents[2] / "src/openane/data/digits.onnx").read_bytes()
    path = tmp_path / "cut.onnx"
    path.write_bytes(whole[: int(len(whole) * share)])
    assert "cut.onnx" in fails("run", path)


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_truncated_program(fails: Run, tmp_path: Path, share: float) -> None:
    model = save_model(tmp_path / "m.onnx")
    main_ok(["compile", str(model), "-o", str(tmp_path / "m.hwx")])
    whole = (tmp_path / "m.hwx").read_bytes()
    path = tmp_path / "cut.hwx"
    path.write_bytes(whole[: int(len(whole) * share)])
    assert "cut.hwx" in fails("run", path)


def test_unknown_operation(fails: Run, tmp_path: Path) -> None:
    message = fails("run", save_model(tmp_path / "m.onnx", "NoSuchOperation"))
    assert "NoSuchOperation" in message


def test_dynamic_shape(fails: Run, tmp_path: Path) -> None:
    message = fails("run", save_model(tmp_path / "m.onnx", shape=("batch", 4, 8, 8)))
    assert "batch" in message
    assert "x" in message


def test_wrong_shape_of_an_input(fails: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((1, 4, 8, 9), np.float32))
    message = fails("run", save_model(tmp_path / "m.onnx"), "--input", f"x={tmp_path / 'x.npy'}")
    assert "(1, 4, 8, 9)" in message
    assert "(1, 4, 8, 8)" in message


@pytest.mark.parametrize("dtype", ["int64", "complex64", "bool", "U3"])
def test_wrong_type_of_an_input(fails: Run, tmp_path: Path, dtype: str) -> None:
    np.save(tmp_path / "x.npy", np.zeros((1, 4, 8, 8), dtype))
    message = fails("run", save_model(tmp_path / "m.onnx"), "--input", f"x={tmp_path / 'x.npy'}")
    assert np.dtype(dtype).name in message


def test_pickled_input(fails: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{}], dtype=object), allow_pickle=True)
    assert "not a .npy array" in fails("run", save_model(tmp_path / "m.onnx"), "--input", f"x={tmp_path / 'x.npy'}")


def test_missing_input_file(fails: Run, tmp_path: Path) -> None:
    message = fails("run", save_model(tmp_path / "m.onnx"), "--input", f"x={tmp_path / 'none.npy'}")
    assert "none.npy" in message


def test_unknown_input_name(fails: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((1, 4, 8, 8), np.float32))
    message = fails("run", save_model(tmp_path / "m.onnx"), "--input", f"z={tmp_path / 'x.npy'}")
    assert "'z'" in message


@pytest.mark.parametrize("name", ["out.bin", "out", "out.onnx"])
def test_unknown_kind_of_output(fails: Run, tmp_path: Path, name: str) -> None:
    assert ".hwx" in fails("compile", save_model(tmp_path / "m.onnx"), "-o", tmp_path / name)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("ending", [".hwx", ".anec", ".plist"])
def test_output_in_a_folder_that_is_not_there(fails: Run, tmp_path: Path, ending: str) -> None:
    target = tmp_path / "nowhere" / f"out{ending}"
    assert "nowhere" in fails("compile", save_model(tmp_path / "m.onnx"), "-o", target)
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


def test_output_folder_is_a_file(fails: Run, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    assert "taken" in fails("run", save_model(tmp_path / "m.onnx"), "--output-dir", tmp_path / "taken")


def test_unknown_target(fails: Run, tmp_path: Path) -> None:
    assert "h99" in fails("run", save_model(tmp_path / "m.onnx"), "--target", "h99")


def test_unknown_runtime(fails: Run, tmp_path: Path) -> None:
    assert "toaster" in fails("run", save_model(tmp_path / "m.onnx"), "--on", "toaster")


def test_status_of_a_real_process(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "openane", "run", str(tmp_path / "missing.onnx")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")


def main_ok(arguments: list[str]) -> None:
    """Runs the command line and expects success."""
    try:
        main(arguments)
    except SystemExit as stop:
        assert not stop.code
