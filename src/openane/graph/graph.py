"""Level 1: a framework-neutral graph of operations with static shapes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from openane.core.errors import InputError, ModelError
from openane.core.origin import Origin
from openane.core.types import DType
from openane.graph.operation import Operation, TensorType


@dataclass(frozen=True, slots=True)
class Node:
    """One application of an operation.

    Attributes:
        name: unique in the graph.
        operation: what is computed, with its attributes.
        inputs: value names; an empty name means an optional input that is left out.
        outputs: value names, each defined once in the graph.
        origin: the user's layers this node came from.
    """

    name: str
    operation: Operation
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    origin: Origin = field(default=Origin(), compare=False)


@dataclass(frozen=True)
class Graph:
    """Nodes in topological order between named inputs and outputs.

    Attributes:
        name: of the model.
        inputs: name -> type, in the model's order.
        outputs: value names, in the model's order.
        nodes: every node after the nodes it reads.
        constants: name -> array, weights included; never modified.
        rows: matrices and vectors lie as rows on the engine, as Apple's compiler lays out MIL text; it decides the
            layout of surfaces, not what is computed.
        states: input -> output of the same type that holds its value for the next call.
        labels: output of scores -> the name of each class, in order.
        compressed: the file stores weights in fewer bits than they have here, or without zeros.
    """

    name: str
    inputs: Mapping[str, TensorType]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    constants: Mapping[str, np.ndarray]
    rows: bool = False
    states: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    compressed: bool = False

    @cached_property
    def types(self) -> dict[str, TensorType]:
        """The type of every value: inputs, constants and node results.

        Raises:
            ModelError: a value is used before it is defined or defined twice, or an operation refuses its inputs.
        """
        types = dict(self.inputs)
        for name, array in self.constants.items():
            if name in types:
                raise ModelError(f"value {name!r} is both an input and a constant", where=self.name)
            types[name] = TensorType(array.shape, DType.of(array))
        for node in self.nodes:
            where = f"{self.name}: node {node.name!r} ({node.operation.title})"
            for name in node.inputs:
                if name and name not in types:
                    raise ModelError(f"reads {name!r}, which nothing before it defines", where=where)
            operands = [types[name] if name else None for name in node.inputs]
            try:
                results = node.operation.infer(operands)
            except ModelError as error:
                raise error.at(where) from error
            for name, result in zip(node.outputs, results, strict=True):
                if name in types:
                    raise ModelError(f"value {name!r} is defined twice", where=where)
                types[name] = result
        for name in self.outputs:
            if name not in types:
                raise ModelError(f"output {name!r} is never computed", where=self.name)
        return types

    def part(self, nodes: Iterable[Node]) -> Graph:
        """Some nodes, given in their order, as a graph; its outputs are the values that others or the model read."""
        nodes = tuple(nodes)
        names = {node.name for node in nodes}
        made = {name for node in nodes for name in node.outputs}
        read = dict.fromkeys(name for node in nodes for name in node.inputs if name)
        needed_outside = {name for node in self.nodes if node.name not in names for name in node.inputs}
        needed_outside.update(self.outputs)
        return Graph(
            self.name,
            {name: self.types[name] for name in read if name not in made and name not in self.constants},
            tuple(name for node in nodes for name in node.outputs if name in needed_outside),
            nodes,
            {name: self.constants[name] for name in read if name in self.constants},
        )

    @property
    def repeatable_part(self) -> Graph:
        """The nodes whose results depend on the inputs only, in shapes that are known: the whole graph nearly always.

        Random nodes, nodes that nothing computes and results of open extents are left out, with all that reads them.
        Outputs are those of the model that are left, and the values that the nodes left out read.
        """
        left_out: set[str] = set()
        nodes = []
        for node in self.nodes:
            if node.operation.is_repeatable and left_out.isdisjoint(node.inputs):
                nodes.append(node)
            else:
                left_out.update(node.outputs)
        return self.part(nodes) if left_out else self

    def evaluate(self, inputs: Mapping[str, np.ndarray], *, keep: Sequence[str] = ()) -> dict[str, np.ndarray]:
        """The reference: runs every node with numpy in the precision of its inputs.

        Args:
            inputs: one array per input, of the declared shape; float inputs keep the precision they come in.
            keep: names of further values to return.

        Returns:
            Arrays by name: the outputs, and the values in `keep`.

        Raises:
            InputError: an input is missing, unknown, or has another shape or kind of element than declared.
            ModelError: an index that the model computes is out of range.
        """
        self._check_inputs(inputs)
        values: dict[str, np.ndarray] = {**self.constants, **inputs}
        wanted = dict.fromkeys((*self.outputs, *keep))
        last_use = {name: i for i, node in enumerate(self.nodes) for name in node.inputs if name}
        with np.errstate(all="ignore"):  # infinities and NaNs are results like any other
            for i, node in enumerate(self.nodes):
                operands = [values[name] if name else None for name in node.inputs]
                try:
                    results = node.operation.evaluate(operands)
                except ModelError as error:
                    where = f"{self.name}: node {node.name!r} ({node.operation.title})"
                    raise error.at(where) from error
                values.update(zip(node.outputs, results, strict=True))
                for name in (*node.inputs, *node.outputs):
                    if name and last_use.get(name, i) == i and name not in wanted:
                        values.pop(name, None)
        return {name: values[name] for name in wanted}

    def _check_inputs(self, inputs: Mapping[str, np.ndarray]) -> None:
        known = ", ".join(map(repr, self.inputs))
        for name in inputs:
            if name not in self.inputs:
                raise InputError(f"there is no input {name!r}", where=self.name, limit=known)
        for name, expected in self.inputs.items():
            if name not in inputs:
                raise InputError(f"input {name!r} is missing", where=self.name, limit=known)
            found = inputs[name]
            if not expected.is_static:
                continue
            both_float = found.dtype.kind == "f" and expected.dtype.is_float
            if found.shape != expected.shape or not (both_float or found.dtype == expected.dtype.numpy):
                value = f"{found.dtype}[{','.join(map(str, found.shape))}]"
                raise InputError(f"input {name!r} does not fit", where=self.name, value=value, limit=expected)
