"""The partition: few steps, little to move, and the same answer wherever the nodes run."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import openane
from openane.artifact.plan import EngineStep, HostStep
from openane.compiler.driver import Options, build
from openane.compiler.partition import partition
from openane.core.errors import Diagnostic, InputError, UnsupportedError
from openane.core.types import DType
from openane.cost.chips import chip
from openane.graph import Graph, Node, Operation, TensorType
from openane.graph.ops import (
    Add,
    Affine,
    ArgMax,
    Cast,
    Concat,
    Conv,
    Greater,
    Mul,
    Relu,
    Slice,
    TopK,
    Transpose,
    Where,
)
from openane.runtimes.execution import Execution

SHAPE = (1, 4, 6, 8)
KIND = TensorType(SHAPE)
WHY = Diagnostic("a test wants it here")


def node(name: str, operation: Operation, *inputs: str, outputs: tuple[str, ...] = ()) -> Node:
    return Node(name, operation, inputs, outputs or (name,))


def graph(outputs: str, *nodes: Node, inputs: str = "x", **constants: np.ndarray) -> Graph:
    return Graph("g", dict.fromkeys(inputs.split(), KIND), tuple(outputs.split()), nodes, constants)


def shape_of(model: Graph, *hosts: str) -> list[tuple[str, list[str]]]:
    """(side, names of nodes) of every part, with these nodes on the host."""
    parts = partition(model, dict.fromkeys(hosts, WHY))
    return [("engine" if part.on_engine else "host", [n.name for n in part.graph.nodes]) for part in parts]


def test_a_model_wholly_on_the_engine_is_one_part() -> None:
    model = graph("b", node("a", Relu(), "x"), node("b", Affine(2.0), "a"))
    assert shape_of(model) == [("engine", ["a", "b"])]


def test_branches_share_steps() -> None:
    """Two host nodes at different depth of two branches need one host step."""
    model = graph(
        "e f",
        node("a", Relu(), "x"),
        node("h", Relu(), "a"),
        node("i", Relu(), "x"),
        node("e", Relu(), "h"),
        node("f", Add(), "i", "h"),
    )
    assert shape_of(model, "h", "i") == [("engine", ["a"]), ("host", ["h", "i"]), ("engine", ["e", "f"])]


def test_a_host_node_waits_for_the_step_that_needs_it() -> None:
    """It could run first; the host step after the engine takes it for nothing."""
    model = graph("h", node("early", Relu(), "y"), node("a", Relu(), "x"), node("h", Add(), "a", "early"), inputs="x y")
    assert shape_of(model, "early", "h") == [("engine", ["a"]), ("host", ["early", "h"])]


def test_an_engine_chain_moves_to_its_reader() -> None:
    """Run early, its result would leave the engine and come back."""
    model = graph(
        "z",
        node("a", Relu(), "x"),
        node("side", Affine(2.0), "y"),
        node("more", Affine(3.0), "side"),
        node("h", Relu(), "a"),
        node("z", Add(), "h", "more"),
        inputs="x y",
    )
    assert shape_of(model, "h") == [("engine", ["a"]), ("host", ["h"]), ("engine", ["side", "more", "z"])]


def test_a_chain_stays_where_moving_it_costs_more() -> None:
    """Its operand is in the first program anyway, its result is smaller."""
    weight = np.ones((1, 4, 1, 1), np.float32)
    model = graph(
        "z",
        node("a", Relu(), "x"),
        node("small", Conv((1, 1), (0, 0, 0, 0), (1, 1)), "a", "w"),
        node("h", Relu(), "a"),
        node("z", Add(), "h", "small"),
        w=weight,
    )
    assert shape_of(model, "h") == [("engine", ["a", "small"]), ("host", ["h"]), ("engine", ["z"])]


def test_a_cheap_island_stays_on_the_host() -> None:
    nodes = (node("a", Relu(), "x"), node("h", Relu(), "a"), node("cheap", Relu(), "h"), node("i", Relu(), "cheap"))
    model = graph("z", *nodes, node("z", Relu(), "i"))
    reasons = {"h": WHY, "i": WHY}
    kept = partition(model, reasons)
    assert [part.on_engine for part in kept] == [True, False, True, False, True]
    merged = partition(model, reasons, chip("m1"))
    assert [part.on_engine for part in merged] == [True, False]
    assert merged[1].reasons["cheap"].rule == "worth-moving"


def test_products_after_a_host_step_stay_on_the_engine() -> None:
    weight = np.ones((4, 4, 1, 1), np.float32)
    model = graph("z", node("h", Relu(), "x"), node("z", Conv((1, 1), (0, 0, 0, 0), (1, 1)), "h", "w"), w=weight)
    parts = partition(model, {"h": WHY}, chip("m1"))
    assert [part.on_engine for part in parts] == [False, True]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_every_partition_computes_the_same(data: st.DataObject) -> None:
    """Random graphs, random sides: parts in order give the graph's outputs, and every node runs once."""
    names = ["x", "y"]
    nodes = []
    for index in range(data.draw(st.integers(1, 12))):
        operands = [data.draw(st.sampled_from(names)) for _ in range(2)]
        binary = data.draw(st.booleans())
        nodes.append(node(f"n{index}", Add() if binary else Affine(0.5, 1.0), *operands[: 1 + binary]))
        names.append(f"n{index}")
    outputs = " ".join(dict.fromkeys(data.draw(st.lists(st.sampled_from(names[2:]), min_size=1, max_size=3))))
    model = graph(outputs, *nodes, inputs="x y")
    hosts = data.draw(st.sets(st.sampled_from(names[2:])))
    costs = data.draw(st.sampled_from([None, chip("m1")]))
    generator = np.random.default_rng(0)
    inputs = {name: generator.standard_normal(SHAPE).astype(np.float32) for name in ("x", "y")}
    values = dict(inputs)
    parts = partition(model, dict.fromkeys(hosts, WHY), costs)
    for part in parts:
        values.update(part.graph.evaluate({name: values[name] for name in part.graph.inputs}))
    assert sorted(n.name for part in parts for n in part.graph.nodes) == sorted(n.name for n in nodes)
    for name, expected in model.evaluate(inputs).items():
        np.testing.assert_array_equal(values[name], expected)
    assert all(a.on_engine != b.on_engine for a, b in pairwise(parts))
    if costs is None:
        assert {n.name for part in parts if not part.on_engine for n in part.graph.nodes} == hosts


