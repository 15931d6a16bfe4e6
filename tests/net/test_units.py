"""Units against torch and numpy, and their shape rules."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from openane.core.errors import ModelError
from openane.net import (
    BroadcastParams,
    ConcatParams,
    ConstantParams,
    ConvParams,
    Dimension,
    ElementWiseKind,
    ElementWiseParams,
    GOCParams,
    InputViewParams,
    LayerNormParams,
    LinearParams,
    MatMulParams,
    NeuronKind,
    NeuronParams,
    PadKind,
    PadParams,
    Pads,
    PoolingKind,
    PoolingParams,
    ReductionKind,
    ReductionParams,
    ReshapeParams,
    SelectParams,
    SoftmaxParams,
    TensorShape,
    TileParams,
    TransposeParams,
    UnitParams,
)
from openane.net.plist.units import UNITS

H, W, C, N = Dimension.HEIGHT, Dimension.WIDTH, Dimension.CHANNEL, Dimension.BATCH


def values(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def naive_convolution(x: np.ndarray, conv: ConvParams) -> np.ndarray:
    """The formula of the docstring, one output at a time."""
    shape = conv.infer([TensorShape.of(x.shape)])
    top, _, left, _ = conv.pads
    (sx, sy), (dx, dy) = conv.step, conv.dilation
    y = np.zeros(shape.ndchw)
    outputs, inputs, kh, kw = conv.kernel.shape
    share = outputs // conv.groups
    for co in range(outputs):
        for ci in range(inputs):
            channel = co // share * inputs + ci
            for i in range(kh):
                for j in range(kw):
                    tap = conv.kernel[co, ci, i, j]
                    rows, columns = (x.shape[3], x.shape[4]) if conv.transposed else (shape.height, shape.width)
                    for r in range(rows):
                        for c in range(columns):
                            far = (r * sy + i * dy - top, c * sx + j * dx - left)
                            near = (r, c)
                            source, target = (near, far) if conv.transposed else (far, near)
                            if (
                                0 <= source[0] < x.shape[3]
                                and 0 <= source[1] < x.shape[4]
                                and 0 <= target[0] < shape.height
                                and 0 <= target[1] < shape.width
                            ):
                                y[:, :, co, target[0], target[1]] += x[:, :, channel, source[0], source[1]] * tap
    return y


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(
    ("step", "dilation", "pads", "groups"),
    [
        ((1, 1), (1, 1), Pads(), 1),
        ((2, 3), (1, 1), Pads(1, 0, 2, 1), 2),
        ((1, 2), (2, 1), Pads(0, 1, 1, 0), 1),
        ((2, 1), (1, 2), Pads(1, 1, 1, 1), 4),
    ],
)
def test_convolution_follows_its_formula(
    transposed: bool, step: tuple[int, int], dilation: tuple[int, int], pads: Pads, groups: int
) -> None:
    x = values(2, 2, 4, 6, 5)
    kernel = values(8, 4 // groups, 3, 2, seed=1)
    extra = (1, 1) if transposed else (0, 0)
    conv = ConvParams(kernel, step, dilation, pads, groups, transposed, extra)
    np.testing.assert_allclose(conv.evaluate([x]), naive_convolution(x, conv), atol=1e-12)


def test_half_precision_is_added_up_wide_and_rounded_once() -> None:
    ones = np.ones((1, 1, 4096, 1, 1), np.float16)
    conv = ConvParams(np.full((1, 4096, 1, 1), 1.0, np.float16))
    result = conv.evaluate([ones])
    assert result.dtype == np.float16
    assert result.item() == 4096


def test_pooling_counts_padding_only_when_told() -> None:
    x = np.ones((1, 1, 1, 2, 2))
    pads = Pads(1, 0, 1, 0)
    inside = PoolingParams(PoolingKind.AVERAGE, (2, 2), (1, 1), pads).evaluate([x])
    whole = PoolingParams(PoolingKind.AVERAGE, (2, 2), (1, 1), pads, True).evaluate([x])
    assert inside.min() == 1
    np.testing.assert_allclose(whole[0, 0, 0], [[0.25, 0.5], [0.5, 1.0]])
    largest = PoolingParams(PoolingKind.MAX, (2, 2), (1, 1), pads).evaluate([-x])
    assert largest.max() == -1


SCALAR_FUNCTIONS = {
    NeuronKind.SIGMOID: lambda v: 1 / (1 + math.exp(-v)),
    NeuronKind.SOFTPLUS: lambda v: math.log1p(math.exp(v)),
    NeuronKind.GELU: lambda v: v / 2 * (1 + math.erf(v / math.sqrt(2))),
    NeuronKind.MISH: lambda v: v * math.tanh(math.log1p(math.exp(v))),
    NeuronKind.HARD_SWISH: lambda v: v * min(max(v / 6 + 0.5, 0), 1),
    NeuronKind.SILU: lambda v: v / (1 + math.exp(-v)),
    NeuronKind.FRAC: lambda v: v - math.floor(v),
    NeuronKind.ERF: math.erf,
    NeuronKind.SIGN: lambda v: math.copysign(1, v) if v else 0.0,
    NeuronKind.ATAN: math.atan,
    NeuronKind.EXP2: lambda v: 2**v,
}


@pytest.mark.parametrize("kind", SCALAR_FUNCTIONS, ids=lambda kind: kind.value)
@given(value=st.floats(-20, 20))
@settings(deadline=None, derandomize=True)
def test_neuron_is_the_function_it_is_named_for(kind: NeuronKind, value: float) -> None:
    result = NeuronParams(kind).evaluate([np.full((1,) * 5, value)]).item()
    assert result == pytest.approx(SCALAR_FUNCTIONS[kind](value), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("kind", NeuronKind, ids=lambda kind: kind.value)
def test_every_neuron_keeps_shape_and_precision(kind: NeuronKind) -> None:
    slopes = np.ones(3) if kind is NeuronKind.PRELU else None
    neuron = NeuronParams(kind, 0.5, 1.0, slopes)
    for dtype in (np.float16, np.float32, np.float64):
        x = np.linspace(0.1, 0.9, 12).reshape(1, 1, 3, 2, 2).astype(dtype)
        y = neuron.evaluate([x])
        assert y.shape == x.shape
        assert y.dtype == dtype


EXAMPLES: list[tuple[UnitParams, list[tuple[int, ...]]]] = [
    (GOCParams(np.arange(3.0), 1.0), [(2, 1, 3, 2, 2)]),
    (ElementWiseParams(ElementWiseKind.SUM_SQUARE, 0.5), [(1, 2, 3, 4, 5)] * 2),
    (SelectParams(), [(1, 1, 2, 2, 2)] * 3),
    (BroadcastParams({W: 4, C: 2}), [(1, 1, 1, 3, 1)]),
    (ConcatParams(H), [(1, 1, 2, 3, 4), (1, 1, 2, 1, 4)]),
    (ReshapeParams(TensorShape(1, 6, 1, 4)), [(1, 1, 2, 3, 4)]),
    (TransposeParams((0, 2, 1, 4, 3)), [(1, 2, 3, 4, 5)]),
    (InputViewParams(W, 1, 2, 3), [(1, 1, 2, 3, 8)]),
    (PadParams({H: (1, 2), W: (0, 3)}, PadKind.CONSTANT, 7.0), [(1, 1, 2, 3, 4)]),
    (PadParams({W: (1, 2)}, PadKind.REFLECT), [(1, 1, 2, 3, 4)]),
    (TileParams({N: 2, W: 3}), [(1, 1, 2, 3, 4)]),
    (PoolingParams(PoolingKind.MAX, (2, 3), (2, 1), dilation=(2, 1)), [(1, 1, 2, 5, 6)]),
    (ReductionParams(ReductionKind.MEAN, frozenset({C, W})), [(2, 1, 3, 4, 5)]),
    (LinearParams(np.ones((7, 4))), [(1, 1, 2, 3, 4)]),
    (MatMulParams(True, False), [(1, 1, 2, 4, 3), (1, 1, 2, 4, 5)]),
    (SoftmaxParams(H), [(1, 1, 2, 3, 4)]),
    (LayerNormParams(frozenset({W}), center=False), [(1, 1, 2, 3, 4)]),
    (ConstantParams(np.ones((1, 1, 2, 3, 4))), []),
    (ConvParams(np.ones((4, 2, 3, 3)), (2, 1), pads=Pads(1, 1, 0, 0)), [(1, 2, 2, 6, 7)]),
]


@pytest.mark.parametrize(("params", "shapes"), EXAMPLES, ids=lambda item: type(item).__name__)
def test_the_shape_rule_tells_what_evaluation_gives(params: UnitParams, shapes: list[tuple[int, ...]]) -> None:
    result = params.evaluate([values(*shape) for shape in shapes])
    assert params.infer([TensorShape.of(shape) for shape in shapes]).ndchw == result.shape


@given(
    hnp.arrays(np.float64, (1, 1, 3, 2, 4), elements=st.floats(-50, 50)),
    st.sampled_from(list(Dimension)),
)
@settings(deadline=None, derandomize=True)
def test_softmax_sums_to_one(x: np.ndarray, dimension: Dimension) -> None:
    y = SoftmaxParams(dimension).evaluate([x])
    np.testing.assert_allclose(y.sum(axis=dimension.axis), 1)
    np.testing.assert_allclose(SoftmaxParams(dimension, log=True).evaluate([x]), np.log(y), atol=1e-9)


def test_layer_norm_has_mean_zero_and_variance_one() -> None:
    x = values(2, 1, 3, 4, 5)
    y = LayerNormParams(frozenset({C, W}), 0.0).evaluate([x])
    np.testing.assert_allclose(y.mean(axis=(2, 4)), 0, atol=1e-12)
    np.testing.assert_allclose(y.var(axis=(2, 4)), 1)
    rms = LayerNormParams(frozenset({W}), 0.0, center=False).evaluate([x])
    np.testing.assert_allclose((rms**2).mean(axis=4), 1)


@pytest.mark.parametrize(
    ("params", "shapes", "message"),
    [
        (ConvParams(np.ones((4, 3, 1, 1))), [(1, 1, 2, 1, 1)], "does not fit the input"),
        (ConvParams(np.ones((4, 2, 5, 5))), [(1, 1, 2, 3, 3)], "larger than the padded image"),
        (ConvParams(np.ones((1, 1, 1, 1)), step=(0, 1)), [(1, 1, 1, 1, 1)], "must be positive"),
        (PoolingParams(PoolingKind.MAX, (2, 2), pads=Pads(2, 0, 0, 0)), [(1, 1, 1, 4, 4)], "less than the window"),
        (ElementWiseParams(ElementWiseKind.ADD), [(1, 1, 1, 1, 2), (1, 1, 1, 1, 1)], "different shapes"),
        (GOCParams(np.ones(3)), [(1, 1, 2, 1, 1)], "one value per channel"),
        (BroadcastParams({W: 4}), [(1, 1, 1, 1, 3)], "cannot broadcast Width"),
        (InputViewParams(W, 2, 3), [(1, 1, 1, 1, 4)], "leaves the tensor"),
        (ReshapeParams(TensorShape(1, 5)), [(1, 1, 4, 1, 1)], "keeps the number"),
        (MatMulParams(), [(1, 1, 1, 2, 3), (1, 1, 1, 2, 3)], "do not fit"),
        (LinearParams(np.ones((2, 3))), [(1, 1, 1, 1, 4)], "does not fit the width"),
        (ConcatParams(C), [(1, 1, 1, 1, 2), (1, 1, 1, 2, 2)], "differ outside"),
        (NeuronParams(NeuronKind.PRELU), [(1, 1, 1, 1, 1)], "slopes"),
        (TransposeParams((0, 0, 1, 2, 3)), [(1, 1, 1, 1, 1)], "not a permutation"),
        (PadParams({W: (3, 0)}, PadKind.REFLECT), [(1, 1, 1, 1, 3)], "does not fit"),
    ],
)
def test_bottoms_that_do_not_fit_are_refused(params: UnitParams, shapes: list[tuple[int, ...]], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        params.infer([TensorShape.of(shape) for shape in shapes])


def test_classes_are_named_after_their_types() -> None:
    kinds = {kind.__name__: kind.plist_type + "Params" for kind in UNITS.values()}
    assert kinds and all(name == expected for name, expected in kinds.items())
