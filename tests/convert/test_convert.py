"""Converting: every operation that has a counterpart computes the same there; the others are named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from openane.cli import main
from openane.compiler.driver import load
from openane.convert import Form, convert, form_of
from openane.convert import convert as convert_module
from openane.convert.builder import plain_names
from openane.core.errors import InputError, ModelError, UnsupportedError
from openane.core.types import DType
from openane.graph import Graph, Node, Operation, TensorType
from openane.graph import ops as g

DATA = Path(__file__).parents[2] / "src" / "openane" / "data"
IMAGE = TensorType((1, 4, 6, 6))


def chain(*operations: tuple[Operation, list[np.ndarray]], kind: TensorType = IMAGE) -> Graph:
    """One operation after the other, constants as further operands."""
    nodes, constants, value = [], {}, "x/0"
    for index, (operation, arrays) in enumerate(operations):
        names = [f"c{index}_{i}" for i in range(len(arrays))]
        constants.update(zip(names, arrays, strict=True))
        nodes.append(Node(f"n{index}", operation, (value, *names), (f"y/{index}",)))
        value = f"y/{index}"
    return Graph("chain", {"x/0": kind}, (value,), tuple(nodes), constants)


def weights(*shape: int) -> np.ndarray:
    return (np.random.default_rng(0).standard_normal(shape) / 2).astype(np.float32)


WINDOW = ((3, 3), (2, 2), (1, 1, 1, 1))
NETWORK = chain(
    (g.Conv((1, 1), (1, 2, 1, 0), (1, 1)), [weights(6, 4, 3, 3), weights(6)]),
    (g.HardSwish(), []),
    (g.MaxPool(*WINDOW, ceil_mode=True), []),
    (g.Clip(-1.0, 2.0), []),
    (g.ConvTranspose((2, 2), (0, 0, 0, 0), (1, 1)), [weights(6, 4, 2, 2)]),
    (g.Resize((1, 4, 16, 16)), []),
    (g.InstanceNorm(1e-3), [weights(4), weights(4)]),
    (g.Gelu(), []),
    (g.Slice((0, 0, 1, 0), (1, 4, 16, 15), (1, 1, 2, 1)), []),
    (g.Transpose((0, 2, 3, 1)), []),
    (g.MatMul(), [weights(4, 5)]),
    (g.LayerNorm((3,), 1e-5), [weights(5), weights(5)]),
    (g.Softmax(3), []),
    (g.ReduceMean((1, 2), False), []),
)


@pytest.mark.parametrize("name", ["m.mlmodel", "m.mlpackage", "m.mil", "m.onnx", "m.plist"])
def test_a_network_in_every_format(tmp_path: Path, name: str) -> None:
    done = convert(NETWORK, tmp_path / name)
    assert done.error <= done.tolerance / 4
    assert done.form is form_of(tmp_path / name)
    back = load(tmp_path / name)
    assert len(back.inputs) == 1


SAMPLES: dict[str, Graph] = {
    **{
        kind.__name__: chain((kind(), []))
        for kind in (g.Abs, g.Exp, g.Floor, g.Neg, g.Relu, g.Sigmoid, g.Silu, g.Softplus, g.Square, g.Tanh, g.Mish)
    },
    "Affine": chain((g.Affine(2.0, -1.0), [])),
    "AveragePool": chain((g.AveragePool(*WINDOW), [])),
    "Celu": chain((g.Celu(0.7), [])),
    "DepthToSpace": chain((g.DepthToSpace(2), [])),
    "Elu": chain((g.Elu(0.7), [])),
    "GroupNorm": chain((g.GroupNorm(2, 1e-3), [weights(4), weights(4)])),
    "LpNorm": chain((g.LpNorm((1,)), [])),
    "PRelu": chain((g.PRelu(), [weights(4, 1, 1)])),
    "Pad": chain((g.Pad((0, 0, 1, 0, 0, 0, 2, 3)), [])),
    "ReduceMax": chain((g.ReduceMax((2, 3)), [])),
    "Reciprocal": chain((g.Square(), []), (g.Reciprocal(0.5), [])),
    "Resize": chain((g.Resize((1, 4, 12, 12), g.ResizeMode.LINEAR), [])),
    "Rsqrt": chain((g.Square(), []), (g.Rsqrt(0.5), [])),
    "ScaledTanh": chain((g.ScaledTanh(1.7, 0.6), [])),
    "Selu": chain((g.Selu(), [])),
    "SpaceToDepth": chain((g.SpaceToDepth(2), [])),
    "Tile": chain((g.Tile((1, 2, 1, 1)), [])),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_operations_in_core_ml(tmp_path: Path, name: str) -> None:
    assert convert(SAMPLES[name], tmp_path / "m.mlpackage", half=False).error < 1e-4


def test_the_seed_of_a_refusal_is_named(tmp_path: Path) -> None:
    nodes = (
        Node("a", g.Relu(), ("x",), ("a",)),
        Node("shrink", g.Shrink(), ("a",), ("b",)),
        Node("infinite", g.IsInf(), ("a",), ("c",)),
    )
    model = Graph("g", {"x": IMAGE}, ("b", "c"), nodes, {})
    with pytest.raises(UnsupportedError, match=r"node 'shrink'.*counterpart of Shrink") as found:
        convert(model, tmp_path / "m.mlpackage")
    assert len(found.value.diagnostics) == 2
    assert list(tmp_path.iterdir()) == []


def test_what_computes_something_else_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = __import__("openane.convert.convert", fromlist=["x"])
    monkeypatch.setattr(module, "load", lambda path: chain((g.Neg(), [])))
    with pytest.raises(ModelError, match="does not compute the same"):
        convert(chain((g.Relu(), [])), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_names_become_plain_and_stay_apart() -> None:
    assert plain_names(["gpu_0/data", "gpu_0.data", "0"]) == {
        "gpu_0/data": "gpu_0_data",
        "gpu_0.data": "gpu_0_data_2",
        "0": "_0",
    }


def test_bad_requests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="unknown file extension of the output"):
        form_of(Path("model.tflite"))
    with pytest.raises(InputError, match="folder to write to does not exist"):
        convert(NETWORK, tmp_path / "no" / "m.onnx")
    scalar = Graph("g", {"x": TensorType((), DType.FLOAT32)}, ("y",), (Node("y", g.Relu(), ("x",), ("y",)),), {})
    with pytest.raises(UnsupportedError, match="scalar"):
        convert(scalar, tmp_path / "m.mlpackage")
    assert Form.PACKAGE.value == ".mlpackage"
    assert callable(convert_module)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["convert", str(DATA / "digits.onnx"), "-o", str(tmp_path / "digits.onnx"), "--json"])
    report = json.loads(capsys.readouterr().out)
    assert report["relative_error"] <= report["tolerance"]
