"""What became of a measured value: matches, differs, or not applicable, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

MATCHES, DIFFERS, NOT_APPLICABLE = "matches", "differs", "not applicable"
Entry = dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What became of one entry."""

    status: str
    found: str
    reason: str


def same(found: float, expected: float, reason: str = "") -> Outcome:
    """Compares fp16 bits; the sign of zero counts."""
    bits = [int(np.float16(value).view(np.uint16)) for value in (found, expected)]
    status = MATCHES if bits[0] == bits[1] else DIFFERS
    return Outcome(status, f"{found:g} ({bits[0]:04x})", reason)


def absent(reason: str) -> Outcome:
    return Outcome(NOT_APPLICABLE, "", reason)


def number(entry: Entry) -> float:
    """The input, from its bits when they are given."""
    if entry.get("x_hex"):
        return float(np.uint16(int(entry["x_hex"], 16)).view(np.float16))
    return {"NaN": np.nan, "inf": np.inf, "-0.0": -0.0}.get(entry["x"], entry["x"])


def wanted(entry: Entry) -> float:
    if entry.get("y_hex") and isinstance(entry["y_hex"], str):
        return float(np.uint16(int(entry["y_hex"], 16)).view(np.float16))
    return {"inf": np.inf}.get(entry["y"], entry["y"])
