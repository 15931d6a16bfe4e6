"""Activation functions that an exporter spelled out in elementary operations."""

from __future__ import annotations

import math

from openane.compiler.passes.rewriting import Editor, Replacement, Rules
from openane.graph import Graph, Node
from openane.graph.ops import (
    Add,
    Affine,
    Clip,
    Erf,
    Gelu,
    HardSigmoid,
    HardSwish,
    Mish,
    Mul,
    Pow,
    Sigmoid,
    Silu,
    Softplus,
    Square,
    Tanh,
)

#: `Origin.step` of what is found here.
RECOGNIZED = "activation"

#: Constants of an exporter are rounded to half precision at worst.
_TOLERANCE = 1e-3

#: Factors of a product that is looked through.
_FACTOR_LIMIT = 6


def recognize_activations(graph: Graph) -> Graph:
    """Finds hard sigmoid, hard swish, GELU (both forms), SiLU and Mish in their spelled-out forms."""
    return Editor(graph, RECOGNIZED).run(_RULES)


def close(value: float | None, expected: float) -> bool:
    """Whether a constant is the expected one, but for rounding."""
    return value is not None and math.isclose(value, expected, rel_tol=_TOLERANCE)


def factors(editor: Editor, node: Node) -> tuple[float, list[str]]:
    """A product as a number and the values it multiplies; products that are read only here are taken apart."""
    number = 1.0
    values: list[str] = []
    waiting = list(node.inputs)
    while waiting:
        name = waiting.pop()
        constant = editor.number(name)
        inner = editor.only(name, Mul)
        affine = editor.only(name, Affine)
        if constant is not None:
            number *= constant
        elif inner is not None and len(values) + len(waiting) < _FACTOR_LIMIT:
            waiting.extend(inner.inputs)
        elif affine is not None and isinstance(affine.operation, Affine) and affine.operation.beta == 0:
            number *= affine.operation.alpha
            waiting.extend(affine.inputs)
        else:
            values.append(name)
    return number, values


def shifted(editor: Editor, value: str) -> tuple[str, float] | None:
    """The operand and the number of a sum with a number."""
    node = editor.made_by(value, Add, Affine)
    if node is None:
        return None
    if isinstance(node.operation, Affine):
        return (node.inputs[0], node.operation.beta) if node.operation.alpha == 1 else None
    number = editor.number(node.inputs[1])
    return None if number is None else (node.inputs[0], number)


def scaled(editor: Editor, value: str) -> tuple[str, float]:
    """The operand and the number of a product with a number; the value and 1 where it is none."""
    node = editor.made_by(value, Mul, Affine)
    if node is not None and isinstance(node.operation, Affine) and node.operation.beta == 0:
        return node.inputs[0], node.operation.alpha
    if node is not None and isinstance(node.operation, Mul):
        number = editor.number(node.inputs[1])
        if number is not None:
            return node.inputs[0], number
    return value, 1.0


def _hard_sigmoid(editor: Editor, node: Node) -> Replacement | None:
    """clip(x + b, 0, m) / m, and clip(a*x + b, 0, 1)."""
    if isinstance(node.operation, Clip):
        found = shifted(editor, node.inputs[0]) if node.operation == Clip(0, 1) else None
        if found is None or not editor.once(node.inputs[0]):
            return None
        x, alpha = scaled(editor, found[0]) if editor.once(found[0]) else (found[0], 1.0)
        return editor.put(node, HardSigmoid(alpha, found[1]), (x,))
    top = editor.number(node.inputs[1])
    clip = editor.only(node.inputs[0], Clip)
    if top is None or clip is None or not isinstance(clip.operation, Clip) or clip.operation.minimum != 0:
        return None
    found = shifted(editor, clip.inputs[0])
    if found is None or not editor.once(clip.inputs[0]) or not close(top * clip.operation.maximum, 1):
        return None
    return editor.put(node, HardSigmoid(top, found[1] * top), (found[0],))


