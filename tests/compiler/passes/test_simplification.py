"""Folding, identities, canonical forms, and what all passes promise together."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.pass_graphs import Sketch, kinds, simplified

from openane.compiler.pipeline import PIPELINE, run_pipeline
from openane.core.errors import ModelError
from openane.core.types import DType
from openane.graph import Graph, Node, Operation, TensorType, ops


def test_every_pass_has_a_reason() -> None:
    assert all(step.reason and step.run.__doc__ for step in PIPELINE)


def test_constants_are_folded() -> None:
    s = Sketch(x=(2, 3))
    y = s.add(ops.Mul(), "x", s.add(ops.Exp(), s.add(ops.Add(), s.constant((3,)), s.constant((3,)))))
    assert kinds(simplified(s.graph(y))) == ["Mul"]


def test_a_constant_output_stays_an_output() -> None:
    s = Sketch(x=(2, 3))
    y = s.add(ops.Exp(), s.constant((3,)))
    after = simplified(s.graph(y, s.add(ops.Relu(), "x")))
    assert kinds(after) == ["Relu"] and y in after.constants


def test_a_bad_constant_index_names_its_node() -> None:
    s = Sketch(x=(2, 3))
    y = s.add(ops.Gather(), s.constant((3,)), s.constant(np.array([5])))
    with pytest.raises(ModelError, match="node 'n0'"):
        run_pipeline(s.graph(y))


def test_dead_nodes_go() -> None:
    s = Sketch(x=(2, 3))
    s.add(ops.Exp(), s.add(ops.Sin(), "x"))
    after = simplified(s.graph(s.add(ops.Relu(), "x")))
    assert kinds(after) == ["Relu"] and not after.constants


def test_duplicates_go() -> None:
    s = Sketch(x=(2, 3))
    y = s.add(ops.Max(), s.add(ops.Sin(), "x"), s.add(ops.Cos(), s.add(ops.Sin(), "x")))
    assert kinds(simplified(s.graph(y))) == ["Sin", "Cos", "Max"]


@pytest.mark.parametrize(
    "operation",
    [
        ops.Identity(),
        ops.Reshape((2, 3)),
        ops.Transpose((0, 1)),
        ops.Clip(),
        ops.Expand((2, 3)),
        ops.Tile((1, 1)),
        ops.Pad((0, 0, 0, 0)),
        ops.Slice((0, 0), (2, 3), (1, 1)),
        ops.Concat(1),
        ops.Split(1, (3,)),
        ops.ReduceSum(()),
        ops.Cast(DType.FLOAT64),
        ops.Resize((2, 3)),
        ops.Affine(),
    ],
    ids=repr,
)
def test_identities_vanish(operation: Operation) -> None:
    s = Sketch(x=(2, 3))
    y = s.add(ops.Exp(), s.add(operation, s.add(ops.Sin(), "x")))
    assert kinds(simplified(s.graph(y))) == ["Sin", "Exp"]


@pytest.mark.parametrize("place", ["first", "last", "both"])
def test_identities_at_the_borders_keep_names(place: str) -> None:
    s = Sketch(x=(2, 3))
    y = s.add(ops.Identity(), "x") if place != "last" else "x"
    y = s.add(ops.Exp(), y)
    y = s.add(ops.Identity(), y) if place != "first" else y
    after = simplified(s.graph(y))
    assert kinds(after) == ["Exp"] and after.outputs == (y,)


def test_an_output_that_is_an_input() -> None:
    s = Sketch(x=(2, 3))
    y = s.add(ops.Identity(), "x")
    assert kinds(simplified(s.graph(y))) == ["Identity"]


def test_two_names_of_one_output() -> None:
    s = Sketch(x=(2, 3))
    y = s.add(ops.Sin(), "x")
    after = simplified(s.graph(y, s.add(ops.Identity(), y), s.add(ops.Identity(), y)))
    assert sorted(kinds(after)) == ["Identity", "Identity", "Sin"]


CANONICAL: list[tuple[list[tuple[Operation, tuple[str | float, ...]]], list[str]]] = [
    ([(ops.Sub(), ("x", 2.0))], ["Add"]),
    ([(ops.Div(), ("x", 4.0))], ["Mul"]),
    ([(ops.Div(), (1.0, "x"))], ["Reciprocal"]),
    ([(ops.Pow(), ("x", 2.0))], ["Square"]),
    ([(ops.Mul(), ("x", "x"))], ["Square"]),
    ([(ops.Add(), ("x", "x"))], ["Mul"]),
    ([(ops.Max(), ("x", 0.0))], ["Relu"]),
    ([(ops.Min(), (3.0, "x"))], ["Clip"]),
    ([(ops.Relu(), ("x",)), (ops.Clip(maximum=6), ("-",))], ["Clip"]),
    ([(ops.Clip(minimum=-1), ("x",)), (ops.Relu(), ("-",))], ["Relu"]),
    ([(ops.Relu(), ("x",)), (ops.Relu(), ("-",))], ["Relu"]),
    ([(ops.Neg(), ("x",)), (ops.Neg(), ("-",)), (ops.Sin(), ("-",))], ["Sin"]),
    ([(ops.Mul(), ("x", 2.0)), (ops.Mul(), (3.0, "-"))], ["Mul"]),
]


@pytest.mark.parametrize(("steps", "expected"), CANONICAL, ids=lambda v: str(v)[:40])
def test_canonical_forms(steps: list[tuple[Operation, tuple[str | float, ...]]], expected: list[str]) -> None:
    s = Sketch(x=(2, 3))
    last = "x"
    for operation, inputs in steps:
        last = s.add(operation, *(last if i == "-" else i for i in inputs))
    assert kinds(simplified(s.graph(last))) == expected


def test_bounds_that_do_not_meet_stay() -> None:
    s = Sketch(x=(2, 3))
    y = s.add(ops.Clip(2, 3), s.add(ops.Clip(-1, 1), "x"))
    assert len(simplified(s.graph(y)).nodes) >= 1


def test_division_by_zero_stays() -> None:
    s = Sketch(x=(2, 3))
    assert kinds(simplified(s.graph(s.add(ops.Div(), "x", 0.0)))) == ["Div"]


def test_a_window_over_everything_is_a_reduction() -> None:
    s = Sketch(x=(1, 3, 5, 4))
    y = s.add(ops.AveragePool((5, 4), (1, 1), (0,) * 4), "x")
    assert kinds(simplified(s.graph(y))) == ["ReduceMean"]


def test_quantized_activations_are_arithmetic() -> None:
    graph = Graph(
        "q",
        {"x": TensorType((2, 4, 3))},
        ("y",),
        (
            Node("q", ops.QuantizeLinear(DType.UINT8), ("x", "s", "z"), ("i",)),
            Node("d", ops.DequantizeLinear(DType.FLOAT32), ("i", "s", "z"), ("y",)),
        ),
        {"s": np.array(0.03, np.float32), "z": np.array(120, np.uint8)},
    )
    after = run_pipeline(graph)
    assert kinds(after) == ["Mul", "Round", "Clip", "Mul"]
    x = np.random.default_rng(0).normal(0, 4, (2, 4, 3)).astype(np.float32)
    np.testing.assert_allclose(after.evaluate({"x": x})["y"], graph.evaluate({"x": x})["y"], atol=1e-6)


UNARY = [ops.Relu(), ops.Sigmoid(), ops.Tanh(), ops.Abs(), ops.Neg(), ops.Clip(-1, 1), ops.Identity(), ops.Square()]
BINARY = [ops.Add(), ops.Mul(), ops.Sub(), ops.Max(), ops.Min()]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Random graphs over (1, 4, 4, 4): element by element work, transposes, convolutions, norms, constants."""
    s = Sketch(x=(1, 4, 4, 4), z=(1, 4, 4, 4))
    values = ["x", "z"]
    for _ in range(draw(st.integers(1, 14))):
        first = draw(st.sampled_from(values[-4:]))
        second = draw(st.sampled_from(values))
        match draw(st.sampled_from(["unary", "binary", "scale", "transpose", "conv", "norm", "pad", "mean"])):
            case "unary":
                value = s.add(draw(st.sampled_from(UNARY)), first)
            case "binary":
                value = s.add(draw(st.sampled_from(BINARY)), first, second)
            case "scale":
                shape = draw(st.sampled_from([(), (4,), (4, 1, 1), (1, 4, 1, 1), (4, 4)]))
                value = s.add(draw(st.sampled_from(BINARY)), *draw(st.permutations([first, s.constant(shape)])))
            case "transpose":
                value = s.add(
                    ops.Transpose(tuple(draw(st.sampled_from([(0, 2, 3, 1), (0, 3, 1, 2), (0, 1, 3, 2)])))), first
                )
            case "conv":
                value = s.add(ops.Conv((1, 1), (1,) * 4), first, s.constant((4, 4, 3, 3)), s.constant((4,)))
            case "norm":
                value = s.add(ops.BatchNorm(), first, *(s.constant((4,)) for _ in range(4)))
            case "pad":
                value = s.add(ops.Slice((0, 0, 1, 0), (1, 4, 5, 4), (1,) * 4), s.add(ops.Pad((0, 0, 1, 0) * 2), first))
            case _:
                value = s.add(ops.Sub(), first, s.add(ops.ReduceMean((1,)), first))
        values.append(value)
    outputs = draw(st.lists(st.sampled_from(values[2:]), min_size=1, max_size=3, unique=True))
    return s.graph(*outputs)


@given(graphs())
@settings(max_examples=80, deadline=None)
def test_random_graphs_keep_their_results(graph: Graph) -> None:
    after = simplified(graph, tolerance=1e-6)
    assert len(after.nodes) <= 2 * len(graph.nodes) + 4
    again = run_pipeline(graph)
    assert [(n.name, n.operation, n.inputs) for n in again.nodes] == [
        (n.name, n.operation, n.inputs) for n in after.nodes
    ]


def test_long_chains_are_no_trouble() -> None:
    s = Sketch(x=(1, 4))
    value = "x"
    for i in range(3000):
        value = s.add((ops.Sigmoid(), ops.Identity(), ops.Neg(), ops.Tanh())[i % 4], value)
    after = run_pipeline(s.graph(value))
    assert len(after.nodes) == 2250
    assert math.isfinite(float(after.evaluate({"x": np.ones((1, 4))})[value].sum()))
