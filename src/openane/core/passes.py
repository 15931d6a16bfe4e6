"""Passes of a compiler: steps in a stated order, each with the reason for its place, checked and shown one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from openane.core.deadline import check_deadline

State = TypeVar("State")


@dataclass(frozen=True, slots=True)
class Pass(Generic[State]):
    """One step of a compiler.

    Attributes:
        name: for dumps and for `--stop-after`.
        run: the step: from a valid state to a valid state that computes the same.
        reason: why it is at this place, one line.
    """

    name: str
    run: Callable[[State], State]
    reason: str


@dataclass(frozen=True, slots=True)
class Stage:
    """What a compiler has after one of its passes.

    Attributes:
        name: of the pass ("fuse-epilogues").
        reason: why it is at this place, one line.
        text: makes the readable form.
    """

    name: str
    reason: str
    text: Callable[[], str]


def run_passes(
    passes: Iterable[Pass[State]],
    state: State,
    *,
    verify: Callable[[Pass[State], State, State], None] | None = None,
    observe: Callable[[Pass[State], State], None] | None = None,
) -> State:
    """Runs passes in order.

    Args:
        passes: in order.
        state: what the first one gets.
        verify: called with each pass and the states before and after it; raises if the latter is not valid.
        observe: called with each pass and the state after it.

    Raises:
        InputError: the deadline is over (`core.deadline`).
    """
    for step in passes:
        check_deadline()
        before, state = state, step.run(state)
        if verify is not None:
            verify(step, before, state)
        if observe is not None:
            observe(step, state)
    return state
