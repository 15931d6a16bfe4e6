"""Graphs as text."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from openane.core.origin import Origin
from openane.graph import Graph, Node, TensorType, ops
from openane.graph.text import describe, difference, spelled

GRAPH = Graph(
    "net",
    {"x": TensorType((1, 3, 4, 4))},
    ("y",),
    (
        Node("conv", ops.Conv(pads=(1, 1, 1, 1)), ("x", "w", ""), ("c",), Origin(("layer1", "norm1"))),
        Node("pad", ops.Pad((0, 0, 1, 1) * 2, ops.PadMode.EDGE), ("c",), ("y",)),
    ),
    {"w": np.zeros((2, 3, 3, 3), np.float32)},
)


def test_describe() -> None:
    assert describe(GRAPH) == (
        "graph net\n"
        "input x: float32[1,3,4,4]\n"
        "constant w: float32[2,3,3,3]\n"
        "c: float32[1,2,4,4] = Conv[pads=(1, 1, 1, 1)](x, w, none)  # layer1 + norm1\n"
        "y: float32[1,2,6,6] = Pad[pads=(0, 0, 1, 1, 0, 0, 1, 1), mode=edge](c)\n"
        "output y: float32[1,2,6,6]\n"
    )


def test_difference() -> None:
    other = replace(GRAPH, nodes=(GRAPH.nodes[0], replace(GRAPH.nodes[1], operation=ops.Pad((0, 0, 1, 1) * 2))))
    assert difference(GRAPH, GRAPH) == ""
    changed = [line for line in difference(GRAPH, other).splitlines() if line.startswith(("-y", "+y"))]
    assert len(changed) == 2 and "mode=edge" in changed[0] and "mode" not in changed[1]


def test_operations_inside_operations() -> None:
    assert spelled(ops.LSTM(4, activations=(ops.Relu(), ops.Tanh(), ops.Elu(0.5)))) == (
        "LSTM[hidden=4, activations=(Relu, Tanh, Elu[alpha=0.5])]"
    )
