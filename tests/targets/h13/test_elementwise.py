"""Sums, products, broadcasts, scales, functions and pooling."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support.h13_nets import between, check, random_inputs, shape, single, weakest

from openane.net.net import Net, TensorShape, Unit
from openane.net.units import (
    BroadcastParams,
    ConstantParams,
    Dimension,
    ElementWiseKind,
    ElementWiseParams,
    GOCParams,
    NeuronKind,
    NeuronParams,
    Pads,
    PoolingKind,
    PoolingParams,
    SelectParams,
)
from openane.program.evidence import EncodingEvidence

ARITHMETIC = [
    ElementWiseKind.ADD,
    ElementWiseKind.SUB,
    ElementWiseKind.MULT,
    ElementWiseKind.DIV,
    ElementWiseKind.MAX,
    ElementWiseKind.MIN,
    ElementWiseKind.SUM_SQUARE,
]
FULL = shape(2, 1, 12, 6, 10)
SMALL = [(1, 1, 1, 1, 1), (2, 1, 12, 1, 1), (1, 1, 12, 1, 1), (1, 1, 1, 6, 10), (2, 1, 1, 6, 1), (1, 1, 12, 6, 1)]


def broadcast(kind: ElementWiseKind, small: TensorShape, *, first: bool) -> Net:
    """A full operand and one that is repeated."""
    sizes = dict(zip(Dimension, FULL.ndchw, strict=True))
    bottoms = ("wide", "x") if first else ("x", "wide")
    units = (Unit("wide", BroadcastParams(sizes), ("s",)), Unit("y", ElementWiseParams(kind), bottoms))
    return Net("net", {"x": FULL, "s": small}, {"out": "y"}, units)


@pytest.mark.parametrize("make", [single, between])
@pytest.mark.parametrize("kind", ARITHMETIC)
def test_equal_shapes(kind: ElementWiseKind, make: object) -> None:
    check(make(ElementWiseParams(kind, 0.5), shape(20, 7, 9), shape(20, 7, 9)), tolerance=4e-3)  # type: ignore[operator]


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("small", SMALL)
@pytest.mark.parametrize("kind", [ElementWiseKind.SUB, ElementWiseKind.MULT, ElementWiseKind.DIV])
def test_broadcasts(kind: ElementWiseKind, small: tuple[int, ...], first: bool) -> None:
    check(broadcast(kind, shape(*small), first=first), tolerance=5e-3)


@pytest.mark.parametrize("kind", [kind for kind in ElementWiseKind if kind.is_comparison])
def test_comparisons_are_exact(kind: ElementWiseKind) -> None:
    net = single(ElementWiseParams(kind), shape(20, 5, 6), shape(20, 5, 6))
    inputs = {name: np.round(array * 2) / 2 for name, array in random_inputs(net).items()}
    inputs["x0"][..., 0] = np.nextafter(inputs["x1"][..., 0], np.float16(np.inf))
    check(net, inputs, tolerance=0)
    units = (
        Unit("wide", BroadcastParams({Dimension.HEIGHT: 5, Dimension.WIDTH: 6}), ("s",)),
        Unit("y", ElementWiseParams(kind, 2.0), ("wide", "x")),
    )
    check(Net("net", {"x": shape(20, 5, 6), "s": shape(20, 1, 1)}, {"out": "y"}, units), tolerance=0)


def test_selection_is_exact() -> None:
    net = single(SelectParams(), *[shape(20, 5, 6)] * 3)
    inputs = random_inputs(net)
    inputs["x0"] = np.round(inputs["x0"])
    check(net, inputs, tolerance=0)


def test_two_broadcast_operands() -> None:
    sizes = dict(zip(Dimension, shape(12, 6, 10).ndchw, strict=True))
    units = (
        Unit("a", BroadcastParams(sizes), ("x",)),
        Unit("b", BroadcastParams(sizes), ("z",)),
        Unit("y", ElementWiseParams(ElementWiseKind.MULT), ("a", "b")),
    )
    check(Net("net", {"x": shape(12, 1, 1), "z": shape(1, 6, 10)}, {"out": "y"}, units))


@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.parametrize("kind", [kind for kind in ARITHMETIC if kind is not ElementWiseKind.SUM_SQUARE])
@pytest.mark.parametrize("extents", [(1, 1, 1, 1, 1), (1, 1, 20, 1, 1)])
def test_constants(kind: ElementWiseKind, extents: tuple[int, ...], position: int) -> None:
    values = np.random.default_rng(2).uniform(0.5, 2, extents).astype(np.float32)
    sizes = dict(zip(Dimension, shape(20, 5, 6).ndchw, strict=True))
    bottoms = ("x", "wide") if position else ("wide", "x")
    units = (
        Unit("c", ConstantParams(values), ()),
        Unit("wide", BroadcastParams(sizes), ("c",)),
        Unit("y", ElementWiseParams(kind), bottoms),
    )
    check(Net("net", {"x": shape(20, 5, 6)}, {"out": "y"}, units), tolerance=4e-3)


@pytest.mark.parametrize("scale", [2.0, "vector"])
@pytest.mark.parametrize("bias", [0.0, -0.5, "vector"])
@pytest.mark.parametrize("kind", [None, NeuronKind.RELU, NeuronKind.SIGMOID])
def test_scale_bias_and_function(scale: float | str, bias: float | str, kind: NeuronKind | None) -> None:
    rng = np.random.default_rng(5)
    numbers = [rng.uniform(-1, 1, 20).astype(np.float32) if each == "vector" else each for each in (scale, bias)]
    units = [Unit("g", GOCParams(numbers[0], numbers[1]), ("x",))]
    if kind is not None:
        units.append(Unit("y", NeuronParams(kind), ("g",)))
    check(Net("net", {"x": shape(2, 1, 20, 5, 6)}, {"out": units[-1].name}, tuple(units)), tolerance=5e-3)


@pytest.mark.parametrize(
    "kind", [NeuronKind.RELU, NeuronKind.ABS, NeuronKind.SQUARE, NeuronKind.NEGATE, NeuronKind.CEIL]
)
def test_functions_that_are_exact(kind: NeuronKind) -> None:
    check(single(NeuronParams(kind), shape(20, 5, 6)), tolerance=5e-4)


def test_prelu() -> None:
    check(single(NeuronParams(NeuronKind.PRELU, slopes=np.linspace(-0.5, 1.5, 20)), shape(20, 5, 6)))


def test_power_of_positive_numbers() -> None:
    net = single(ElementWiseParams(ElementWiseKind.POW), shape(20, 5, 6), shape(20, 5, 6))
    inputs = random_inputs(net)
    inputs["x0"] = np.abs(inputs["x0"]) + np.float16(0.1)
    check(net, inputs, tolerance=2e-2)


def test_relu_of_a_sum_is_one_task() -> None:
    units = (
        Unit("s", ElementWiseParams(ElementWiseKind.ADD), ("x", "z")),
        Unit("y", NeuronParams(NeuronKind.RELU), ("s",)),
    )
    program = check(Net("net", {"x": shape(8, 4, 4), "z": shape(8, 4, 4)}, {"out": "y"}, units))
    assert len(program.tasks) == 1


POOLS = {
    "max": PoolingParams(PoolingKind.MAX, (3, 3), (2, 2), Pads(1, 1, 1, 1)),
    "max, asymmetric": PoolingParams(PoolingKind.MAX, (3, 2), (1, 2), Pads(0, 1, 2, 0)),
    "average": PoolingParams(PoolingKind.AVERAGE, (2, 2), (2, 2)),
    "average without padding": PoolingParams(PoolingKind.AVERAGE, (3, 3), (1, 1), Pads(1, 1, 1, 1)),
    "average with padding": PoolingParams(PoolingKind.AVERAGE, (3, 3), (1, 1), Pads(1, 1, 1, 1), True),
    "average, stride 3": PoolingParams(PoolingKind.AVERAGE, (3, 3), (3, 3)),
    "whole image, average": PoolingParams(PoolingKind.AVERAGE, (9, 9), (9, 9)),
    "whole image, max": PoolingParams(PoolingKind.MAX, (9, 9)),
}


@pytest.mark.parametrize("make", [single, between])
@pytest.mark.parametrize("name", POOLS)
def test_pooling(name: str, make: object) -> None:
    program = check(make(POOLS[name], shape(16, 9, 9)))  # type: ignore[operator]
    guessed = name in ("max", "max, asymmetric", "average, stride 3")
    assert (weakest(program) is EncodingEvidence.ASSUMED) == guessed
