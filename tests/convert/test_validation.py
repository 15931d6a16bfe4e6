"""What was written is taken by onnxruntime and coremltools too, and the reference of a .pt2 is PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from openane.convert import convert
from openane.core.errors import ModelError, UnsupportedError
from openane.core.types import DType
from openane.graph import Graph, Node, Operation, TensorType
from openane.graph import ops as g

RANDOM = np.random.default_rng(2)


def one(operation: Operation, constants: dict[str, np.ndarray], kind: TensorType) -> Graph:
    return Graph("m", {"x": kind}, ("y",), (Node("n", operation, ("x", *constants), ("y",)),), constants)


MATRIX = TensorType((4, 6))
ROWS = RANDOM.standard_normal((2, 6)).astype(np.float32)
MODES = (g.ScatterMode.REPLACE, g.ScatterMode.ADD, g.ScatterMode.MAXIMUM)
SAMPLES = {
    **{
        f"ScatterND {mode.value}": one(g.ScatterND(mode), {"i": np.array([[0], [-1]]), "u": ROWS}, MATRIX)
        for mode in MODES
    },
    "ScatterElements": one(g.ScatterElements(0), {"i": np.array([[0, 1, 2, -1, 0, 1]] * 2), "u": ROWS}, MATRIX),
    "OneHot": one(g.OneHot(5, 1), {"v": np.array([0.5, 2], np.float32)}, TensorType((3,), DType.INT64)),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_core_ml_packages_are_read_by_coremltools(tmp_path: Path, name: str) -> None:
    pytest.importorskip("coremltools", reason="coremltools is not installed")
    done = convert(SAMPLES[name], tmp_path / "m.mlpackage", half=False)
    assert done.error < 1e-5
    assert done.checked_by == ("coremltools",)


@pytest.mark.parametrize("name", SAMPLES)
def test_onnx_models_are_run_by_onnxruntime(tmp_path: Path, name: str) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    done = convert(SAMPLES[name], tmp_path / "m.onnx")
    assert done.error < 1e-5
    assert done.checked_by == ("onnxruntime",)


def test_what_onnxruntime_does_not_load_is_removed(tmp_path: Path) -> None:
    """ONNX has no products of 16-bit integers."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    model = one(g.MatMul(), {"w": np.ones((3, 2), np.int16)}, TensorType((2, 3), DType.INT16))
    with pytest.raises(ModelError, match="onnxruntime does not take what was written"):
        convert(model, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_what_others_compute_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    monkeypatch.setattr("openane.convert.validation.run_onnx", lambda path, inputs: [np.ones((4, 6), np.float32)])
    with pytest.raises(ModelError, match="does not compute the same"):
        convert(one(g.Relu(), {}, MATRIX), tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_what_openane_does_not_read_is_its_own_gap(tmp_path: Path) -> None:
    pytest.importorskip("coremltools", reason="coremltools is not installed")
    with pytest.raises(UnsupportedError, match="openane cannot read back what it wrote"):
        convert(SAMPLES["ScatterND add"], tmp_path / "m.mlmodel")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    path = tmp_path_factory.mktemp("torch") / "m.pt2"
    module = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Tanh()).eval()
    torch.export.save(torch.export.export(module, (torch.randn(4, 6),)), path)
    return path


def test_the_reference_of_an_exported_program_is_pytorch(tmp_path: Path, program: Path) -> None:
    done = convert(program, tmp_path / "m.onnx")
    assert done.checked_by[0] == "PyTorch"
    assert done.error < 1e-5


def test_a_wrong_export_is_found(tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Graph("m", {"x": MATRIX}, ("y",), (Node("n", g.Slice((0, 0), (4, 5), (1, 1)), ("x",), ("y",)),), {})
    module = __import__("openane.convert.convert", fromlist=["x"])
    monkeypatch.setattr(module, "load", lambda path, **_: wrong)
    with pytest.raises(ModelError, match="PyTorch exports does not compute what PyTorch does"):
        convert(program, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())
