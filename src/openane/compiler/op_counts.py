"""How much a node computes and moves: counts that the partition, the reports and the estimates share."""

from __future__ import annotations

import math

from openane.graph import Graph, Node
from openane.graph.ops import (
    GRU,
    LSTM,
    RNN,
    Conv,
    ConvTranspose,
    Einsum,
    Gather,
    GatherElements,
    GatherND,
    MatMul,
    Slice,
)


def macs(node: Node, graph: Graph) -> int:
    """Multiply-adds of a node: convolutions, matrix products and recurrent layers; 0 for all others."""
    types = graph.types
    operation = node.operation
    if isinstance(operation, (Conv, ConvTranspose)):
        weight = types[node.inputs[1]]
        image = types[node.outputs[0]] if isinstance(operation, Conv) else types[node.inputs[0]]
        pixels = image.size // max(1, image.shape[1])
        return pixels * weight.size
    if isinstance(operation, MatMul):
        left = types[node.inputs[0]].shape
        depth = left[-2] if operation.transpose_a and len(left) > 1 else left[-1]
        return types[node.outputs[0]].size * depth
    if isinstance(operation, Einsum) and len(node.inputs) > 1:
        terms = operation.terms()[0]
        extents = {
            letter: extent
            for term, name in zip(terms, node.inputs, strict=True)
            for letter, extent in zip(reversed(term), reversed(types[name].shape), strict=False)
            if letter.isalpha()
        }
        return math.prod(extents.values())
    if isinstance(operation, (RNN, GRU, LSTM)):
        time, batch, _ = types[node.inputs[0]].shape
        return time * batch * (types[node.inputs[1]].size + types[node.inputs[2]].size)
    return 0


def value_bytes(name: str, graph: Graph) -> int:
    """Bytes of a value when it moves to or from the engine: two for each element, one for an element of a byte."""
    kind = graph.types[name]
    return kind.size * min(2, kind.dtype.numpy.itemsize)


def touched_bytes(node: Node, graph: Graph) -> int:
    """Bytes that a node reads and writes on the processor; of a table that is looked up, what is taken from it."""
    types = [graph.types[name] for name in (*node.inputs, *node.outputs) if name]
    if isinstance(node.operation, (Gather, GatherElements, GatherND, Slice)):
        types[0] = graph.types[node.outputs[0]]
    return sum(kind.size * kind.dtype.numpy.itemsize for kind in types)
