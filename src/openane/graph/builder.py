"""Collects the nodes of a Graph for the front ends; what depends on constants only becomes a constant at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from openane.core.errors import ModelError
from openane.core.origin import Origin
from openane.graph.folding import fold, type_of
from openane.graph.graph import Graph, Node
from openane.graph.naming import Names
from openane.graph.operation import Operation, TensorType

NODE_LIMIT = 1_000_000
"""Nodes of one model after functions and branches are spelled out."""


class GraphBuilder:
    """A graph in the making.

    Args:
        inputs: of the model, in order.
        names: of values.
        node_names: of nodes.
    """

    element_limit: ClassVar[int] = 1 << 31
    """Elements of one result; more are a mistake or an attack."""
    fold_limited: ClassVar[bool] = True
    """Whether constants whose computation takes too much work or memory stay nodes."""

    def __init__(self, inputs: Mapping[str, TensorType], names: Names, node_names: Names) -> None:
        self.inputs: dict[str, TensorType] = dict(inputs)
        self.types: dict[str, TensorType] = dict(inputs)
        self.constants: dict[str, np.ndarray] = {}
        self.nodes: list[Node] = []
        self.names = names
        self._node_names = node_names

    def input(self, name: str, value: TensorType) -> None:
        """Declares an input of the model."""
        self.inputs[name] = self.types[name] = value

    def unique(self, name: str) -> str:
        """`name`, with a number after it if it is taken; taken from now on."""
        return self.names.unique(name)

    def weight(self, name: str, array: np.ndarray) -> None:
        """Declares a constant under exactly this name."""
        self.constants[name] = array
        self.types[name] = type_of(array)

    def constant(self, array: np.ndarray, name: str) -> str:
        """A constant under a name like `name`; its value name."""
        found = self.unique(name)
        self.weight(found, array)
        return found

    def infer(self, operation: Operation, inputs: Sequence[str]) -> tuple[TensorType, ...]:
        """The types of the results.

        Raises:
            ModelError: the inputs do not fit the operation, or a result is absurdly large.
        """
        results = operation.infer([self.types[name] if name else None for name in inputs])
        for result in results:
            if result.size > self.element_limit:
                limit = f"{self.element_limit} elements"
                raise ModelError("a result is absurdly large", value=result, limit=limit)
        return results

    def emit(
        self,
        operation: Operation,
        inputs: Sequence[str],
        name: str,
        origin: Origin,
        *,
        label: str = "",
        outputs: Sequence[str] = (),
    ) -> tuple[str, ...]:
        """A node, or constants where all inputs are; the value names of the results.

        Args:
            operation: of the node.
            inputs: value names, "" for an optional one that is left out.
            name: what the names of the results are like.
            origin: the user's layers.
            label: what the name of the node is like; `name` by default.
            outputs: names that were reserved for the results; none by default.

        Raises:
            ModelError: as `infer`, or the model has too many nodes.
        """
        results = self.infer(operation, inputs)
        wanted = tuple(outputs) or (name,) * len(results)
        arrays = self._folded(operation, inputs, results)
        if arrays is not None:
            return tuple(self.constant(array, each) for array, each in zip(arrays, wanted, strict=True))
        if len(self.nodes) >= NODE_LIMIT:
            raise ModelError("the model has too many nodes", limit=NODE_LIMIT)
        made = tuple(outputs) or tuple(self.unique(name) for _ in results)
        self.types.update(zip(made, results, strict=True))
        self.nodes.append(Node(self._node_names.unique(label or name), operation, tuple(inputs), made, origin))
        return made

    def _folded(
        self, operation: Operation, inputs: Sequence[str], results: Sequence[TensorType]
    ) -> Sequence[np.ndarray] | None:
        if not inputs or any(name and name not in self.constants for name in inputs) or not operation.is_repeatable:
            return None
        arrays = [self.constants[name] if name else None for name in inputs]
        return fold(operation, arrays, results) if self.fold_limited else operation.evaluate(arrays)

    def graph(self, name: str, outputs: Sequence[str]) -> Graph:
        """What was collected. Constants that nothing reads are left out."""
        read = {each for node in self.nodes for each in node.inputs} | set(outputs)
        constants = {key: array for key, array in self.constants.items() if key in read}
        return Graph(name, dict(self.inputs), tuple(outputs), tuple(self.nodes), constants)
