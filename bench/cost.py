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
from dataclasses import asdict

from openane.cost.evaluation import model_us, summarize
from openane.cost.measurements import MEASUREMENTS


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", action="store_true", help="print every row")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    summaries = list(summarize())
    if options.json:
        print(json.dumps([asdict(summary) for summary in summaries], indent=2))
        return
    print(f"{'chip':8} {'part':9} {'family':15} {'rows':>4} {'median':>8} {'worst':>8} {'power':>8}")
    for each in summaries:
        power = "" if each.power_median is None else f"{each.power_median:.1%}"
        errors = f"{each.rows:4} {each.median:8.1%} {each.worst:8.1%} {power:>8}"
        print(f"{each.chip:8} {each.part:9} {each.family:15} {errors}")
    ratios = [model_us(row) / row.time_us for row in MEASUREMENTS]
    print(f"estimated against published times: median of {len(ratios)} rows, ratio {statistics.median(ratios):.3f}")
    if options.rows:
        for row in MEASUREMENTS:
            print(f"{row.chip:8} {row.work.name:40} {row.time_us:9.0f} us, model {model_us(row):9.0f} us  {row.source}")


if __name__ == "__main__":
    main()
