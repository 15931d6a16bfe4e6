"""Whole arrays of products against the definition of the accumulator, one product at a time."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from openane.numerics.definition.accumulator import Accumulator
from openane.numerics.limits import SUM_STEP
from openane.numerics.products import rounded_products, rounded_to_step

FINITE = st.integers(0, 0xFFFF).filter(lambda word: word & 0x7C00 != 0x7C00)


def values(words: list[int]) -> np.ndarray:
    return np.array(words, np.uint16).view(np.float16).astype(np.float64)


@given(st.lists(st.tuples(FINITE, FINITE), min_size=1, max_size=40))
def test_products_are_those_of_the_definition(pairs: list[tuple[int, int]]) -> None:
    x, weight = (values(list(words)) for words in zip(*pairs, strict=True))
    for pair, found in zip(pairs, rounded_products(x, weight), strict=True):
        accumulator = Accumulator()
        accumulator.multiply_add(*pair)
        assert Fraction(float(found)) == Fraction(accumulator.total, 1 << accumulator.step_bits)


def test_edges_of_the_drop_rule_and_ties() -> None:
    x = np.array([2.0**-8, 1.75 * 2.0**-9, 2.0**-8, 2.0**-24, 1.5 * 2.0**-16, -1.5 * 2.0**-16])
    weight = np.array([2.0**-8, 1.75 * 2.0**-8, 2.0**-9, 256.0, 1.0, 1.0])
    assert (rounded_products(x, weight) / SUM_STEP).tolist() == [1, 0, 0, 1, 2, -2]


@given(FINITE)
def test_biases_are_those_of_the_definition(word: int) -> None:
    (bias,) = values([word])
    accumulator = Accumulator()
    accumulator.start(Fraction(float(bias)))
    assert Fraction(float(rounded_to_step(np.array([bias]))[0])) == Fraction(accumulator.total, 1 << 16)
