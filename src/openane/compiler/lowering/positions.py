"""Which values are positions: numbers from the caller that only become integers, token ids first of all.

Half precision holds integers exactly up to 2048. A model may bring its ids as floats and clean them up before it looks
rows up by them; on the engine larger ids would silently turn into their neighbors. The same holds for the angles of
rotary embeddings and time steps: a position times a frequency, whose sine is lost when the angle is rounded.
"""

from __future__ import annotations

from collections.abc import Callable

from openane.core.rules import RuleKind, rule
from openane.core.types import DType
from openane.graph import Graph, Node
from openane.graph import ops as g


def makes_positions(graph: Graph) -> Callable[[Node], bool]:
    """A test for nodes that only prepare integers from the caller's numbers.

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


def makes_angles(graph: Graph) -> frozenset[str]:
    """The nodes that turn positions or time steps from the caller into sines and cosines.

    A position is an integer from the caller, or a number that is multiplied by several constant frequencies. The nodes
    are the sines, the cosines and all operations before them, which must be elementwise or move data.

    Args:
        graph: after the graph passes.

    Returns:
        Names of nodes.
    """
    given = {name: _is_position(kind.dtype) for name, kind in graph.inputs.items()}
    makers: dict[str, Node] = {}
    found: set[str] = set()
    for node in graph.nodes:
        computed = [name for name in node.inputs if name and name not in graph.constants]
        if not computed or not all(name in given for name in computed) or not _keeps_elements(node, graph):
            continue
        angle = any(given[name] for name in computed) or _takes_frequencies(node, graph)
        given.update(dict.fromkeys(node.outputs, angle))
        makers.update(dict.fromkeys(node.outputs, node))
        if angle and isinstance(node.operation, (g.Sin, g.Cos)):
            found |= _ancestors(node, makers)
    return frozenset(found)


def _is_position(dtype: DType) -> bool:
    """Whether an input of this type holds integers beyond those of fp16."""
    return not dtype.is_float and dtype not in (DType.BOOL, DType.UINT8, DType.INT8)


def _keeps_elements(node: Node, graph: Graph) -> bool:
    """Whether each element of the result depends on one element of each operand."""
    operation = node.operation
    if isinstance(operation, g.MatMul):
        return graph.types[node.inputs[0]].shape[-2 if operation.transpose_a else -1] == 1
    return operation.prepares_positions


def _takes_frequencies(node: Node, graph: Graph) -> bool:
    """Whether a node multiplies each number of the caller by several constants."""
    known = [graph.constants[name] for name in node.inputs if name in graph.constants]
    if len(known) != 1 or not isinstance(node.operation, (g.Mul, g.MatMul, g.Div)):
        return False
    grows = all(
        graph.types[node.outputs[0]].size > graph.types[name].size
        for name in node.inputs
        if name not in graph.constants
    )
    return grows and bool((known[0] != known[0].flat[0]).any())


def _ancestors(node: Node, makers: dict[str, Node]) -> set[str]:
    found: set[str] = set()
    stack = [node]
    while stack:
        each = stack.pop()
        if each.name not in found:
            found.add(each.name)
            stack.extend(makers[name] for name in each.inputs if name in makers)
    return found


@rule(
    "angles",
    family="sine and cosine",
    kind=RuleKind.CHOICE,
    limit="angles that are not positions or time steps of the caller times frequencies",
    hint="Nothing needs to be done: the host computes the angles in float32, and the engine reads sines and cosines.",
    evidence="formats.md#element-types: tensors are fp16, where neighbors of 2048 are 2 apart: a third of a turn",
)
def keeps_angles(node: Node, angles: frozenset[str]) -> object | None:
    """The result is a sine or cosine of positions, or an angle that half precision would round too coarsely."""
    return ", ".join(map(repr, node.outputs)) if node.name in angles else None
