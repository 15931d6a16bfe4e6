"""How far the model is from the published timings of single operations, which are counted without a program."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from openane.cost.chips import chip
from openane.cost.measurements import MEASUREMENTS, Measurement
from openane.cost.model import call_milliwatts, call_us

ALL = "all"


@dataclass(frozen=True, slots=True)
class Summary:
    """Errors |model / published - 1| of some rows.

    Attributes:
        chip: name in `openane.cost.chips`.
        family: of the rows, or ALL.
        rows: how many.
        median, worst: of the times.
        power_median: of the rows with power; None without any.
    """

    chip: str
    family: str
    rows: int
    median: float
    worst: float
    power_median: float | None


def model_us(row: Measurement) -> float:
    """What the model says about a row."""
    return call_us((row.work,), chip(row.chip))


def summarize() -> Iterator[Summary]:
    """One summary for each chip with rows, and family; all families together first."""
    for name in dict.fromkeys(row.chip for row in MEASUREMENTS):
        rows = [row for row in MEASUREMENTS if row.chip == name]
        yield _summary(name, ALL, rows)
        for family in dict.fromkeys(row.family for row in rows):
            yield _summary(name, family, [row for row in rows if row.family == family])


def _summary(name: str, family: str, rows: Sequence[Measurement]) -> Summary:
    errors = [abs(model_us(row) / row.time_us - 1) for row in rows]
    powers = [abs(call_milliwatts((row.work,), chip(name)) / row.milliwatts - 1) for row in rows if row.milliwatts]
    power = statistics.median(powers) if powers else None
    return Summary(name, family, len(rows), statistics.median(errors), max(errors), power)
