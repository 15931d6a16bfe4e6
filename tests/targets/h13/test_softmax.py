"""Softmax on the simulator, along every dimension, in every form and in bands."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.h13_nets import between, check, compile_net, shape, single, weakest

from openane.core.errors import UnsupportedError
from openane.net.units import Dimension, SoftmaxParams
from openane.program.evidence import EncodingEvidence

SHAPES = [
    (64, 1, 1),
    (7, 1, 1),
    (1, 9, 1),
    (64, 8, 8),
    (5, 3, 7),
    (8, 1, 64),
    (1, 64, 64),
    (8, 20, 130),
    (1, 1, 1),
    (2, 1, 3, 4, 5),
    (1, 2, 4, 1, 40),
]


@pytest.mark.parametrize("log", [False, True], ids=["plain", "log"])
@pytest.mark.parametrize("dimension", Dimension)
@pytest.mark.parametrize("extents", SHAPES, ids=str)
def test_every_dimension_of_every_form(extents: tuple[int, ...], dimension: Dimension, log: bool) -> None:
    check(single(SoftmaxParams(dimension, log), shape(*extents)), tolerance=5e-3)


@pytest.mark.parametrize("dimension", [Dimension.CHANNEL, Dimension.HEIGHT, Dimension.WIDTH])
@pytest.mark.parametrize("extents", [(64, 8, 8), (8, 1, 64), (40, 1, 1)], ids=str)
def test_between_other_layers(extents: tuple[int, ...], dimension: Dimension) -> None:
    check(between(SoftmaxParams(dimension), shape(*extents)), tolerance=5e-3)


@pytest.mark.parametrize(
    ("extents", "dimension"),
    [
        ((64, 128, 128), Dimension.CHANNEL),
        ((1, 1200, 700), Dimension.WIDTH),
        ((1, 1500, 600), Dimension.HEIGHT),
        ((1, 60, 16384), Dimension.WIDTH),
    ],
    ids=str,
)
def test_what_does_not_fit_into_l2_is_computed_in_bands(extents: tuple[int, ...], dimension: Dimension) -> None:
    program = check(single(SoftmaxParams(dimension), shape(*extents)), tolerance=5e-3)
    assert len(program.tasks) > 6
    assert weakest(program) < EncodingEvidence.ASSUMED


def test_large_inputs_do_not_overflow() -> None:
    net = single(SoftmaxParams(Dimension.WIDTH), shape(4, 1, 50))
    x = np.random.default_rng(3).uniform(-3000, 3000, (1, 1, 4, 1, 50)).astype(np.float16)
    check(net, {"x0": x}, tolerance=5e-3)


def test_more_elements_than_l2_holds_twice_are_refused_by_a_rule() -> None:
    with pytest.raises(UnsupportedError, match=r"rule h13\.softmax-extent"):
        compile_net(single(SoftmaxParams(Dimension.CHANNEL), shape(65536, 2, 2)))


@settings(max_examples=25, deadline=None)
@given(st.tuples(st.integers(1, 40), st.integers(1, 12), st.integers(1, 40)), st.sampled_from(list(Dimension)[2:]))
def test_random_shapes(extents: tuple[int, int, int], dimension: Dimension) -> None:
    check(single(SoftmaxParams(dimension), shape(*extents)), tolerance=5e-3)
