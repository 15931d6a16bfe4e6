"""Scales and shifts go into the weights next to them."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support.pass_graphs import Sketch, counts, kinds, simplified

from openane.graph import ops


def conv(s: Sketch, x: str, *, groups: int = 1, pads: int = 0, bias: bool = True, channels: int = 4) -> str:
    weight = s.constant(6, channels // groups, 3, 3)
    return s.add(ops.Conv((1, 1), (pads,) * 4, (1, 1), groups), x, weight, *([s.constant((6,))] if bias else []))


def norm(s: Sketch, x: str, channels: int) -> str:
    return s.add(ops.BatchNorm(1e-3), x, *(s.constant((channels,)) for _ in range(4)))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("bias", [False, True])
def test_norm_after_convolution(groups: int, bias: bool) -> None:
    s = Sketch(x=(2, 4, 6, 6))
    y = norm(s, conv(s, "x", groups=groups, bias=bias, pads=1), 6)
    after = simplified(s.graph(s.add(ops.Relu(), y)))
    assert kinds(after) == ["Conv", "Relu"]
    assert set(after.nodes[0].origin.layers) == {"n0", "n1"}


@pytest.mark.parametrize("groups", [1, 2])
def test_norm_after_transposed_convolution(groups: int) -> None:
    s = Sketch(x=(1, 4, 5, 5))
    y = s.add(ops.ConvTranspose((2, 2), groups=groups), "x", s.constant(4, 3, 2, 2), "")
    assert kinds(simplified(s.graph(norm(s, y, 3 * groups)))) == ["ConvTranspose"]


@pytest.mark.parametrize("groups", [1, 2])
def test_norm_before_convolution(groups: int) -> None:
    s = Sketch(x=(2, 4, 6, 6))
    after = simplified(s.graph(conv(s, norm(s, "x", 4), groups=groups)))
    assert kinds(after) == ["Conv"]


def test_shift_before_padding_stays() -> None:
    s = Sketch(x=(2, 4, 6, 6))
    assert kinds(simplified(s.graph(conv(s, norm(s, "x", 4), pads=1)))) == ["BatchNorm", "Conv"]


def test_scale_before_padding_goes_in() -> None:
    s = Sketch(x=(2, 4, 6, 6))
    assert kinds(simplified(s.graph(conv(s, s.add(ops.Mul(), "x", s.constant(4, 1, 1)), pads=1)))) == ["Conv"]


def test_a_result_that_is_read_twice_keeps_its_weights() -> None:
    s = Sketch(x=(2, 4, 6, 6))
    y = conv(s, "x")
    after = simplified(s.graph(norm(s, y, 6), s.add(ops.Relu(), y)))
    assert counts(after) == {"Conv": 1, "BatchNorm": 1, "Relu": 1}


def test_norm_of_norm_and_scales_are_one() -> None:
    s = Sketch(x=(2, 4, 6, 6))
    y = s.add(ops.Add(), s.add(ops.Mul(), norm(s, "x", 4), s.constant(4, 1, 1)), s.constant((1, 4, 1, 1)))
    assert kinds(simplified(s.graph(s.add(ops.Relu(), y)))) == ["BatchNorm", "Relu"]


def test_preprocessing_goes_into_the_convolution() -> None:
    """(x / 255 - mean) / deviation, without padding."""
    s = Sketch(x=(1, 4, 6, 6))
    y = s.add(ops.Div(), "x", 255.0)
    y = s.add(ops.Div(), s.add(ops.Sub(), y, s.constant(4, 1, 1)), s.constant((4, 1, 1)))
    assert kinds(simplified(s.graph(conv(s, y)))) == ["Conv"]


@pytest.mark.parametrize("transpose", [False, True])
def test_scales_around_a_matrix_product(transpose: bool) -> None:
    s = Sketch(x=(3, 4))
    matrix = s.constant(5, 4) if transpose else s.constant(4, 5)
    y = s.add(ops.MatMul(transpose_b=transpose), s.add(ops.Mul(), "x", 3.0), matrix)
    y = norm(s, s.add(ops.Add(), y, s.constant((5,))), 5)
    assert kinds(simplified(s.graph(y))) == ["MatMul", "Add"]


def test_a_scale_out_of_range_stays() -> None:
    """A folded weight would be infinite."""
    s = Sketch(x=(1, 4, 6, 6))
    y = s.add(ops.Mul(), conv(s, "x", bias=False), s.constant(np.full((6, 1, 1), 1e308)))
    s.constants["c0"] *= 20
    after = simplified(s.graph(y))
    assert kinds(after) == ["Conv", "Mul"]
