"""One spelling for each computation, so that later rules need to know one only."""

from __future__ import annotations

import math

import numpy as np

from openane.compiler.passes.rewriting import Editor, Replacement, Rules
from openane.graph import Graph, Node
from openane.graph.ops import (
    Add,
    AveragePool,
    Clip,
    Div,
    Exp,
    Expand,
    Log,
    Max,
    MaxPool,
    Min,
    Mul,
    Neg,
    Pow,
    Reciprocal,
    ReduceMax,
    ReduceMean,
    ReduceSum,
    Reduction,
    Relu,
    Reshape,
    Rsqrt,
    Softplus,
    Sqrt,
    Square,
    Sub,
)

#: Functions of one tensor between a reduction and the axes put back.
_PLAIN = (Clip, Neg, Reciprocal, Relu, Rsqrt, Sqrt, Square)

#: Nodes in a row between a reduction and the axes put back.
_KEEP_DEPTH = 8


def canonicalize(graph: Graph) -> Graph:
    """Rewrites nodes to the plainest operation that computes the same; constants become second operands."""
    return Editor(graph, "canonical").run(_RULES)


def _constant_second(editor: Editor, node: Node) -> Replacement | None:
    x, y = node.inputs
    if editor.constant(x) is None or editor.constant(y) is not None:
        return None
    return editor.put(node, node.operation, (y, x))


def _subtract_constant(editor: Editor, node: Node) -> Replacement | None:
    """x - c = x + (-c)."""
    x, y = node.inputs
    known = editor.constant(y)
    if known is None or not editor.type_of(y).dtype.is_float:
        return None
    return editor.put(node, Add(), (x, editor.add_constant(-known, y)))


def _divide_by_constant(editor: Editor, node: Node) -> Replacement | None:
    """x / c = x * (1 / c), where no c is 0 and no 1 / c is out of range."""
    x, y = node.inputs
    known = editor.constant(y)
    if known is None or not editor.type_of(y).dtype.is_float:
        return None
    with np.errstate(all="ignore"):
        inverse = (1 / known.astype(np.float64)).astype(known.dtype)
    if not bool(np.all(np.isfinite(inverse) & (inverse != 0))):
        return None
    return editor.put(node, Mul(), (x, editor.add_constant(inverse, y)))


def _divide_constant(editor: Editor, node: Node) -> Replacement | None:
    """1 / x is a reciprocal."""
    x, y = node.inputs
    scalar = editor.number(x) == 1 and editor.type_of(y) == editor.type_of(node.outputs[0])
    return editor.put(node, Reciprocal(), (y,)) if scalar and editor.type_of(y).dtype.is_float else None


def _divide_by_root(editor: Editor, node: Node) -> Replacement | None:
    """x / sqrt(y) = x * rsqrt(y)."""
    x, y = node.inputs
    root = editor.only(y, Sqrt)
    if root is None:
        return None
    return editor.put(node, Mul(), (x, editor.add(Rsqrt(), root.inputs, root)))


def _reciprocal_of_root(editor: Editor, node: Node) -> Replacement | None:
    """1 / sqrt(x) = rsqrt(x)."""
    root = editor.only(node.inputs[0], Sqrt)
    plain = node.operation == Reciprocal()
    return editor.put(node, Rsqrt(), root.inputs) if plain and root is not None else None


#: Powers that are operations of their own.
_POWERS = {2.0: Square(), 0.5: Sqrt(), -0.5: Rsqrt(), -1.0: Reciprocal()}


def _power(editor: Editor, node: Node) -> Replacement | None:
    x, y = node.inputs
    exponent = editor.number(y)
    operation = None if exponent is None else _POWERS.get(exponent)
    fits = editor.type_of(x) == editor.type_of(node.outputs[0]) and editor.type_of(x).dtype.is_float
    return editor.put(node, operation, (x,)) if operation is not None and fits else None


def _multiply_by_itself(editor: Editor, node: Node) -> Replacement | None:
    x, y = node.inputs
    return editor.put(node, Square(), (x,)) if x == y else None


