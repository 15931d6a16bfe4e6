"""Every table mode over all 65,536 halfwords, against the scalar model and against the functions."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest

from openane.core.errors import FormatError
from openane.numerics.lookup import CompiledTable, from_halfwords, to_halfwords

sys.path.append(str(Path(__file__).parents[1] / "sim"))
import scalar_model as scalar
from records import image

INF = math.inf
ALL = np.arange(65536, dtype=np.uint16)


def knots(function: object, first: float, step: float) -> list[float]:
    return [float(function(first + i * step)) for i in range(33)]  # type: ignore[operator]


def tables() -> dict[str, bytes]:
    """One table for each mode, and for each rule of the sign."""
    none = [0.0] * 33
    return {
        "direct": image([0, 4, 0, 1, *knots(math.tanh, 0, 1 / 8), 0, 0, 0.1, 0.5], 3, 0x60),
        "direct_even": image([0, 3, 2, 1, *knots(math.cos, 0, 1 / 4), 0.5, 1, -0.5, 2], 2, 0x40),
        "centred": image([-9, 8.5, 0, 1, *knots(math.sin, -8, 1 / 2), 0.25, 1, 0.5, -1], 1, 0x01),
        "ending_at_zero": image([-INF, INF, 0, INF, *knots(math.exp, -8, 1 / 4), 0.1, -1, 2, 1], 2, 0x02),
        "lines": image([-INF, INF, -INF, INF, *none, 0.01, 0.5, 1, 0.25], 0x40, 0x01),
        "fraction": image([-INF, INF, 0, 0, *none, 0, 0, 0, 0], 0x40, 0x03),
        "integer": image([-INF, INF, -INF, INF, *none, 0, 0, 0, 0], 0x40, 0x04),
        "sqrt": image([0, INF, 0, INF, *knots(math.sqrt, 0, 1 / 16), 0, 0, 0, 0], 4, 0xC5),
        "rsqrt": image([0, INF, INF, 0, *knots(lambda x: 1 / math.sqrt(x or 1), 0, 1 / 16), 0, 0, 0, 0], 4, 0xC6),
        "reciprocal": image([0, INF, INF, 0, *knots(lambda x: 1 / x, 0.5, 1 / 64), 0, 0, 0, 0], 6, 0x67),
        "log2": image([0, INF, -INF, INF, *knots(math.log2, 0.5, 1 / 64), 0, 0, 0, 0], 6, 0xC9),
        "exp2": image([-25, 16, 0, INF, *knots(lambda x: 2**x, 0, 1 / 32), 0, 0, 0, 0], 5, 0x0A),
    }


def reference(data: bytes, v: np.ndarray) -> np.ndarray:
    """The rule of the tables on whole arrays, float32, from the table of the format."""
    words = np.frombuffer(data, "<u2")
    n = np.array([scalar.number(int(word)) for word in words[:41]], np.float32)
    step, mode, sign = int(words[41].view(np.int16)), int(words[42]) & 15, int(words[42]) & 0xE0
    u = np.abs(v) if sign & 0x40 else v
    with np.errstate(all="ignore"):
        y = np.where(u <= n[0], n[2], np.where(u >= n[1], n[3], inside(n, step, mode, u)))
    y = np.where((v < 0) & bool(sign & 0x20), -y, y)
    return np.where((v < 0) & bool(sign & 0x80), np.float32(0), y).astype(np.float32)


def chord(n: np.ndarray, place: np.ndarray) -> np.ndarray:
    index = np.clip(np.nan_to_num(place), 0, 31.5).astype(int)
    rise = ((n[5 + index] - n[4 + index]) * (place - index.astype(np.float32))).astype(np.float16)
    return (n[4 + index] + rise.astype(np.float32)).astype(np.float16).astype(np.float32)


def inside(n: np.ndarray, step: int, mode: int, u: np.ndarray) -> np.ndarray:
    if mode <= 2:
        left, right = n[37] * u + n[38], n[39] * u + n[40]
        if step == 0x40:
            return np.where(u > 0, right, left)
        place = np.ldexp(u, step) + np.float32(16 * mode)
        return np.where(place < 0, left, np.where(place > 32, right, chord(n, place)))
    if mode in (3, 4):
        return u - np.trunc(u) if mode == 3 else np.trunc(u)
    if mode == 10:
        whole = np.floor(u)
        return np.ldexp(chord(n, (u - whole) * np.float32(32)), np.clip(whole, -300, 300).astype(int))
    m, e = np.frexp(u)
    half = e >> 1
    if mode in (5, 6):
        return np.ldexp(chord(n, np.ldexp(m, e - 2 * half) * np.float32(16)), half if mode == 5 else -half)
    y = chord(n, (m - np.float32(0.5)) * np.float32(64))
    return np.ldexp(y, -e) if mode == 7 else y + e.astype(np.float32)


@pytest.mark.parametrize("name", tables())
def test_every_halfword(name: str) -> None:
    data = tables()[name]
    values = from_halfwords(ALL)
    found = to_halfwords(CompiledTable.of(data).evaluate(values))
    expected = reference(data, values)
    assert (found == to_halfwords(expected)).all()
    for bits in (0, 1, 0x3C00, 0x3555, 0x8000, 0xB800, 0xC500, 0x4CD1, 0x7BFF, 0x7C00, 0xFC00, 0x7E00):
        assert found[bits] == scalar.stored(scalar.table_value(data, scalar.number(bits)))


@pytest.mark.parametrize(
    ("name", "function", "low", "high", "bound"),
    [
        ("direct", np.tanh, -3.9, 3.9, 2e-3),
        ("direct_even", np.cos, 0.001, 2.9, 9e-3),
        ("centred", np.sin, -7.9, 7.9, 4e-2),
        ("ending_at_zero", np.exp, -7.9, -0.01, 8e-3),
        ("sqrt", np.sqrt, 0.001, 60000, 1e-3),
        ("reciprocal", lambda x: 1 / x, 0.001, 60000, 1e-3),
        ("exp2", np.exp2, -10, 15.9, 1e-3),
        ("log2", np.log2, 0.001, 60000, 8e-3),
        ("integer", np.trunc, -60000, 60000, 0),
    ],
)
def test_tables_are_near_their_function(name: str, function: object, low: float, high: float, bound: float) -> None:
    values = ALL.view(np.float16).astype(np.float64)
    values = values[(values >= low) & (values <= high)]
    expected = function(values)  # type: ignore[operator]
    found = CompiledTable.of(tables()[name]).evaluate(values.astype(np.float32)).astype(np.float64)
    assert (np.abs(found - expected) <= bound * np.maximum(1, np.abs(expected))).all()


def test_half_conversion_of_all_halfwords() -> None:
    values = from_halfwords(ALL)
    finite = ALL & 0x7C00 != 0x7C00
    assert (values[finite] == ALL[finite].view(np.float16).astype(np.float32)).all()
    assert set(values[~finite]) == {65536.0, -65536.0}
    assert (to_halfwords(values)[finite] == ALL[finite]).all()


def test_nan_enters_as_positive_infinity() -> None:
    assert from_halfwords(np.array([0x7E00, 0xFE00, 0xFC01], np.uint16)).tolist() == [65536.0] * 3
    assert to_halfwords(np.array([np.nan, -np.nan], np.float32)).tolist() == [0x7C00, 0x7C00]


def test_store_rounds_to_nearest_even() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2**32, 200_000, np.uint64).astype(np.uint32).view(np.float32)
    values = values[~np.isnan(values)]
    with np.errstate(over="ignore"):
        assert (to_halfwords(values) == values.astype(np.float16).view(np.uint16)).all()


def test_unknown_mode_is_refused() -> None:
    with pytest.raises(FormatError, match="unknown mode"):
        CompiledTable.of(image([0.0] * 41, 0, 8))
