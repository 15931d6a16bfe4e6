"""Constants computed ahead of time, repeated work done once, dead nodes dropped."""

from __future__ import annotations

from dataclasses import replace

from openane.compiler.passes.rewriting import Editor, Replacement, alive
from openane.core.errors import ModelError
from openane.graph import Graph, Node
from openane.graph.folding import fold
from openane.graph.ops import OPERATIONS


def fold_constants(graph: Graph) -> Graph:
    """Replaces nodes that depend on constants only by their results, within bounds of work and memory."""
    return Editor(graph, "fold").run(dict.fromkeys(OPERATIONS.values(), (_fold,)))


def _fold(editor: Editor, node: Node) -> Replacement | None:
    arrays = [editor.constant(name) if name else None for name in node.inputs]
    if any(array is None and name for array, name in zip(arrays, node.inputs, strict=True)):
        return None
    try:
        results = fold(node.operation, arrays, [editor.type_of(name) for name in node.outputs])
    except ModelError as error:
        raise error.at(f"node {node.name!r} ({node.operation.title})") from error
    return None if results is None else Replacement(constants=dict(zip(node.outputs, results, strict=True)))


def remove_dead_nodes(graph: Graph) -> Graph:
    """Drops nodes and constants that no output depends on."""
    nodes = alive(graph.nodes, graph.outputs)
    read = {name for node in nodes for name in node.inputs} | set(graph.outputs)
    constants = {name: array for name, array in graph.constants.items() if name in read}
    return replace(graph, nodes=nodes, constants=constants)


def merge_duplicates(graph: Graph) -> Graph:
    """Computes what several nodes compute alike from the same values only once."""
    known: dict[object, Node] = {}

    def rule(editor: Editor, node: Node) -> Replacement | None:
        if not node.operation.is_repeatable:
            return None
        first = known.setdefault((node.operation, node.inputs), node)
        if first is node or first.name == node.name:
            return None
        if any(editor.is_output(name) for name in node.outputs):
            return None
        return Replacement(aliases=dict(zip(node.outputs, first.outputs, strict=True)))

    return Editor(graph, "merge").run(dict.fromkeys(OPERATIONS.values(), (rule,)))
