"""Normalizations and softmax that an exporter spelled out in elementary operations."""

from __future__ import annotations

import numpy as np

from openane.compiler.passes.activations import shifted
from openane.compiler.passes.affine import along_axis
from openane.compiler.passes.rewriting import Editor, Replacement, Rules
from openane.graph import Graph, Node
from openane.graph.ops import (
    Add,
    Clip,
    Div,
    Exp,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    LpNorm,
    Mul,
    Reciprocal,
    ReduceL2,
    ReduceMax,
    ReduceMean,
    ReduceSum,
    ReduceSumSquare,
    Reduction,
    Relu,
    Reshape,
    RmsNorm,
    Rsqrt,
    Softmax,
    Sqrt,
    Square,
    Sub,
)

#: A bound of a norm below this acts only where the norm is as good as 0.
_TINY = 1e-6


def recognize_norms(graph: Graph) -> Graph:
    """Finds layer, RMS, group and L2 normalization, L2 norms and softmax in their spelled-out forms."""
    return Editor(Editor(graph, "norm").run(_RULES), "norm").run(_LENGTHS)


def _reduction(editor: Editor, value: str, *kinds: type[Reduction]) -> tuple[Node, tuple[int, ...]] | None:
    """The reduction that makes a value, with its axes kept."""
    node = editor.made_by(value, *kinds)
    if node is None or not isinstance(node.operation, Reduction) or not node.operation.keepdims:
        return None
    return node, node.operation.axes


def _squared(editor: Editor, value: str) -> str | None:
    """The operand of a square."""
    node = editor.made_by(value, Square)
    return None if node is None else node.inputs[0]


def _root_of(editor: Editor, node: Node) -> list[tuple[str, str, float]]:
    """Readings of a node as x / sqrt(m + epsilon): x, m, epsilon."""
    readings = []
    if isinstance(node.operation, Mul):
        for x, other in (node.inputs, node.inputs[::-1]):
            root = editor.made_by(other, Rsqrt)
            if root is not None and isinstance(root.operation, Rsqrt):
                readings.append((x, root.inputs[0], root.operation.epsilon))
            inverse = editor.made_by(other, Reciprocal)
            root = None if inverse is None else editor.made_by(inverse.inputs[0], Sqrt)
            if root is not None:
                readings.append((x, root.inputs[0], 0.0))
    else:
        root = editor.made_by(node.inputs[1], Sqrt)
        if root is not None:
            readings.append((node.inputs[0], root.inputs[0], 0.0))
    result = []
    for x, inside, epsilon in readings:
        found = shifted(editor, inside)
        result.append((x, inside, epsilon) if found is None else (x, found[0], epsilon + found[1]))
    return result


def _standardized(editor: Editor, node: Node) -> Replacement | None:
    """x / sqrt(mean of x^2 + epsilon), where x may be centered before."""
    for x, inside, epsilon in _root_of(editor, node):
        variance = _variance_of(editor, inside)
        if variance is not None and _centered(editor, x, variance[1]) == variance[0]:
            return editor.put(node, LayerNorm(variance[1], epsilon), variance[:1])
        mean = _reduction(editor, inside, ReduceMean, ReduceSum)
        square = None if mean is None else _squared(editor, mean[0].inputs[0])
        if mean is None or square is None:
            continue
        axes = mean[1]
        if isinstance(mean[0].operation, ReduceSum):
            if square == x:
                return editor.put(node, LpNorm(axes, 2, epsilon), (x,))
            continue
        source, other = _centered(editor, x, axes), _centered(editor, square, axes)
        if source is not None and source == other:
            return editor.put(node, LayerNorm(axes, epsilon), (source,))
        if square == x:
            return editor.put(node, RmsNorm(axes, epsilon), (x,))
    return None


def _centered(editor: Editor, value: str, axes: tuple[int, ...]) -> str | None:
    """x, where a value is x - mean of x over the axes."""
    difference = editor.made_by(value, Sub)
    mean = None if difference is None else _reduction(editor, difference.inputs[1], ReduceMean)
    if difference is None or mean is None or mean[1] != axes or mean[0].inputs[0] != difference.inputs[0]:
        return None
    return difference.inputs[0]


def _variance_of(editor: Editor, value: str) -> tuple[str, tuple[int, ...]] | None:
    """x and the axes, where a value is mean of x^2 - (mean of x)^2, which may be held above 0."""
    bounded = editor.made_by(value, Relu)
    difference = editor.made_by(value if bounded is None else bounded.inputs[0], Sub)
    if difference is None:
        return None
    squares = _reduction(editor, difference.inputs[0], ReduceMean)
    mean_squared = _squared(editor, difference.inputs[1])
    mean = None if mean_squared is None else _reduction(editor, mean_squared, ReduceMean)
    if squares is None or mean is None or squares[1] != mean[1]:
        return None
    x = mean[0].inputs[0]
    return (x, mean[1]) if _squared(editor, squares[0].inputs[0]) == x else None