def _is_hard_gate(editor: Editor, value: str, x: str, number: float) -> bool:
    """Whether number * value = clip(x/6 + 1/2, 0, 1)."""
    node = editor.made_by(value, HardSigmoid, Clip)
    if node is None:
        return False
    if isinstance(node.operation, HardSigmoid):
        gate = node.operation
        return node.inputs[0] == x and close(number, 1) and close(gate.alpha, 1 / 6) and close(gate.beta, 0.5)
    assert isinstance(node.operation, Clip)
    found = shifted(editor, node.inputs[0])
    bounds = node.operation.minimum == 0 and close(node.operation.maximum, 6)
    return bounds and found is not None and found[0] == x and close(found[1], 3) and close(number, 1 / 6)


def _gated(editor: Editor, node: Node) -> Replacement | None:
    """x times a function of x: hard swish, SiLU, Mish, GELU."""
    number, values = factors(editor, node)
    if len(values) != 2:
        return None
    for x, gate in (values, values[::-1]):
        if editor.type_of(x) != editor.type_of(node.outputs[0]):
            continue
        if _is_hard_gate(editor, gate, x, number):
            return editor.put(node, HardSwish(), (x,))
        operation = _smooth_gate(editor, gate, x, number)
        if operation is not None:
            return editor.put(node, operation, (x,))
    return None


def _smooth_gate(editor: Editor, gate: str, x: str, number: float) -> Silu | Mish | Gelu | None:
    node = editor.made_by(gate, Sigmoid, Tanh, Add, Affine)
    if node is None:
        return None
    match node.operation:
        case Sigmoid() if close(number, 1):
            inner, alpha = scaled(editor, node.inputs[0])
            return Silu(1.0) if node.inputs[0] == x else Silu(alpha) if inner == x else None
        case Tanh() if close(number, 1):
            soft = editor.made_by(node.inputs[0], Softplus)
            return Mish() if soft is not None and soft.inputs[0] == x else None
        case Add() | Affine():
            found = shifted(editor, gate)
            if found is None or not close(found[1], 1) or not close(number, 0.5):
                return None
            return _gelu(editor, found[0], x)
        case _:
            return None


def _gelu(editor: Editor, value: str, x: str) -> Gelu | None:
    """erf(x / sqrt 2), or tanh(sqrt(2/pi) * (x + 0.044715 x^3))."""
    node = editor.made_by(value, Erf, Tanh)
    if node is None:
        return None
    inner, factor = scaled(editor, node.inputs[0])
    if isinstance(node.operation, Erf):
        return Gelu() if inner == x and close(factor, math.sqrt(0.5)) else None
    if close(factor, math.sqrt(2 / math.pi)) and _is_cubic_sum(editor, inner, x):
        return Gelu(approximate=True)
    product = editor.made_by(node.inputs[0], Mul)
    if product is None:
        return None
    # x * (1 + 0.044715 x^2), the number anywhere.
    number, values = factors(editor, product)
    if len(values) == 2 and close(number, math.sqrt(2 / math.pi)) and x in values:
        other = values[1 - values.index(x)]
        found = shifted(editor, other)
        square, coefficient = scaled(editor, found[0]) if found is not None else ("", 0.0)
        made = editor.made_by(square, Square)
        fits = found is not None and close(found[1], 1) and close(coefficient, 0.044715)
        if fits and made is not None and made.inputs[0] == x:
            return Gelu(approximate=True)
    return None


def _is_cubic_sum(editor: Editor, value: str, x: str) -> bool:
    """Whether a value is x + 0.044715 x^3."""
    total = editor.made_by(value, Add)
    if total is None or x not in total.inputs:
        return False
    term = total.inputs[1 - total.inputs.index(x)]
    product = editor.made_by(term, Mul)
    if product is None:
        return False
    number, values = factors(editor, product)
    return close(number, 0.044715) and _is_cube(editor, values, x)


def _is_cube(editor: Editor, values: list[str], x: str) -> bool:
    """Whether the product of some values is x^3."""
    degree = 0
    for value in values:
        node = editor.made_by(value, Square, Pow)
        if value == x:
            degree += 1
        elif node is not None and node.inputs[0] == x:
            exponent = 2.0 if isinstance(node.operation, Square) else editor.number(node.inputs[1])
            degree += int(exponent or 0)
        else:
            return False
    return degree == 3


_RULES: Rules = {Clip: (_hard_sigmoid,), Mul: (_hard_sigmoid, _gated)}
