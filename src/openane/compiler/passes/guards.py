"""Guards against rows without a value: torch's softmax gives 0 where all scores of a row are minus infinity.

Exporters write it as Where(IsNaN(softmax), 0, softmax). The engine has no NaN, so the test asks the scores instead.
"""

from __future__ import annotations

import numpy as np

from openane.compiler.passes.rewriting import Editor, Replacement, Rules
from openane.graph import Graph, Node
from openane.graph import ops as g
from openane.numerics.limits import HALF_LARGEST

#: Minus infinity is the least fp16 number on the engine, and a score is added to it.
_EMPTY = -HALF_LARGEST / 2

#: Operations whose result holds minus infinity only where an operand does.
_PASSES_ON = (
    g.Add,
    g.Sub,
    g.Mul,
    g.Div,
    g.Max,
    g.Min,
    g.Where,
    g.Cast,
    g.Concat,
    g.Expand,
    g.Identity,
    g.Reshape,
    g.Slice,
    g.Split,
    g.Tile,
    g.Transpose,
)

#: Operations whose result is finite where operands are numbers of an ordinary size.
_FINITE = (g.MatMul, g.Conv, g.LayerNorm, g.RmsNorm, g.Softmax, g.Gelu, g.Silu, g.Relu, g.Tanh, g.Sigmoid)


def replace_guards(graph: Graph) -> Graph:
    """Removes tests of softmax results for NaN; where rows may be empty, the scores decide which are."""
    return Editor(graph, "guard").run(_RULES)


def _guard(editor: Editor, node: Node) -> Replacement | None:
    condition, fallback, result = node.inputs
    test, softmax = editor.made_by(condition, g.IsNaN), editor.made_by(result, g.Softmax)
    if test is None or softmax is None or test.inputs != (result,):
        return None
    if editor.type_of(result) != editor.type_of(node.outputs[0]):
        return None
    masks = _masks(editor, softmax.inputs[0])
    if masks is None:
        return None
    assert isinstance(softmax.operation, g.Softmax)
    from_end = editor.rank(result) - softmax.operation.axis
    if any(editor.rank(name) < from_end for name in masks):
        return None
    valid = [_valid(editor, name, from_end, node) for name in masks]
    left = [each for each in valid if each]
    if not left:
        return editor.alias(node, result)
    if len(left) > 1:
        return None
    return editor.put(node, g.Where(), (left[0], result, fallback))


def _masks(editor: Editor, scores: str) -> list[str] | None:
    """The summands of the scores that hold minus infinity; None where that is not known."""
    total = editor.made_by(scores, g.Add)
    parts = total.inputs if total is not None else (scores,)
    known = [_may_be_infinite(editor, name) for name in parts]
    if None in known:
        return None
    return [name for name, infinite in zip(parts, known, strict=True) if infinite]


def _may_be_infinite(editor: Editor, value: str) -> bool | None:
    """Whether a value may hold minus infinity; None when only the caller knows."""
    array = editor.constant(value)
    if array is not None:
        return array.dtype.kind == "f" and bool(np.isneginf(array).any())
    node = editor.producer(value)
    if not editor.type_of(value).dtype.is_float or (node is not None and isinstance(node.operation, _FINITE)):
        return False
    if node is None or not isinstance(node.operation, _PASSES_ON):
        return None
    operands = [_may_be_infinite(editor, name) for name in node.inputs if name]
    return True if True in operands else None if None in operands else False


def _valid(editor: Editor, mask: str, from_end: int, node: Node) -> str:
    """Which rows have a value, as booleans; "" where all have."""
    axis = editor.rank(mask) - from_end
    array = editor.constant(mask)
    if array is not None and bool(np.isfinite(array.max(axis)).all()):
        return ""
    if array is not None:
        return editor.add_constant(np.isfinite(array.max(axis, keepdims=True)), mask)
    top = editor.add(g.ReduceMax((axis,)), (mask,), node)
    limit = editor.add_constant(np.array(_EMPTY, editor.type_of(mask).dtype.numpy), mask)
    return editor.add(g.Greater(), (top, limit), node)


_RULES: Rules = {g.Where: (_guard,)}
