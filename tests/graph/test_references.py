"""Reference arithmetic against definitions that are written differently."""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from openane.graph import Operation, ops

SMALL = st.integers(1, 3)


def run(operation: Operation, *inputs: np.ndarray | None) -> np.ndarray:
    """The only result."""
    (result,) = operation.evaluate(inputs)
    return result


def random(*shape: int, seed: int = 0) -> np.ndarray:
    """Normal numbers."""
    return np.random.default_rng(seed).standard_normal(shape)


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[ops.Conv, np.ndarray, np.ndarray]:
    """A two-dimensional convolution with its inputs."""
    groups, inner, outer = draw(SMALL), draw(SMALL), draw(SMALL)
    kernel, strides, dilations = ((draw(SMALL), draw(SMALL)) for _ in range(3))
    pads = tuple(draw(st.integers(0, 2)) for _ in range(4))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    extents = [max(1, r - pads[i] - pads[2 + i]) + draw(st.integers(0, 4)) for i, r in enumerate(reach)]
    x = random(draw(SMALL), groups * inner, *extents, seed=1)
    weight = random(groups * outer, inner, *kernel, seed=2)
    return ops.Conv(strides, pads, dilations, groups), x, weight


def naive_convolution(operation: ops.Conv, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The definition, one result at a time."""
    (sy, sx), (dy, dx), (top, left, bottom, right) = operation.strides, operation.dilations, operation.pads
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    out, inner, kh, kw = weight.shape
    height = (padded.shape[2] - (kh - 1) * dy - 1) // sy + 1
    width = (padded.shape[3] - (kw - 1) * dx - 1) // sx + 1
    y = np.zeros((x.shape[0], out, height, width))
    for n, o, i, j in product(*map(range, y.shape)):
        first = o // (out // operation.groups) * inner
        window = padded[n, first : first + inner, i * sy : i * sy + kh * dy : dy, j * sx : j * sx + kw * dx : dx]
        y[n, o, i, j] = np.sum(window[:, :kh, :kw] * weight[o])
    return y


@given(convolutions())
@settings(max_examples=60, deadline=None)
def test_convolution_is_its_definition(case: tuple[ops.Conv, np.ndarray, np.ndarray]) -> None:
    operation, x, weight = case
    np.testing.assert_allclose(run(operation, x, weight, None), naive_convolution(operation, x, weight), atol=1e-12)


@given(convolutions())
@settings(max_examples=60, deadline=None)
def test_transposed_convolution_is_the_adjoint(case: tuple[ops.Conv, np.ndarray, np.ndarray]) -> None:
    """<conv(x), y> = <x, transposed(y)> for every x and y."""
    operation, x, weight = case
    y = random(*run(operation, x, weight, None).shape, seed=3)
    plain = ops.ConvTranspose(operation.strides, operation.pads, operation.dilations, operation.groups)
    rows = zip(y.shape[2:], plain.strides, weight.shape[2:], plain.dilations, plain.pads, plain.pads[2:], strict=False)
    short = [(e - 1) * s + (k - 1) * d + 1 - before - after for e, s, k, d, before, after in rows]
    extra = tuple(a - b for a, b in zip(x.shape[2:], short, strict=True))
    transposed = ops.ConvTranspose(*(getattr(plain, n) for n in ("strides", "pads", "dilations", "groups")), extra)
    left = np.vdot(run(operation, x, weight, None), y)
    np.testing.assert_allclose(np.vdot(x, run(transposed, y, weight, None)), left, atol=1e-9)


@given(convolutions(), st.booleans())
@settings(max_examples=40, deadline=None)
def test_average_pool_is_a_convolution(case: tuple[ops.Conv, np.ndarray, np.ndarray], include: bool) -> None:
    operation, x, weight = case
    kernel = weight.shape[2:]
    pool = ops.AveragePool(kernel, operation.strides, operation.pads, operation.dilations, count_include_pad=include)
    channels = x.shape[1]
    ones = ops.Conv(operation.strides, operation.pads, operation.dilations, channels)
    box = np.ones((channels, 1, *kernel))
    count = box[0].size if include else np.maximum(run(ones, np.ones_like(x), box, None), 1)
    np.testing.assert_allclose(run(pool, x), run(ones, x, box, None) / count, atol=1e-12)


@given(st.permutations(range(4)), st.permutations(range(4)))
@settings(max_examples=30, deadline=None)
def test_transposes_compose(first: list[int], second: list[int]) -> None:
    x = random(2, 3, 4, 5)
    both = run(ops.Transpose(tuple(second)), run(ops.Transpose(tuple(first)), x))
    assert np.array_equal(both, run(ops.Transpose(tuple(first[a] for a in second)), x))


def test_depth_and_space_are_inverse() -> None:
    x = random(2, 12, 3, 5)
    for order in ops.BlockOrder:
        assert np.array_equal(run(ops.SpaceToDepth(2, order), run(ops.DepthToSpace(2, order), x)), x)


def test_channel_shuffles_are_inverse() -> None:
    x = random(2, 12, 3)
    assert np.array_equal(run(ops.ChannelShuffle(4), run(ops.ChannelShuffle(3), x)), x)


def test_pad_and_slice_are_inverse() -> None:
    x = random(2, 3, 4)
    for mode in ops.PadMode:
        padded = run(ops.Pad((0, 1, 2, 1, 0, 1), mode), x)
        assert np.array_equal(run(ops.Slice((0, 1, 2), (2, 4, 6), (1, 1, 1)), padded), x)


def test_softmax_does_not_overflow() -> None:
    x = np.array([[1000.0, 1001.0, -1000.0]], np.float32)
    np.testing.assert_allclose(run(ops.Softmax(1), x).sum(), 1, rtol=1e-6)
    assert np.isfinite(run(ops.LogSoftmax(1), x)).all()


def test_functions_do_not_overflow() -> None:
    x = np.array([-1e4, -100, -1, 0, 1, 100, 1e4], np.float32)
    for operation in (ops.Sigmoid(), ops.Softplus(), ops.Mish(), ops.Silu(), ops.Elu(), ops.Gelu(), ops.Gelu(True)):
        assert np.isfinite(run(operation, x)).all(), operation


def test_integer_division_cuts_towards_zero() -> None:
    x, y = np.array([7, -7, 7, -7]), np.array([2, 2, -2, -2])
    assert run(ops.Div(), x, y).tolist() == [3, -3, -3, 3]
    assert run(ops.FloorDiv(), x, y).tolist() == [3, -4, -4, 3]


def test_resize_to_the_same_size_changes_nothing() -> None:
    x = random(1, 2, 5, 6)
    for mode, coordinates in product(ops.ResizeMode, ops.Coordinates):
        if coordinates in (ops.Coordinates.TF_CROP_AND_RESIZE, ops.Coordinates.TF_HALF_PIXEL_FOR_NN):
            continue
        np.testing.assert_allclose(run(ops.Resize((1, 2, 5, 6), mode, coordinates), x), x, atol=1e-12)


@given(st.integers(1, 9), st.sampled_from([c for c in ops.Coordinates if c.name != "TF_CROP_AND_RESIZE"]))
@settings(max_examples=40, deadline=None)
def test_resize_keeps_constants(size: int, coordinates: ops.Coordinates) -> None:
    x = np.full((1, 1, 4), 2.5)
    for mode in ops.ResizeMode:
        np.testing.assert_allclose(run(ops.Resize((1, 1, size), mode, coordinates), x), 2.5)


def test_bidirectional_is_both_directions() -> None:
    for kind in (ops.RNN, ops.GRU, ops.LSTM):
        rows = kind.gates * 4
        x, w, r = random(5, 2, 3), random(2, rows, 3, seed=1), random(2, rows, 4, seed=2)
        both = kind(4, ops.Direction.BIDIRECTIONAL).evaluate((x, w, r))
        one = kind(4).evaluate((x, w[:1], r[:1]))
        other = kind(4, ops.Direction.REVERSE).evaluate((x[::-1], w[1:], r[1:]))
        np.testing.assert_allclose(both[0][:, 0], one[0][:, 0])
        backwards = kind(4).evaluate((x[::-1], w[1:], r[1:]))
        np.testing.assert_allclose(both[0][::-1, 1], backwards[0][:, 0])
        assert other[0].shape == one[0].shape


def test_layer_norm_has_mean_and_variance() -> None:
    y = run(ops.LayerNorm((1, 2), 0.0), random(3, 4, 5) * 7 + 3, None, None)
    np.testing.assert_allclose(y.mean((1, 2)), 0, atol=1e-12)
    np.testing.assert_allclose(y.var((1, 2)), 1, rtol=1e-12)
