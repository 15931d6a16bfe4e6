"""How much a node computes and moves: counts that the partition, the reports and the estimates share."""

from __future__ import annotations

from openane.graph import Graph, Node


def macs(node: Node, graph: Graph) -> int:
    """Multiply-adds of a node: convolutions, matrix products and recurrent layers; 0 for all others."""
    types = graph.types
    inputs = [types[name] if name else None for name in node.inputs]
    return node.operation.macs(inputs, [types[name] for name in node.outputs if name])


def value_bytes(name: str, graph: Graph) -> int:
    """Bytes of a value when it moves to or from the engine: two for each element, one for an element of a byte."""
    kind = graph.types[name]
    return kind.size * min(2, kind.dtype.numpy.itemsize)


def touched_bytes(node: Node, graph: Graph) -> int:
    """Bytes that a node reads and writes on the processor; of a table that is looked up, what is taken from it."""
    types = [graph.types[name] for name in (*node.inputs, *node.outputs) if name]
    if node.operation.reads_selection:
        types[0] = graph.types[node.outputs[0]]
    return sum(kind.size * kind.dtype.numpy.itemsize for kind in types)
