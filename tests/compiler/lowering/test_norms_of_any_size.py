"""L1 and L2 norms on the simulator, of vectors whose squares neither fit into fp16 nor vanish harmlessly."""

from __future__ import annotations

import math

import numpy as np
import pytest

import openane
from openane.core.types import DType
from openane.graph import Graph, Node, Operation, TensorType, ops

MAGNITUDES = (2.0**-14, 1e-3, 0.05, 1.0, 20.0, 300.0, 4000.0)
SHAPES = [((1, 1024), (1,)), ((3, 40), (1,)), ((1, 6, 9, 7), (1,)), ((2, 5, 4, 8), (3,)), ((1, 4, 12, 10), (2, 3))]


def computed(operation: Operation, x: np.ndarray) -> np.ndarray:
    kind = TensorType(x.shape, DType.FLOAT32)
    graph = Graph("norm", {"x": kind}, ("y",), (Node("n", operation, ("x",), ("y",)),), {})
    (y,) = openane.run(graph, {"x": x.astype(np.float32)}).values()
    return y.astype(np.float64)


def vector(shape: tuple[int, ...], magnitude: float) -> np.ndarray:
    """Exact in fp16."""
    x = np.random.default_rng(len(shape)).standard_normal(shape) * magnitude
    return x.astype(np.float16).astype(np.float64)


@pytest.mark.parametrize("magnitude", MAGNITUDES)
@pytest.mark.parametrize(("shape", "axes"), SHAPES)
def test_l2_norm(shape: tuple[int, ...], axes: tuple[int, ...], magnitude: float) -> None:
    x = vector(shape, magnitude)
    wanted = np.apply_over_axes(lambda a, axis: np.hypot.reduce(a, axis, keepdims=True), x, axes)
    if wanted.max() < 65504:
        np.testing.assert_allclose(computed(ops.ReduceL2(axes), x), wanted, rtol=3e-3)
    np.testing.assert_allclose(computed(ops.LpNorm(axes), x), x / wanted, rtol=4e-3, atol=1e-6)


@pytest.mark.parametrize("magnitude", MAGNITUDES)
def test_l1_normalization(magnitude: float) -> None:
    x = vector((2, 300), magnitude)
    wanted = x / np.array([[math.fsum(map(abs, row))] for row in x.tolist()])
    np.testing.assert_allclose(computed(ops.LpNorm((1,), 1), x), wanted, rtol=4e-3, atol=1e-6)


@pytest.mark.parametrize("epsilon", [1e-12, 1e-6, 1e-3, 0.1])
@pytest.mark.parametrize("magnitude", MAGNITUDES)
@pytest.mark.parametrize("order", [1, 2])
def test_normalization_with_an_epsilon(order: int, magnitude: float, epsilon: float) -> None:
    x = vector((2, 50), magnitude)
    total = np.array([[math.fsum(abs(value) ** order for value in row)] for row in x.tolist()]) + epsilon
    wanted = x / total ** (1 / order)
    np.testing.assert_allclose(computed(ops.LpNorm((1,), order, epsilon), x), wanted, rtol=6e-3, atol=1e-6)


def test_a_norm_of_very_many_elements() -> None:
    x = np.full((1, 16, 64, 64), 15.0)
    assert computed(ops.ReduceL2((1, 2, 3)), x).item() == pytest.approx(3840, rel=3e-3)
    np.testing.assert_allclose(computed(ops.LpNorm((1, 2, 3)), x), 1 / 256, rtol=3e-3)


def test_one_large_element_among_zeros_and_nothing_but_zeros() -> None:
    x = np.zeros((2, 64))
    x[0, 5] = -60000
    np.testing.assert_allclose(computed(ops.ReduceL2((1,)), x), [[60000], [0]], rtol=2e-3)
    np.testing.assert_allclose(computed(ops.LpNorm((1,)), x), np.sign(x), rtol=2e-3)
