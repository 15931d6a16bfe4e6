"""Chains on the simulator, and that they are found: fewer tasks than unit by unit."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support.h13_nets import check, random_inputs, shape, weights

from openane.backend.passes.editor import edited
from openane.backend.pipeline import CHAINS, FUSION
from openane.net.net import Net, TensorShape, Unit
from openane.net.units import (
    Dimension,
    ElementWiseKind,
    ElementWiseParams,
    GOCParams,
    LayerNormParams,
    LinearParams,
    MatMulParams,
    NeuronKind,
    NeuronParams,
    SoftmaxParams,
)
from openane.targets.h13.engine import TARGET

ROWS = frozenset({Dimension.WIDTH})


def net(units: list[Unit], result: str, **inputs: TensorShape) -> Net:
    """A network with one output."""
    return Net("net", inputs, {"y": result}, tuple(units))


def normalized(rows: int, inner: int, outputs: int) -> Net:
    """A normalization and a product."""
    units = [Unit("n", LayerNormParams(ROWS), ("x",)), Unit("p", LinearParams(weights(outputs, inner)), ("n",))]
    return net(units, "p", x=shape(1, rows, inner))


def two_products(rows: int, inner: int, hidden: int, outputs: int) -> Net:
    """Two products with a function between them."""
    units = [
        Unit("p", LinearParams(weights(hidden, inner)), ("x",)),
        Unit("g", NeuronParams(NeuronKind.GELU), ("p",)),
        Unit("q", LinearParams(weights(outputs, hidden, seed=1)), ("g",)),
    ]
    return net(units, "q", x=shape(1, rows, inner))


def residual(rows: int, columns: int) -> Net:
    """x plus a product of x."""
    units = [
        Unit("p", LinearParams(weights(columns, columns)), ("x",)),
        Unit("s", ElementWiseParams(ElementWiseKind.ADD), ("p", "x")),
    ]
    return net(units, "s", x=shape(1, rows, columns))


def attention(heads: int, rows: int, keys: int, inner: int, columns: int) -> Net:
    """Attention without a mask."""
    units = [
        Unit("m", MatMulParams(transpose_b=True), ("q", "k")),
        Unit("scaled", GOCParams(1 / np.sqrt(inner)), ("m",)),
        Unit("p", SoftmaxParams(Dimension.WIDTH), ("scaled",)),
        Unit("o", MatMulParams(), ("p", "v")),
    ]
    return net(units, "o", q=shape(heads, rows, inner), k=shape(heads, keys, inner), v=shape(heads, keys, columns))


@pytest.mark.parametrize("size", [(1, 64, 32), (20, 64, 48), (128, 256, 64), (64, 100, 30)], ids=str)
def test_normalized_products(size: tuple[int, int, int]) -> None:
    assert len(check(normalized(*size), tolerance=1e-2).tasks) == 5


@pytest.mark.parametrize("size", [(20, 64, 256, 64), (128, 64, 100, 30), (1, 32, 48, 16)], ids=str)
def test_two_products(size: tuple[int, int, int, int]) -> None:
    assert len(check(two_products(*size), tolerance=1e-2).tasks) == 3


@pytest.mark.parametrize("size", [(20, 64), (64, 256), (3, 33)], ids=str)
def test_residual_products(size: tuple[int, int]) -> None:
    assert len(check(residual(*size), tolerance=1e-2).tasks) == 4


@pytest.mark.parametrize("kind", [ElementWiseKind.ADD, ElementWiseKind.MULT])
@pytest.mark.parametrize("extents", [(8, 5, 6), (3, 1, 50), (64, 1, 1)], ids=str)
def test_residual_functions(extents: tuple[int, int, int], kind: ElementWiseKind) -> None:
    units = [Unit("f", NeuronParams(NeuronKind.SIGMOID), ("x",)), Unit("s", ElementWiseParams(kind), ("x", "f"))]
    assert len(check(net(units, "s", x=shape(*extents)), tolerance=1e-2).tasks) == 2


@pytest.mark.parametrize(
    "size",
    [(1, 64, 64, 64, 64), (3, 128, 128, 64, 64), (2, 64, 100, 33, 70), (1, 384, 300, 64, 64), (2, 20, 20, 16, 16)],
    ids=str,
)
def test_attention(size: tuple[int, int, int, int, int]) -> None:
    program = check(attention(*size), tolerance=1e-2)
    # Nine tasks a head, and two more for every further 128 rows, as Apple's compiler is reported to take.
    extra = 2 * (size[1] // 128 - 1) if size[1] > 128 else 0
    assert size[1] == 20 or len(program.tasks) == (9 + extra) * size[0]


def test_attention_of_a_tensor_with_itself() -> None:
    units = [
        Unit("m", MatMulParams(transpose_b=True), ("x", "x")),
        Unit("p", SoftmaxParams(Dimension.WIDTH), ("m",)),
        Unit("o", MatMulParams(), ("p", "x")),
    ]
    check(net(units, "o", x=shape(1, 32, 16)), tolerance=1e-2)


def test_values_that_are_read_again_stay_whole() -> None:
    units = [
        Unit("n", LayerNormParams(ROWS), ("x",)),
        Unit("p", LinearParams(weights(64, 64)), ("n",)),
        Unit("s", ElementWiseParams(ElementWiseKind.ADD), ("p", "n")),
    ]
    check(net(units, "s", x=shape(1, 20, 64)), tolerance=1e-2)


@pytest.mark.parametrize(
    "made",
    [normalized(20, 64, 48), two_products(20, 64, 128, 64), residual(20, 64), attention(2, 32, 40, 16, 24)],
    ids=["normalized", "two products", "residual", "attention"],
)
def test_chains_compute_what_their_units_compute(made: Net) -> None:
    joined = edited(made, TARGET.spec, *(edit for edit, _ in (*FUSION.values(), *CHAINS.values())))
    assert len(joined.units) == 1
    inputs = {name: array.astype(np.float64) for name, array in random_inputs(made).items()}
    np.testing.assert_allclose(joined.evaluate(inputs)["y"], made.evaluate(inputs)["y"], atol=1e-5)
