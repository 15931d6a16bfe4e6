"""Channel-last models: transposes move down through what does not care, until they meet their inverse.

A front end gives convolutions channels in front, with transposes around them; between two convolutions the element by
element work then is between a transpose and its inverse. Moving the first one down brings them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from openane.compiler.passes.merging import _transpose, _transpose_of_ones
from openane.compiler.passes.rewriting import Editor, Replacement, Rule, Rules
from openane.graph import Graph, Node, Operation
from openane.graph.ops import (
    OPERATIONS,
    Binary,
    Comparison,
    Concat,
    Hardmax,
    LayerNorm,
    LogSoftmax,
    LpNorm,
    MatMul,
    Pad,
    Pow,
    PRelu,
    Reduction,
    Reshape,
    Resize,
    RmsNorm,
    Slice,
    Softmax,
    Split,
    Tile,
    Transpose,
    Unary,
    Where,
)

Item = TypeVar("Item")


def sink_transposes(graph: Graph) -> Graph:
    """Moves transposes after the operations that do not care about the order of axes."""
    return Editor(graph, "transpose").run(_RULES)


def _order(editor: Editor, value: str) -> tuple[int, ...] | None:
    """The permutation of the transpose that makes a value."""
    node = editor.made_by(value, Transpose)
    if node is None:
        return None
    assert isinstance(node.operation, Transpose)
    return node.operation.permutation


def _source(editor: Editor, value: str) -> str:
    node = editor.producer(value)
    assert node is not None
    return node.inputs[0]


def _sink(
    editor: Editor, node: Node, operation: Operation, inputs: Sequence[str], order: tuple[int, ...]
) -> Replacement:
    """`operation` on the operands before their transpose, and the transpose after it."""
    return editor.put(node, Transpose(order), (editor.add(operation, inputs, node),))


def _moved(operation: Operation, order: tuple[int, ...]) -> Operation | None:
    """The operation with its axes renamed for an operand before the transpose; None where it has no such form."""
    rank = len(order)
    match operation:
        case Softmax(axis) | LogSoftmax(axis) | Hardmax(axis):
            return type(operation)(order[axis])
        case LpNorm() | LayerNorm() | RmsNorm():
            return replace(operation, axes=tuple(sorted(order[axis] for axis in operation.axes)))
        case Reduction(axes, True):
            return type(operation)(tuple(sorted(order[axis] for axis in axes)), True)
        case Pad(pads):
            return replace(operation, pads=(*_back(pads[:rank], order), *_back(pads[rank:], order)))
        case Slice(starts, ends, steps):
            return Slice(_back(starts, order), _back(ends, order), _back(steps, order))
        case Tile(repeats):
            return Tile(_back(repeats, order))
        case Resize(sizes, _, _, _, scales) if not operation.region:
            return replace(operation, sizes=_back(sizes, order), scales=_back(scales, order) if scales else ())
        case Unary():
            return operation
        case _:
            return None


def _back(values: Sequence[Item], order: tuple[int, ...]) -> tuple[Item, ...]:
    """Values per axis of the result as values per axis of the operand."""
    result = list(values)
    for place, axis in enumerate(order):
        result[axis] = values[place]
    return tuple(result)


def _through_one(editor: Editor, node: Node) -> Replacement | None:
    """Operations of one tensor."""
    order = _order(editor, node.inputs[0])
    if order is None or not editor.once(node.inputs[0]) or any(node.inputs[1:]):
        return None
    operation = _moved(node.operation, order)
    if operation is None:
        return None
    return _sink(editor, node, operation, (_source(editor, node.inputs[0]),), order)


def _through_several(editor: Editor, node: Node) -> Replacement | None:
    """Operations of several tensors that are transposed alike, or constant."""
    orders = {order for name in node.inputs if (order := _order(editor, name)) is not None}
    if len(orders) != 1:
        return None
    (order,) = orders
    transposed = [name for name in node.inputs if _order(editor, name) == order]
    uses = {name: transposed.count(name) for name in transposed}
    if not any(editor.once(name) or uses[name] > 1 for name in uses):
        return None
    shape = editor.shape(node.outputs[0])
    if len(shape) != len(order):
        return None
    inputs = []
    for name in node.inputs:
        operand = _source(editor, name) if name in uses else _constant_before(editor, name, order)
        if operand is None:
            return None
        inputs.append(operand)
    operation = node.operation
    if isinstance(operation, Concat):
        operation = Concat(order[operation.axis])
    return _sink(editor, node, operation, inputs, order)


def _constant_before(editor: Editor, name: str, order: tuple[int, ...]) -> str | None:
    """A constant as it broadcasts to a tensor before its transpose."""
    array = editor.constant(name)
    if array is None or array.ndim > len(order):
        return None
    if array.size == 1:
        return name
    whole = array.reshape((1,) * (len(order) - array.ndim) + array.shape)
    return editor.add_constant(np.ascontiguousarray(whole.transpose(np.argsort(order))), name)


def _through_split(editor: Editor, node: Node) -> Replacement | None:
    """Parts of a transposed tensor are transposed parts."""
    order, operation = _order(editor, node.inputs[0]), node.operation
    assert isinstance(operation, Split)
    if order is None or not editor.once(node.inputs[0]):
        return None
    parts = editor.add_all(Split(order[operation.axis], operation.sizes), (_source(editor, node.inputs[0]),), node)
    values = [editor.add(Transpose(order), (part,), node) for part in parts]
    return Replacement(aliases=dict(zip(node.outputs, values, strict=True)))


def _without_kept_axes(editor: Editor, node: Node) -> Replacement | None:
    """A reduction that drops its axes: the rest stays in order, so the transpose may vanish or shrink."""
    order, operation = _order(editor, node.inputs[0]), node.operation
    assert isinstance(operation, Reduction)
    if order is None or operation.keepdims or not editor.once(node.inputs[0]):
        return None
    axes = tuple(sorted(order[axis] for axis in operation.axes))
    kept = [axis for place, axis in enumerate(order) if place not in operation.axes]
    remaining = sorted(kept)
    reduced = type(operation)(axes, False)
    source = (_source(editor, node.inputs[0]),)
    if kept == remaining:
        return editor.put(node, reduced, source)
    return _sink(editor, node, reduced, source, tuple(remaining.index(axis) for axis in kept))


def _flattened_product(editor: Editor, node: Node) -> Replacement | None:
    """Transpose, flatten, matrix product: the rows of the matrix change places instead."""
    operation, matrix = node.operation, editor.constant(node.inputs[1])
    flat = editor.only(node.inputs[0], Reshape)
    order = None if flat is None else _order(editor, flat.inputs[0])
    assert isinstance(operation, MatMul)
    if matrix is None or flat is None or order is None or matrix.ndim != 2 or operation.transpose_a:
        return None
    shape, result = editor.shape(flat.inputs[0]), editor.shape(flat.outputs[0])
    if order[0] != 0 or len(result) != 2 or result[0] != shape[0] or not editor.once(flat.inputs[0]):
        return None
    rows = matrix.T if operation.transpose_b else matrix
    places = np.argsort(order)[1:] - 1
    moved = rows.reshape(*shape[1:], -1).transpose(*places, len(places)).reshape(rows.shape)
    straight = editor.add(Reshape(result), (_source(editor, flat.inputs[0]),), flat)
    weight = editor.add_constant(np.ascontiguousarray(moved), node.inputs[1])
    return editor.put(node, MatMul(), (straight, weight))


def _rules() -> Rules:
    table: dict[type[Operation], tuple[Rule, ...]] = {
        Transpose: (_transpose, _transpose_of_ones),
        MatMul: (_flattened_product,),
        Split: (_through_split,),
        Concat: (_through_several,),
        **dict.fromkeys((Where, PRelu, Pow), (_through_several,)),
        **dict.fromkeys((Pad, Slice, Tile, Resize, LpNorm, LayerNorm, RmsNorm), (_through_one,)),
    }
    for operation in OPERATIONS.values():
        if issubclass(operation, (Binary, Comparison)):
            table[operation] = (_through_several,)
        elif issubclass(operation, Reduction):
            table[operation] = (_through_one, _without_kept_axes)
        elif issubclass(operation, Unary):
            table[operation] = (_through_one,)
    return table


_RULES = _rules()
