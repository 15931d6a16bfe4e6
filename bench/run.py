"""Runs every benchmark, one after the other, each in its own process, and keeps the ratios.

    python bench/run.py [NAME ...]      (make bench)

Each prints its figures with a ratio to a named peer measured in the same run ("name: ..., ratio 0.12"). A benchmark
that needs data from outside says so and is passed over. The ratios go to bench/history.jsonl, one line a run with the
commit and the class of machine; the docs draw them.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
NAMES = ("import_time", "open_files", "compile", "parity", "quality", "cost", "hardware", "simulator")
HISTORY = FOLDER / "history.jsonl"
_RATIO = re.compile(r"^(?P<what>[^:\n]+): .*\bratio (?P<ratio>\d+(?:\.\d+)?)", re.MULTILINE)


def main(names: list[str]) -> int:
    """Runs the benchmarks by name, all by default; the status is the number of failures."""
    failures = 0
    ratios: dict[str, float] = {}
    for name in names or NAMES:
        script = FOLDER / f"{name}.py"
        if not script.is_file():
            print(f"== {name}: there is no such benchmark", file=sys.stderr)
            failures += 1
            continue
        print(f"== {name}", flush=True)
        done = subprocess.run([sys.executable, str(script)], check=False, stdout=subprocess.PIPE, text=True)
        print(done.stdout, end="", flush=True)
        failures += done.returncode != 0
        ratios |= {
            f"{name}: {match['what']}": float(match["ratio"])
            for match in _RATIO.finditer(done.stdout)
            if "(peer)" not in match["what"]
        }
    if ratios:
        remember(ratios)
    return failures


def remember(ratios: dict[str, float]) -> None:
    """Adds a line to the history: which commit, on what kind of machine, which ratios."""
    line = {"commit": commit(), "machine": f"{platform.machine()}, {os.cpu_count()} cores", "ratios": ratios}
    with HISTORY.open("a") as file:
        file.write(json.dumps(line, sort_keys=True) + "\n")


def commit() -> str:
    """The commit that is checked out, with a mark when files differ from it; empty outside of a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=10", "--exclude=*"]
    done = subprocess.run(command, cwd=FOLDER, check=False, capture_output=True, text=True)
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
