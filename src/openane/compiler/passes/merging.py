"""Neighbors that do one thing together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from openane.compiler.passes.rewriting import Editor, Replacement, Rules
from openane.graph import Graph, Node
from openane.graph.ops import (
    AveragePool,
    Cast,
    Concat,
    Conv,
    MatMul,
    Pad,
    PadMode,
    ReduceMax,
    ReduceMean,
    ReduceMin,
    ReduceSum,
    Reduction,
    Reshape,
    Slice,
    Transpose,
)


def merge_neighbors(graph: Graph) -> Graph:
    """Merges reshapes, transposes, casts, pads, slices, joins and reductions that follow each other."""
    return Editor(graph, "merge").run(_RULES)


def _reshape(editor: Editor, node: Node) -> Replacement | None:
    inner = editor.made_by(node.inputs[0], Reshape)
    if inner is not None:
        return editor.put(node, node.operation, inner.inputs)
    same = editor.shape(node.inputs[0]) == editor.shape(node.outputs[0])
    return editor.alias(node, node.inputs[0]) if same else None


def _transpose(editor: Editor, node: Node) -> Replacement | None:
    operation, inner = node.operation, editor.made_by(node.inputs[0], Transpose)
    assert isinstance(operation, Transpose)
    if inner is not None:
        assert isinstance(inner.operation, Transpose)
        order = tuple(inner.operation.permutation[axis] for axis in operation.permutation)
        return editor.put(node, Transpose(order), inner.inputs)
    if operation.permutation == tuple(range(len(operation.permutation))):
        return editor.alias(node, node.inputs[0])
    return None


def _transpose_of_ones(editor: Editor, node: Node) -> Replacement | None:
    """Axes of extent 1 that change places move nothing."""
    assert isinstance(node.operation, Transpose)
    shape = editor.shape(node.inputs[0])
    moving = [axis for axis in node.operation.permutation if shape[axis] != 1]
    if moving != sorted(moving):
        return None
    return editor.put(node, Reshape(editor.shape(node.outputs[0])), node.inputs)


def _cast(editor: Editor, node: Node) -> Replacement | None:
    """The cast between can go where it loses nothing."""
    inner = editor.made_by(node.inputs[0], Cast)
    if inner is None:
        return None
    before, between = editor.type_of(inner.inputs[0]).dtype, editor.type_of(node.inputs[0]).dtype
    lossless = np.can_cast(before.numpy, between.numpy, "safe")
    return editor.put(node, node.operation, inner.inputs) if lossless else None


def _concat(editor: Editor, node: Node) -> Replacement | None:
    inputs: list[str] = []
    for name in node.inputs:
        inner = editor.only(name, Concat)
        flat = inner is not None and inner.operation == node.operation
        inputs.extend(inner.inputs if flat and inner is not None else (name,))
    return None if len(inputs) == len(node.inputs) else editor.put(node, node.operation, inputs)


def _pad(editor: Editor, node: Node) -> Replacement | None:
    outer, inner = node.operation, editor.only(node.inputs[0], Pad)
    if inner is None:
        return None
    assert isinstance(outer, Pad) and isinstance(inner.operation, Pad)
    constant = outer.mode is inner.operation.mode is PadMode.CONSTANT
    if not constant or outer.value != inner.operation.value:
        return None
    pads = tuple(a + b for a, b in zip(outer.pads, inner.operation.pads, strict=True))
    return editor.put(node, replace(outer, pads=pads), inner.inputs)


def _zero_pads(editor: Editor, value: str) -> tuple[Node, tuple[int, ...]] | None:
    """A Pad with zeros on spatial axes that makes a value read once, and its spatial pads."""
    pad = editor.only(value, Pad)
    if pad is None:
        return None
    assert isinstance(pad.operation, Pad)
    pads, rank = pad.operation.pads, editor.rank(value)
    plain = pad.operation.mode is PadMode.CONSTANT and pad.operation.value == 0
    if not plain or any((*pads[:2], *pads[rank : rank + 2])):
        return None
    return pad, (*pads[2:rank], *pads[rank + 2 :])


def _pad_into_convolution(editor: Editor, node: Node) -> Replacement | None:
    found, operation = _zero_pads(editor, node.inputs[0]), node.operation
    if found is None:
        return None
    assert isinstance(operation, Conv)
    pads = tuple(a + b for a, b in zip(operation.pads, found[1], strict=True))
    return editor.put(node, replace(operation, pads=pads), (found[0].inputs[0], *node.inputs[1:]))


def _pad_into_average(editor: Editor, node: Node) -> Replacement | None:
    found, operation = _zero_pads(editor, node.inputs[0]), node.operation
    assert isinstance(operation, AveragePool)
    counts = operation.count_include_pad or not any(operation.pads)
    if found is None or not counts or operation.ceil_mode:
        return None
    pads = tuple(a + b for a, b in zip(operation.pads, found[1], strict=True))
    return editor.put(node, replace(operation, pads=pads, count_include_pad=True), found[0].inputs)


def _slice(editor: Editor, node: Node) -> Replacement | None:
    outer, inner = node.operation, editor.only(node.inputs[0], Slice)
    if inner is None:
        return None
    assert isinstance(outer, Slice) and isinstance(inner.operation, Slice)
    parts = [
        first[slice(*_python(second))] for first, second in zip(inner.operation.ranges(), outer.ranges(), strict=True)
    ]
    if any(len(part) == 0 for part in parts):
        return None
    ends = tuple(part[-1] + (1 if part.step > 0 else -1) for part in parts)
    merged = Slice(tuple(part.start for part in parts), ends, tuple(part.step for part in parts))
    return editor.put(node, merged, inner.inputs)


def _python(part: range) -> tuple[int, int | None, int]:
    """A range as the bounds of a Python slice."""
    return part.start, None if part.stop < 0 else part.stop, part.step


def _reduction(editor: Editor, node: Node) -> Replacement | None:
    """The sum of sums is a sum, the mean of means is a mean, the same for extremes."""
    outer = node.operation
    assert isinstance(outer, Reduction)
    inner = editor.only(node.inputs[0], type(outer))
    if inner is None:
        return None
    assert isinstance(inner.operation, Reduction)
    if not (inner.operation.keepdims and outer.keepdims):
        return None
    axes = tuple(sorted({*outer.axes, *inner.operation.axes}))
    return editor.put(node, type(outer)(axes, True), inner.inputs)


def _transposed_operand(editor: Editor, node: Node) -> Replacement | None:
    """A matrix product transposes its operands itself."""
    operation = node.operation
    assert isinstance(operation, MatMul)
    flags = [operation.transpose_a, operation.transpose_b]
    for index, name in enumerate(node.inputs):
        inner = editor.made_by(name, Transpose)
        if inner is None:
            continue
        assert isinstance(inner.operation, Transpose)
        order = list(range(editor.rank(name)))
        order[-2:] = order[:-3:-1]
        if list(inner.operation.permutation) == order:
            flags[index] = not flags[index]
            inputs = tuple(inner.inputs[0] if i == index else n for i, n in enumerate(node.inputs))
            return editor.put(node, MatMul(*flags), inputs)
    return None


_RULES: Rules = {
    Reshape: (_reshape,),
    Transpose: (_transpose, _transpose_of_ones),
    Cast: (_cast,),
    Concat: (_concat,),
    Pad: (_pad,),
    Conv: (_pad_into_convolution,),
    AveragePool: (_pad_into_average,),
    Slice: (_slice,),
    MatMul: (_transposed_operand,),
    **dict.fromkeys((ReduceMax, ReduceMean, ReduceMin, ReduceSum), (_reduction,)),
}
