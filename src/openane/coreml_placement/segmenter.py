"""The segmenter: the cheapest chain of backends for operations in file order (placement.md#decision-rule).

States are backends. A chain pays the operations' own times, `LAUNCH_MS` when a segment of the engine starts,
`SWITCH_MS` when the backend changes, and `OUTPUT_MS` for each output of the program that the engine produces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from openane.targets.core_ml import Backend

LAUNCH_MS = 0.125
SWITCH_MS = 0.125
OUTPUT_MS = 0.125
TIE_MS = 1e-9
"""Chains whose costs differ by less are ties: far below a time that the estimator can express, far above rounding."""


@dataclass(frozen=True, slots=True)
class ChainStep:
    """An operation as the segmenter sees it.

    Attributes:
        times_ms: by backend that supports it.
        outputs: how many outputs of the program it produces.
    """

    times_ms: Mapping[Backend, float]
    outputs: int = 0


@dataclass(frozen=True, slots=True)
class Chain:
    """The result.

    Attributes:
        backends: of each step, along one cheapest chain.
        cost_ms: of that chain.
        best_ms: for each step, the cost of the cheapest chain through each of its backends.
    """

    backends: tuple[Backend, ...]
    cost_ms: float
    best_ms: tuple[Mapping[Backend, float], ...]


def _enter(before: Backend | None, after: Backend) -> float:
    """What it costs to go on with `after`."""
    if before is after:
        return 0.0
    launch = LAUNCH_MS if after is Backend.ANE else 0.0
    return launch if before is None else launch + SWITCH_MS


def _own(step: ChainStep, backend: Backend) -> float:
    return step.times_ms[backend] + (OUTPUT_MS * step.outputs if backend is Backend.ANE else 0.0)


def cheapest_chain(steps: Sequence[ChainStep]) -> Chain:
    """The cheapest chain; where chains tie, the one that stays on the engine.

    Args:
        steps: in file order; each is supported by at least one backend.
    """
    if not steps:
        return Chain((), 0.0, ())
    ahead: list[dict[Backend, float]] = []
    for place, step in enumerate(steps):
        reached = {}
        for backend in step.times_ms:
            entries = (
                [_enter(None, backend)]
                if place == 0
                else [cost + _enter(before, backend) for before, cost in ahead[-1].items()]
            )
            reached[backend] = min(entries) + _own(step, backend)
        ahead.append(reached)
    rests: list[dict[Backend, float]] = [dict.fromkeys(steps[-1].times_ms, 0.0)]
    for place in range(len(steps) - 2, -1, -1):
        later = {after: cost + _own(steps[place + 1], after) for after, cost in rests[-1].items()}
        rests.append(
            {
                backend: min(cost + _enter(backend, after) for after, cost in later.items())
                for backend in steps[place].times_ms
            }
        )
    rests.reverse()
    best = [
        {backend: cost + after[backend] for backend, cost in before.items()}
        for before, after in zip(ahead, rests, strict=True)
    ]
    return Chain(_path(steps, rests), min(best[0].values()), tuple(best))


def _path(steps: Sequence[ChainStep], rests: Sequence[Mapping[Backend, float]]) -> tuple[Backend, ...]:
    """One cheapest chain, from the front; among equals the backend of the engine, then the one that goes on."""
    chosen: list[Backend] = []
    before: Backend | None = None
    for step, rest in zip(steps, rests, strict=True):
        costs = {backend: _enter(before, backend) + _own(step, backend) + rest[backend] for backend in step.times_ms}
        least = min(costs.values())
        tied = [backend for backend, cost in costs.items() if cost <= least + TIE_MS]
        before = Backend.ANE if Backend.ANE in tied else before if before in tied else tied[0]
        chosen.append(before)
    return tuple(chosen)