def _add_to_itself(editor: Editor, node: Node) -> Replacement | None:
    x, y = node.inputs
    if x != y or not editor.type_of(x).dtype.is_float:
        return None
    two = editor.add_constant(np.array(2, editor.type_of(x).dtype.numpy), node.name)
    return editor.put(node, Mul(), (x, two))


def _bound(editor: Editor, node: Node) -> Replacement | None:
    """max(x, number) and min(x, number) are clips."""
    for kept, other in ((0, 1), (1, 0)):
        number, x = editor.number(node.inputs[other]), node.inputs[kept]
        open_end = -math.inf if isinstance(node.operation, Max) else math.inf
        if number is None or not (math.isfinite(number) or number == open_end):
            continue
        if editor.type_of(x) == editor.type_of(node.outputs[0]):
            clip = Clip(minimum=number) if isinstance(node.operation, Max) else Clip(maximum=number)
            return editor.put(node, clip, (x,))
    return None


def _clip_of_clip(editor: Editor, node: Node) -> Replacement | None:
    """Two bounds in a row are one, where the second is not below the first."""
    outer = node.operation
    inner = editor.only(node.inputs[0], Clip, Relu)
    if inner is None:
        return None
    assert isinstance(outer, Clip)
    low, high = (0.0, math.inf) if isinstance(inner.operation, Relu) else _bounds(inner.operation)
    bounds = max(low, outer.minimum), min(high, outer.maximum)
    # Where the intervals do not meet, the order of the bounds decides; leave it.
    if bounds[0] > bounds[1]:
        return None
    return editor.put(node, Clip(*bounds), inner.inputs)


def _bounds(operation: object) -> tuple[float, float]:
    assert isinstance(operation, Clip)
    return operation.minimum, operation.maximum


def _clip_is_relu(editor: Editor, node: Node) -> Replacement | None:
    return editor.put(node, Relu(), node.inputs) if node.operation == Clip(minimum=0) else None


def _relu_of_clip(editor: Editor, node: Node) -> Replacement | None:
    """relu(clip) is a clip; relu(relu) is one."""
    inner = editor.only(node.inputs[0], Clip)
    if inner is not None:
        low, high = _bounds(inner.operation)
        if high >= 0:
            return editor.put(node, Clip(max(low, 0.0), high), inner.inputs)
    return editor.alias(node, node.inputs[0]) if editor.made_by(node.inputs[0], Relu) else None


def _negation(editor: Editor, node: Node) -> Replacement | None:
    """-(-x) = x."""
    inner = editor.made_by(node.inputs[0], Neg)
    return None if inner is None else editor.alias(node, inner.inputs[0])


def _softplus(editor: Editor, node: Node) -> Replacement | None:
    """ln(e^x + 1)."""
    total = editor.only(node.inputs[0], Add) if node.operation == Log() else None
    if total is None or editor.number(total.inputs[1]) != 1:
        return None
    power = editor.only(total.inputs[0], Exp)
    return None if power is None else editor.put(node, Softplus(), power.inputs)


def _whole_window(editor: Editor, node: Node) -> Replacement | None:
    """Pooling over everything is a reduction."""
    operation, shape = node.operation, editor.shape(node.inputs[0])
    assert isinstance(operation, (AveragePool, MaxPool))
    whole = operation.kernel == shape[2:] and not any(operation.pads) and set(operation.spacing) == {1}
    if not whole or editor.shape(node.outputs[0])[2:] != (1,) * len(operation.kernel):
        return None
    axes = tuple(range(2, len(shape)))
    average = isinstance(operation, AveragePool)
    return editor.put(node, ReduceMean(axes) if average else ReduceMax(axes), node.inputs)


