"""Findings about a node: where it is, and what the user may do, in terms of its operands."""

from __future__ import annotations

from dataclasses import replace

from openane.core.errors import Diagnostic
from openane.graph import Graph, Node


def node_label(graph: Graph, node: Node) -> str:
    """How messages name a node."""
    return f"{graph.name or 'model'}: node {node.name!r} ({node.operation.title})"


def at_node(found: Diagnostic, node: Node, graph: Graph) -> Diagnostic:
    """The finding at a node, with the first operand that is computed at run time in its hint."""
    operand = next((each for each in node.inputs if each and each not in graph.constants), "")
    kind = str(graph.types[operand]) if operand else "constant"
    hint = found.hint.replace("{operand}", repr(operand)).replace("{type}", kind)
    return replace(found, where=node_label(graph, node), hint=hint)
