"""Which values are positions: numbers from the caller that only become integers, token ids first of all.

Half precision holds integers exactly up to 2048. A model may bring its ids as floats and clean them up before it looks
rows up by them; on the engine larger ids would silently turn into their neighbors.
"""

from __future__ import annotations

from collections.abc import Callable

from openane.core.rules import RuleKind, rule
from openane.graph import Graph, Node
from openane.graph import ops as g


def makes_positions(graph: Graph) -> Callable[[Node], bool]:
    """Tells of a node whether it only prepares integers from the caller's numbers.

    Args:
        graph: that the node is from.
    """
    if not any(_to_integers(graph, node) for node in graph.nodes):
        return lambda node: False
    given = {*graph.inputs, *graph.constants}
    for node in graph.nodes:
        if node.operation.prepares_positions and all(name in given for name in node.inputs if name):
            given.update(node.outputs)
    positions: set[str] = set()
    elsewhere = set(graph.outputs)
    for node in reversed(graph.nodes):
        ends = _to_integers(graph, node)
        passes = all(name in positions and name not in elsewhere for name in node.outputs)
        (positions if ends or passes else elsewhere).update(name for name in node.inputs if name)
    found = (positions - elsewhere) & given
    return lambda node: bool(node.outputs) and all(name in found for name in node.outputs)


def _to_integers(graph: Graph, node: Node) -> bool:
    operation = node.operation
    if not isinstance(operation, g.Cast) or operation.dtype.is_float:
        return False
    return operation.dtype.value != "bool" and graph.types[node.inputs[0]].dtype.is_float


@rule(
    "positions",
    family="every operation",
    kind=RuleKind.CHOICE,
    limit="numbers that do not become integers",
    hint="Nothing needs to be done: the host keeps the numbers exact. To avoid the step, give them as integers.",
    evidence="formats.md#element-types: tensors are fp16, which holds integers exactly up to 2048",
)
def keeps_precision(node: Node, prepares: Callable[[Node], bool]) -> object | None:
    """The result becomes integers, which half precision holds up to 2048 only."""
    return ", ".join(map(repr, node.outputs)) if prepares(node) else None
