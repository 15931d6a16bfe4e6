"""Einsums that are matrix products, sums or transposes."""

from __future__ import annotations

import math

from openane.compiler.passes.rewriting import Editor, Replacement, Rules
from openane.graph import Graph, Node
from openane.graph.ops import Einsum, MatMul, Mul, ReduceSum, Reshape, Transpose


def lower_einsums(graph: Graph) -> Graph:
    """Spells einsums of one or two tensors as transposes, reshapes and one batched matrix product."""
    return Editor(graph, "einsum").run(_RULES)


def _einsum(editor: Editor, node: Node) -> Replacement | None:
    operation = node.operation
    assert isinstance(operation, Einsum)
    terms, result = operation.terms()
    plain = all("." not in term and len(set(term)) == len(term) for term in (*terms, result))
    if not plain or len(terms) > 2 or not editor.type_of(node.outputs[0]).dtype.is_float:
        return None
    extents: dict[str, int] = {}
    for term, name in zip(terms, node.inputs, strict=True):
        for letter, extent in zip(term, editor.shape(name), strict=True):
            if extents.setdefault(letter, extent) != extent:
                return None  # an axis that broadcasts inside its letter
    if len(terms) == 1:
        value, letters = _summed(editor, node, node.inputs[0], terms[0], result)
        return editor.alias(node, _ordered(editor, node, value, letters, result))
    return editor.alias(node, _product(editor, node, terms[0], terms[1], result, extents))


def _product(editor: Editor, node: Node, left: str, right: str, result: str, extents: dict[str, int]) -> str:
    """The einsum of two tensors as (batch, rows, inner) times (batch, inner, columns)."""
    x, left = _summed(editor, node, node.inputs[0], left, right + result)
    y, right = _summed(editor, node, node.inputs[1], right, left + result)
    batch = "".join(c for c in result if c in left and c in right)
    inner = "".join(c for c in left if c in right and c not in result)
    if not inner:
        # Nothing is summed: a product element by element, each operand with ones for the letters it lacks.
        pairs = [
            (_ordered(editor, node, v, t, "".join(c for c in result if c in t)), t) for v, t in ((x, left), (y, right))
        ]
        ones = [_shaped(editor, node, v, tuple(extents[c] if c in t else 1 for c in result)) for v, t in pairs]
        return editor.add(Mul(), ones, node)
    rows = "".join(c for c in result if c in left and c not in right)
    columns = "".join(c for c in result if c in right and c not in left)
    shape = tuple(extents[c] for c in batch)
    sizes = [math.prod(extents[c] for c in letters) for letters in (rows, inner, columns)]
    x = _ordered(editor, node, x, left, batch + rows + inner)
    y = _ordered(editor, node, y, right, batch + inner + columns)
    x = _shaped(editor, node, x, (*shape, sizes[0], sizes[1]))
    y = _shaped(editor, node, y, (*shape, sizes[1], sizes[2]))
    product = editor.add(MatMul(), (x, y), node)
    letters = batch + rows + columns
    product = _shaped(editor, node, product, tuple(extents[c] for c in letters))
    return _ordered(editor, node, product, letters, result)


def _summed(editor: Editor, node: Node, value: str, letters: str, needed: str) -> tuple[str, str]:
    """The value without the axes that nothing else needs, and its letters."""
    axes = tuple(i for i, letter in enumerate(letters) if letter not in needed)
    if axes:
        value = editor.add(ReduceSum(axes, False), (value,), node)
    return value, "".join(letter for letter in letters if letter in needed)


def _ordered(editor: Editor, node: Node, value: str, letters: str, wanted: str) -> str:
    """The value with its axes in another order."""
    if letters == wanted:
        return value
    return editor.add(Transpose(tuple(letters.index(letter) for letter in wanted)), (value,), node)


def _shaped(editor: Editor, node: Node, value: str, shape: tuple[int, ...]) -> str:
    """The value in another shape."""
    return value if editor.shape(value) == shape else editor.add(Reshape(shape), (value,), node)


_RULES: Rules = {Einsum: (_einsum,)}