def _without_expand(editor: Editor, node: Node) -> Replacement | None:
    """An operand need not be expanded where the operation does it anyway."""
    for index, name in enumerate(node.inputs):
        expand = editor.made_by(name, Expand)
        if expand is None:
            continue
        shapes = [editor.shape(n) for i, n in enumerate(node.inputs) if i != index]
        inner = editor.shape(expand.inputs[0])
        if np.broadcast_shapes(*shapes, inner) == editor.shape(node.outputs[0]):
            inputs = list(node.inputs)
            inputs[index] = expand.inputs[0]
            return editor.put(node, node.operation, inputs)
    return None


def _mean(editor: Editor, node: Node) -> Replacement | None:
    """A sum divided by the number of its summands is a mean."""
    total, number = editor.only(node.inputs[0], ReduceSum), editor.number(node.inputs[1])
    if total is None or number is None or not isinstance(total.operation, ReduceSum):
        return None
    shape = editor.shape(total.inputs[0])
    count = math.prod(shape[axis] for axis in total.operation.axes)
    scalar = editor.type_of(node.outputs[0]) == editor.type_of(node.inputs[0])
    if not scalar or not math.isclose(number * count, 1, rel_tol=1e-6):
        return None
    return editor.put(node, ReduceMean(total.operation.axes, total.operation.keepdims), total.inputs)


def _kept_axes(editor: Editor, node: Node) -> Replacement | None:
    """Reductions that drop their axes, element by element work on them, and the axes put back: never dropped."""
    shape, source = editor.shape(node.outputs[0]), node.inputs[0]
    if not _can_keep(editor, source, shape, _KEEP_DEPTH):
        return None
    return editor.alias(node, _keep(editor, source, shape))


def _can_keep(editor: Editor, value: str, shape: tuple[int, ...], depth: int) -> bool:
    """Whether a value can be had in `shape` by reductions that keep their axes."""
    if editor.number(value) is not None and editor.rank(value) == 0:
        return True
    node = editor.producer(value)
    if node is None or depth == 0:
        return False
    operation = node.operation
    if isinstance(operation, Reduction):
        extents = editor.shape(node.inputs[0])
        kept = tuple(1 if axis in operation.axes else extent for axis, extent in enumerate(extents))
        return not operation.keepdims and bool(operation.axes) and kept == shape
    plain = isinstance(operation, (Add, Mul, Sub, *_PLAIN))
    return plain and all(_can_keep(editor, name, shape, depth - 1) for name in node.inputs)


def _keep(editor: Editor, value: str, shape: tuple[int, ...]) -> str:
    """The value in `shape`; `_can_keep` said that it can be had."""
    node = editor.producer(value)
    if node is None:
        return value
    if isinstance(node.operation, Reduction):
        return editor.add(type(node.operation)(node.operation.axes, True), node.inputs, node)
    return editor.add(node.operation, [_keep(editor, name, shape) for name in node.inputs], node)


def _factored_scale(editor: Editor, node: Node) -> Replacement | None:
    """x * (rsqrt * scale) = (x * rsqrt) * scale, so that the normalization is alone."""
    for x, other in (node.inputs, node.inputs[::-1]):
        inner = editor.only(other, Mul)
        if inner is None or editor.made_by(inner.inputs[0], Rsqrt) is None:
            continue
        if editor.constant(inner.inputs[1]) is None or editor.producer(x) is None:
            continue
        return editor.put(node, Mul(), (editor.add(Mul(), (x, inner.inputs[0]), node), inner.inputs[1]))
    return None


_RULES: Rules = {
    Add: (_constant_second, _without_expand, _add_to_itself),
    Mul: (_constant_second, _without_expand, _multiply_by_itself, _mean, _factored_scale),
    Sub: (_subtract_constant, _without_expand),
    Div: (_divide_by_constant, _divide_constant, _divide_by_root, _without_expand),
    Reciprocal: (_reciprocal_of_root,),
    Pow: (_power,),
    Max: (_bound, _without_expand),
    Min: (_bound, _without_expand),
    Clip: (_clip_of_clip, _clip_is_relu),
    Relu: (_relu_of_clip,),
    Neg: (_negation,),
    Log: (_softplus,),
    Reshape: (_kept_axes,),
    AveragePool: (_whole_window,),
    MaxPool: (_whole_window,),
}