def _divided_by_norm(editor: Editor, node: Node) -> Replacement | None:
    """x / L2 norm of x, which may be bounded from below."""
    x, below = node.inputs
    clip = editor.made_by(below, Clip)
    if clip is not None and isinstance(clip.operation, Clip):
        if clip.operation.minimum > _TINY or clip.operation.maximum != np.inf:
            return None
        below = clip.inputs[0]
    bounded = shifted(editor, below)
    if bounded is not None and 0 <= bounded[1] <= _TINY:
        below = bounded[0]
    norm = _reduction(editor, below, ReduceL2)
    if norm is None or norm[0].inputs[0] != x:
        root = editor.made_by(below, Sqrt)
        total = None if root is None else _reduction(editor, root.inputs[0], ReduceSum)
        if total is None or _squared(editor, total[0].inputs[0]) != x:
            return None
        norm = total
    return editor.put(node, LpNorm(norm[1], 2), (x,))


def _softmax(editor: Editor, node: Node) -> Replacement | None:
    """e^x / sum of e^x, where the largest x may be taken off before."""
    power = editor.made_by(node.inputs[0], Exp)
    total = _reduction(editor, node.inputs[1], ReduceSum)
    if power is None or total is None or total[0].inputs[0] != node.inputs[0] or len(total[1]) != 1:
        return None
    shifted_by = editor.made_by(power.inputs[0], Sub)
    top = None if shifted_by is None else _reduction(editor, shifted_by.inputs[1], ReduceMax)
    stable = shifted_by is not None and top is not None and top[1] == total[1]
    if shifted_by is not None and stable and top is not None and top[0].inputs[0] == shifted_by.inputs[0]:
        return editor.put(node, Softmax(total[1][0]), shifted_by.inputs[:1])
    return editor.put(node, Softmax(total[1][0]), power.inputs)


def _affine_into_norm(editor: Editor, node: Node) -> Replacement | None:
    """A constant factor, then a constant summand after a normalization are its scale and bias."""
    norm = editor.only(node.inputs[0], LayerNorm, RmsNorm, GroupNorm, InstanceNorm)
    array = editor.constant(node.inputs[1])
    if norm is None or array is None or editor.type_of(node.outputs[0]) != editor.type_of(node.inputs[0]):
        return None
    inputs = [*norm.inputs, "", ""][: len(norm.operation.input_names)]
    place = 1 if isinstance(node.operation, Mul) else 2
    if place >= len(inputs) or any(inputs[place:]):
        return None
    values: np.ndarray | None = array
    if isinstance(norm.operation, (GroupNorm, InstanceNorm)):
        shape = editor.shape(node.inputs[0])
        vector = along_axis(array, len(shape), 1, shape[1])
        values = None if vector is None else vector.astype(array.dtype)
    if values is None or (isinstance(norm.operation, LayerNorm) and values.ndim > editor.rank(node.inputs[0])):
        return None
    inputs[place] = editor.add_constant(np.ascontiguousarray(values), node.inputs[1])
    return editor.put(node, norm.operation, inputs)


def _group_norm(editor: Editor, node: Node) -> Replacement | None:
    """Instance normalization of channels that were taken together in groups, and taken apart again."""
    norm = editor.only(node.inputs[0], InstanceNorm)
    before = None if norm is None else editor.only(norm.inputs[0], Reshape)
    if norm is None or before is None or not isinstance(norm.operation, InstanceNorm):
        return None
    shape, grouped = editor.shape(before.inputs[0]), editor.shape(norm.inputs[0])
    neutral = all(
        not name or editor.number(name) == expected
        for name, expected in zip((*norm.inputs[1:], "", ""), (1.0, 0.0), strict=False)
    )
    same = editor.shape(node.outputs[0]) == shape and len(shape) >= 3 and shape[0] == grouped[0]
    if not neutral or not same or shape[1] % max(grouped[1], 1):
        return None
    return editor.put(node, GroupNorm(grouped[1], norm.operation.epsilon), (before.inputs[0],))


def _length(editor: Editor, node: Node) -> Replacement | None:
    """The root of a sum of squares."""
    total = editor.made_by(node.inputs[0], ReduceSum, ReduceSumSquare)
    if total is None or not isinstance(total.operation, Reduction):
        return None
    squared = isinstance(total.operation, ReduceSumSquare)
    x = total.inputs[0] if squared else _squared(editor, total.inputs[0])
    return None if x is None else editor.put(node, ReduceL2(total.operation.axes, total.operation.keepdims), (x,))


_RULES: Rules = {
    Mul: (_standardized, _affine_into_norm),
    Div: (_standardized, _divided_by_norm, _softmax),
    Add: (_affine_into_norm,),
    Reshape: (_group_norm,),
}

#: After the rules above: a root that became part of a normalization is gone.
_LENGTHS: Rules = {Sqrt: (_length,)}
