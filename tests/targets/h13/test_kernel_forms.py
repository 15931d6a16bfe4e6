"""Compressed kernels: fewer bytes, the same weights, and reports that say so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto
from tests.support.onnx_models import model, node, value

import openane
from openane.analysis.kernel_forms import EXPANDED, layer_weights
from openane.cli import root
from openane.core.errors import InputError
from openane.core.types import DType
from openane.graph import Graph, Node, TensorType, ops


def weights_of(shape: tuple[int, ...], kind: str, seed: int = 0) -> np.ndarray:
    """Random weights: of 2^b values ("4"), mostly zeros ("zeros"), or all different ("plain")."""
    rng = np.random.default_rng(seed)
    array = rng.standard_normal(shape).astype(np.float16)
    if kind == "zeros":
        return np.where(rng.random(shape) < 0.75, 0, array).astype(np.float16)
    if kind == "plain":
        return array
    values = rng.standard_normal(1 << int(kind)).astype(np.float16)
    return values[rng.integers(0, values.size, shape)]


def convolution(
    kind: str,
    outputs: int,
    inputs: int,
    size: int,
    image: int,
    *,
    bias: bool = True,
    function: bool = False,
    groups: int = 1,
) -> Graph:
    pad = size // 2
    rng = np.random.default_rng(1)
    constants = {"w": weights_of((outputs, inputs // groups, size, size), kind)}
    names = ["x", "w"]
    if bias:
        constants["b"] = rng.standard_normal(outputs).astype(np.float16)
        names.append("b")
    convolve = ops.Conv((1, 1), (pad, pad, pad, pad), (1, 1), groups)
    nodes = [Node("conv", convolve, tuple(names), ("c" if function else "y",))]
    if function:
        nodes.append(Node("tanh", ops.Tanh(), ("c",), ("y",)))
    kind_of_x = TensorType((1, inputs, image, image), DType.FLOAT16)
    return Graph("conv", {"x": kind_of_x}, ("y",), tuple(nodes), constants)


def same_result(graph: Graph, form: str | None, seed: int = 2) -> tuple[int, int]:
    """Bytes of constants as fp16 and compressed; the outputs are equal bit by bit, and the form is the expected one."""
    dense, small = (openane.compile(graph, weights=each) for each in ("dense", "smallest"))
    x = np.random.default_rng(seed).standard_normal(graph.inputs["x"].shape).astype(np.float16)
    found, expected = openane.run(small, {"x": x}), openane.run(dense, {"x": x})
    for name in expected:
        assert found[name].tobytes() == expected[name].tobytes()
    forms = {each.form for each in layer_weights(small.programs)}
    assert forms == {form or EXPANDED}
    assert {each.form for each in layer_weights(dense.programs)} == {"fp16"}
    assert sum(each.dense_bytes for each in layer_weights(small.programs)) == sum(
        each.stored_bytes for each in layer_weights(dense.programs)
    )
    return len(dense.constants), len(small.constants)


@pytest.mark.parametrize("bits", [1, 2, 4, 6, 8])
@pytest.mark.parametrize("bias", [True, False])
def test_palettes(bits: int, bias: bool) -> None:
    dense, small = same_result(convolution(str(bits), 128, 256, 1, 16, bias=bias), f"{bits}-bit palette")
    assert small < dense * (bits + 2) / 16 + 16 * 640


def test_three_bits_take_an_index_of_four() -> None:
    same_result(convolution("3", 128, 256, 1, 16), "4-bit palette")


@pytest.mark.parametrize(
    ("outputs", "inputs", "size", "image"),
    [
        (64, 64, 3, 12),
        (20, 64, 3, 12),
        (7, 200, 1, 5),
        (96, 96, 1, 1),
        (256, 32, 5, 8),
        (40, 128, 1, 64),
        (9, 64, 3, 9),
    ],
)
@pytest.mark.parametrize(("kind", "form"), [("2", "2-bit palette"), ("zeros", "without zeros")])
def test_shapes(outputs: int, inputs: int, size: int, image: int, kind: str, form: str) -> None:
    dense, small = same_result(convolution(kind, outputs, inputs, size, image), form)
    assert small <= dense


def test_with_a_table() -> None:
    same_result(convolution("4", 64, 128, 1, 16, function=True), "4-bit palette")
    same_result(convolution("zeros", 64, 128, 1, 16, function=True), "without zeros")


def test_what_stays_as_it_is() -> None:
    dense, small = same_result(convolution("plain", 64, 64, 1, 8), None)
    assert dense == small
    dense, small = same_result(convolution("2", 64, 64, 3, 8, groups=64), None)
    assert dense == small


def test_several_tasks_of_one_layer() -> None:
    """A kernel that does not fit into the memory of the lanes is cut by channels; each part has its own palette."""
    graph = convolution("4", 512, 512, 3, 16)
    assert len(openane.compile(graph).program.tasks) > 1
    dense, small = same_result(graph, "4-bit palette")
    assert small < dense / 3.5


def test_products(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    nodes = [node("MatMul", ["x", "w"], ["h"]), node("Relu", ["h"], ["r"]), node("MatMul", ["r", "v"], ["y"])]
    constants = {
        "w": weights_of((256, 512), "4").astype(np.float32),
        "v": weights_of((512, 256), "zeros").astype(np.float32),
    }
    path = tmp_path / "m.onnx"
    onnx.save(model(nodes, [value("x", (1, 192, 256))], [value("y", (1, 192, 256))], constants), path)
    dense, small = (openane.compile(path, weights=each) for each in ("dense", "smallest"))
    x = {"x": rng.standard_normal((1, 192, 256)).astype(np.float32)}
    assert openane.run(small, x)["y"].tobytes() == openane.run(dense, x)["y"].tobytes()
    forms = {form for each in layer_weights(small.programs) for form in each.form.split(", ")}
    assert forms == {"4-bit palette", "without zeros"}
    assert len(small.constants) < len(dense.constants) / 2


@pytest.fixture
def quantized(tmp_path: Path) -> Path:
    """Weights of 8 bits with one scale for all, and with one for each output channel."""
    rng = np.random.default_rng(0)
    constants = {
        "q": rng.integers(-127, 128, (256, 256, 1, 1)).astype(np.int8),
        "p": rng.integers(-127, 128, (64, 256, 1, 1)).astype(np.int8),
        "s": np.array(0.01, np.float32),
        "t": rng.random(64).astype(np.float32) / 50 + 0.001,
    }
    nodes = [
        node("DequantizeLinear", ["q", "s"], ["w"]),
        node("DequantizeLinear", ["p", "t"], ["v"], axis=0),
        node("Conv", ["x", "w"], ["c"], name="uniform"),
        node("Conv", ["c", "v"], ["y"], name="scaled"),
    ]
    path = tmp_path / "quantized.onnx"
    inputs = [value("x", (1, 256, 16, 16), TensorProto.FLOAT)]
    onnx.save(model(nodes, inputs, [value("y", (1, 64, 16, 16))], constants), path)
    return path


def test_weights_that_the_file_compresses(quantized: Path) -> None:
    artifact = openane.compile(quantized)
    forms = {each.layer: each.form for each in layer_weights(artifact.programs)}
    assert forms == {"uniform": "8-bit palette", "scaled": EXPANDED}
    assert artifact.program.notes["weights"]
    plain = openane.compile(quantized, weights="dense")
    assert "weights" not in plain.program.notes
    x = {"x": np.random.default_rng(3).standard_normal((1, 256, 16, 16)).astype(np.float32)}
    assert openane.run(artifact, x)["y"].tobytes() == openane.run(plain, x)["y"].tobytes()


def test_the_reports(quantized: Path, tmp_path: Path) -> None:
    def command(*arguments: str) -> str:
        result = CliRunner().invoke(root, arguments)
        assert result.exit_code == 0, result.output
        return result.output

    for name in ("estimate", "explain"):
        text = command(name, str(quantized))
        assert "8-bit palette" in text
        assert "fp16, expanded" in text
        found = json.loads(command(name, str(quantized), "--json"))["weights"]
        assert [each["form"] for each in found] == ["8-bit palette", EXPANDED]
        assert found[0]["saved_bytes"] == found[0]["dense_bytes"] - found[0]["stored_bytes"] > 0
    path = str(tmp_path / "q.hwx")
    command("compile", str(quantized), "-o", path, "--no-cache")
    assert "(8-bit palette)" in command("info", path)
    assert "weights" not in command("estimate", str(quantized), "--weights", "dense").splitlines()


def test_ordinary_models_are_not_touched() -> None:
    graph = convolution("4", 64, 64, 1, 8)
    auto, dense = openane.compile(graph), openane.compile(graph, weights="dense")
    assert bytes(auto.constants) == bytes(dense.constants)
    with pytest.raises(InputError, match=r"no such form of weights.*found tiny; allowed: auto, smallest, dense"):
        openane.compile(graph, weights="tiny")  # type: ignore[arg-type]
