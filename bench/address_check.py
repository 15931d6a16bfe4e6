"""The share of compile time that the address check of every compiled program takes.

    python bench/address_check.py MODEL.onnx|FOLDER ...

Every compilation ends with the simulator's proof that the program keeps to its memories. Processor time of the
compilation (from the file to programs, without packing a container) and of the proof within it, measured in the same
run; the median of several runs, the first of which is not counted. Exits with status 1 when a share is 10 % or more.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from pathlib import Path
from unittest.mock import patch

from openane.cli._show import print_table
from openane.compiler.driver import build
from openane.program import Program
from openane.targets.h13.engine import H13

LIMIT = 0.10
_LEAST_RUNS, _MOST_RUNS, _SECONDS = 3, 60, 4.0


def shares(path: Path) -> tuple[float, float, float, int]:
    """(median share, median milliseconds of the check, of the whole compilation, tasks)."""
    spent: list[float] = []
    tasks: list[int] = []
    check = H13.check_addresses

    def timed(target: H13, program: Program) -> None:
        start = time.process_time()
        check(target, program)
        spent.append(time.process_time() - start)
        tasks.append(len(program.tasks))

    rows: list[tuple[float, float, float]] = []
    begin = time.monotonic()
    with patch.object(H13, "check_addresses", timed):
        while len(rows) <= _LEAST_RUNS or (len(rows) <= _MOST_RUNS and time.monotonic() - begin < _SECONDS):
            spent.clear()
            tasks.clear()
            gc.collect()
            start = time.process_time()
            build(path)
            whole = time.process_time() - start
            rows.append((sum(spent) / whole, 1e3 * sum(spent), 1e3 * whole))
    share, checked, whole = (statistics.median(column) for column in zip(*rows[1:], strict=True))
    return share, checked, whole, sum(tasks)


def main() -> int:
    """Prints one row per model."""
    paths = [model for path in map(Path, sys.argv[1:]) for model in (sorted(path.glob("*.onnx")) or (path,))]
    found = [(path.stem, *shares(path)) for path in paths if not path.stem.endswith(".raw")]
    rows = [
        (name, tasks, f"{checked:.2f}", f"{whole:.1f}", f"{share:.1%}") for name, share, checked, whole, tasks in found
    ]
    columns = ("model", "tasks", "check ms", "compile ms", "share")
    print_table("address check within compile time", columns, rows, numeric=columns[1:])
    for name, share, *_ in found:
        print(f"{name}, address check, against compilation: {share:.1%}, ratio {share:.3f}")
    return int(any(share >= LIMIT for _, share, *_ in found))


if __name__ == "__main__":
    sys.exit(main())