def test_whole_model_with_host_steps_on_the_simulator() -> None:
    """Convolution, TopK on the host, and integers that never reach the engine."""
    weight = np.linspace(-1, 1, 64, dtype=np.float32).reshape(4, 4, 2, 2)
    model = Graph(
        "mixed",
        {"x": KIND},
        ("best", "places", "z"),
        (
            node("a", Conv((1, 1), (0, 0, 1, 1), (1, 1)), "x", "w"),
            node("t", TopK(3, 2), "a", outputs=("best", "places")),
            node("c", Cast(DType.FLOAT32), "places"),
            node("z", Conv((1, 1), (0, 0, 1, 1), (1, 1)), "c", "w"),
        ),
        {"w": weight},
    )
    artifact = openane.compile(model)
    assert [type(step) for step in artifact.plan.steps] == [EngineStep, HostStep, EngineStep]
    for step in artifact.plan.steps:
        if isinstance(step, EngineStep):
            assert all(surface.dtype is DType.FLOAT16 for surface in step.program.surfaces)
    crossings = artifact.plan.crossings
    assert [(c.value, c.source, c.reader) for c in crossings] == [("a", 0, 1), ("c", 1, 2)]
    surface_sizes = {s.name: s.size_bytes for p in artifact.programs for s in p.surfaces}
    assert [c.moved_bytes for c in crossings] == [surface_sizes["a"], surface_sizes["c"]]
    x = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)
    with Execution(artifact) as execution:
        result = execution.run({"x": x})
    expected = model.evaluate({"x": x})
    assert result.steps[1].where == "host (onnxruntime)"
    np.testing.assert_allclose(result.outputs["best"], expected["best"], rtol=3e-3, atol=3e-3)
    assert result.outputs["places"].dtype == np.int64


