"""Places where a program runs, one file each; all answer to one contract (:mod:`openane.runtimes.runtime`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openane.core.lazy import lazy_names
from openane.runtimes.registry import NAMES, Choice, choose, load

if TYPE_CHECKING:
    from openane.runtimes.runtime import Availability, Runtime, Session, SessionOptions, Timing

__all__ = [
    "NAMES",
    "Availability",
    "Choice",
    "Runtime",
    "Session",
    "SessionOptions",
    "Timing",
    "choose",
    "load",
]

__getattr__ = lazy_names(
    __name__, dict.fromkeys(("Availability", "Runtime", "Session", "SessionOptions", "Timing"), "runtime")
)
