"""Local rewriting: rules look at one node and what produces its operands, and say what is in its place.

One pass walks the nodes once, in order. Nodes that nothing reads any more go at once, so that "used once" is always
true to the graph at hand, and what replaces them inherits their origins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from openane.core.origin import Origin
from openane.graph import Graph, Node, Operation, TensorType
from openane.graph.folding import type_of
from openane.graph.naming import Names
from openane.graph.ops import Identity


@dataclass(frozen=True, slots=True)
class Replacement:
    """What is in place of a node.

    Attributes:
        aliases: an output of the node -> the value that takes its place everywhere.
        constants: an output of the node -> its known value.
    """

    aliases: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, np.ndarray] = field(default_factory=dict)


#: A rule: None where it does not apply.
Rule = Callable[["Editor", Node], Replacement | None]

#: The rules of a pass by the operation of the node they look at.
Rules = Mapping[type[Operation], Sequence[Rule]]


class Editor:
    """A graph while a pass rewrites it."""

    def __init__(self, graph: Graph, step: str) -> None:
        self._graph = graph
        self._step = step
        self._types = dict(graph.types)
        self._constants = dict(graph.constants)
        self._nodes: dict[str, Node] = {}
        self._producer: dict[str, Node] = {}
        self._alias: dict[str, str] = {}
        self._outputs = set(graph.outputs)
        self._uses = Counter(name for node in graph.nodes for name in node.inputs if name)
        self._uses.update(graph.outputs)
        self._names = Names((*(node.name for node in graph.nodes), *self._types))
        self._pending: list[Node] = []
        self._removed: list[Node] = []
        self._origins: dict[str, Origin] = {}

    # What rules may ask

    def type_of(self, value: str) -> TensorType:
        """The type of a value."""
        return self._types[value]

    def shape(self, value: str) -> tuple[int, ...]:
        """The shape of a value."""
        return self._types[value].shape

    def rank(self, value: str) -> int:
        """The number of axes of a value."""
        return len(self._types[value].shape)

    def producer(self, value: str) -> Node | None:
        """The node that makes a value, None for inputs and constants."""
        return self._producer.get(value)

    def made_by(self, value: str, *kinds: type[Operation]) -> Node | None:
        """The node that makes a value, if it is of one of these operations."""
        node = self._producer.get(value)
        return node if node is not None and isinstance(node.operation, kinds) else None

    def once(self, value: str) -> bool:
        """Whether exactly one node reads a value, and it is not an output of the model."""
        return self._uses[value] == 1 and value not in self._outputs

    def only(self, value: str, *kinds: type[Operation]) -> Node | None:
        """The node of one of these operations that makes a value which is read once."""
        return self.made_by(value, *kinds) if self.once(value) else None

    def constant(self, value: str) -> np.ndarray | None:
        """The array of a constant value."""
        return self._constants.get(value)

    def number(self, value: str) -> float | None:
        """The one number that a constant value consists of, None where it is none."""
        array = self._constants.get(value)
        if array is None or array.size == 0 or array.dtype.kind not in "fiu":
            return None
        first = array.flat[0]
        return float(first) if array.size == 1 or bool(np.all(array == first)) else None

    def is_output(self, value: str) -> bool:
        """Whether a value is an output of the model."""
        return value in self._outputs

    # What rules may do

    def add_constant(self, array: np.ndarray, name: str) -> str:
        """A new constant; its value name."""
        name, array = self._names.unique(f"{name}/{self._step}"), np.asarray(array)
        self._constants[name] = array
        self._types[name] = type_of(array)
        return name

    def add(self, operation: Operation, inputs: Sequence[str], like: Node) -> str:
        """A new node before the one that is replaced; the value name of its only result."""
        (value,) = self.add_all(operation, inputs, like)
        return value

    def add_all(self, operation: Operation, inputs: Sequence[str], like: Node) -> tuple[str, ...]:
        """A new node before the one that is replaced; the value names of its results."""
        name = self._names.unique(f"{like.name}/{self._step}")
        operands = [self._types[i] if i else None for i in inputs]
        results = operation.infer(operands)
        values = (name, *(self._names.unique(name) for _ in results[1:]))
        node = Node(name, operation, tuple(inputs), values, Origin(like.origin.layers, self._step))
        self._types.update(zip(values, results, strict=True))
        self._uses.update(i for i in node.inputs if i)
        self._nodes[name] = node
        self._producer.update(dict.fromkeys(values, node))
        return values

    def put(self, node: Node, operation: Operation, inputs: Sequence[str]) -> Replacement:
        """Another operation that gives the outputs of `node` itself."""
        self._pending.append(replace(node, operation=operation, inputs=tuple(inputs)))
        return Replacement()

    def alias(self, node: Node, value: str) -> Replacement:
        """`value` in place of the only output of `node`."""
        (output,) = node.outputs
        return Replacement(aliases={output: value})

    # The walk

    def run(self, rules: Rules) -> Graph:
        """Applies the rules to every node, once in order; to what replaces a node as well."""
        with np.errstate(all="ignore"):  # rules look at what becomes infinite themselves
            for original in self._graph.nodes:
                inputs = tuple(self._alias.get(name, name) for name in original.inputs)
                changed = inputs != original.inputs
                self._settle(replace(original, inputs=inputs) if changed else original, rules)
        return self._finish()

    def _settle(self, node: Node, rules: Rules) -> None:
        """Rewrites one node until no rule applies, and puts the result in."""
        for _ in range(8):
            for rule in rules.get(type(node.operation), ()):
                before = len(self._pending)
                found = rule(self, node)
                if found is not None:
                    break
            else:
                break
            self._removed = []
            successor = self._pending.pop() if len(self._pending) > before else None
            if successor is not None:
                self._uses.update(name for name in successor.inputs if name)
            for output, value in found.aliases.items():
                self._redirect(output, value)
                self._credit(node, output, value)
            self._release(node.inputs)
            for output, array in found.constants.items():
                self._constants[output] = array
            if successor is None:
                return
            node = self._inherit(successor)
        self._nodes[node.name] = node
        for output in node.outputs:
            self._producer[output] = node

    def _redirect(self, output: str, value: str) -> None:
        """Every reader of `output` reads `value`."""
        value = self._alias.get(value, value)
        self._alias[output] = value
        self._uses[value] += self._uses.pop(output, 0)
        if output in self._outputs:
            self._outputs.add(value)

    def _credit(self, node: Node, output: str, value: str) -> None:
        """Gives the origin of a node that goes to the one that makes its value."""
        self._origins[output] = node.origin
        maker = self._producer.get(value)
        if maker is not None and maker.name in self._nodes:
            merged = replace(maker, origin=maker.origin.merge(node.origin))
            self._nodes[maker.name] = merged
            self._producer.update(dict.fromkeys(maker.outputs, merged))

    def _release(self, values: Sequence[str]) -> None:
        """Takes one use off each value; what nothing reads any more goes."""
        waiting = [name for name in values if name]
        while waiting:
            name = waiting.pop()
            self._uses[name] -= 1
            node = self._producer.get(name)
            if self._uses[name] > 0 or node is None:
                continue
            if any(self._uses[output] > 0 for output in node.outputs):
                continue
            if self._nodes.pop(node.name, None) is not None:
                self._removed.append(node)
                waiting.extend(name for name in node.inputs if name)

    def _inherit(self, node: Node) -> Node:
        """The node with the origins of what it replaces."""
        if not self._removed:
            return replace(node, origin=Origin(node.origin.layers, self._step))
        first, *rest = reversed(self._removed)
        return replace(node, origin=first.origin.merge(*(n.origin for n in rest), node.origin, step=self._step))

    def _finish(self) -> Graph:
        nodes = self._named_outputs(tuple(self._nodes.values()))
        nodes = alive(nodes, self._graph.outputs)
        read = {name for node in nodes for name in node.inputs} | set(self._graph.outputs)
        constants = {name: array for name, array in self._constants.items() if name in read}
        result = replace(self._graph, nodes=nodes, constants=constants)
        # Every rule was given the types by the operations themselves; inferring them anew for the next pass would take
        # most of the pipeline's time.
        made = (name for node in nodes for name in node.outputs)
        vars(result)["types"] = {name: self._types[name] for name in (*self._graph.inputs, *constants, *made)}
        return result

    def _named_outputs(self, nodes: tuple[Node, ...]) -> tuple[Node, ...]:
        """The nodes, with outputs of the model that became aliases defined under their own names again."""
        renamed: dict[str, str] = {}
        copies: list[Node] = []
        for output in self._graph.outputs:
            value = self._alias.get(output)
            if value is None:
                continue
            free = value in self._producer and value not in self._graph.outputs and value not in renamed
            if free:
                renamed[value] = output
            elif value in self._constants:
                self._constants[output] = self._constants[value]
            else:
                origin = self._origins[output]
                copies.append(
                    Node(self._names.unique(output), Identity(), (renamed.get(value, value),), (output,), origin)
                )
        if renamed:
            nodes = tuple(
                replace(
                    node,
                    inputs=tuple(renamed.get(name, name) for name in node.inputs),
                    outputs=tuple(renamed.get(name, name) for name in node.outputs),
                )
                for node in nodes
            )
        return (*nodes, *copies)


def alive(nodes: tuple[Node, ...], outputs: Sequence[str]) -> tuple[Node, ...]:
    """The nodes that the outputs depend on."""
    needed = set(outputs)
    kept = []
    for node in reversed(nodes):
        if any(output in needed for output in node.outputs):
            needed.update(node.inputs)
            kept.append(node)
    return tuple(reversed(kept))