def test_truth_values_cross_as_ones_and_zeros() -> None:
    """The host compares integers, the engine selects by the result."""
    ids = TensorType(SHAPE, DType.INT64)
    limit = np.full((1, 1, 1, 1), 3, np.int64)
    nodes = (node("m", Greater(), "ids", "limit"), node("z", Where(), "m", "x", "y"), node("s", Mul(), "z", "z"))
    model = Graph("mask", {"ids": ids, "x": KIND, "y": KIND}, ("s", "m"), nodes, {"limit": limit})
    generator = np.random.default_rng(2)
    inputs = {
        "ids": generator.integers(0, 7, SHAPE),
        "x": generator.standard_normal(SHAPE).astype(np.float32),
        "y": generator.standard_normal(SHAPE).astype(np.float32),
    }
    outputs, expected = openane.run(model, inputs), model.evaluate(inputs)
    np.testing.assert_array_equal(outputs["m"], expected["m"])
    np.testing.assert_allclose(outputs["s"], expected["s"], rtol=5e-3, atol=5e-3)


def test_no_nodes_and_constant_outputs() -> None:
    model = Graph("same", {"x": KIND}, ("x", "k"), (), {"k": np.arange(3, dtype=np.int64)})
    artifact = openane.compile(model)
    assert artifact.plan.steps == ()
    x = np.ones(SHAPE, np.float32)
    outputs = openane.run(artifact, {"x": x})
    np.testing.assert_array_equal(outputs["x"], x)
    np.testing.assert_array_equal(outputs["k"], [0, 1, 2])


def test_forbidding_the_host_lists_every_node() -> None:
    nodes = (node("a", ArgMax(1), "x"), node("b", Relu(), "x"), node("c", TopK(1, 1), "b", outputs=("v", "i")))
    model = graph("a v i", *nodes)
    with pytest.raises(UnsupportedError) as found:
        build(model, Options(host=False))
    assert ["'a'" in str(d) or "'c'" in str(d) for d in found.value.diagnostics] == [True, True]


def test_wide_keeps_a_layer_on_the_host() -> None:
    model = graph("b", node("first", Relu(), "x"), node("b", Affine(2.0), "first"))
    artifact = openane.compile(model, keep_on_host=frozenset({"first"}))
    assert isinstance(artifact.plan.steps[0], HostStep)
    with pytest.raises(InputError, match="Did you mean first"):
        openane.compile(model, keep_on_host=frozenset({"frist"}))


MIX = Transpose((0, 2, 3, 1))
CUT = Slice((0, 0, 0, 1), (1, 5, 7, 4), (1, 1, 1, 1))


@pytest.mark.parametrize(
    ("nodes", "on_host"),
    [
        ((node("t", MIX, "x"), node("y", ArgMax(3), "t")), "t y"),
        ((node("t", MIX, "x"), node("s", CUT, "t"), node("y", ArgMax(3), "s")), "t s y"),
        ((node("c", Concat(1), "x", "z"), node("y", ArgMax(1), "c")), "c y"),
        ((node("r", Relu(), "z"), node("c", Concat(1), "x", "r"), node("y", ArgMax(1), "c")), "c y"),
        ((node("r", Relu(), "x"), node("t", MIX, "r"), node("y", ArgMax(3), "t")), "y"),  # already in fp16
        ((node("t", MIX, "x"), node("r", Relu(), "t"), node("y", ArgMax(3), "t")), "y"),  # the engine reads it too
    ],
)
def test_data_that_only_moves_for_the_host_stays_there(nodes: tuple[Node, ...], on_host: str) -> None:
    unread = {n.name for n in nodes} - {name for n in nodes for name in n.inputs}
    model = graph(" ".join(sorted(unread)), *nodes, inputs="x z")
    parts = partition(model, {"y": WHY})
    assert [n.name for part in parts if not part.on_engine for n in part.graph.nodes] == on_host.split()


def test_positions_are_found_in_the_precision_of_the_model() -> None:
    """Neighbors closer than a step of fp16, after every kind of move."""
    x = np.nextafter(np.float32(1), np.float32(2)) * np.ones(SHAPE, np.float32)
    x[:, 2] += np.float32(2**-20)
    flat = node("c", Concat(1), "x", "x")
    model = graph("y", flat, node("t", MIX, "c"), node("y", ArgMax(3), "t"))
    np.testing.assert_array_equal(openane.run(build(model), {"x": x})["y"], np.full((1, 6, 8, 1), 2))
