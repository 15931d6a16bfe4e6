"""Compiling with recorded encodings only: every task is on record, and the network computes the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.h13_nets import TARGET, random_inputs, shape, simulate, single, weakest

from openane.core.choices import AllowedEncodings
from openane.core.errors import UnsupportedError
from openane.net import Net, TensorShape, Unit, UnitParams
from openane.net.units import (
    ConvParams,
    Dimension,
    GOCParams,
    LinearParams,
    NeuronKind,
    NeuronParams,
    Pads,
    PoolingKind,
    PoolingParams,
    SoftmaxParams,
)
from openane.program import Program
from openane.program.evidence import EncodingEvidence
from openane.targets.target import CompileOptions

MAX, AVERAGE = PoolingKind.MAX, PoolingKind.AVERAGE


def compiled(net: Net) -> Program:
    return TARGET.lower(net, CompileOptions(evidence=AllowedEncodings.RECORDED))


def checked(net: Net, tolerance: float = 4e-3) -> Program:
    """Compiles, looks at the evidence of every task, and compares the result with the network's own arithmetic."""
    program = compiled(net)
    assert weakest(program) is EncodingEvidence.RECORDED
    inputs = random_inputs(net)
    results = simulate(program, inputs)
    for name, wanted in net.evaluate({name: array.astype(np.float32) for name, array in inputs.items()}).items():
        if name in net.outputs:
            error = np.abs(results[name].astype(np.float64) - wanted).max()
            assert error <= tolerance * max(np.abs(wanted).max(), 1e-3)
    return program


def weights(*extents: int) -> np.ndarray:
    scale = np.sqrt(np.prod(extents[1:]))
    return (np.random.default_rng(5).standard_normal(extents) / scale).astype(np.float16)


def after(params: UnitParams, *others: UnitParams, source: TensorShape) -> Net:
    """A chain of units."""
    units = [Unit("u0", params, ("x",))]
    for number, each in enumerate(others, 1):
        units.append(Unit(f"u{number}", each, (units[-1].name,)))
    return Net("chain", {"x": source}, {"y": units[-1].name}, tuple(units))


