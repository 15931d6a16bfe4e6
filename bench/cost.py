"""How well the cost model agrees with published timings: median error of each generation, then of each chip.

    python bench/cost.py               medians
    python bench/cost.py --rows        and every row
    python bench/cost.py --file FILE   rows of another file like performance-2.json
    python bench/cost.py --json        the medians as JSON

Rows of networks are estimated from a compiled program, as `openane estimate --like-apple` does. For H13 that is the
program of the chip; the others are marked: their own code is not generated, the tasks are those of H13, or counted
where a product is too large to compile here. The constants are those of the package (openane.cost.chips); "others" is
their cross-validated error (`tools/calibrate_cost.py --errors`). Rows whose source calls its host slow are left out.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from published_timings import FILE, NOT_USED, Row, rows, rows_of

from openane.cost.chips import chip
from openane.cost.evaluation import model_us, summarize
from openane.cost.measurements import MEASUREMENTS


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", action="store_true", help="print every row")
    parser.add_argument("--file", type=Path, help="a file like performance-2.json")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    found = rows_of(options.file) if options.file else rows() if FILE.exists() else ()
    generations = [generation_values(name, found) for name in dict.fromkeys(row.generation for row in found)]
    summaries = list(summarize())
    if options.json:
        values = {"generations": generations, "operations": [asdict(summary) for summary in summaries]}
        print(json.dumps(values, indent=2))
        return
    _print_generations(generations, found, every=options.rows)
    if options.file:
        return
    print("\nSingle operations, counted without a program")
    print(f"{'chip':8} {'family':15} {'rows':>4} {'median':>8} {'worst':>8} {'power':>8}")
    for each in summaries:
        power = "" if each.power_median is None else f"{each.power_median:.1%}"
        print(f"{each.chip:8} {each.family:15} {each.rows:4} {each.median:8.1%} {each.worst:8.1%} {power:>8}")
    ratios = [model_us(row) / row.time_us for row in MEASUREMENTS]
    print(f"estimated against published times: median of {len(ratios)} rows, ratio {statistics.median(ratios):.3f}")
    if options.rows:
        for row in MEASUREMENTS:
            print(f"{row.chip:8} {row.work.name:40} {row.time_us:9.0f} us, model {model_us(row):9.0f} us  {row.source}")


def generation_values(generation: str, found: Sequence[Row]) -> dict[str, object]:
    """Counts and errors of the rows of a generation, slow hosts left out."""
    own = [row for row in found if row.generation == generation and row.fitted]
    errors = [abs(row.model_us / row.time_us - 1) for row in own]
    within = [max(row.model_us / row.time_us, row.time_us / row.model_us) <= chip(row.chip).spread for row in own]
    return {
        "generation": generation,
        "rows": len(own),
        "compiled": sum(row.compiled for row in own),
        "median": statistics.median(errors) if errors else None,
        "others": chip(own[0].chip).median_error if own else None,
        "in_range": sum(within),
        "slow_hosts": sum(row.generation == generation and not row.fitted for row in found),
    }


def _print_generations(generations: Sequence[dict[str, object]], found: Sequence[Row], *, every: bool) -> None:
    if not found:
        print(f"{FILE} is not there: no networks")
        return
    print("Networks")
    print(f"{'generation':10} {'rows':>4} {'compiled':>8} {'median':>8} {'others':>8} {'in range':>8} {'slow host':>9}")
    for each in generations:
        median, others = (f"{each[key]:.1%}" if each["rows"] else "" for key in ("median", "others"))
        counts = f"{each['in_range']:8} {each['slow_hosts']:9}"
        print(f"{each['generation']:10} {each['rows']:4} {each['compiled']:8} {median:>8} {others:>8} {counts}")
    print("Tables without times of a known network: " + ", ".join(f"{name} ({why})" for name, why in NOT_USED.items()))
    if not every:
        return
    for row in found:
        mark = "" if row.compiled else "  not compiled for the chip"
        mark += "" if row.fitted else "  slow host"
        times = f"{row.time_us:9.0f} us, model {row.model_us:9.0f} us {row.model_us / row.time_us - 1:+5.0%}"
        print(f"{row.chip:8} {row.network:44} {times}{mark}")


if __name__ == "__main__":
    main()
