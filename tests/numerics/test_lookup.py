"""Arrays of fp16 words and tables against the definition of one value, and tables against their functions."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support.records import image
from tests.support.table_rule import tables

from openane.core.errors import FormatError
from openane.numerics.definition.fp16 import nearest, units, value
from openane.numerics.definition.lookup import look_up
from openane.numerics.lookup import CompiledTable, from_fp16_words, to_fp16_words
from openane.numerics.tables import LookupTable

ALL = np.arange(65536, dtype=np.uint16)


EDGES = [1, 0x3C00, 0x3555, 0x8000, 0x4CD1, 0x7BFF, 0x7C00, 0xFC00, 0x7E00]
CHOSEN = np.unique(np.concatenate([ALL[::61], ALL[EDGES]]))


@pytest.mark.parametrize("name", tables())
def test_tables_follow_their_definition(name: str) -> None:
    data = tables()[name]
    table = LookupTable.decode(data)
    found = to_fp16_words(CompiledTable.of(data).evaluate(from_fp16_words(CHOSEN)))
    with np.errstate(all="ignore"):
        assert found.tolist() == [nearest(look_up(table, value(int(word)))) for word in CHOSEN]


@pytest.mark.parametrize(
    ("name", "function", "low", "high", "bound"),
    [
        ("direct", np.tanh, -3.9, 3.9, 2e-3),
        ("direct_even", np.cos, 0.001, 2.9, 9e-3),
        ("centered", np.sin, -7.9, 7.9, 4e-2),
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


def test_words_are_read_as_defined() -> None:
    assert (from_fp16_words(ALL).astype(np.float64) * 2**24).tolist() == [units(int(word)) for word in ALL]


def test_words_are_written_as_defined() -> None:
    rng = np.random.default_rng(0)
    random = rng.integers(0, 2**32, 5000, np.uint64).astype(np.uint32).view(np.float32)
    halves = from_fp16_words(ALL[::5]).astype(np.float64)
    ties = ((halves[1:] + halves[:-1]) / 2).astype(np.float32)
    values = np.concatenate(
        [random, ties, np.nextafter(ties, np.float32(0)), np.float32([np.inf, -np.inf, np.nan, -0.0])]
    )
    assert to_fp16_words(values).tolist() == [nearest(float(number)) for number in values]


def test_unknown_mode_is_refused() -> None:
    with pytest.raises(FormatError, match="unknown mode"):
        CompiledTable.of(image([0.0] * 41, 0, 8))
