"""Spelled-out activation functions become one node."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from tests.support.pass_graphs import Sketch, kinds, simplified

from openane.graph import Operation, ops

Spelling = Callable[[Sketch], str]


def hard_sigmoid_by_clip(s: Sketch) -> str:
    return s.add(ops.Clip(0, 1), s.add(ops.Add(), s.add(ops.Mul(), "x", 0.2), 0.5))


def hard_sigmoid_by_relu6(s: Sketch) -> str:
    return s.add(ops.Div(), s.add(ops.Clip(0, 6), s.add(ops.Add(), "x", 3.0)), 6.0)


def hard_sigmoid_by_min_max(s: Sketch) -> str:
    low = s.add(ops.Max(), s.add(ops.Add(), 3.0, "x"), 0.0)
    return s.add(ops.Mul(), 1 / 6, s.add(ops.Min(), 6.0, low))


def hard_swish_product_first(s: Sketch) -> str:
    clip = s.add(ops.Clip(0, 6), s.add(ops.Add(), "x", 3.0))
    return s.add(ops.Div(), s.add(ops.Mul(), "x", clip), 6.0)


def hard_swish_gate_first(s: Sketch) -> str:
    return s.add(ops.Mul(), hard_sigmoid_by_relu6(s), "x")


def hard_swish_by_hard_sigmoid(s: Sketch) -> str:
    return s.add(ops.Mul(), "x", s.add(ops.HardSigmoid(1 / 6, 0.5), "x"))


def silu(s: Sketch) -> str:
    return s.add(ops.Mul(), s.add(ops.Sigmoid(), "x"), "x")


def swish(s: Sketch) -> str:
    return s.add(ops.Mul(), "x", s.add(ops.Sigmoid(), s.add(ops.Mul(), "x", 1.702)))


def mish(s: Sketch) -> str:
    return s.add(ops.Mul(), "x", s.add(ops.Tanh(), s.add(ops.Softplus(), "x")))


def mish_by_logarithm(s: Sketch) -> str:
    soft = s.add(ops.Log(), s.add(ops.Add(), 1.0, s.add(ops.Exp(), "x")))
    return s.add(ops.Mul(), s.add(ops.Tanh(), soft), "x")


def _erf_part(s: Sketch) -> str:
    return s.add(ops.Add(), s.add(ops.Erf(), s.add(ops.Div(), "x", math.sqrt(2))), 1.0)


def gelu_half_last(s: Sketch) -> str:
    return s.add(ops.Mul(), s.add(ops.Mul(), "x", _erf_part(s)), 0.5)


def gelu_half_first(s: Sketch) -> str:
    return s.add(ops.Mul(), s.add(ops.Mul(), 0.5, "x"), _erf_part(s))


def gelu_half_with_erf(s: Sketch) -> str:
    return s.add(ops.Mul(), "x", s.add(ops.Mul(), _erf_part(s), 0.5))


def gelu_tanh(s: Sketch) -> str:
    cubic = s.add(ops.Add(), "x", s.add(ops.Mul(), s.add(ops.Pow(), "x", 3.0), 0.044715))
    inner = s.add(ops.Tanh(), s.add(ops.Mul(), cubic, math.sqrt(2 / math.pi)))
    return s.add(ops.Mul(), s.add(ops.Mul(), "x", 0.5), s.add(ops.Add(), inner, 1.0))


def gelu_tanh_by_products(s: Sketch) -> str:
    cube = s.add(ops.Mul(), s.add(ops.Mul(), "x", "x"), "x")
    cubic = s.add(ops.Add(), s.add(ops.Mul(), 0.044715, cube), "x")
    inner = s.add(ops.Tanh(), s.add(ops.Mul(), math.sqrt(2 / math.pi), cubic))
    return s.add(ops.Mul(), 0.5, s.add(ops.Mul(), "x", s.add(ops.Add(), 1.0, inner)))


def gelu_tanh_factored(s: Sketch) -> str:
    square = s.add(ops.Mul(), s.add(ops.Mul(), "x", "x"), 0.044715)
    bracket = s.add(ops.Mul(), "x", s.add(ops.Add(), square, 1.0))
    inner = s.add(ops.Tanh(), s.add(ops.Mul(), bracket, math.sqrt(2 / math.pi)))
    return s.add(ops.Mul(), s.add(ops.Mul(), 0.5, "x"), s.add(ops.Add(), inner, 1.0))


SPELLINGS: list[tuple[Spelling, Operation]] = [
    (hard_sigmoid_by_clip, ops.HardSigmoid(0.2, 0.5)),
    (hard_sigmoid_by_relu6, ops.HardSigmoid(1 / 6, 0.5)),
    (hard_sigmoid_by_min_max, ops.HardSigmoid(1 / 6, 0.5)),
    (hard_swish_product_first, ops.HardSwish()),
    (hard_swish_gate_first, ops.HardSwish()),
    (hard_swish_by_hard_sigmoid, ops.HardSwish()),
    (silu, ops.Silu()),
    (swish, ops.Silu(1.702)),
    (mish, ops.Mish()),
    (mish_by_logarithm, ops.Mish()),
    (gelu_half_last, ops.Gelu()),
    (gelu_half_first, ops.Gelu()),
    (gelu_half_with_erf, ops.Gelu()),
    (gelu_tanh, ops.Gelu(True)),
    (gelu_tanh_by_products, ops.Gelu(True)),
    (gelu_tanh_factored, ops.Gelu(True)),
]


@pytest.mark.parametrize(("spelling", "operation"), SPELLINGS, ids=lambda v: getattr(v, "__name__", ""))
def test_recognized(spelling: Spelling, operation: Operation) -> None:
    sketch = Sketch(x=(1, 3, 4, 5))
    graph = sketch.graph(spelling(sketch))
    after = simplified(graph)
    assert kinds(after) == [type(operation).__name__]
    found = after.nodes[0].operation
    assert vars(found) == pytest.approx(vars(operation))
    assert set(after.nodes[0].origin.layers) == {node.name for node in graph.nodes}


@pytest.mark.parametrize(
    ("spelling", "change"),
    [
        (hard_swish_product_first, (3.0, 2.0)),
        (hard_swish_product_first, (6.0, 5.0)),
        (gelu_half_last, (0.5, 0.6)),
        (gelu_tanh, (0.044715, 0.1)),
        (gelu_tanh, (3.0, 5.0)),
    ],
)
def test_other_constants_stay(spelling: Spelling, change: tuple[float, float]) -> None:
    sketch = Sketch(x=(1, 3, 4))
    output = spelling(sketch)
    for name, array in sketch.constants.items():
        if float(array) == change[0]:
            sketch.constants[name] = np.array(change[1])
    after = simplified(sketch.graph(output))
    assert not {"HardSwish", "Gelu"} & set(kinds(after))


def test_a_gate_of_another_value_stays() -> None:
    sketch = Sketch(x=(1, 3), z=(1, 3))
    after = simplified(sketch.graph(sketch.add(ops.Mul(), "z", sketch.add(ops.Sigmoid(), "x"))))
    assert kinds(after) == ["Sigmoid", "Mul"]


def test_a_part_that_is_read_elsewhere_stays_too() -> None:
    sketch = Sketch(x=(1, 3))
    gate = sketch.add(ops.Sigmoid(), "x")
    after = simplified(sketch.graph(sketch.add(ops.Mul(), "x", gate), gate))
    assert sorted(kinds(after)) == ["Sigmoid", "Silu"]