RELU, SIGMOID = NeuronParams(NeuronKind.RELU), NeuronParams(NeuronKind.SIGMOID)
BIAS = GOCParams(1.0, np.linspace(-1, 1, 32).astype(np.float32))
SAME = Pads(1, 1, 1, 1)
CASES: dict[str, Callable[[], Net]] = {
    "3x3, bias, ReLU": lambda: after(ConvParams(weights(32, 16, 3, 3), pads=SAME), BIAS, RELU, source=shape(16, 9, 11)),
    "1x1, bias, table": lambda: after(ConvParams(weights(32, 16, 1, 1)), BIAS, SIGMOID, source=shape(16, 9, 11)),
    "24 channels": lambda: single(ConvParams(weights(24, 16, 1, 1)), shape(16, 6, 7)),
    "24 channels between others": lambda: after(
        ConvParams(weights(24, 16, 1, 1)), RELU, ConvParams(weights(32, 24, 3, 3)), source=shape(16, 6, 7)
    ),
    "stride 2, padded": lambda: single(ConvParams(weights(32, 16, 3, 3), step=(2, 2), pads=SAME), shape(16, 9, 12)),
    "stride 2, bias, ReLU": lambda: after(
        ConvParams(weights(32, 16, 3, 3), step=(2, 2), pads=Pads(0, 1, 0, 1)), BIAS, RELU, source=shape(16, 8, 12)
    ),
    "stride 2 of rows": lambda: single(ConvParams(weights(32, 16, 3, 3), step=(1, 2), pads=SAME), shape(16, 9, 12)),
    "dilated": lambda: single(ConvParams(weights(32, 1, 3, 3), dilation=(2, 2), groups=32), shape(32, 11, 13)),
    "2x2": lambda: single(ConvParams(weights(32, 16, 2, 2)), shape(16, 9, 12)),
    "depthwise 5x5": lambda: single(
        ConvParams(weights(32, 1, 5, 5), pads=Pads(2, 2, 2, 2), groups=32), shape(32, 9, 12)
    ),
    "depthwise 5x5, stride 2, bias, table": lambda: after(
        ConvParams(weights(32, 1, 5, 5), (2, 2), pads=Pads(2, 2, 2, 2), groups=32),
        BIAS,
        SIGMOID,
        source=shape(32, 9, 12),
    ),
    "whole image": lambda: single(ConvParams(weights(10, 16, 3, 4)), shape(16, 3, 4)),
    "scale and bias of channels": lambda: after(
        GOCParams(np.linspace(0.5, 2, 32).astype(np.float32), BIAS.bias), RELU, source=shape(32, 5, 6)
    ),
    "scale and bias": lambda: single(GOCParams(0.5, 2.0), shape(32, 5, 6)),
    "1000 columns": lambda: single(LinearParams(weights(40, 64)), shape(1, 3, 64)),
    "softmax of many rows": lambda: single(SoftmaxParams(Dimension.WIDTH), shape(12, 128, 128)),
    "many channels": lambda: single(GOCParams(0.5, 0.0), shape(1500, 3, 4)),
    "max 2x2": lambda: single(PoolingParams(MAX, (2, 2), (2, 2)), shape(16, 8, 10)),
    "max 3x3, stride 1": lambda: single(PoolingParams(MAX, (3, 3)), shape(16, 8, 10)),
    "max 3x3, padded": lambda: single(PoolingParams(MAX, (3, 3), (2, 2), SAME), shape(16, 9, 11)),
    "max 3x2, stride 3 and 1": lambda: single(PoolingParams(MAX, (3, 2), (3, 1), Pads(0, 1, 1, 0)), shape(16, 9, 11)),
    "max 5x5 of a small image": lambda: single(PoolingParams(MAX, (5, 5), (2, 2), Pads(0, 0, 0, 1)), shape(3, 5, 5)),
    "max of what is not negative": lambda: after(
        RELU, PoolingParams(MAX, (3, 3), (2, 2), SAME), source=shape(16, 9, 11)
    ),
    "average 2x2": lambda: single(PoolingParams(AVERAGE, (2, 2), (2, 2)), shape(16, 8, 10)),
    "average 2x3 without the padding": lambda: single(
        PoolingParams(AVERAGE, (2, 3), pads=Pads(1, 1, 0, 1)), shape(16, 8, 10)
    ),
    "average 3x3 with the padding": lambda: single(
        PoolingParams(AVERAGE, (3, 3), (2, 2), SAME, count_include_pad=True), shape(16, 9, 10)
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_units_whose_own_tasks_are_on_no_record(name: str) -> None:
    net = CASES[name]()
    assert weakest(TARGET.lower(net, CompileOptions())) > EncodingEvidence.RECORDED
    checked(net)


def test_what_is_on_record_stays_as_it_is() -> None:
    plain = single(ConvParams(weights(32, 16, 3, 3), pads=SAME), shape(16, 9, 11))
    assert compiled(plain).tasks == TARGET.lower(plain, CompileOptions()).tasks


def test_negative_borders_survive_a_padded_maximum() -> None:
    net = single(PoolingParams(MAX, (3, 3), (2, 2), SAME), shape(4, 6, 6))
    x = np.full((1, 1, 4, 6, 6), -3, np.float16)
    (result,) = simulate(compiled(net), {"x0": x}).values()
    assert (result == -3).all()


def test_a_unit_without_a_recorded_form_is_refused_by_the_rule() -> None:
    with pytest.raises(UnsupportedError) as caught:
        compiled(single(ConvParams(weights(16, 16, 5, 5)), shape(16, 9, 9)))
    diagnostic = caught.value.diagnostic
    assert diagnostic.rule == "h13.on-record"
    assert "5x5" in diagnostic.value


@st.composite
def layers(draw: st.DrawFn) -> Net:
    """A convolution or pooling with an epilogue; channels, sizes, windows, strides and pads at random."""
    channels, height, width = draw(st.sampled_from((3, 16, 24, 40))), draw(st.integers(5, 13)), draw(st.integers(5, 13))
    size = draw(st.sampled_from((1, 2, 3, 5)))
    pads = Pads(*(draw(st.integers(0, size // 2)) for _ in range(4)))
    step = draw(st.sampled_from(((1, 1), (2, 2), (1, 2), (2, 1))))
    kind = draw(st.sampled_from(("dense", "depthwise", "max", "average")))
    if kind in ("max", "average"):
        return single(
            PoolingParams(MAX if kind == "max" else AVERAGE, (size, size), step, pads), shape(channels, height, width)
        )
    outputs = channels if kind == "depthwise" else draw(st.sampled_from((2, 16, 20, 48)))
    kernel = weights(outputs, 1 if kind == "depthwise" else channels, size, size)
    conv = ConvParams(kernel, step, pads=pads, groups=channels if kind == "depthwise" else 1)
    bias = GOCParams(1.0, np.linspace(-1, 1, outputs).astype(np.float32))
    after_it = draw(st.sampled_from(((), (bias,), (bias, RELU), (RELU,), (bias, SIGMOID))))
    return after(conv, *after_it, source=shape(channels, height, width))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(layers())
def test_random_layers_are_on_record_or_refused(net: Net) -> None:
    try:
        checked(net)
    except UnsupportedError as error:
        assert error.diagnostic.rule == "h13.on-record"
