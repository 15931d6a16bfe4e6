"""A limit of the clock for work in many small steps, which ask for it without having it passed through every call."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from openane.core.errors import InputError

Item = TypeVar("Item")

_END: ContextVar[tuple[float, float]] = ContextVar("end of the work and the seconds it has in all")


@contextmanager
def deadline(seconds: float | None) -> Iterator[None]:
    """Gives the block so many seconds of the clock; inside of another limit the earlier end holds.

    Args:
        seconds: None for no limit of its own.
    """
    end = (time.monotonic() + seconds, seconds) if seconds is not None else None
    outer = _END.get(None)
    if end is None or (outer is not None and outer < end):
        yield
        return
    token = _END.set(end)
    try:
        yield
    finally:
        _END.reset(token)


def check_deadline() -> None:
    """Ends work that takes longer than it may; called between steps of a few milliseconds.

    Raises:
        InputError: the time of the innermost `deadline` is over.
    """
    found = _END.get(None)
    if found is not None and time.monotonic() > found[0]:
        raise InputError(
            "the compilation takes longer than it may",
            limit=f"{found[1]:g} s",
            hint="Raise the time limit if this is meant (`openane compile --time-limit`, Options.time_limit_seconds).",
        )


def in_time(items: Iterable[Item]) -> Iterator[Item]:
    """The same items, each of them made in time.

    Raises:
        InputError: as `check_deadline`.
    """
    for item in items:
        check_deadline()
        yield item
