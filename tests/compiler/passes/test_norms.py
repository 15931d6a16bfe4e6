"""Spelled-out normalizations become one node."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support.pass_graphs import Sketch, kinds, simplified

from openane.graph import ops


def centered(s: Sketch, x: str, axes: tuple[int, ...]) -> str:
    return s.add(ops.Sub(), x, s.add(ops.ReduceMean(axes), x))


def layer_norm(s: Sketch, axes: tuple[int, ...], *, power: bool, divide: bool, twice: bool) -> str:
    x = centered(s, "x", axes)
    other = centered(s, "x", axes) if twice else x
    square = s.add(ops.Pow(), other, 2.0) if power else s.add(ops.Mul(), other, other)
    root = s.add(ops.Sqrt(), s.add(ops.Add(), s.add(ops.ReduceMean(axes), square), 1e-5))
    if divide:
        return s.add(ops.Div(), x, root)
    return s.add(ops.Mul(), x, s.add(ops.Reciprocal(), root))


@pytest.mark.parametrize("power", [False, True])
@pytest.mark.parametrize("divide", [False, True])
@pytest.mark.parametrize("twice", [False, True])
def test_layer_norm(power: bool, divide: bool, twice: bool) -> None:
    s = Sketch(x=(2, 5, 8))
    y = layer_norm(s, (2,), power=power, divide=divide, twice=twice)
    y = s.add(ops.Add(), s.add(ops.Mul(), y, s.constant((8,))), s.constant((8,)))
    after = simplified(s.graph(y))
    assert kinds(after) == ["LayerNorm"]
    norm = after.nodes[0]
    assert norm.operation == ops.LayerNorm((2,), 1e-5) and all(norm.inputs)


def test_layer_norm_over_channels() -> None:
    s = Sketch(x=(1, 8, 3, 3))
    y = layer_norm(s, (1,), power=True, divide=True, twice=False)
    y = s.add(ops.Add(), s.add(ops.Mul(), s.constant(8, 1, 1), y), s.constant((8, 1, 1)))
    assert kinds(simplified(s.graph(y))) == ["LayerNorm"]


def test_rms_norm() -> None:
    s = Sketch(x=(2, 5, 8))
    mean = s.add(ops.ReduceMean((2,)), s.add(ops.Pow(), "x", 2.0))
    y = s.add(ops.Mul(), "x", s.add(ops.Reciprocal(), s.add(ops.Sqrt(), s.add(ops.Add(), mean, 1e-6))))
    after = simplified(s.graph(s.add(ops.Mul(), s.constant((8,)), y)))
    assert kinds(after) == ["RmsNorm"] and after.nodes[0].operation == ops.RmsNorm((2,), 1e-6)


@pytest.mark.parametrize("keepdims", [False, True])
def test_a_root_of_a_sum_of_squares_is_an_l2_norm(keepdims: bool) -> None:
    s = Sketch(x=(2, 8))
    y = s.add(ops.Sqrt(), s.add(ops.ReduceSum((1,), keepdims), s.add(ops.Pow(), "x", 2.0)))
    after = simplified(s.graph(y))
    assert kinds(after) == ["ReduceL2"] and after.nodes[0].operation == ops.ReduceL2((1,), keepdims)


def test_l2_norm() -> None:
    s = Sketch(x=(2, 8))
    y = s.add(ops.Div(), "x", s.add(ops.Clip(minimum=1e-12), s.add(ops.ReduceL2((1,)), "x")))
    assert kinds(simplified(s.graph(y))) == ["LpNorm"]
    s = Sketch(x=(2, 8))
    total = s.add(ops.ReduceSum((1,)), s.add(ops.Mul(), "x", "x"))
    y = s.add(ops.Div(), "x", s.add(ops.Sqrt(), s.add(ops.Add(), total, 1e-3)))
    after = simplified(s.graph(y))
    assert kinds(after) == ["LpNorm"] and after.nodes[0].operation == ops.LpNorm((1,), 2, 1e-3)


def test_a_bound_that_matters_stays() -> None:
    s = Sketch(x=(2, 8))
    y = s.add(ops.Div(), "x", s.add(ops.Clip(minimum=4.0), s.add(ops.ReduceL2((1,)), "x")))
    assert "LpNorm" not in kinds(simplified(s.graph(y)))


def test_softmax() -> None:
    s = Sketch(x=(2, 8, 3))
    power = s.add(ops.Exp(), "x")
    y = s.add(ops.Div(), power, s.add(ops.ReduceSum((1,)), power))
    after = simplified(s.graph(y))
    assert kinds(after) == ["Softmax"] and after.nodes[0].operation == ops.Softmax(1)


def test_group_norm() -> None:
    s = Sketch(x=(2, 6, 4, 5))
    flat = s.add(ops.Reshape((2, 3, 40)), "x")
    norm = s.add(ops.InstanceNorm(1e-6), flat, s.constant(np.ones(3)), s.constant(np.zeros(3)))
    back = s.add(ops.Reshape((2, 6, 4, 5)), norm)
    y = s.add(ops.Add(), s.add(ops.Mul(), back, s.constant(6, 1, 1)), s.constant((6, 1, 1)))
    after = simplified(s.graph(y))
    assert kinds(after) == ["GroupNorm"] and after.nodes[0].operation == ops.GroupNorm(3, 1e-6)


def test_another_mean_stays() -> None:
    s = Sketch(x=(2, 5, 8))
    x = centered(s, "x", (2,))
    root = s.add(ops.Sqrt(), s.add(ops.ReduceMean((1,)), s.add(ops.Mul(), x, x)))
    assert "LayerNorm" not in kinds(simplified(s.graph(s.add(ops.Div(), x, root))))
