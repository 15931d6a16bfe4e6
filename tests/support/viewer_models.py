"""Models whose pages the tests look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from openane.core.origin import Origin
from openane.graph import Graph, Node, TensorType
from openane.graph.ops import Add, Conv, Relu, Sigmoid

DIGITS = Path(__file__).parents[2] / "src" / "openane" / "data" / "digits.onnx"
NASTY = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&quot;\u2028'\"`${1}"


def long_model(count: int, name: str = "layer") -> Graph:
    """`count` layers, with branches that join again."""
    random = np.random.default_rng(1)
    nodes: list[Node] = []
    constants = {}
    last, earlier = "x", "x"
    for i in range(count):
        kind = i % 5
        own = f"{name}{i}"
        if kind in (0, 2):
            constants[f"w{i}"] = (0.2 * random.standard_normal((8, 8, 3, 3))).astype(np.float32)
            node = Node(own, Conv(pads=(1, 1, 1, 1)), (last, f"w{i}"), (f"v{i}",), Origin((own,)))
            earlier = last if kind == 0 else earlier
        elif kind == 4 and earlier != last:
            node = Node(own, Add(), (last, earlier), (f"v{i}",), Origin((own,)))
        else:
            node = Node(own, Sigmoid() if kind == 3 else Relu(), (last,), (f"v{i}",), Origin((own,)))
        nodes.append(node)
        last = f"v{i}"
    return Graph("long", {"x": TensorType((1, 8, 6, 6))}, (last,), tuple(nodes), constants)
