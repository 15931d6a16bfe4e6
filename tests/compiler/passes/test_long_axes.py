"""Axes beyond the largest width and height: on the engine, and as onnxruntime computes them."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper, parser

import openane
from openane.artifact.plan import EngineStep
from openane.compiler.driver import build
from openane.compiler.passes.long_axes import fewest_parts, fold_long_axes
from openane.core.types import DType
from openane.frontends.onnx import load_model
from openane.graph import Graph, Node, TensorType
from openane.graph import ops as g

HEAD = '<ir_version: 8, opset_import: ["": 20]>'
"""Of a model in ONNX's text form."""


def weights(*shape: int) -> np.ndarray:
    values = np.random.default_rng(sum(shape)).standard_normal(shape) / np.sqrt(shape[0])
    return values.astype(np.float32)


def check(text: str, constants: dict[str, np.ndarray], *, on_engine: bool = True, tolerance: float = 4e-3) -> None:
    """Compiles a graph in ONNX's text form, and compares with onnxruntime.

    Args:
        text: of the graph.
        constants: by name.
        on_engine: whether everything must be in one program.
        tolerance: of the largest absolute difference, relative to the largest value.
    """
    model = parser.parse_model(HEAD + text)
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    model = onnx.shape_inference.infer_shapes(model)
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    x = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
    artifact = build(load_model(model))
    if on_engine:
        assert [type(step) for step in artifact.plan.steps] == [EngineStep]
    (expected,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    got = openane.run(artifact, {"x": x})["y"]
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("columns", [16385, 20000, 32000, 51865])
@pytest.mark.parametrize("rows", [1, 3])
def test_a_head_with_many_columns(rows: int, columns: int) -> None:
    text = f"g (float[1, {rows}, 24] x) => (float[1, {rows}, {columns}] y) {{ y = MatMul(x, w) }}"
    check(text, {"w": weights(24, columns)})


@pytest.mark.parametrize("columns", [16411, 51866])
def test_one_row_with_columns_of_large_factors(columns: int) -> None:
    text = f"g (float[1, 1, 24] x) => (float[1, 1, {columns}] y) {{ y = MatMul(x, w) }}"
    check(text, {"w": weights(24, columns)})


@pytest.mark.parametrize("columns", [16411, 40009])
def test_a_prime_number_of_columns_is_filled_up(columns: int) -> None:
    """The host only drops the columns of zeros."""
    text = f"g (float[1, 2, 24] x) => (float[1, 2, {columns}] y) {{ y = MatMul(x, w) }}"
    check(text, {"w": weights(24, columns)}, on_engine=False)


@pytest.mark.parametrize(
    "after",
    [
        "b = Add(a, bias) y = Tanh(b)",
        "y = Softmax<axis = -1>(a)",
        "y = LogSoftmax<axis = -1>(a)",
        "y = ReduceMax<keepdims = 1>(a, last)",
        "y = ReduceMean<keepdims = 0>(a, last)",
        "b = Add(a, bias) c = Mul(a, b) y = Sub(c, a)",
        "y = Concat<axis = 1>(a, a)",
        "y = Transpose<perm = [2, 0, 1]>(a)",
        "y = Slice(a, one, two, one)",
        "y = LayerNormalization<axis = -1>(a, bias, bias)",
        "c = Greater(a, bias) y = Where(c, a, bias)",
    ],
)
def test_what_follows_a_head(after: str) -> None:
    shapes = {"ReduceMax": "1, 3, 1", "ReduceMean": "1, 3", "Concat": "1, 6, 20000", "Slice": "1, 1, 20000"}
    shape = next((each for name, each in shapes.items() if name in after), "1, 3, 20000")
    shape = "20000, 1, 3" if "Transpose" in after else shape
    text = f"g (float[1, 3, 24] x) => (float[{shape}] y) {{ a = MatMul(x, w) {after} }}"
    one, two, last = (np.array([each], np.int64) for each in (1, 2, -1))
    bias = np.linspace(0.5, 1, 20000, dtype=np.float32)
    constants = {"w": weights(24, 20000), "bias": bias, "one": one, "two": two, "last": last}
    check(text, constants, tolerance=1e-2)


@pytest.mark.parametrize(
    ("shape", "result", "body"),
    [
        ("1, 65536, 8", "1, 65536, 4", "a = LayerNormalization<axis = -1>(x, s, s) b = Gelu(a) y = MatMul(b, w)"),
        ("1, 8, 128, 256", "1, 32768, 4", "r = Reshape(x, flat) t = Transpose<perm = [0, 2, 1]>(r) y = MatMul(t, w)"),
        ("2, 20000", "2, 20000", "a = Relu(x) y = Mul(a, x)"),
        ("3, 20000", "3, 6", "y = MatMul(x, long)"),
        ("1, 4, 20000", "1, 6, 20000", "y = Conv(x, point)"),
        ("1, 4, 20000", "1, 4, 20000", "y = BatchNormalization(x, four, four, four, four)"),
        ("1, 4, 20000", "1, 4, 20000", "y = InstanceNormalization(x, four, four)"),
        ("1, 2, 12000", "1, 2, 24000", "a = Relu(x) y = Concat<axis = 2>(x, a)"),
    ],
)
def test_other_long_axes(shape: str, result: str, body: str) -> None:
    constants = {
        "s": np.linspace(0.5, 1, 8, dtype=np.float32),
        "w": weights(8, 4),
        "long": weights(20000, 6),
        "point": weights(6, 4, 1),
        "four": np.linspace(0.5, 1, 4, dtype=np.float32),
        "flat": np.array([1, 8, -1]),
    }
    head = f"g (float[{shape}] x) => (float[{result}] y) {{ {body} }}"
    used = {
        name: array
        for name, array in constants.items()
        if name in body.replace("(", " ").replace(")", " ").replace(",", " ").split()
    }
    check(head, used)


def test_fewest_parts() -> None:
    for extent in range(101, 300):
        parts = fewest_parts(extent, 100)
        possible = [n for n in range(2, 101) if extent % n == 0 and 1 < extent // n <= 100]
        assert parts == min(possible, default=None)


def test_other_nodes_are_left_alone() -> None:
    graph = Graph("g", {"x": TensorType((2, 200), DType.FLOAT32)}, ("y",), (Node("n", g.Relu(), ("x",), ("y",)),), {})
    assert fold_long_axes(graph, 100, 400, {"m"}).nodes == graph.nodes
    folded = fold_long_axes(graph, 100, 400, {"n"})
    assert [type(node.operation) for node in folded.nodes] == [g.Reshape, g.Relu, g.Reshape]
