"""Sines and cosines of positions are those of float32, at any position."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import openane
from openane.artifact.options import Options
from openane.artifact.plan import EngineStep, HostStep
from openane.compiler.driver import build
from openane.core.types import DType
from openane.graph import Graph, Node, TensorType
from openane.graph import ops as g

HALF = 16
"""Frequencies."""
FREQUENCIES = (10000.0 ** (-np.arange(HALF) / HALF)).astype(np.float32)


def rotary(dtype: DType, length: int, *, product: bool) -> Graph:
    """x times the cosines of positions plus x times their sines; angles by Mul, or by a product of inner size 1."""
    nodes = [Node("float", g.Cast(DType.FLOAT32), ("position",), ("p",))]
    if product:
        nodes += [
            Node("row", g.Reshape((1, 1, length)), ("p",), ("q",)),
            Node("angle", g.MatMul(), ("frequencies", "q"), ("t",)),
            Node("turn", g.Transpose((0, 2, 1)), ("t",), ("a",)),
        ]
    else:
        nodes += [
            Node("column", g.Reshape((1, length, 1)), ("p",), ("q",)),
            Node("angle", g.Mul(), ("q", "frequencies"), ("a",)),
        ]
    nodes += [
        Node("twice", g.Concat(2), ("a", "a"), ("b",)),
        Node("cos", g.Cos(), ("b",), ("c",)),
        Node("sin", g.Sin(), ("b",), ("s",)),
        Node("xc", g.Mul(), ("x", "c"), ("u",)),
        Node("xs", g.Mul(), ("x", "s"), ("v",)),
        Node("y", g.Sub(), ("u", "v"), ("y",)),
    ]
    shape = (1, HALF, 1) if product else (1, 1, HALF)
    inputs = {
        "position": TensorType((1, length), dtype),
        "x": TensorType((1, length, 2 * HALF), DType.FLOAT32),
    }
    return Graph("rotary", inputs, ("y",), tuple(nodes), {"frequencies": FREQUENCIES.reshape(shape)})


@settings(deadline=None)
@given(
    positions=st.lists(st.integers(0, 200_000), min_size=1, max_size=4),
    dtype=st.sampled_from((DType.INT64, DType.INT32, DType.FLOAT32)),
    product=st.booleans(),
)
def test_rotary_positions_are_exact(positions: list[int], dtype: DType, product: bool) -> None:
    x = np.linspace(-1, 1, len(positions) * 2 * HALF, dtype=np.float32).reshape(1, -1, 2 * HALF)
    position = np.array([positions]).astype(dtype.numpy)
    got = openane.run(build(rotary(dtype, len(positions), product=product)), {"position": position, "x": x})["y"]
    angles = np.tile(position.astype(np.float32)[..., None] * FREQUENCIES, 2).astype(np.float64)
    np.testing.assert_allclose(got, x * (np.cos(angles) - np.sin(angles)), atol=4e-3)


def test_the_engine_takes_what_follows() -> None:
    """The host ends with the sines and cosines."""
    graph = rotary(DType.INT64, 2, product=False)
    last = Node("product", g.MatMul(), ("y", "w"), ("z",))
    constants = {**graph.constants, "w": np.ones((2 * HALF, 64), np.float32)}
    host, engine = build(Graph("rotary", graph.inputs, ("z",), (*graph.nodes, last), constants)).plan.steps
    assert isinstance(host, HostStep) and isinstance(engine, EngineStep)
    assert [node.name for node in host.graph.nodes] == ["float", "column", "angle", "twice", "cos", "sin"]


@pytest.mark.parametrize("operation", [g.Sin(), g.Cos()])
def test_other_sines_stay_on_the_engine(operation: g.Sin | g.Cos) -> None:
    """No positions: a sine of activations, or of as many numbers as there are factors."""
    for shape, factors in (((4,), np.arange(4)), ((1,), np.ones(4))):
        graph = Graph(
            "sine",
            {"x": TensorType(shape, DType.FLOAT32)},
            ("y",),
            (Node("m", g.Mul(), ("x", "w"), ("a",)), Node("s", operation, ("a",), ("y",))),
            {"w": factors.astype(np.float32)},
        )
        assert all(isinstance(step, EngineStep) for step in build(graph, Options()).plan.steps)
