"""Axes that are longer than a tensor of the engine may be are split into two.

A value with a long axis, of `parts` times `size` elements, has a twin whose shape has two axes in its place; the value
is a reshape of it, which moves nothing. Each rule computes the twin of a result from the twins of its operands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace

import numpy as np

from openane.compiler.passes.rewriting import Editor, Replacement, Rule
from openane.graph import Graph, Node, Operation
from openane.graph import ops as g

#: Operations whose operands broadcast against each other.
_ELEMENTWISE = (g.Unary, g.Binary, g.Cast, g.Not, g.Where, g.Pow, g.PRelu)

#: Operations along one axis.
_ALONG_AXIS = (g.Softmax, g.LogSoftmax, g.Hardmax)

#: Operations with one value of each parameter per channel, of any number of axes after the channels.
_PER_CHANNEL = (g.BatchNorm, g.InstanceNorm, g.GroupNorm)


def fold_long_axes(graph: Graph, longest: int, channels: int, nodes: Container[str]) -> Graph:
    """Splits axes of more than `longest` elements in two.

    Args:
        graph: after the other passes.
        longest: elements of an axis that is left alone.
        channels: most channels of an image.
        nodes: names of the nodes that may be rewritten.

    Returns:
        The graph with the same inputs and outputs; nodes without a rule are unchanged.
    """

    def limited(rule: _LongRule) -> Rule:
        return lambda editor, node: rule(_Long(editor, node, longest, channels)) if node.name in nodes else None

    return Editor(graph, "fold").run({kind: tuple(map(limited, _rules_of(kind))) for kind in g.OPERATIONS.values()})


@dataclass(frozen=True, slots=True)
class _Fold:
    """An axis counted from the end (1 is the last one), and what it is split into."""

    axis: int
    parts: int
    size: int

    def shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """A shape with two axes in place of the one, which may have extent 1; too few axes stay."""
        at = len(shape) - self.axis
        if at < 0:
            return tuple(shape)
        pair = (1, 1) if shape[at] == 1 else (self.parts, self.size)
        return (*shape[:at], *pair, *shape[at + 1 :])


@dataclass(frozen=True, slots=True)
class _Long:
    """A node that has long axes, for its rule."""

    editor: Editor
    node: Node
    longest: int
    channels: int

    def fold_of(self, value: str) -> _Fold | None:
        """How the one long axis of a value is split: as what it is a reshape of, else into the fewest parts."""
        shape = self.editor.shape(value)
        at = long_axis(shape, self.longest)
        if at is None:
            return None
        inner = self.editor.made_by(value, g.Reshape)
        if inner is not None:
            before = self.editor.shape(inner.inputs[0])
            split = before[at : at + 2]
            if before == (*shape[:at], *split, *shape[at + 1 :]) and max(split) <= self.longest:
                return _Fold(len(shape) - at, *split)
        parts = fewest_parts(shape[at], self.longest)
        return _Fold(len(shape) - at, parts, shape[at] // parts) if parts else None

    def twin(self, value: str, fold: _Fold) -> str:
        """A value, known or computed, with its axis split."""
        shape = fold.shape(self.editor.shape(value))
        array = self.editor.constant(value)
        if array is not None:
            return self.editor.add_constant(array.reshape(shape), value)
        inner = self.editor.made_by(value, g.Reshape)
        source = value if inner is None else inner.inputs[0]
        if self.editor.shape(source) == shape:
            return source
        return self.editor.add(g.Reshape(shape), (source,), self.node)

    def result(self, twin: str) -> Replacement:
        """The node becomes a reshape of the twin of its result."""
        return self.editor.put(self.node, g.Reshape(self.editor.shape(self.node.outputs[0])), (twin,))

    def add(self, operation: Operation, *inputs: str) -> str:
        """A new node."""
        return self.editor.add(operation, inputs, self.node)


def long_axis(shape: Sequence[int], longest: int) -> int | None:
    """The axis of a shape that is too long; None where there is not exactly one."""
    found = [axis for axis, extent in enumerate(shape) if extent > longest]
    return found[0] if len(found) == 1 else None


def with_long_axis_split(shape: tuple[int, ...], longest: int) -> tuple[int, ...]:
    """A shape with two axes in place of the one that is too long; the same one where it cannot be split."""
    at = long_axis(shape, longest)
    parts = None if at is None else fewest_parts(shape[at], longest)
    if at is None or parts is None:
        return shape
    return (*shape[:at], parts, shape[at] // parts, *shape[at + 1 :])


def fewest_parts(extent: int, longest: int) -> int | None:
    """The least number of equal parts of an axis that are not too long; None where even 1 element each is too many."""
    found = next((n for n in range(-(-extent // longest), longest + 1) if extent % n == 0), None)
    return found if found is not None and extent // found > 1 else None


def _rules_of(kind: type[Operation]) -> tuple[_LongRule, ...]:
    return tuple(rule for kinds, rule in _RULES if issubclass(kind, kinds))[:1]


def _elementwise(long: _Long) -> Replacement | None:
    (output,) = long.node.outputs
    folds = [long.fold_of(name) for name in (*long.node.inputs, output) if long.editor.constant(name) is None]
    fold = next(filter(None, folds), None)
    if fold is None or long.fold_of(output) is None:
        return None
    return long.result(long.add(long.node.operation, *(long.twin(name, fold) for name in long.node.inputs)))


def _along_axis(long: _Long) -> Replacement | None:
    """Softmax: over another axis as it is; over the long one by its parts."""
    (name,), operation = long.node.inputs, long.node.operation
    assert isinstance(operation, _ALONG_AXIS)
    fold = long.fold_of(name)
    if fold is None:
        return None
    at = len(long.editor.shape(name)) - fold.axis
    if operation.axis != at:
        axis = operation.axis + (operation.axis > at)
        return long.result(long.add(replace(operation, axis=axis), long.twin(name, fold)))
    if isinstance(operation, g.Hardmax):
        return None
    axes, x = (at, at + 1), long.twin(name, fold)
    shifted = long.add(g.Sub(), x, long.add(g.ReduceMax(axes), x))
    powers = long.add(g.Exp(), shifted)
    total = long.add(g.ReduceSum(axes), powers)
    if isinstance(operation, g.LogSoftmax):
        return long.result(long.add(g.Sub(), shifted, long.add(g.Log(), total)))
    return long.result(long.add(g.Mul(), powers, long.add(g.Reciprocal(), total)))


def _over_axes(long: _Long) -> Replacement | None:
    """Norms and reductions over axes, of which the long one becomes two."""
    name, operation = long.node.inputs[0], long.node.operation
    assert isinstance(operation, (g.LayerNorm, g.RmsNorm, g.Reduction))
    fold = long.fold_of(name)
    if fold is None:
        return None
    at = len(long.editor.shape(name)) - fold.axis
    axes = tuple(axis + (axis > at) for axis in operation.axes)
    if at in operation.axes:
        axes = tuple(sorted((*axes, at + 1)))
    operands = [long.twin(each, fold) if each else "" for each in long.node.inputs]
    return long.result(long.add(replace(operation, axes=axes), *operands))


def _per_channel(long: _Long) -> Replacement | None:
    name, *parameters = long.node.inputs
    fold = long.fold_of(name)
    shape = long.editor.shape(name)
    if fold is None or len(shape) - fold.axis < 2 or len(shape) > 3:
        return None
    return long.result(long.add(long.node.operation, long.twin(name, fold), *parameters))


def _transpose(long: _Long) -> Replacement | None:
    (name,), operation = long.node.inputs, long.node.operation
    assert isinstance(operation, g.Transpose)
    fold = long.fold_of(name)
    if fold is None:
        return None
    at = len(operation.permutation) - fold.axis
    order: list[int] = []
    for axis in operation.permutation:
        order += [at, at + 1] if axis == at else [axis + (axis > at)]
    return long.result(long.add(g.Transpose(tuple(order)), long.twin(name, fold)))


def _slice(long: _Long) -> Replacement | None:
    """Parts of other axes."""
    (name,), operation = long.node.inputs, long.node.operation
    assert isinstance(operation, g.Slice)
    fold = long.fold_of(name)
    if fold is None:
        return None
    shape = long.editor.shape(name)
    at = len(shape) - fold.axis
    if list(operation.ranges())[at] != range(shape[at]):
        return None
    pieces = ((operation.starts, (0, 0)), (operation.ends, (fold.parts, fold.size)), (operation.steps, (1, 1)))
    starts, ends, steps = ((*old[:at], *new, *old[at + 1 :]) for old, new in pieces)
    return long.result(long.add(g.Slice(starts, ends, steps), long.twin(name, fold)))


def _concat(long: _Long) -> Replacement | None:
    """Joins along another axis, or along the long one in parts that all operands have."""
    (output,), operation = long.node.outputs, long.node.operation
    assert isinstance(operation, g.Concat)
    fold = long.fold_of(output)
    if fold is None:
        return None
    shape = long.editor.shape(output)
    at = len(shape) - fold.axis
    if operation.axis == at:
        common = math.gcd(*(long.editor.shape(name)[at] for name in long.node.inputs))
        size = next((n for n in range(min(common, long.longest), 0, -1) if common % n == 0), 1)
        if size == 1 or shape[at] // size > long.longest:
            return None
        fold = replace(fold, parts=shape[at] // size, size=size)
    axis = operation.axis + (operation.axis > at)
    return long.result(long.add(g.Concat(axis), *(_piece(long, name, fold, at) for name in long.node.inputs)))


def _piece(long: _Long, name: str, fold: _Fold, at: int) -> str:
    extent = long.editor.shape(name)[at]
    return long.twin(name, fold if extent == 1 else replace(fold, parts=extent // fold.size))


def _matmul(long: _Long) -> Replacement | None:
    """Products with a constant: more columns one after another, more rows as a batch, more terms as a sum."""
    editor, operation = long.editor, long.node.operation
    x, y = long.node.inputs
    assert isinstance(operation, g.MatMul)
    weight = editor.constant(y)
    if weight is None or weight.ndim != 2 or editor.constant(x) is not None:
        return None
    matrix = weight.T if operation.transpose_b else weight
    shape = editor.shape(x)
    if operation.transpose_a:
        return _transposed_rows(long, matrix)
    if matrix.shape[1] > long.longest:
        return _columns(long, matrix)
    if shape[-1] > long.longest:
        return _terms(long, matrix)
    fold = long.fold_of(x) if len(shape) > 1 else None
    if fold is None or fold.axis == 1:
        return None
    return long.result(long.add(operation, long.twin(x, fold), y))


def _transposed_rows(long: _Long, matrix: np.ndarray) -> Replacement | None:
    """More rows that are columns of the operand: the transpose is explicit."""
    x, y = long.node.inputs
    fold = long.fold_of(x)
    if fold is None or fold.axis != 1 or matrix.shape[1] > long.longest:
        return None
    twin = long.twin(x, fold)
    rank = len(long.editor.shape(twin))
    rows = long.add(g.Transpose((*range(rank - 3), rank - 2, rank - 1, rank - 3)), twin)
    return long.result(long.add(g.MatMul(), rows, long.editor.add_constant(matrix, y)))


def _columns(long: _Long, matrix: np.ndarray) -> Replacement | None:
    """Columns in parts, each with an axis of its own before them; the last part may be filled up with zeros."""
    editor, (x, name) = long.editor, long.node.inputs
    columns = matrix.shape[1]
    parts = fewest_parts(columns, long.longest) or 0
    if not 0 < parts <= _MOST_PARTS:
        if math.prod(editor.shape(x)[:-1]) == 1 and columns <= long.channels:
            return _pixel(long, matrix)
        parts = -(-columns // long.longest)
    size = -(-columns // parts)
    filled = np.pad(matrix, ((0, 0), (0, parts * size - columns)))
    lead = editor.shape(x)[:-1]
    products = []
    for first in range(0, parts * size, size):
        part = editor.add_constant(np.ascontiguousarray(filled[:, first : first + size]), name)
        products.append(long.add(g.Reshape((*lead, 1, size)), long.add(g.MatMul(), x, part)))
    joined = long.add(g.Concat(len(lead)), *products)
    if parts * size == columns:
        return long.result(joined)
    whole = long.add(g.Reshape((*lead, parts * size)), joined)
    ends = (*lead, columns)
    return editor.put(long.node, g.Slice((0,) * len(ends), ends, (1,) * len(ends)), (whole,))


def _pixel(long: _Long, matrix: np.ndarray) -> Replacement:
    """One row with a prime number of columns, say: a convolution of one pixel, with the columns as channels."""
    x, name = long.node.inputs
    image = long.add(g.Reshape((1, matrix.shape[0], 1, 1)), x)
    kernel = long.editor.add_constant(np.ascontiguousarray(matrix.T)[:, :, None, None], name)
    return long.result(long.add(g.Conv(), image, kernel))


_MOST_PARTS = 64
"""Parts of the columns of a product beyond which it is cheaper to fill up fewer ones with zeros."""


def _terms(long: _Long, matrix: np.ndarray) -> Replacement | None:
    """The sum of products of parts of the inner axis."""
    editor, (x, name) = long.editor, long.node.inputs
    fold = long.fold_of(x)
    if fold is None:
        return None
    source = long.twin(x, fold)
    shape = editor.shape(source)
    total = ""
    for part in range(fold.parts):
        starts, ends = [0] * len(shape), list(shape)
        starts[-2], ends[-2] = part, part + 1
        piece = long.add(g.Slice(tuple(starts), tuple(ends), (1,) * len(shape)), source)
        row = long.add(g.Reshape((*shape[:-2], fold.size)), piece)
        weight = editor.add_constant(matrix[part * fold.size : (part + 1) * fold.size], name)
        product = long.add(g.MatMul(), row, weight)
        total = long.add(g.Add(), total, product) if total else product
    return editor.alias(long.node, total)


def _reshape(long: _Long) -> Replacement | None:
    inner = long.editor.made_by(long.node.inputs[0], g.Reshape)
    return None if inner is None else long.editor.put(long.node, long.node.operation, inner.inputs)


def _convolution(long: _Long) -> Replacement | None:
    """Of one pixel: each is computed by itself."""
    name, *rest = long.node.inputs
    operation = long.node.operation
    assert isinstance(operation, g.Conv)
    fold = long.fold_of(name)
    kernel = long.editor.shape(rest[0])
    if fold is None or fold.axis != 1 or len(kernel) != 3 or kernel[2] != 1:
        return None
    if operation.strides != (1,) or any(operation.pads):
        return None
    weight = long.editor.constant(rest[0])
    if weight is None:
        return None
    image = replace(operation, strides=(1, 1), pads=(0,) * 4, dilations=(1, 1))
    wide = long.editor.add_constant(weight[..., None], rest[0])
    return long.result(long.add(image, long.twin(name, fold), wide, *rest[1:]))


_LongRule = Callable[[_Long], Replacement | None]

_RULES = (
    (_ALONG_AXIS, _along_axis),
    ((g.LayerNorm, g.RmsNorm, g.Reduction), _over_axes),
    (_PER_CHANNEL, _per_channel),
    (_ELEMENTWISE, _elementwise),
    ((g.Transpose,), _transpose),
    ((g.Slice,), _slice),
    ((g.Concat,), _concat),
    ((g.MatMul,), _matmul),
    ((g.Reshape,), _reshape),
    ((g.Conv,), _convolution),
)
