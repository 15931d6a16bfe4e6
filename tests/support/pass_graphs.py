"""Building small graphs for the tests of the passes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from openane.compiler.pipeline import run_pipeline
from openane.core.origin import Origin
from openane.core.types import DType
from openane.graph import Graph, Node, Operation, TensorType


class Sketch:
    """A graph that is written down line by line; every value is made of float64 constants and one input each."""

    def __init__(self, **inputs: tuple[int, ...]) -> None:
        self.inputs = {name: TensorType(shape, DType.FLOAT64) for name, shape in inputs.items()}
        self.nodes: list[Node] = []
        self.constants: dict[str, np.ndarray] = {}

    def constant(self, *values: object) -> str:
        """A constant: an array, a number, or normal numbers of a shape given as several integers."""
        name = f"c{len(self.constants)}"
        if len(values) == 1 and not isinstance(values[0], tuple):
            array = np.asarray(values[0])
            self.constants[name] = array.astype(np.float64) if array.dtype.kind == "f" else array
        else:
            shape = values[0] if isinstance(values[0], tuple) else values
            rng = np.random.default_rng(len(self.constants))
            self.constants[name] = rng.uniform(0.5, 1.5, shape)  # type: ignore[arg-type]
        return name

    def add(self, operation: Operation, *inputs: str | float) -> str:
        """A node; numbers become constants."""
        names = [self.constant(float(i)) if not isinstance(i, str) else i for i in inputs]
        name = f"n{len(self.nodes)}"
        self.nodes.append(Node(name, operation, tuple(names), (f"v{name}",), Origin((name,))))
        return f"v{name}"

    def add_all(self, operation: Operation, *inputs: str, count: int) -> tuple[str, ...]:
        """A node with several results."""
        name = f"n{len(self.nodes)}"
        outputs = tuple(f"v{name}.{i}" for i in range(count))
        self.nodes.append(Node(name, operation, inputs, outputs, Origin((name,))))
        return outputs

    def graph(self, *outputs: str) -> Graph:
        """The graph."""
        return Graph("sketch", self.inputs, outputs, tuple(self.nodes), self.constants)


def kinds(graph: Graph) -> list[str]:
    """The operations in order."""
    return [type(node.operation).__name__ for node in graph.nodes]


def counts(graph: Graph) -> Counter[str]:
    """How often each operation is there."""
    return Counter(kinds(graph))


def check(graph: Graph, after: Graph, *, tolerance: float = 1e-9) -> None:
    """The same inputs and outputs, valid, the same results, and no origin lost."""
    after = replace(after)  # without the types that the pass left, so that they are inferred
    assert after.inputs == graph.inputs and after.outputs == graph.outputs
    assert {name: after.types[name] for name in graph.outputs} == {n: graph.types[n] for n in graph.outputs}
    rng = np.random.default_rng(7)
    feeds = {name: rng.normal(0, 2, kind.shape) for name, kind in graph.inputs.items()}
    expected, found = graph.evaluate(feeds), after.evaluate(feeds)
    for name in graph.outputs:
        np.testing.assert_allclose(found[name], expected[name], rtol=tolerance, atol=tolerance, err_msg=name)
    layers = {layer for node in graph.nodes for layer in node.origin.layers}
    assert {layer for node in after.nodes for layer in node.origin.layers} <= layers
    assert all(node.origin.layers for node in after.nodes)


def simplified(graph: Graph, *, tolerance: float = 1e-9) -> Graph:
    """The graph after the whole pipeline, checked after every pass."""

    def observe(_: object, after: Graph) -> None:
        check(graph, after, tolerance=tolerance)

    return run_pipeline(graph, observe)
