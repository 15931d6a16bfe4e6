"""Collects the nodes of a Graph; what depends on constants only becomes a constant at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from openane.core.errors import ModelError
from openane.core.origin import Origin
from openane.frontends.onnx.tensors import ELEMENT_LIMIT
from openane.graph import Graph, Node, Operation, TensorType
from openane.graph.folding import fold, type_of
from openane.graph.naming import Names

#: Nodes of one model after functions and branches are spelled out.
NODE_LIMIT = 1_000_000


class Builder:
    """A graph in the making.

    Args:
        taken: names that are spoken for.
    """

    def __init__(self, taken: set[str]) -> None:
        self.types: dict[str, TensorType] = {}
        self.constants: dict[str, np.ndarray] = {}
        #: Values that are bfloat16 in the file; the graph holds them as float32.
        self.bfloat16: set[str] = set()
        self._inputs: dict[str, TensorType] = {}
        self._nodes: list[Node] = []
        self._names = Names(taken)
        self._node_names = Names()
        self._clock = 0
        self._made: dict[str, tuple[int, int]] = {}  # value -> when it was made, and how many nodes there were

    def unique(self, name: str) -> str:
        """`name`, with a number behind it if it is taken; taken from now on."""
        return self._names.unique(name)

    def input(self, name: str, value: TensorType) -> None:
        """Declares an input of the model."""
        self._inputs[name] = self.types[name] = value

    def weight(self, name: str, array: np.ndarray) -> None:
        """Declares a constant under exactly this name."""
        self.constants[name] = array
        self.types[name] = type_of(array)

    def constant(self, array: np.ndarray, name: str) -> str:
        """A constant under a name like `name`; its value name."""
        name = self.unique(name)
        self.constants[name] = array
        self.types[name] = type_of(array)
        self._note(name)
        return name

    def emit(self, operation: Operation, inputs: Sequence[str], name: str, origin: Origin) -> tuple[str, ...]:
        """A node of `operation`, or constants where all inputs are; the value names of the results.

        Raises:
            ModelError: the inputs do not fit the operation, or a result is absurdly large.
        """
        results = operation.infer([self.types[i] if i else None for i in inputs])
        for result in results:
            if result.size > ELEMENT_LIMIT:
                limit = f"{ELEMENT_LIMIT} elements"
                raise ModelError("a result is absurdly large", value=result, limit=limit)
        if all(not i or i in self.constants for i in inputs):
            arrays = fold(operation, [self.constants[i] if i else None for i in inputs], results)
            if arrays is not None:
                return tuple(self.constant(array, name) for array in arrays)
        if len(self._nodes) >= NODE_LIMIT:
            raise ModelError("the model has too many nodes", limit=NODE_LIMIT)
        outputs = tuple(self.unique(name) for _ in results)
        self.types.update(zip(outputs, results, strict=True))
        for output in outputs:
            self._note(output)
        self._nodes.append(Node(self._node_names.unique(name), operation, tuple(inputs), outputs, origin))
        return outputs

    def sources(self, value: str) -> list[str]:
        """The model's inputs that a value depends on, in order."""
        needed = {value}
        for node in reversed(self._nodes):
            if not needed.isdisjoint(node.outputs):
                needed.update(node.inputs)
        return [name for name in self._inputs if name in needed]

    def _note(self, value: str) -> None:
        self._made[value] = self._clock, len(self._nodes)
        self._clock += 1

    def now(self) -> int:
        """A mark in time, for `rename`."""
        return self._clock

    def rename(self, value: str, name: str, since: int) -> bool:
        """Gives a value that was made since a mark its name from the file; whether it could."""
        when, first = self._made.get(value, (-1, 0))
        if when < since:
            return False
        self._made[name] = self._made.pop(value)
        self.types[name] = self.types.pop(value)
        if value in self.constants:
            self.constants[name] = self.constants.pop(value)
        self._names.release(value)
        self._names.take(name)
        for i in range(first, len(self._nodes)):
            node = self._nodes[i]
            if value in node.inputs or value in node.outputs:
                inputs = tuple(name if x == value else x for x in node.inputs)
                outputs = tuple(name if x == value else x for x in node.outputs)
                self._nodes[i] = replace(node, inputs=inputs, outputs=outputs)
        return True

    def graph(self, name: str, outputs: Sequence[str]) -> Graph:
        """What was collected. Constants that nothing reads are left out."""
        read = {i for node in self._nodes for i in node.inputs} | set(outputs)
        constants = {k: v for k, v in self.constants.items() if k in read}
        return Graph(name, dict(self._inputs), tuple(outputs), tuple(self._nodes), constants)
