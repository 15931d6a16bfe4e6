"""The graph of an ONNX model in the making: values keep their names from the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
from onnx import TypeProto, helper

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
        onnx_types: the types in the file of values that have another one in the graph: bfloat16, which the graph holds
            as float32, and values of open extents, texts and sequences.
    """

    element_limit: ClassVar[int] = ELEMENT_LIMIT

    def __init__(self, taken: set[str]) -> None:
        super().__init__({}, Names(taken), Names())
        self.onnx_types: dict[str, TypeProto] = {}
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

    def note_type(self, value: str, kind: TypeProto) -> None:
        """Notes the type of a value in the file, where the graph has another one for it."""
        held = self.types[value]
        if not held.is_static or kind.tensor_type.elem_type != helper.np_dtype_to_tensor_dtype(held.dtype.numpy):
            self.onnx_types[value] = kind

    def stored_type(self, value: str) -> int:
        """The element type of a value in the file, by its number; 0 where the graph has the same."""
        kind = self.onnx_types.get(value)
        return 0 if kind is None else int(kind.tensor_type.elem_type)

    def undo(self, nodes: int) -> None:
        """Drops the nodes that were made since there were `nodes` of them."""
        del self.nodes[nodes:]

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
        if value in self.onnx_types:
            self.onnx_types[name] = self.onnx_types.pop(value)
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
