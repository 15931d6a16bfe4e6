"""The scalar arithmetic against outputs of real chips, against numpy where the two agree, and at its edges."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openane.numerics.definition.accumulator import Accumulator, sum_of_products
from openane.numerics.definition.epilogue import linear, relu, scaled, tabulated
from openane.numerics.definition.fp16 import exponent, half_away, nearest, rounded, shifted_half_away, units, value
from openane.numerics.definition.planar import read, total
from openane.numerics.definition.single import F
from openane.numerics.profile import PostScale, Profile, ReductionOrder, TableIndex
from openane.numerics.tables import LookupTable, StraightLine, TableMode

WORDS = st.integers(0, 0xFFFF)
CHANNELS = 64
"""Input channels of the convolutions that were measured; those not listed are zero."""


def half(number: float) -> int:
    return int(np.float16(number).view(np.uint16))


def measured(shared: Path, *tables: str) -> list[dict[str, Any]]:
    entries = json.loads((shared / "hw" / "measured-2026-12.json").read_text())
    return [entry for entry in entries if entry["table"].startswith(tables)]


def words(texts: list[str]) -> list[int]:
    return [int(text, 16) for text in texts]


def test_the_mac_array_as_measured(shared: Path) -> None:
    entries = [e for e in measured(shared, "mac_") if "x_hex" in e]
    assert len(entries) > 300
    for entry in entries:
        bias = value(int(entry["bias_hex"], 16)) if "bias_hex" in entry else Fraction(0)
        found = linear(sum_of_products(zip(words(entry["x_hex"]), words(entry["w_hex"]), strict=True), bias))
        assert f"{found:04x}" == entry["y_hex"], entry


def test_the_int8_path_as_measured(shared: Path) -> None:
    for entry in measured(shared, "mac_int8"):
        accumulator = Accumulator(step_bits=0)
        accumulator.add_integer(entry["sum_int"])
        scale = Fraction(2) ** (2 * entry["scale_log2"])
        assert f"{linear(accumulator.value * scale):04x}" == entry["y_hex"], entry


def test_the_planar_engine_as_measured(shared: Path) -> None:
    entries = measured(shared, "pe_")
    assert len(entries) >= 42
    join = {"add": lambda a, b: F(a + b), "mul": lambda a, b: F(a * b), "sub": lambda a, b: F(a - b)}
    for entry in entries:
        found = nearest(float(join[entry["op"]](*map(read, words(entry["x_hex"])))))
        assert f"{found:04x}" == entry["y_hex"], entry


# Reading and writing -----------------------------------------------------------------------------------------------


def test_finite_words_are_read_as_ieee_has_them() -> None:
    every = np.arange(1 << 16, dtype=np.uint16)
    finite = every[np.isfinite(every.view(np.float16))]
    assert [units(int(w)) for w in finite] == (finite.view(np.float16).astype(np.float64) * 2**24).tolist()
    assert all(nearest(value(int(w))) == (0 if w == 0x8000 else w) for w in finite)


@pytest.mark.parametrize(("word", "number"), [(0x7C00, 65536), (0xFC00, -65536), (0x7E00, 98304), (0x7FFF, 131008)])
def test_exponent_31_is_an_ordinary_number(word: int, number: int) -> None:
    assert (value(word), exponent(word)) == (number, 16)
    assert nearest(value(word)) == (0x7C00 if number > 0 else 0xFC00)


@given(st.floats(-70000, 70000, width=32))
def test_writing_agrees_with_numpy_unless_it_is_a_tie(number: float) -> None:
    with np.errstate(over="ignore"):
        even = half(number)
    low, high = sorted((units(even - 1 & 0xFFFF), units(even + 1 & 0xFFFF)))
    ties = {Fraction(units(even) + other, 2 << 24) for other in (low, high)}
    if Fraction(number) not in ties:
        assert nearest(number) == (0 if even == 0x8000 else even)


@pytest.mark.parametrize(
    ("number", "word"),
    [(2049.0, half(2050)), (-2049.0, half(-2050)), (2.0**-25, 1), (-(2.0**-25), 0x8001), (2.0**-26, 0), (-0.0, 0),
     (65519.99, 0x7BFF), (65520.0, 0x7C00), (float("inf"), 0x7C00), (float("-inf"), 0xFC00), (float("nan"), 0x7C00),
     (2.0**-14 - 2.0**-25, 0x0400), (32760.0, half(32768)), (32759.9, half(32752))],
)  # fmt: skip
def test_ties_go_away_from_zero_and_nothing_is_minus_zero_or_nan(number: float, word: int) -> None:
    assert nearest(number) == word


@given(st.integers(-(1 << 50), 1 << 50), st.integers(0, 40))
def test_the_two_roundings_to_integers_agree(number: int, bits: int) -> None:
    assert shifted_half_away(number, bits) == half_away(Fraction(number, 1 << bits))


# Sums --------------------------------------------------------------------------------------------------------------


@given(WORDS, WORDS)
def test_a_product_is_rounded_once_or_dropped(x: int, weight: int) -> None:
    accumulator = Accumulator()
    accumulator.multiply_add(x, weight)
    exact = value(x) * value(weight)
    if exponent(x) + exponent(weight) <= -17:
        assert accumulator.total == 0 and abs(exact) < Fraction(2, 1 << 16)
    else:
        assert abs(accumulator.total - exact * (1 << 16)) <= Fraction(1, 2)


@given(st.lists(st.tuples(WORDS, WORDS), max_size=20), st.randoms())
def test_the_order_matters_only_to_an_overflow(pairs: list[tuple[int, int]], random: Any) -> None:
    accumulators = []
    for _ in range(2):
        accumulator = Accumulator()
        for pair in pairs:
            accumulator.multiply_add(*pair)
        accumulators.append(accumulator)
        random.shuffle(pairs)
    assert accumulators[0].total == accumulators[1].total
    if not accumulators[0].overflow and not accumulators[1].overflow:
        assert accumulators[0].value == accumulators[1].value


def test_an_infinite_sum_stays_infinite() -> None:
    one, big = half(1), half(30000)
    pairs = [(big, one), (big, one), (half(-30000), one), (half(-30000), one)]
    assert linear(sum_of_products(pairs)) == 0x7C00
    assert relu(sum_of_products([(half(-30000), one)] * 2)) == 0
    assert linear(scaled(sum_of_products(pairs), Fraction(1, 1 << 24), Profile())) == 0x7C00
    assert linear(scaled(sum_of_products(pairs), Fraction(0), Profile())) == 0


# Named options -----------------------------------------------------------------------------------------------------


def test_post_scale_of_the_sum_or_of_its_fp16() -> None:
    sum_of_2049 = Fraction(2049)
    assert linear(scaled(sum_of_2049, Fraction(1, 2), Profile())) == half(1025)  # 1024.5 is a tie
    assert linear(scaled(sum_of_2049, Fraction(3), Profile())) == half(6148)  # 6147 is between 6144 and 6148
    fp16_sum = Profile(post_scale=PostScale.FP16_SUM)
    assert linear(scaled(sum_of_2049, Fraction(3), fp16_sum)) == half(6152)  # 2050 * 3 = 6150, a tie


def test_a_table_sees_the_sum_or_its_fp16() -> None:
    identity = LookupTable(TableMode.DIRECT, tuple(float(i) for i in range(33)), 0)
    argument = Fraction(1) + Fraction(1, 1 << 12) + Fraction(1, 1 << 13)
    assert tabulated(argument, identity, Profile()) == half(1)
    steep = LookupTable(TableMode.DIRECT, tuple(float(512 * (i - 1)) for i in range(33)), 0)
    assert tabulated(argument, steep, Profile()) == half(512 * (2.0**-12 + 2.0**-13))
    assert tabulated(argument, steep, Profile(table_index=TableIndex.FP16)) == 0


@pytest.mark.parametrize(
    ("mode", "argument", "wanted"),
    [(TableMode.DIRECT, 31.5, 31.5), (TableMode.DIRECT, 32, 32), (TableMode.DIRECT, 0, 0), (TableMode.DIRECT, 33, 66),
     (TableMode.DIRECT, -1, 5), (TableMode.CENTERED, -16, 0), (TableMode.CENTERED, 16, 32),
     (TableMode.CENTERED, -0.25, 15.75), (TableMode.CENTERED, 17, 34),
     (TableMode.ENDING_AT_ZERO, 0, 32), (TableMode.ENDING_AT_ZERO, -32, 0),
     (TableMode.ENDING_AT_ZERO, -31.5, 0.5), (TableMode.ENDING_AT_ZERO, 1, 2), (TableMode.ENDING_AT_ZERO, -33, -27)],
)  # fmt: skip
def test_where_the_knots_are(mode: TableMode, argument: float, wanted: float) -> None:
    table = LookupTable(mode, tuple(float(i) for i in range(33)), 0, left=StraightLine(1, 6), right=StraightLine(2, 0))
    assert tabulated(Fraction(argument), table, Profile()) == half(wanted)


def test_interpolation_begins_at_the_knot_nearer_to_zero() -> None:
    """The difference, the product and the sum are rounded: 2049, a tie, is 2050 from either side of zero."""
    knots = [0.0] * 33
    knots[15], knots[16], knots[17] = 2049 + 1, 1, 2049 + 1
    table = LookupTable(TableMode.CENTERED, tuple(knots), 0)
    for argument in (0.5, -0.5):
        assert tabulated(Fraction(argument), table, Profile()) == half(1026)  # 1 + 2050 / 2; from 2050 down it is 1025
    assert tabulated(Fraction(1, 1 << 20), table, Profile()) == half(1 + 2**-9)


def test_reductions_in_three_orders() -> None:
    values = [F(2048), F(1), F(1), F(1)]
    found = {order: float(total(values, order)) for order in ReductionOrder}
    assert found == {
        ReductionOrder.FLOAT32: 2051,
        ReductionOrder.FP16_SEQUENCE: 2054,  # 2049, 2051 and 2053 are ties, each goes up
        ReductionOrder.FP16_PAIRS: 2052,  # (2048 + 1 -> 2050) + 2
    }
    assert float(total([], ReductionOrder.FP16_PAIRS)) == 0
    assert float(total(values[:3], ReductionOrder.FP16_PAIRS)) == 2052


def test_rounding_is_reading_what_was_written() -> None:
    assert rounded(2049) == 2050 and rounded(1e9) == 65536
