"""Hazards of half precision: each kind is found where it is, and nothing where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from openane.analysis.bounds import intervals
from openane.analysis.hazards import HazardKind, HazardSource, find_hazards
from openane.core.types import DType
from openane.graph import Graph, Node, Operation, TensorType
from openane.graph.ops import (
    Add,
    Div,
    LayerNorm,
    Log,
    MatMul,
    Mul,
    Reciprocal,
    ReduceL2,
    Relu,
    Rsqrt,
    Sigmoid,
    Softmax,
)

KIND = TensorType((2, 4), DType.FLOAT32)


def graph(operation: Operation, *operands: str, **constants: np.ndarray | float) -> Graph:
    arrays = {name: np.asarray(value, np.float32) for name, value in constants.items()}
    inputs = {name: KIND for name in operands if name not in arrays}
    return Graph("g", inputs, ("out",), (Node("layer", operation, operands, ("out",)),), arrays)


def found(model: Graph, value: float | np.ndarray) -> list[tuple[HazardKind, HazardSource]]:
    array = np.broadcast_to(np.asarray(value, np.float32), KIND.shape)
    return [(h.kind, h.source) for h in find_hazards(model, [dict.fromkeys(model.inputs, array)])]


RAMP = np.array([0.5, 1.0, 2.0, 3.0])
SEEN = HazardSource.CALIBRATION


@pytest.mark.parametrize(
    ("model", "value", "kind"),
    [
        (graph(Mul(), "x", "x"), 300.0, HazardKind.OVERFLOW),
        (graph(MatMul(), "x", "w", w=np.ones((4, 4))), 9000.0, HazardKind.OVERFLOW),
        (graph(LayerNorm((1,), 1e-2), "x"), 2000 + RAMP, HazardKind.RANGE),
        (graph(Log(), "x"), 1e-9, HazardKind.ZERO),
        (graph(Reciprocal(), "x"), 0.0, HazardKind.ZERO),
        (graph(Div(), "x", "x"), 0.0, HazardKind.ZERO),
        (graph(Rsqrt(1e-12), "x"), 0.0, HazardKind.EPSILON),
        (graph(Add(), "x", "e", e=1e-12), 0.0, HazardKind.EPSILON),
        (graph(Softmax(1), "x"), np.array([900.2, 900.4, 900.6, 900.9]), HazardKind.RANGE),
    ],
)
def test_every_kind_is_found(model: Graph, value: float | np.ndarray, kind: HazardKind) -> None:
    assert (kind, SEEN) in found(model, value)


@pytest.mark.parametrize(
    "operation", [LayerNorm((1,), 1e-12), Softmax(1), Log(), Reciprocal(), Rsqrt(1e-12), ReduceL2((1,)), Relu()]
)
def test_ordinary_values_are_no_hazard(operation: Operation) -> None:
    assert found(graph(operation, "x"), RAMP) == []


@pytest.mark.parametrize(
    ("model", "value"),
    [
        (graph(LayerNorm((1,)), "x"), RAMP * 1000),
        (graph(ReduceL2((1,)), "x"), RAMP * 200),
        (graph(Softmax(1), "x"), RAMP * 300),
        (graph(Softmax(1), "x"), np.array([-1e9, 0.5, 1, -3e38])),
    ],
)
def test_right_results_are_no_hazard(model: Graph, value: np.ndarray) -> None:
    assert found(model, value) == []


def test_constants_are_held_against_half_precision() -> None:
    for factor in (RAMP * 1e5, 1e5):
        (hazard,) = find_hazards(graph(Mul(), "x", "c", c=factor), [])
        assert (hazard.kind, hazard.source) == (HazardKind.OVERFLOW, HazardSource.CONSTANTS)
        assert found(graph(Mul(), "x", "c", c=factor), 0.1) == []  # the compiler keeps such a factor on the host
    assert (HazardKind.UNDERFLOW, HazardSource.CONSTANTS) in found(graph(Mul(), "x", "c", c=1e-9), 1.0)


def test_bounds_need_no_inputs() -> None:
    nodes = (Node("s", Sigmoid(), ("x",), ("s",)), Node("l", Log(), ("s",), ("l",)))
    model = Graph("g", {"x": KIND}, ("l",), nodes, {})
    assert intervals(model)["s"].high == 1
    (hazard,) = find_hazards(model, [])
    assert (hazard.node, hazard.kind, hazard.source) == ("l", HazardKind.ZERO, HazardSource.BOUNDS)
    weights = np.full((4, 4), 2e4, np.float32)
    nodes = (nodes[0], Node("m", MatMul(), ("s", "w"), ("m",)))
    model = Graph("g", {"x": KIND}, ("m",), nodes, {"w": weights})
    assert [(h.node, h.source) for h in find_hazards(model, [])] == [("m", HazardSource.BOUNDS)]


def test_nodes_on_the_host_have_no_hazards() -> None:
    model = graph(Mul(), "x", "x")
    inputs = {"x": np.full(KIND.shape, 300, np.float32)}
    assert find_hazards(model, [inputs], frozenset({"layer"})) == ()
    assert "--keep-on-host 'layer'" in find_hazards(model, [inputs])[0].hint
