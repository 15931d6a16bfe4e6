"""ONNX nodes under construction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from openane.graph import Graph, Node, TensorType


class Writer:
    """Collects nodes and constants; makes up names that are free.

    Args:
        graph: that is written.

    Attributes:
        nodes: `onnx.NodeProto`s so far.
        constants: arrays that the graph itself does not have.
        versions: nodes of a file, and the version of the operator set that they are written for.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}
        self.versions: list[tuple[Any, int]] = []
        self._taken = set(graph.types)
        self._count = 0

    def type(self, name: str) -> TensorType:
        """The type of a value of the graph."""
        return self.graph.types[name]

    def fresh(self) -> str:
        """A name that nothing has."""
        while True:
            self._count += 1
            name = f"t{self._count}"
            if name not in self._taken:
                self._taken.add(name)
                return name

    def constant(self, array: Any, like: str | None = None) -> str:
        """The name of a new constant; in the element type of the value `like` where one is named."""
        dtype = None if like is None else self.type(like).dtype.numpy
        name = self.fresh()
        self.constants[name] = np.asarray(array, dtype)
        return name

    def integers(self, *values: int) -> str:
        """The name of a new constant: a row of 64-bit integers."""
        return self.constant(np.array(values, np.int64))

    def emit(self, kind: str, *inputs: str, count: int = 1, **attributes: Any) -> list[str]:
        """Adds a node; the names of its results."""
        from onnx import helper

        results = [self.fresh() for _ in range(count)]
        self.nodes.append(helper.make_node(kind, list(inputs), results, **attributes))
        return results

    def one(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Adds a node with one result; its name."""
        return self.emit(kind, *inputs, **attributes)[0]


#: Writes the ONNX nodes of one node; the names of its results.
Handler = Callable[[Writer, Node], list[str]]
