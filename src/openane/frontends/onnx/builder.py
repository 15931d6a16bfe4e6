"""The graph of an ONNX model in the making: values keep their names from the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from openane.core.origin import Origin
from openane.frontends.onnx.tensors import ELEMENT_LIMIT
from openane.graph import Operation
from openane.graph.builder import GraphBuilder
from openane.graph.naming import Names


class OnnxBuilder(GraphBuilder):
    """A graph in the making.

    Args:
        taken: names that are reserved.

    Attributes:
        bfloat16: values that are bfloat16 in the file; the graph holds them as float32.
    """

    element_limit: ClassVar[int] = ELEMENT_LIMIT

    def __init__(self, taken: set[str]) -> None:
        super().__init__({}, Names(taken), Names())
        self.bfloat16: set[str] = set()
        self._clock = 0
        self._made: dict[str, tuple[int, int]] = {}  # value -> when it was made, and how many nodes there were

    def constant(self, array: np.ndarray, name: str) -> str:
        found = super().constant(array, name)
        self._note(found, len(self.nodes))
        return found

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
        before = len(self.nodes)
        made = super().emit(operation, inputs, name, origin, label=label, outputs=outputs)
        if len(self.nodes) > before:
            for output in made:
                self._note(output, before)
        return made

    def sources(self, value: str) -> list[str]:
        """The model's inputs that a value depends on, in order."""
        needed = {value}
        for node in reversed(self.nodes):
            if not needed.isdisjoint(node.outputs):
                needed.update(node.inputs)
        return [name for name in self.inputs if name in needed]

    def _note(self, value: str, nodes: int) -> None:
        self._made[value] = self._clock, nodes
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
        self.names.release(value)
        self.names.take(name)
        for i in range(first, len(self.nodes)):
            node = self.nodes[i]
            if value in node.inputs or value in node.outputs:
                inputs = tuple(name if x == value else x for x in node.inputs)
                outputs = tuple(name if x == value else x for x in node.outputs)
                self.nodes[i] = replace(node, inputs=inputs, outputs=outputs)
        return True
