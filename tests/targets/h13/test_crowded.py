"""Networks that crowd L2: what is read much later stays where it is while large tasks stage their tiles around it."""

from __future__ import annotations

import numpy as np
import pytest

import openane
from openane.backend.alloc.arena import Arena
from openane.graph import Graph, Node, TensorType, ops


def crowded(size: int, channels: int) -> Graph:
    """Values of several sizes that are all read at the end, and a large product in the middle."""
    random = np.random.default_rng(size)
    constants: dict[str, np.ndarray] = {}
    nodes: list[Node] = []

    def add(operation: ops.Operation, *inputs: str) -> str:
        nodes.append(Node(f"n{len(nodes)}", operation, inputs, (f"v{len(nodes)}",)))
        return nodes[-1].outputs[0]

    def conv(x: str, inputs: int, stride: int) -> str:
        name = f"w{len(constants)}"
        constants[name] = (random.standard_normal((channels, inputs, 1, 1)) * inputs**-0.5).astype(np.float32)
        operation = ops.Conv(strides=(stride, stride), pads=(0, 0, 0, 0), dilations=(1, 1), groups=1)
        return add(operation, x, name)

    kept = [conv("x", 8, stride) for stride in (8, 4, 2)]
    large = conv("x", 8, 1)
    weights = add(ops.Sigmoid(), add(ops.ReduceMean(axes=(2, 3), keepdims=True), large))
    weighted = add(ops.Add(), large, add(ops.Mul(), large, weights))
    pooled = [add(ops.ReduceMax(axes=(2, 3), keepdims=True), value) for value in (weighted, *kept)]
    total = pooled[0]
    for value in pooled[1:]:
        total = add(ops.Add(), total, value)
    return Graph("crowded", {"x": TensorType((1, 8, size, size))}, (total,), tuple(nodes), constants)


@pytest.mark.parametrize(("size", "channels"), [(80, 96), (72, 96), (64, 64), (96, 48), (80, 64)])
def test_crowded_networks_compute_what_they_say(size: int, channels: int) -> None:
    graph = crowded(size, channels)
    x = np.random.default_rng(1).standard_normal((1, 8, size, size)).astype(np.float16).astype(np.float32)
    (expected,) = graph.evaluate({"x": x}).values()
    (found,) = openane.run(openane.compile(graph, host=False), {"x": x}).values()
    np.testing.assert_allclose(found, expected, atol=2e-2 * np.abs(expected).max())


def test_the_largest_hole_can_be_taken() -> None:
    arena = Arena(1000, 64)
    arena.take(0, 100)
    arena.take(500, 100)
    hole = arena.largest_hole()
    assert arena.allocate(hole) is not None
    assert arena.find(hole) is None
