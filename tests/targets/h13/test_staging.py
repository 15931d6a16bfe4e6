"""Staging areas of a task keep clear of what is resident, in every dialect."""

from __future__ import annotations

import numpy as np
import pytest

import openane
from openane.compiler.driver import Options, build
from openane.graph import Graph, Node, Operation, TensorType, ops
from openane.targets.h13.machine import check_program
from openane.targets.h13.spec import DIALECTS

Step = tuple[Operation, tuple[str, ...], str]
SUB, MUL, MIN = ops.Sub(), ops.Mul(), ops.Min()
GRAPHS: dict[str, tuple[Step, ...]] = {
    "tanh(a - b) - b": ((SUB, ("a", "b"), "c"), (ops.Tanh(), ("c",), "d"), (SUB, ("d", "b"), "y")),
    "(-sigmoid(a) - d) * b": (
        (ops.Sigmoid(), ("a",), "s"), (ops.Neg(), ("s",), "n"), (SUB, ("n", "d"), "c"), (MUL, ("c", "b"), "y"),
    ),
    "relu(a) - min(a, a) - b": (
        (MIN, ("a", "a"), "m"), (ops.Relu(), ("a",), "r"), (SUB, ("r", "m"), "s"), (SUB, ("s", "b"), "y"),
    ),
}  # fmt: skip
SHAPES = (8, 3), (16, 2), (197, 192), (1, 64, 56, 56), (1, 128, 56, 56), (1, 77, 768)


def graph(name: str, shape: tuple[int, ...]) -> Graph:
    steps = GRAPHS[name]
    nodes = tuple(Node(f"n{index}", step, read, (made,)) for index, (step, read, made) in enumerate(steps))
    made = {step[2] for step in steps}
    inputs = sorted({read for step in steps for read in step[1]} - made)
    return Graph("staging", {name: TensorType(shape) for name in inputs}, ("y",), nodes, {})


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
@pytest.mark.parametrize("name", GRAPHS)
def test_programs_have_no_conflict_in_l2(name: str, dialect: str) -> None:
    for shape in SHAPES:
        check_program(build(graph(name, shape), Options(dialect=dialect, host=False)).program)


@pytest.mark.parametrize("name", GRAPHS)
def test_programs_compute_their_graphs(name: str) -> None:
    source = graph(name, (8, 3))
    random = np.random.default_rng(3)
    inputs = {key: random.standard_normal((8, 3)).astype(np.float16).astype(np.float32) for key in source.inputs}
    (expected,) = source.evaluate(inputs).values()
    (found,) = openane.run(openane.compile(source, host=False), inputs).values()
    np.testing.assert_allclose(found, expected, atol=4e-3)


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("window", [3, 5, 7])
def test_inner_tiles_of_padded_convolutions_have_room_for_their_rows(window: int, stride: int, dialect: str) -> None:
    weights = np.ones((64, 64, window, window), np.float32)
    pad = window // 2
    operation = ops.Conv(strides=(stride, stride), pads=(pad,) * 4, dilations=(1, 1), groups=1)
    node = Node("n", operation, ("x", "w"), ("y",))
    tiled = Graph("tiled", {"x": TensorType((1, 64, 200, 160))}, ("y",), (node,), {"w": weights})
    check_program(build(tiled, Options(dialect=dialect, host=False)).program)


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
def test_a_value_repeated_over_a_batch_is_read_inside_its_buffer(dialect: str) -> None:
    shape, batch = (1, 256, 28, 28), ops.Expand((5, 256, 28, 28))
    nodes = (
        Node("a", batch, ("x1",), ("v2",)),
        Node("b", ops.Mul(), ("x1", "x0"), ("v3",)),
        Node("c", ops.Add(), ("v2", "v3"), ("v4",)),
    )
    repeated = Graph("repeated", {name: TensorType(shape) for name in ("x0", "x1")}, ("v4",), nodes, {})
    check_program(build(repeated, Options(dialect=dialect, host=False)).program)
