"""Layers whose number of tasks must not grow with depth or batch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.lowering_graphs import assert_same_answers, chain

from openane.compiler.driver import Options, build
from openane.compiler.lowering import LoweringOptions, lower
from openane.graph import Graph
from openane.graph import ops as g
from openane.net import Net
from openane.targets.h13.spec import MACHINE


def array(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def kinds(net: Net) -> list[str]:
    return [unit.params.plist_type for unit in net.units]


def checked(graph: Graph, options: LoweringOptions | None = None) -> Net:
    net = lower(graph, options)
    assert_same_answers(graph, net, {name: array(*kind.shape, seed=9) for name, kind in graph.inputs.items()})
    return net


@settings(max_examples=60)
@given(
    st.tuples(*[st.integers(1, 3)] * 3), st.tuples(*[st.integers(1, 3)] * 3), st.tuples(*[st.integers(1, 2)] * 3),
    st.tuples(*[st.integers(0, 2)] * 6), st.sampled_from([1, 2, 3]), st.integers(1, 2), st.integers(6, 9),
    st.sampled_from([12, 40, 16384]),
)  # fmt: skip
def test_convolutions_over_three_axes_compute_the_same_in_few_units(
    window: tuple[int, ...], strides: tuple[int, ...], dilations: tuple[int, ...], pads: tuple[int, ...], groups: int,
    images: int, size: int, height: int,
) -> None:  # fmt: skip
    operation = g.Conv(strides, pads, dilations, groups)
    graph = chain(
        {"x": (images, 2 * groups, size, size - 1, size - 2)},
        (operation, "x", array(3 * groups, 2, *window), array(3 * groups), "y"),
    )
    net = checked(graph, LoweringOptions(machine=replace(MACHINE, max_height=height)))
    if height == 16384:
        assert kinds(net).count("Conv") == 1


def test_the_number_of_tasks_does_not_grow_with_depth() -> None:
    counts = set()
    for depth in (8, 32):
        steps = (g.Conv((1, 1, 1), (1,) * 6, (1, 1, 1)), "x", array(4, 3, 3, 3, 3), "y")
        counts.add(len(build(chain({"x": (1, 3, depth, 16, 16)}, steps), Options(host=False)).program.tasks))
    assert len(counts) == 1 and max(counts) < 20


@pytest.mark.parametrize(
    ("a", "b", "operation"),
    [
        ((5, 33, 1), (5, 1, 2), g.MatMul()),
        ((5, 1, 33), (5, 1, 2), g.MatMul(transpose_a=True)),
        ((5, 33, 1), (5, 2, 1), g.MatMul(transpose_b=True)),
        ((1,), (1, 7), g.MatMul()),
        ((2, 3, 8, 1), (3, 1, 9), g.MatMul()),
        ((4, 1), (1,), g.MatMul()),
    ],
)
def test_products_of_one_term_are_elementwise(a: tuple[int, ...], b: tuple[int, ...], operation: g.MatMul) -> None:
    net = checked(chain({"a": a, "b": b}, (operation, "a", "b", "y")))
    assert "MatMul" not in kinds(net)
    assert "ElementWise" in kinds(net)
