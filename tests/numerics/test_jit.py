"""The conversions that processors without the instruction use, and the claim that fusing changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

from openane.core.errors import InputError
from openane.numerics.convolve import pack_weights, packed_size
from openane.numerics.jit import ROWS, VECTOR, compiled, portable_narrow, portable_widen
from openane.numerics.micro import multiply_tile
from openane.numerics.profile import Accumulate, Profile


@compiled
def widen_all(words: np.ndarray, result: np.ndarray) -> None:
    for i in range(words.size):
        result[i] = portable_widen(words[i])


@compiled
def narrow_all(values: np.ndarray, result: np.ndarray) -> None:
    for i in range(values.size):
        result[i] = portable_narrow(values[i])


@compiled
def tile(weights: np.ndarray, pixels: np.ndarray, steps: int, sums: np.ndarray) -> None:
    multiply_tile(weights, 0, pixels, 0, steps, sums, 0, VECTOR, False)


def test_portable_widening() -> None:
    words = np.arange(65536, dtype=np.uint16)
    found = np.empty(65536, np.float32)
    widen_all(words, found)
    expected = words.view(np.float16).astype(np.float32)
    assert ((found == expected) | (np.isnan(found) & np.isnan(expected))).all()


def test_portable_narrowing() -> None:
    rng = np.random.default_rng(1)
    values = rng.integers(0, 2**32, 300_000, np.uint64).astype(np.uint32).view(np.float32)
    values[:100_000] = rng.standard_normal(100_000).astype(np.float32) * 1e-6
    found = np.empty(values.shape, np.uint16)
    narrow_all(values, found)
    with np.errstate(over="ignore", invalid="ignore"):
        expected = values.astype(np.float16)
    same = (found == expected.view(np.uint16)) | np.isnan(values)
    assert same.all()


@pytest.mark.parametrize("steps", [0, 1, 7, 300])
def test_micro_kernel_is_a_chain_of_separate_operations(steps: int) -> None:
    """Products of fp16 values are exact in fp32, so a fused multiply-add rounds as often as a separate one."""
    rng = np.random.default_rng(steps)
    scale = 2.0 ** rng.integers(-12, 12, (steps, 1))
    a = (rng.standard_normal((steps, ROWS)) * scale).astype(np.float16).astype(np.float32)
    b = (rng.standard_normal((steps, VECTOR)) * scale).astype(np.float16).astype(np.float32)
    sums = rng.standard_normal((ROWS, VECTOR)).astype(np.float32)
    expected = sums.copy()
    for k in range(steps):
        expected = expected + a[k][:, None] * b[k]
    found = sums.reshape(-1).copy()
    tile(a.reshape(-1), b.reshape(-1), steps, found)
    assert (found.reshape(ROWS, VECTOR) == expected).all()


def test_packing_keeps_every_weight() -> None:
    weights = np.arange(1, 8 * 5 + 1, dtype=np.uint16).reshape(8, 5)
    flat = np.full(packed_size(*weights.shape), 7, np.uint16)
    pack_weights(weights, flat)
    packed = flat.reshape(2, 5, ROWS)
    assert (packed.transpose(0, 2, 1).reshape(12, 5)[:8] == weights).all()
    assert not packed.transpose(0, 2, 1).reshape(12, 5)[8:].any()


def test_profile_options() -> None:
    assert Profile().with_options({"accumulate": "tile4"}).accumulate is Accumulate.TILE4
    assert Profile().with_options({"output_limit": "0"}).output_limit == 0
    with pytest.raises(InputError, match="unknown option of the numerics profile"):
        Profile().with_options({"width": "12"})
    with pytest.raises(InputError, match="unknown value of the option 'denormals'"):
        Profile().with_options({"denormals": "maybe"})
