"""The accumulator of the campaign's expectation: single products by the published rule, sums by the definition."""

from __future__ import annotations

import numpy as np
import pytest
from differential.accumulator import STEP, accumulated, products

from openane.net import units as u
from openane.net.units.dimensions import Pads


@pytest.mark.parametrize(
    ("first", "second", "steps"),
    [
        (2.0**-8, 2.0**-8, 1),
        (1.5 * 2.0**-8, 2.0**-8, 2),  # halves go away from zero
        (-1.5 * 2.0**-8, 2.0**-8, -2),
        (1.25 * 2.0**-8, 2.0**-8, 1),
        (1.99 * 2.0**-8, 1.98 * 2.0**-9, 0),  # nearly two steps, lost for its exponents
        (2.0**-24, 2.0**8, 1),  # a subnormal number counts as exponent -14
        (2.0**-24, 2.0**-4, 0),
        (300.0, 100.0, 30000 << 16),
        (0.0, 5.0, 0),
    ],
)
def test_single_products(first: float, second: float, steps: int) -> None:
    a, b = (np.array([[x]], np.float16).astype(np.float32) for x in (first, second))
    assert products(a, b).item() == steps


def test_many_small_products_vanish_though_their_sum_does_not() -> None:
    weight = np.full((1, 4000), 2.0**-9)
    x = np.full((1, 1, 1, 1, 4000), 2.0**-8)
    assert u.LinearParams(weight).evaluate([x]).item() == 4000 * 2.0**-17
    (found,) = accumulated(u.LinearParams(weight), [x]).reshape(-1)  # type: ignore[union-attr]
    assert found == 0.0


def test_sums_from_32768_on_are_infinite() -> None:
    x = np.full((1, 1, 1, 1, 2), 128.0)
    assert accumulated(u.LinearParams(np.array([[128.0, 127.5], [-128.0, -128.0]])), [x]).tolist()[0][0][0][0] == [  # type: ignore[union-attr]
        32704.0,
        -np.inf,
    ]


@pytest.mark.parametrize("seed", range(40))
def test_sums_are_those_of_the_definition_within_half_a_step_of_each_product(seed: int) -> None:
    random = np.random.default_rng(seed)
    transposed, groups = bool(seed % 2), int(random.choice([1, 1, 2, 3]))
    outputs, inputs = groups * int(random.integers(1, 4)), int(random.integers(1, 4))
    window = random.integers(1, 5, 2)
    kernel = random.normal(size=(outputs, inputs, *window)).astype(np.float16)
    step, dilation = (tuple(map(int, random.integers(1, 4, 2))) for _ in range(2))
    more = tuple(map(int, random.integers(0, 2, 2))) if transposed else (0, 0)
    pads = Pads(*map(int, random.integers(0, min(window), 4)))
    params = u.ConvParams(kernel, step, dilation, pads, groups, transposed, more)
    x = random.normal(size=(2, 1, groups * inputs, 14, 15)).astype(np.float16).astype(np.float64)
    found = accumulated(params, [x])
    assert found is not None
    assert np.abs(found - params.evaluate([x])).max() <= (kernel[0].size / 2) * STEP + 1e-9


@pytest.mark.parametrize(("a", "b"), [(False, False), (True, False), (False, True), (True, True)])
def test_products_of_two_tensors(a: bool, b: bool) -> None:
    random = np.random.default_rng(1)
    first = random.normal(size=(1, 1, 2, 5, 6) if not a else (1, 1, 2, 6, 5)).astype(np.float16).astype(np.float64)
    second = random.normal(size=(1, 1, 2, 6, 4) if not b else (1, 1, 2, 4, 6)).astype(np.float16).astype(np.float64)
    found = accumulated(u.MatMulParams(a, b), [first, second])
    assert found is not None
    assert np.abs(found - u.MatMulParams(a, b).evaluate([first, second])).max() <= 3 * STEP + 1e-9
