"""Rounding to narrow element types agrees with ml_dtypes, the arrays that the package onnx uses."""

from __future__ import annotations

import numpy as np
import pytest

from openane.core.types import DType
from openane.graph.ops import NarrowType, RoundToType

ml_dtypes = pytest.importorskip("ml_dtypes")

NAMES = {
    NarrowType.BFLOAT16: "bfloat16",
    NarrowType.FLOAT8E4M3FN: "float8_e4m3fn",
    NarrowType.FLOAT8E4M3FNUZ: "float8_e4m3fnuz",
    NarrowType.FLOAT8E5M2: "float8_e5m2",
    NarrowType.FLOAT8E5M2FNUZ: "float8_e5m2fnuz",
    NarrowType.FLOAT4E2M1: "float4_e2m1fn",
}


def _values(kind: NarrowType) -> np.ndarray:
    """Every exponent of float32, the halves between neighbors of the type and what is next to them, and no numbers."""
    generator = np.random.default_rng(7)
    random = (generator.uniform(-1, 1, 20000) * 2.0 ** generator.integers(-149, 128, 20000)).astype(np.float32)
    bits = np.arange(1 << (16 if kind is NarrowType.BFLOAT16 else 8), dtype=np.uint32)
    own = bits.astype(np.uint16 if kind is NarrowType.BFLOAT16 else np.uint8)
    if kind is NarrowType.FLOAT4E2M1:
        own = own[:16]
    with np.errstate(all="ignore"):
        exact = np.sort(own.view(getattr(ml_dtypes, NAMES[kind])).astype(np.float32))
        halves = (exact[1:] + exact[:-1]) / 2
        near = np.concatenate([np.nextafter(halves, np.float32(np.inf)), np.nextafter(halves, np.float32(-np.inf))])
        return np.concatenate([random, exact, halves, near, [np.inf, -np.inf, np.nan, 0.0, -0.0]]).astype(np.float32)


@pytest.mark.parametrize("kind", NAMES)
def test_floats_agree_with_ml_dtypes(kind: NarrowType) -> None:
    x = _values(kind)
    (found,) = RoundToType(kind).evaluate((x,))
    with np.errstate(all="ignore"):
        expected = x.astype(getattr(ml_dtypes, NAMES[kind])).astype(np.float32)
    np.testing.assert_array_equal(found, expected)
    zeros = expected == 0
    assert np.array_equal(np.signbit(found[zeros & ~np.isnan(x)]), np.signbit(expected[zeros & ~np.isnan(x)]))


@pytest.mark.parametrize("kind", [kind for kind in NAMES if kind.has_saturation])
def test_saturation_holds_the_largest_value(kind: NarrowType) -> None:
    largest = float(ml_dtypes.finfo(getattr(ml_dtypes, NAMES[kind])).max)
    x = np.array([largest * 4, -largest * 4, np.inf, -np.inf, np.nan], np.float32)
    (found,) = RoundToType(kind, saturate=True).evaluate((x,))
    np.testing.assert_array_equal(found, [largest, -largest, largest, -largest, np.nan])


@pytest.mark.parametrize(
    ("rounding", "expected"), [("up", [2, 4, 2, 1]), ("down", [1, 2, 2, 1]), ("nearest", [1, 4, 2, 1])]
)
def test_powers_of_two(rounding: str, expected: list[float]) -> None:
    x = np.array([1.2, 3.0, 2.0, 1.0], np.float32)
    (found,) = RoundToType(NarrowType.FLOAT8E8M0, power_rounding=rounding).evaluate((x,))
    assert found.tolist() == expected


@pytest.mark.parametrize("kind", [kind for kind in NarrowType if kind.range is not None])
def test_integers_keep_their_lower_bits(kind: NarrowType) -> None:
    assert kind.range is not None
    low, high = kind.range
    numbers = np.arange(-128, 128, dtype=np.int8)
    (found,) = RoundToType(kind).evaluate((numbers,))
    assert found.dtype == kind.held_as.numpy and kind.held_as in (DType.INT8, DType.UINT8)
    count = high - low + 1
    assert np.all((found.astype(int) - numbers) % count == 0) and found.min() == low and found.max() == high
    (cut,) = RoundToType(kind).evaluate((np.array([low - 1.0, low, high + 0.9, high + 1.0]),))
    assert cut.tolist() == [0, low, high, 0]
