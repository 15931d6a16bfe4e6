"""How well the cost model agrees with published timings: on the rows it was fitted to, and on those held out.

    python bench/cost.py            a line for each chip and family
    python bench/cost.py --rows     and every row
    python bench/cost.py --json     the same as JSON

The constants are those of the package (openane.cost.chips); tools/calibrate_cost.py shows how they were fitted. Errors
are |model / published - 1|.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from openane.cost.chips import chip
from openane.cost.measurements import MEASUREMENTS, Measurement, split
from openane.cost.model import call_milliwatts, call_us


@dataclass(frozen=True)
class Summary:
    """Errors of some rows; `part` is fitted or held out, `family` may be all."""

    chip: str
    part: str
    family: str
    rows: int
    median: float
    worst: float
    power_median: float | None


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", action="store_true", help="print every row")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    summaries = list(summarise())
    if options.json:
        print(json.dumps([asdict(summary) for summary in summaries], indent=2))
        return
    print(f"{'chip':8} {'part':9} {'family':15} {'rows':>4} {'median':>8} {'worst':>8} {'power':>8}")
    for each in summaries:
        power = "" if each.power_median is None else f"{each.power_median:8.1%}"
        print(
            f"{each.chip:8} {each.part:9} {each.family:15} {each.rows:4} {each.median:8.1%} {each.worst:8.1%} {power:>8}"
        )
    if options.rows:
        for row in MEASUREMENTS:
            print(
                f"{row.chip:8} {row.work.name:40} {row.time_us:9.0f} us, model {_model_us(row):9.0f} us  {row.source}"
            )


def summarise() -> Iterator[Summary]:
    """One summary for each chip with rows, part, and family, all families first."""
    for name in dict.fromkeys(row.chip for row in MEASUREMENTS):
        for part, rows in zip(("fitted", "held out"), split(name), strict=True):
            yield _summary(name, part, "all", rows)
            for family in dict.fromkeys(row.family for row in rows):
                yield _summary(name, part, family, [row for row in rows if row.family == family])


def _model_us(row: Measurement) -> float:
    return call_us((row.work,), chip(row.chip))


def _summary(name: str, part: str, family: str, rows: Sequence[Measurement]) -> Summary:
    errors = [abs(_model_us(row) / row.time_us - 1) for row in rows]
    powers = [abs(call_milliwatts((row.work,), chip(name)) / row.milliwatts - 1) for row in rows if row.milliwatts]
    power = statistics.median(powers) if powers else None
    return Summary(name, part, family, len(rows), statistics.median(errors), max(errors), power)


if __name__ == "__main__":
    main()
