"""Every output measured on a real chip: to the bit, or listed here with the reason."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import measured
import pytest

DIFFERENT = {
    ("m1_linux_ops", 1): "the source contradicts itself",
    ("maccfg_sweep_m1", 3): "unexplained",
    ("slice_and_accum_m1", 3): "accumulate=tile4",
    ("slice_and_accum_m1", 4): "accumulate=tile4",
    ("slice_and_accum_m1", 6): "accumulate=tile4",
    ("slice_and_accum_m1", 7): "accumulate=tile4",
    ("special_m1", 25): "a second source give -0.000754",
}


@pytest.fixture(scope="module")
def outcomes(shared: Path) -> list[tuple[measured.Entry, measured.Outcome]]:
    return measured.outcomes(shared)


def test_every_difference_is_known(outcomes: list[tuple[measured.Entry, measured.Outcome]]) -> None:
    found = {(e["table"], e["row"]): o.reason for e, o in outcomes if o.status == measured.DIFFERS}
    assert found.keys() == DIFFERENT.keys()
    assert all(DIFFERENT[key] in reason for key, reason in found.items())


def test_what_can_be_compared_matches(outcomes: list[tuple[measured.Entry, measured.Outcome]]) -> None:
    count = Counter(outcome.status for _, outcome in outcomes)
    assert count[measured.MATCHES] >= 119
    assert all(outcome.reason for _, outcome in outcomes if outcome.status == measured.NOT_APPLICABLE)
