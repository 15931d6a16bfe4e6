"""Reshape, transpose, reshape: shuffles that have a name; and gathers that are slices."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from openane.compiler.passes.rewriting import Editor, Replacement, Rules
from openane.graph import Graph, Node
from openane.graph.ops import (
    BlockOrder,
    ChannelShuffle,
    DepthToSpace,
    Gather,
    Reshape,
    Slice,
    SpaceToDepth,
    Transpose,
)
from openane.graph.ops.support import product_of

#: Permutations of (N, b, b, C, H, W) or (N, C, b, b, H, W) that lay channels out as pixels.
_TO_SPACE = {(0, 3, 4, 1, 5, 2): BlockOrder.DEPTH_COLUMN_ROW, (0, 1, 4, 2, 5, 3): BlockOrder.COLUMN_ROW_DEPTH}

#: Permutations of (N, C, H, b, W, b) that lay pixels out as channels.
_TO_DEPTH = {(0, 3, 5, 1, 2, 4): BlockOrder.DEPTH_COLUMN_ROW, (0, 1, 3, 5, 2, 4): BlockOrder.COLUMN_ROW_DEPTH}


def recognize_shuffles(graph: Graph) -> Graph:
    """Finds channel shuffles, depth to space and space to depth; turns gathers of regular indices into slices."""
    return Editor(graph, "shuffle").run(_RULES)


def _shuffle(editor: Editor, node: Node) -> Replacement | None:
    moved = editor.only(node.inputs[0], Transpose)
    split = None if moved is None else editor.only(moved.inputs[0], Reshape)
    if moved is None or split is None or not isinstance(moved.operation, Transpose):
        return None
    x, order = split.inputs[0], moved.operation.permutation
    before, parts, after = editor.shape(x), editor.shape(moved.inputs[0]), editor.shape(node.outputs[0])
    operation = _named(before, parts, order, after)
    return None if operation is None else editor.put(node, operation, (x,))


def _named(
    before: tuple[int, ...], parts: tuple[int, ...], order: tuple[int, ...], after: tuple[int, ...]
) -> ChannelShuffle | DepthToSpace | SpaceToDepth | None:
    """The operation that splits axes into `parts`, permutes them and joins them again."""
    if len(before) >= 2 and before == after and order == (0, 2, 1, *range(3, len(parts))):
        if parts[0] == before[0] and parts[1] * parts[2] == before[1]:
            return ChannelShuffle(parts[1])
        return None
    if len(before) != 4 or len(parts) != 6 or len(after) != 4:
        return None
    n, c, h, w = before
    if order in _TO_SPACE:
        kind = _TO_SPACE[order]
        block = parts[1] if kind is BlockOrder.DEPTH_COLUMN_ROW else parts[2]
        depth = c // block**2
        blocks = (block, block, depth) if kind is BlockOrder.DEPTH_COLUMN_ROW else (depth, block, block)
        fits = parts == (n, *blocks, h, w) and after == (n, depth, h * block, w * block)
        return DepthToSpace(block, kind) if fits else None
    if order in _TO_DEPTH:
        block = parts[3]
        fits = parts == (n, c, h // block, block, w // block, block)
        joined = (n, c * block**2, h // block, w // block)
        return SpaceToDepth(block, _TO_DEPTH[order]) if fits and after == joined else None
    return None


def _gather(editor: Editor, node: Node) -> Replacement | None:
    """Indices start, start + step, ... are a slice; one index is a slice without its axis."""
    operation, indices = node.operation, editor.constant(node.inputs[1])
    assert isinstance(operation, Gather)
    shape, axis = editor.shape(node.inputs[0]), operation.axis
    if indices is None or indices.ndim > 1 or indices.size == 0:
        return None
    places = np.where(indices < 0, indices + shape[axis], indices).ravel().tolist()
    steps = {b - a for a, b in pairwise(places)}
    if len(steps) > 1 or not all(0 <= p < shape[axis] for p in places):
        return None
    step = steps.pop() if steps else 1
    if step <= 0:
        return None
    starts, ends, strides = [0] * len(shape), list(shape), [1] * len(shape)
    starts[axis], ends[axis], strides[axis] = places[0], places[-1] + 1, step
    cut = Slice(tuple(starts), tuple(ends), tuple(strides))
    if indices.ndim == 1:
        return editor.put(node, cut, node.inputs[:1])
    part = editor.add(cut, node.inputs[:1], node)
    result = editor.shape(node.outputs[0])
    assert product_of(result) == editor.type_of(part).size
    return editor.put(node, Reshape(result), (part,))


_RULES: Rules = {Reshape: (_shuffle,), Gather: (_gather,)}
