"""Normalization on the simulator: dimensions, with and without a mean, epsilon, bands."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.h13_nets import between, check, compile_net, shape, single, weakest

from openane.compiler.lowering import lower
from openane.core.errors import UnsupportedError
from openane.core.types import DType
from openane.graph import Graph, Node, TensorType, ops
from openane.net.units import Dimension, LayerNormParams
from openane.program.evidence import EncodingEvidence

W, H, C = Dimension.WIDTH, Dimension.HEIGHT, Dimension.CHANNEL
SETS = [(W,), (C,), (H,), (H, W), (C, W), (C, H, W)]
SHAPES = [
    (64, 1, 1),
    (1, 9, 1),
    (20, 8, 8),
    (24, 16, 16),
    (8, 1, 64),
    (1, 30, 64),
    (6, 5, 130),
    (1, 1, 40),
    (2, 1, 8, 5, 6),
    (1, 3, 4, 8, 40),
]


@pytest.mark.parametrize("center", [True, False], ids=["centered", "rms"])
@pytest.mark.parametrize("dimensions", SETS, ids=lambda s: "".join(d.value[0] for d in s))
@pytest.mark.parametrize("extents", SHAPES, ids=str)
def test_every_set_of_dimensions(extents: tuple[int, ...], dimensions: tuple[Dimension, ...], center: bool) -> None:
    check(single(LayerNormParams(frozenset(dimensions), 1e-3, center), shape(*extents)), tolerance=1e-2)


@pytest.mark.parametrize("dimensions", SETS, ids=lambda s: "".join(d.value[0] for d in s))
def test_between_other_layers(dimensions: tuple[Dimension, ...]) -> None:
    check(between(LayerNormParams(frozenset(dimensions), 1e-3), shape(16, 12, 20)), tolerance=1e-2)


@pytest.mark.parametrize(
    ("extents", "dimensions"),
    [
        ((1, 900, 768), (W,)),
        ((320, 64, 64), (C,)),
        ((3000, 20, 20), (C, H, W)),
        ((2, 900, 700), (H, W)),
        ((1, 1, 16384), (W,)),
    ],
    ids=str,
)
def test_what_does_not_fit_into_l2(extents: tuple[int, ...], dimensions: tuple[Dimension, ...]) -> None:
    program = check(single(LayerNormParams(frozenset(dimensions)), shape(*extents)), tolerance=1e-2)
    assert weakest(program) < EncodingEvidence.ASSUMED


def test_epsilon_counts() -> None:
    net = single(LayerNormParams(frozenset({W}), 0.5), shape(4, 1, 32))
    x = (np.random.default_rng(0).standard_normal((1, 1, 4, 1, 32)) * 0.1).astype(np.float16)
    check(net, {"x0": x}, tolerance=1e-2)


def test_a_set_that_the_engine_cannot_reduce_is_refused_by_a_rule() -> None:
    with pytest.raises(UnsupportedError, match=r"found Channel, Height.*rule h13\.norm-dimensions"):
        compile_net(single(LayerNormParams(frozenset({C, H})), shape(4, 5, 6)))


@pytest.mark.parametrize("axes", [(1, 2), (0,), (0, 2), (1,), (2, 3), (0, 1, 2, 3)], ids=str)
@pytest.mark.parametrize("extents", [(3, 4, 5, 6), (1, 16, 8, 12)], ids=str)
def test_axes_that_are_not_reduced_together_become_rows(extents: tuple[int, ...], axes: tuple[int, ...]) -> None:
    kind = {"x": TensorType(extents, DType.FLOAT16)}
    node = Node("norm", ops.LayerNorm(axes, 1e-3), ("x",), ("y",))
    check(lower(Graph("norm", kind, ("y",), (node,), {})), tolerance=2e-2)


@settings(max_examples=25, deadline=None)
@given(st.tuples(st.integers(8, 40), st.integers(8, 20), st.integers(8, 40)), st.sampled_from(SETS))
def test_random_shapes(extents: tuple[int, int, int], dimensions: tuple[Dimension, ...]) -> None:
    check(single(LayerNormParams(frozenset(dimensions), 1e-3), shape(*extents)), tolerance=2e-2)
