"""Depthwise convolutions and padded images against numpy: every sum is one chain in the order of the steps."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openane.core.errors import InputError
from openane.numerics.depthwise import depthwise, load, plan_depthwise
from openane.numerics.lookup import CompiledTable
from openane.numerics.micro import NO_STRAIGHT

sys.path.append(str(Path(__file__).parent))
from layouts import SCRATCH_WORDS, Tensor, bits, read, scratch, shares, stored, tensors

F = np.float32
FACTORS = np.array([-0.0, 1, 0, np.inf], np.float32)


def padded(values, grow, pad, high, wide):  # type: ignore[no-untyped-def]
    """Planes with zeros around and between the elements."""
    height, width = values.shape[3:]
    inner = ((height - 1) * grow[0] + 1 + pad[0], (width - 1) * grow[1] + 1 + pad[1])
    image = np.zeros((*values.shape[:3], max(high, inner[0]), max(wide, inner[1])), np.float32)
    image[..., pad[0] : inner[0] : grow[0], pad[1] : inner[1] : grow[1]] = values
    return image


def convolve(image, weights, steps, step, out, inputs):  # type: ignore[no-untyped-def]
    """Sums of all results, one product after the other."""
    sums = np.zeros(out, np.float32)
    for k, (u, y, x) in enumerate(steps.tolist()):
        lines = image[:, :, u::inputs, y : y + out[3] * step[0] : step[0], x : x + out[4] * step[1] : step[1]]
        sums = sums + weights[:, None, :, k, None, None] * lines[..., : out[3], : out[4]]
    return sums


def run(memory: np.ndarray, source: Tensor, result: Tensor, how, steps, weights, bias, relu, cut) -> None:  # type: ignore[no-untyped-def]
    inputs, step, grow, pad = how
    shape, taps, units = plan_depthwise(source.extents, result.extents, inputs, step, grow, pad, steps)
    none, words = CompiledTable.none(), np.zeros(SCRATCH_WORDS, np.uint16)
    group = weights.shape[1] if weights.shape[0] > 1 else 0
    for share in shares(units, cut):
        depthwise(
            memory, source.base, source.strides, shape, taps, relu, weights.reshape(-1), group, bias.reshape(-1),
            False, NO_STRAIGHT, FACTORS, result.base, result.strides, FACTORS, 0, none.numbers, none.meta, scratch(),
            words, *share,
        )  # fmt: skip


@settings(max_examples=120, deadline=None)
@given(st.data(), st.integers(0, 2**32), st.floats(0, 1), st.booleans(), st.booleans())
def test_depthwise(data: st.DataObject, seed: int, cut: float, relu: bool, spread: bool) -> None:
    random = np.random.default_rng(seed)
    inputs, window = data.draw(st.integers(1, 3)), data.draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    stride = data.draw(st.sampled_from([(1, 1), (1, 1), (2, 2), (2, 2), (1, 2), (3, 1), (4, 3)]))
    pad = data.draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
    step, grow = ((1, 1), stride) if spread else (stride, (1, 1))
    groups, channels = data.draw(st.tuples(st.integers(1, 2), st.integers(1, 3)))
    size = data.draw(st.tuples(st.integers(1, 17), st.integers(1, 36)))
    steps = np.array(list(np.ndindex(inputs, *window)))
    if data.draw(st.booleans()):  # sparse, in any order
        steps = random.permutation(steps)[: data.draw(st.integers(1, len(steps)))]
    inner = [(n - 1) * g + 1 for n, g in zip(size, grow, strict=True)]
    ends = [data.draw(st.integers(0, w)) for w in window]
    out_size = [max(1, (n + p + e - w) // s + 1) for n, p, e, w, s in zip(inner, pad, ends, window, step, strict=True)]
    out = (groups, 1, channels, *out_size)
    source, end = data.draw(tensors((groups, 1, channels * inputs, *size), 0))
    result, end = data.draw(tensors(out, end))
    kernels = data.draw(st.sampled_from([1, groups]))
    weights = random.standard_normal((kernels, channels, len(steps))).astype(np.float16).astype(np.float32)
    bias = np.where(random.random((kernels, channels)) < 0.5, F(-0.0), F(0.375))

    memory = bits(seed, end)
    expected = memory.copy()
    values = read(memory[source.indices()])
    values = np.where(values > 0, values, F(0)) if relu else values
    high, wide = ((n - 1) * s + w for n, s, w in zip(out_size, step, window, strict=True))
    with np.errstate(over="ignore", invalid="ignore"):
        sums = convolve(padded(values, grow, pad, high, wide), weights, steps, step, out, inputs)
        expected[result.indices()] = stored(sums + bias[:, None, :, None, None])
    run(memory, source, result, (inputs, step, grow, pad), steps, weights, bias, relu, cut)
    assert (memory == expected).all()


@pytest.mark.parametrize(
    ("size", "inputs", "window", "step"),
    [
        ((150, 150), 1, (3, 3), (1, 1)),  # blocks of rows
        ((3, 9001), 1, (2, 3), (2, 2)),  # and of columns
        ((12, 12), 90, (9, 9), (1, 1)),  # more inputs than fit: the sums are taken up again
        ((40, 40), 2, (31, 31), (3, 3)),
    ],
)
def test_large_images_are_cut(size, inputs, window, step) -> None:  # type: ignore[no-untyped-def]
    pad = (1, 1)
    out = (1, 1, 1, *((n + 2 * p - w) // s + 1 for n, p, w, s in zip(size, pad, window, step, strict=True)))
    steps = np.array(list(np.ndindex(inputs, *window)))
    count = inputs * size[0] * size[1]
    source = Tensor(0, np.array([0, 0, size[0] * size[1], size[1], 1]), (1, 1, inputs, *size))
    result = Tensor(count, np.array([0, 0, 0, out[4], 1]), out)
    random = np.random.default_rng(2)
    memory = random.standard_normal(count + out[3] * out[4]).astype(np.float16).view(np.uint16)
    weights = (random.standard_normal((1, 1, len(steps))) * 0.1).astype(np.float16).astype(np.float32)
    image = padded(read(memory[source.indices()]), (1, 1), pad, size[0] + 2, size[1] + 2)
    expected = stored(convolve(image, weights, steps, step, out, inputs)).reshape(-1)
    run(memory, source, result, (inputs, step, (1, 1), pad), steps, weights, np.full((1, 1), F(-0.0)), False, 0.5)
    assert (memory[count:] == expected).all()


def test_windows_have_a_limit() -> None:
    with pytest.raises(InputError, match="window or its stride is too large"):
        plan_depthwise((1, 1, 1, 9, 9), (1, 1, 1, 1, 1), 1, (1, 1), (1, 1), (0, 0), np.array([[0, 500, 0]]))


@settings(max_examples=80, deadline=None)
@given(st.data(), st.integers(0, 2**32), st.floats(0, 1), st.booleans())
def test_padded_images(data: st.DataObject, seed: int, cut: float, relu: bool) -> None:
    """All of the planes is written, zeros too, and nothing else."""
    grow = data.draw(st.sampled_from([(1, 1), (1, 1), (2, 2), (1, 3)]))
    pad, more = data.draw(st.tuples(*[st.integers(0, 3)] * 2)), data.draw(st.tuples(*[st.integers(0, 4)] * 2))
    shape = data.draw(
        st.tuples(st.integers(1, 2), st.just(1), st.integers(1, 3), st.integers(1, 9), st.integers(1, 30))
    )
    rows, columns = ((n - 1) * g + 1 + p + m for n, g, p, m in zip(shape[3:], grow, pad, more, strict=True))
    source, end = data.draw(tensors(shape, 0))
    memory = bits(seed, end)
    values = read(memory[source.indices()])
    expected = padded(np.where(values > 0, values, F(0)) if relu else values, grow, pad, rows, columns)
    image = np.full(expected.size + 64, 7, np.float32)
    strides = np.array([shape[2] * rows * columns, 0, rows * columns, columns * grow[0], grow[1]])
    plane = np.array([rows, columns, *pad])
    for share in shares(shape[0] * shape[2] * rows, cut):
        load(memory, 0, source.strides, np.array(shape), relu, image, 32, strides, plane, *share)
    assert (image[32:-32] == expected.reshape(-1)).all()
    assert (image[:32] == 7).all() and (image[-32:] == 7).all()
