"""Places where a program runs, one file each; all answer to one contract (:mod:`openane.runtimes.runtime`)."""

from openane.runtimes.registry import NAMES, Choice, choose, load
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
