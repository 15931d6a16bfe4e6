"""Every table mode over all 65,536 halfwords, against the scalar model and against the functions."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from openane.core.errors import FormatError
from openane.numerics.lookup import CompiledTable, from_halfwords, to_halfwords

sys.path.append(str(Path(__file__).parents[1] / "sim"))
import scalar_model as scalar
from records import image
from table_rule import reference, tables

ALL = np.arange(65536, dtype=np.uint16)


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
