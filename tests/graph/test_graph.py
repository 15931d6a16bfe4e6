"""Graphs: types, evaluation, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from openane.core.errors import InputError, ModelError
from openane.core.types import DType
from openane.graph import Graph, Node, TensorType, ops
from openane.graph.folding import SIZE_LIMIT, fold, type_of
from openane.graph.naming import Names

X = {"x": TensorType((2, 3))}


def chain(*nodes: Node, outputs: tuple[str, ...] = ("y",), **constants: np.ndarray) -> Graph:
    """A graph of one input."""
    return Graph("g", X, outputs, nodes, constants)


def test_evaluate_keeps_what_is_asked_for() -> None:
    graph = chain(Node("a", ops.Relu(), ("x",), ("r",)), Node("b", ops.Exp(), ("r",), ("y",)))
    x = np.array([[-1, 0, 1], [2, -2, 3]], np.float32)
    found = graph.evaluate({"x": x}, keep=("r",))
    assert list(found) == ["y", "r"]
    np.testing.assert_array_equal(found["r"], np.maximum(x, 0))
    np.testing.assert_allclose(found["y"], np.exp(np.maximum(x, 0)))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_evaluate_in_the_precision_of_its_inputs(dtype: str) -> None:
    graph = chain(Node("a", ops.Sigmoid(), ("x",), ("y",)))
    assert graph.evaluate({"x": np.ones((2, 3), dtype)})["y"].dtype == dtype


def test_infinities_are_results() -> None:
    graph = chain(Node("a", ops.Log(), ("x",), ("y",)))
    assert np.isneginf(graph.evaluate({"x": np.zeros((2, 3), np.float32)})["y"]).all()


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ({}, "input 'x' is missing"),
        ({"x": np.zeros((2, 3), "f"), "z": np.zeros(1)}, "there is no input 'z'"),
        ({"x": np.zeros((3, 2), "f")}, r"found float32\[3,2\]; allowed: float32\[2,3\]"),
        ({"x": np.zeros((2, 3), np.int32)}, "does not fit"),
    ],
)
def test_wrong_inputs(inputs: dict[str, np.ndarray], text: str) -> None:
    with pytest.raises(InputError, match=text):
        chain(Node("a", ops.Relu(), ("x",), ("y",))).evaluate(inputs)


@pytest.mark.parametrize(
    ("nodes", "text"),
    [
        ((Node("a", ops.Relu(), ("z",), ("y",)),), "reads 'z', which nothing before it defines"),
        ((Node("a", ops.Relu(), ("x",), ("x",)),), "'x' is defined twice"),
        ((Node("a", ops.Relu(), ("x",), ("r",)),), "output 'y' is never computed"),
        ((Node("a", ops.Softmax(5), ("x",), ("y",)),), r"node 'a' \(Softmax\): axis is out of range"),
    ],
)
def test_inconsistent_graphs(nodes: tuple[Node, ...], text: str) -> None:
    with pytest.raises(ModelError, match=text):
        _ = chain(*nodes).types


def test_an_index_out_of_range_names_the_node() -> None:
    graph = Graph(
        "g",
        {"i": TensorType((1,), DType.INT64)},
        ("y",),
        (Node("pick", ops.Gather(), ("w", "i"), ("y",)),),
        {"w": np.ones(3)},
    )
    with pytest.raises(ModelError, match=r"node 'pick' .*an index is out of range"):
        graph.evaluate({"i": np.array([3])})


def test_folding_is_bounded() -> None:
    small = np.ones((2, 2), np.float32)
    assert fold(ops.Relu(), [small], [type_of(small)]) is not None
    side = int(SIZE_LIMIT**0.5)
    large = np.broadcast_to(np.float32(1), (side, 1)), np.broadcast_to(np.float32(1), (1, side))
    assert fold(ops.MatMul(), list(large), [TensorType((side, side))]) is None
    wide = np.broadcast_to(np.float32(1), (2000,))
    equation = ops.Einsum("a,b,c->")
    assert fold(equation, [wide] * 3, [TensorType(())]) is None


def test_an_expanded_constant_takes_no_memory() -> None:
    shape = (1 << 12, 1 << 13)
    found = fold(ops.Expand(shape), [np.array(0.5, np.float32)], [TensorType(shape)])
    assert found is not None and found[0].strides == (0, 0)
    huge = (1 << 14, 1 << 15)  # a program would hold every element
    assert fold(ops.Expand(huge), [np.array(0.5, np.float32)], [TensorType(huge)]) is None


def test_names_are_unique() -> None:
    names = Names(["a", "a.1"])
    assert [names.unique("a") for _ in range(3)] == ["a.2", "a.3", "a.4"]
    assert names.unique("b") == "b"
