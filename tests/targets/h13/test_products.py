"""Matrix products on the simulator: by constants and of tensors, all transpositions, odd sizes, bands, stacks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.h13_nets import check, compile_net, shape, single, weights

from openane.net.net import Net, Unit
from openane.net.units import (
    BroadcastParams,
    ConstantParams,
    Dimension,
    ElementWiseKind,
    ElementWiseParams,
    GOCParams,
    LinearParams,
    MatMulParams,
    NeuronKind,
    NeuronParams,
)

LINEAR = [
    (1, 64, 64),
    (1, 10, 7),
    (5, 33, 50),
    (16, 512, 512),
    (64, 256, 256),
    (129, 64, 40),
    (200, 512, 512),
    (24, 1024, 1024),
    (3000, 64, 64),
    (260, 7000, 768),
    (7, 1, 16),
    (9, 16, 1),
]


@pytest.mark.parametrize("size", LINEAR, ids=str)
def test_products_by_a_constant(size: tuple[int, int, int]) -> None:
    rows, inner, outputs = size
    check(single(LinearParams(weights(outputs, inner)), shape(1, rows, inner)), tolerance=5e-3)


def test_rows_of_every_channel_and_batch_are_rows_of_one_matrix() -> None:
    check(single(LinearParams(weights(20, 32)), shape(2, 1, 3, 10, 32)), tolerance=5e-3)


@pytest.mark.parametrize("kind", [None, NeuronKind.RELU, NeuronKind.GELU, NeuronKind.SIGMOID])
def test_bias_and_function_cost_no_task(kind: NeuronKind | None) -> None:
    row = ConstantParams(np.random.default_rng(0).standard_normal((1, 1, 1, 1, 48)).astype(np.float32))
    units = [
        Unit("product", LinearParams(weights(48, 64)), ("x",)),
        Unit("row", row, ()),
        Unit("rows", BroadcastParams({Dimension.HEIGHT: 20}), ("row",)),
        Unit("sum", ElementWiseParams(ElementWiseKind.ADD), ("product", "rows")),
    ]
    if kind is not None:
        units.append(Unit("function", NeuronParams(kind), ("sum",)))
    net = Net("net", {"x": shape(1, 20, 64)}, {"y": units[-1].name}, tuple(units))
    assert len(check(net, tolerance=1e-2).tasks) == 2


def product(rows: int, inner: int, columns: int, turn_a: bool, turn_b: bool) -> Net:
    """One product of two matrices."""
    a = shape(1, inner, rows) if turn_a else shape(1, rows, inner)
    b = shape(1, columns, inner) if turn_b else shape(1, inner, columns)
    return single(MatMulParams(turn_a, turn_b), a, b)


SIZES = [
    (16, 64, 64),
    (32, 64, 64),
    (48, 32, 40),
    (100, 40, 60),
    (1, 1, 1),
    (5, 7, 9),
    (17, 33, 65),
    (256, 64, 128),
    (20, 500, 3000),
]


@pytest.mark.parametrize("turn_b", [False, True], ids=["B", "Bt"])
@pytest.mark.parametrize("turn_a", [False, True], ids=["A", "At"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_products_of_two_tensors(size: tuple[int, int, int], turn_a: bool, turn_b: bool) -> None:
    check(product(*size, turn_a, turn_b), tolerance=5e-3)


@pytest.mark.parametrize("turn_a", [False, True], ids=["A", "At"])
def test_a_constant_on_the_right_needs_no_kernel_task(turn_a: bool) -> None:
    matrix = Unit("w", ConstantParams(weights(40, 30).reshape(1, 1, 1, 40, 30)), ())
    x = shape(1, 30, 24) if turn_a else shape(1, 24, 30)
    net = Net("net", {"x": x}, {"y": "m"}, (matrix, Unit("m", MatMulParams(turn_a, True), ("x", "w"))))
    assert len(check(net, tolerance=5e-3).tasks) == (1 if turn_a else 2)


@pytest.mark.parametrize("turned", [(False, False), (False, True), (True, True)], ids=str)
@pytest.mark.parametrize("stack", [(2, 1, 3), (1, 2, 4)], ids=str)
def test_stacks_of_matrices(stack: tuple[int, int, int], turned: tuple[bool, bool]) -> None:
    a, b = ((20, 30) if not turned[0] else (30, 20)), ((30, 17) if not turned[1] else (17, 30))
    check(single(MatMulParams(*turned), shape(*stack, *a), shape(*stack, *b)), tolerance=5e-3)


@pytest.mark.parametrize("kind", [None, NeuronKind.RELU, NeuronKind.GELU])
def test_scale_and_function_after_a_product_of_tensors(kind: NeuronKind | None) -> None:
    units = [Unit("m", MatMulParams(), ("a", "b")), Unit("scaled", GOCParams(0.25), ("m",))]
    if kind is not None:
        units.append(Unit("function", NeuronParams(kind), ("scaled",)))
    net = Net("net", {"a": shape(1, 32, 64), "b": shape(1, 64, 40)}, {"y": units[-1].name}, tuple(units))
    check(net, tolerance=1e-2)


def test_the_number_of_tasks_is_apple_s_for_other_numbers_of_rows() -> None:
    counts = {16: 1, 32: 2, 48: 3, 64: 2, 96: 4, 128: 2, 192: 4, 256: 3, 384: 4, 512: 5}
    found = {rows: len(compile_net(product(rows, 64, 64, False, False)).tasks) for rows in counts}
    assert found == counts


@settings(max_examples=20, deadline=None)
@given(st.tuples(st.integers(1, 70), st.integers(1, 70), st.integers(1, 70)), st.booleans(), st.booleans())
def test_random_sizes(size: tuple[int, int, int], turn_a: bool, turn_b: bool) -> None:
    check(product(*size, turn_a, turn_b), tolerance=5e-3)
