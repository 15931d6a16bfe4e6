"""The measures of error, against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openane.analysis.measure import half, measure, range_of, ulp

HALVES = st.floats(-65504, 65504, width=16)


@given(HALVES)
def test_an_ulp_is_the_distance_to_the_next_fp16_number(value: float) -> None:
    number = np.float16(abs(value))
    if number == np.float16(65504):
        return
    following = np.nextafter(number, np.float16(np.inf))
    assert ulp(np.array([value])) == float(following) - float(number)


@given(st.lists(HALVES, min_size=1, max_size=8))
def test_nothing_is_off_from_itself(values: list[float]) -> None:
    array = np.array(values, np.float32)
    error = measure([array], [array])
    assert (error.max_abs, error.max_ulp, error.relative, error.not_finite) == (0.0, 0.0, 0.0, 0)
    assert error.cosine == pytest.approx(1.0)


@given(st.floats(-65000, 65000))
def test_rounding_is_half_an_ulp_at_most(value: float) -> None:
    array = np.array([value])
    assert measure([half(array)], [array]).max_ulp <= 0.5 + 1e-6


def test_the_worst_element_is_named() -> None:
    error = measure([np.array([1.0, 2.5]), np.array([-4.0])], [np.array([1.0, 2.0]), np.array([-4.0])])
    assert (error.max_abs, error.at, error.relative) == (0.5, 1, 0.125)
    assert error.max_ulp == 0.5 / 2**-9


def test_infinities_count_where_the_other_side_has_none() -> None:
    error = measure([np.array([np.inf, np.inf, np.nan])], [np.array([1.0, np.inf, np.nan])])
    assert error.not_finite == 1
    assert error.at == 0


def test_huge_values_have_a_cosine() -> None:
    huge = np.array([1e300, -1e300])
    assert measure([huge], [huge]).cosine == pytest.approx(1.0)
    assert measure([-huge], [huge]).cosine == pytest.approx(-1.0)
    assert measure([np.zeros(2)], [huge]).cosine == 0.0
    assert measure([np.zeros(2)], [np.zeros(2)]).cosine == 1.0


def test_a_range_leaves_out_what_is_not_finite() -> None:
    found = range_of([np.array([-3.0, 0.0, 0.25, np.inf])])
    assert (found.least, found.largest, found.smallest, found.not_finite, found.peak) == (-3.0, 0.25, 0.25, 1, 3.0)
    assert measure([np.zeros(0)], [np.zeros(0)]).at == -1
    assert math.isclose(range_of([np.zeros(0)]).peak, 0.0)
