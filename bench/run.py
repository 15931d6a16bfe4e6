"""Runs every benchmark, one after the other, each in its own process.

    python bench/run.py [NAME ...]      (make bench)

Each prints its figures with a ratio to a named peer measured in the same run. A benchmark that needs data from outside
says so and is passed over.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
NAMES = ("parity", "cost", "hardware", "compile", "simulator")


def main(names: list[str]) -> int:
    """Runs the benchmarks by name, all by default; the status is the number of failures."""
    failures = 0
    for name in names or NAMES:
        script = FOLDER / f"{name}.py"
        if not script.is_file():
            print(f"== {name}: there is no such benchmark", file=sys.stderr)
            failures += 1
            continue
        print(f"== {name}", flush=True)
        failures += subprocess.run([sys.executable, str(script)], check=False).returncode != 0
    return failures


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
