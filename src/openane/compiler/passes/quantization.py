"""Quantized activations as arithmetic: the engine computes numbers, not integers with a scale."""

from __future__ import annotations

import numpy as np

from openane.compiler.passes.rewriting import Editor, Replacement, Rules
from openane.graph import Graph, Node
from openane.graph.ops import Clip, DequantizeLinear, Mul, QuantizeLinear, Round


def spell_out_quantization(graph: Graph) -> Graph:
    """Turns quantize, dequantize with one scale and zero point into scale, round, clip, scale.

    The numbers are the same: clip(round(x / s) + z, low, high) - z = clip(round(x / s), low - z, high - z).
    """
    return Editor(graph, "quantize").run(_RULES)


def _pair(editor: Editor, node: Node) -> Replacement | None:
    quantize = editor.made_by(node.inputs[0], QuantizeLinear)
    if quantize is None or not isinstance(quantize.operation, QuantizeLinear):
        return None
    x = quantize.inputs[0]
    same = [_same(editor, a, b) for a, b in zip(_parameters(quantize), _parameters(node), strict=True)]
    scale = editor.constant(node.inputs[1])
    zero = _zero(editor, node)
    known = scale is not None and zero is not None and scale.ndim <= 1
    if not (known and all(same) and editor.type_of(x) == editor.type_of(node.outputs[0])):
        return None
    assert scale is not None and zero is not None
    operation = quantize.operation
    if operation.block or (operation.axis != getattr(node.operation, "axis", None) and scale.size > 1):
        return None
    rank = editor.rank(x)
    shape = () if scale.size == 1 else (-1, *(1,) * (rank - 1 - operation.axis))
    limits = np.iinfo(operation.dtype.value)
    dtype = editor.type_of(x).dtype.numpy
    inverse = editor.add_constant((1 / scale.astype(np.float64)).astype(dtype).reshape(shape), node.name)
    steps = editor.add(Round(), (editor.add(Mul(), (x, inverse), node),), node)
    held = editor.add(Clip(limits.min - zero, limits.max - zero), (steps,), node)
    return editor.put(node, Mul(), (held, editor.add_constant(scale.astype(dtype).reshape(shape), node.name)))


def _parameters(node: Node) -> tuple[str, str]:
    return node.inputs[1], node.inputs[2] if len(node.inputs) > 2 else ""


def _same(editor: Editor, first: str, second: str) -> bool:
    a, b = editor.constant(first), editor.constant(second)
    return first == second or (a is not None and b is not None and np.array_equal(a, b))


def _zero(editor: Editor, node: Node) -> int | None:
    """The one zero point; None where there are several."""
    name = _parameters(node)[1]
    number = 0 if not name else editor.number(name)
    return None if number is None else int(number)


_RULES: Rules = {DequantizeLinear: (_pair,)}
