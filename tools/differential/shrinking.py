"""A failing network made smaller by hypothesis, as long as it fails in the same way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.database import ExampleDatabase, choices_to_bytes

from differential.network import Network
from differential.strategy import networks

SECONDS = 120.0
"""Longest time of one shrink; the smallest network by then is taken."""


class EnoughError(BaseException):
    """The time is up; hypothesis lets it through."""


class _Seeded(ExampleDatabase):
    """Hands hypothesis the choices that made the failing network, as an example that is not yet shrunk."""

    def __init__(self, choices: Iterable[int]) -> None:
        super().__init__()
        self.data = choices_to_bytes(tuple(choices))

    def fetch(self, key: bytes) -> Iterable[bytes]:
        return [self.data] if key.endswith(b".secondary") else []

    def save(self, key: bytes, value: bytes) -> None:
        return

    def delete(self, key: bytes, value: bytes) -> None:
        return


def shrink(network: Network, choices: Iterable[int], fails: Callable[[Network], bool]) -> Network:
    """The smallest network that hypothesis finds to fail within a time.

    Args:
        network: fails.
        choices: that made it, as `strategy.make` gives them.
        fails: whether a network fails in the same way.
    """
    end, best = time.monotonic() + SECONDS, [network]

    @settings(
        database=_Seeded(choices),
        phases=[Phase.reuse, Phase.shrink],
        deadline=None,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @given(networks())
    def attempt(candidate: Network) -> None:
        if time.monotonic() > end:
            raise EnoughError
        if fails(candidate):
            if _size(candidate) <= _size(best[0]):
                best[0] = candidate
            raise AssertionError

    with suppress(AssertionError, EnoughError):
        attempt()
    return best[0]


def _size(network: Network) -> tuple[int, int]:
    elements = sum(len(values.array().ravel()) for values in (*network.inputs.values(), *network.constants.values()))
    return len(network.steps), elements
