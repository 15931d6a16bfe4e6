"""Every output measured on a real chip: to the bit, to the printed digits, or listed here with the reason."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tests.support import measured
from tests.support.fixed_point import convolution_by_columns, narrow, sums
from tests.support.outcome import DIFFERS, MATCHES, NOT_APPLICABLE, Entry, Outcome
from tests.support.probes import convolution, run

from openane.numerics.definition.accumulator import sum_of_products
from openane.numerics.definition.fp16 import nearest

DIFFERENT = {
    ("m1_linux_ops", 1): "the source contradicts itself",
    ("maccfg_sweep_m1", 3): "unexplained",
    ("slice_and_accum_m1", 3): "not the MAC array",
    ("slice_and_accum_m1", 4): "not the MAC array",
    ("slice_and_accum_m1", 6): "not the MAC array",
    ("slice_and_accum_m1", 7): "not the MAC array",
    ("slice_and_accum_m1", 21): "the path of this probe is not known",
    ("special_m1", 25): "a second source give -0.000754",
    ("stat_wattcomplete", 12): "the host's BLAS",
    ("stat_wattcomplete", 13): "the host's BLAS",
    ("conv_relerr", 3): "float32 reference",
    ("stat_conv3x3", 3): "float32 reference",
    ("stat_stream", 7): "in an order that is not known",
    ("stat_stream", 9): "in an order that is not known",
}
"""All that differ among the entries that a test has time for."""
LIMIT = 5e8
"""Of the work of an entry; `python tools/measured.py` computes the others too."""


@pytest.fixture(scope="module")
def outcomes(shared: Path) -> list[tuple[Entry, Outcome]]:
    return measured.outcomes(shared, LIMIT)


def test_every_difference_is_known(outcomes: list[tuple[Entry, Outcome]]) -> None:
    found = {(e["table"], e["row"]): o.reason for e, o in outcomes if o.status == DIFFERS}
    assert found.keys() == DIFFERENT.keys()
    assert all(DIFFERENT[key] in reason for key, reason in found.items())


def test_what_can_be_compared_matches(outcomes: list[tuple[Entry, Outcome]]) -> None:
    count = Counter(outcome.status for _, outcome in outcomes)
    assert count[MATCHES] >= 570
    assert all(outcome.reason for _, outcome in outcomes if outcome.status == NOT_APPLICABLE)


def test_single_outputs_of_the_mac_array_and_of_the_planar_engine_all_match(
    outcomes: list[tuple[Entry, Outcome]],
) -> None:
    chosen = [o for e, o in outcomes if e["table"].startswith(("mac_", "pe_", "reduce_sum_2049"))]
    assert len(chosen) >= 408
    assert {outcome.status for outcome in chosen} == {MATCHES}


# The rule in numpy, with which the statistics are computed ---------------------------------------------------------


def random_halves(rng: np.random.Generator, shape: tuple[int, ...], log2_scale: int) -> np.ndarray:
    """Values of many magnitudes, some of them subnormal."""
    return np.ldexp(rng.standard_normal(shape), rng.integers(-16, 1, shape) + log2_scale).astype(np.float16)


@pytest.mark.parametrize("log2_scale", [-8, -4, 0, 3])
def test_the_rule_in_numpy_is_the_definition(log2_scale: int) -> None:
    rng = np.random.default_rng(log2_scale + 100)
    x, weights = random_halves(rng, (9, 25), log2_scale), random_halves(rng, (11, 25), -2)
    found = narrow(sums(x, weights)).view(np.uint16)
    for i, j in np.ndindex(found.shape):
        pairs = zip(x[i].view(np.uint16).tolist(), weights[j].view(np.uint16).tolist(), strict=True)
        assert found[i, j] == nearest(sum_of_products(pairs))


def test_narrowing_is_the_definition() -> None:
    every = np.arange(0x7BFF, dtype=np.uint16).view(np.float16).astype(np.float64)
    ties = (every[:-1] + every[1:]) / 2
    for values in (ties, np.nextafter(ties, 0), np.nextafter(ties, 1e9)):
        assert narrow(values[::7]).view(np.uint16).tolist() == [nearest(value) for value in values[::7]]


def test_winograd_in_numpy_is_the_reference_machine() -> None:
    rng = np.random.default_rng(8)
    weights, image = rng.standard_normal((3, 5, 3, 3)), rng.standard_normal((5, 4, 6)).astype(np.float16)
    weights = (weights / 4).astype(np.float16)
    found = run(convolution(weights, image.shape), image, winograd="columns")
    assert np.array_equal(found, narrow(convolution_by_columns(image, weights)).reshape(-1))
