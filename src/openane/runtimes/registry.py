"""Runtimes by name, and the choice between them. Nothing falls back silently: a choice carries its reason."""

from __future__ import annotations

import importlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from openane.core.errors import InputError, UnavailableError

if TYPE_CHECKING:
    from openane.runtimes.runtime import Availability, Runtime

_log = logging.getLogger(__name__)

NAMES = ("macos", "linux", "simulator")
"""File names of this package, devices first: the order in which `auto` asks them."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A runtime and why it was taken.

    Attributes:
        runtime: the one to use.
        reason: one sentence for the user, with what was passed over and why.
        availability: what its probe found.
    """

    runtime: Runtime
    reason: str
    availability: Availability


def load(name: str) -> Runtime:
    """The runtime called `name`; only its own file is imported.

    Raises:
        InputError: no runtime has this name.
    """
    if name not in NAMES:
        raise InputError("there is no such runtime", value=name, limit=", ".join(("auto", *sorted(NAMES))))
    runtime: Runtime = importlib.import_module(f"openane.runtimes.{name}").runtime()
    return runtime


def choose(name: str = "auto") -> Choice:
    """The runtime to use on this machine.

    Args:
        name: a runtime's name, which is then taken or refused, never replaced; or "auto", the first one
            that is available, devices before the simulator.

    Raises:
        InputError: no runtime has this name.
        UnavailableError: it cannot be used here; why, and what to do.
    """
    if name != "auto":
        runtime = load(name)
        found = runtime.probe()
        if not found.available:
            raise UnavailableError(found.reason, where=f"runtime {name}", hint=found.hint)
        return _chosen(Choice(runtime, f"{name}: as asked; {found.reason}", found))
    passed: list[str] = []
    for candidate in NAMES:
        runtime = load(candidate)
        found = runtime.probe()
        if found.available:
            skipped = f" (not {'; not '.join(passed)})" if passed else ""
            return _chosen(Choice(runtime, f"{candidate}: {found.reason}{skipped}", found))
        passed.append(f"{candidate}: {found.reason}")
    raise UnavailableError("no runtime is available", value="; ".join(passed))


def _chosen(choice: Choice) -> Choice:
    _log.info("runtime %s", choice.reason)
    return choice
