"""Small models whose errors have a known cause."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from openane.analysis.compare import compare_layers
from openane.analysis.comparison import ModelComparison
from openane.compiler.driver import Options, build
from openane.core.origin import Origin
from openane.graph import Graph, Node, Operation, TensorType


def chain(steps: list[tuple[str, Operation, dict[str, np.ndarray]]], shape: tuple[int, ...]) -> Graph:
    """A graph of steps that read the value before them and their constants."""
    nodes, constants, last = [], {}, "x"
    for name, operation, weights in steps:
        constants |= {f"{name}.{key}": value for key, value in weights.items()}
        reads = (last, *(f"{name}.{key}" for key in weights))
        nodes.append(Node(name, operation, reads, (f"{name}_out",), Origin((name,))))
        last = f"{name}_out"
    return Graph("model", {"x": TensorType(shape)}, (last,), tuple(nodes), constants)


def compared(graph: Graph, inputs: Mapping[str, np.ndarray], options: Options | None = None) -> ModelComparison:
    """The comparison on the simulator."""
    return compare_layers(build(graph, options), inputs)
