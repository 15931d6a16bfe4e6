"""Runs every benchmark, one after the other, each in its own process, and keeps the ratios.

    python bench/run.py [NAME ...]      (make bench)

Each prints its figures with a ratio to a named peer measured in the same run ("name against peer: ..., ratio 0.12"),
or rows of times as JSON. A benchmark that needs data from outside says so and is passed over; the networks are those of
OPENANE_MODELS, or made up. The ratios go to bench/history.jsonl, one line a run with the commit and the class of
machine; the docs draw them. OPENANE_BENCH_HISTORY names another file; empty means none.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

from models import models_folder

FOLDER = Path(__file__).parent
NAMES = (
    *("import_time", "open_files", "compile", "parity", "quality", "cost", "hardware", "simulator", "placement"),
    "address_check",
)
WITH_MODELS = {"compile": (), "simulator": ("--json",), "address_check": ()}
"""Benchmarks that take the folder of models, and what else they take."""
ROW_PEER = "onnxruntime"
ROW_SIDES = ("exact", "fast", "many")
"""Of rows of JSON: NAME_ms is the time of one side, for the model in "name"; NAME_ratio, where there is one, was taken
by turns."""
HISTORY = FOLDER / "history.jsonl"
_RATIO = re.compile(r"^(?P<what>[^:\n]+): .*\bratio (?P<ratio>\d+(?:\.\d+)?)", re.MULTILINE)


def main(names: list[str]) -> int:
    """Runs the benchmarks by name, all by default; the status is the number of failures."""
    failures = 0
    ratios: dict[str, float] = {}
    with models_folder() as models:
        for name in names or NAMES:
            script = FOLDER / f"{name}.py"
            if not script.is_file():
                print(f"== {name}: there is no such benchmark", file=sys.stderr)
                failures += 1
                continue
            print(f"== {name}", flush=True)
            arguments = [*WITH_MODELS[name], str(models)] if name in WITH_MODELS else []
            command = [sys.executable, str(script), *arguments]
            done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
            print(done.stdout, end="", flush=True)
            failures += done.returncode != 0
            ratios |= {f"{name}: {what}": ratio for what, ratio in ratios_of(done.stdout).items()}
    if ratios:
        remember(ratios)
    return failures


def ratios_of(output: str) -> dict[str, float]:
    """The ratios in what a benchmark printed, by what they are of; lines of the peers themselves are left out."""
    found = {match["what"]: float(match["ratio"]) for match in _RATIO.finditer(output) if "(peer)" not in match["what"]}
    start = output.find("\n[")
    rows = json.loads(output[start:]) if start >= 0 else []
    for row in rows:
        peer = row[f"{ROW_PEER}_ms"]
        for side in ROW_SIDES:
            if row.get(f"{side}_ms"):
                ratio = row.get(f"{side}_ratio") or row[f"{side}_ms"] / peer
                found[f"{row['name']}, {side}, against {ROW_PEER}"] = round(ratio, 4)
    return found


def remember(ratios: dict[str, float]) -> None:
    """Adds a line to the history: which commit, on what kind of machine, which ratios."""
    name = os.environ.get("OPENANE_BENCH_HISTORY", str(HISTORY))
    if not name:
        return
    line = {"commit": commit(), "machine": f"{platform.machine()}, {os.cpu_count()} cores", "ratios": ratios}
    with Path(name).open("a") as file:
        file.write(json.dumps(line, sort_keys=True) + "\n")


def commit() -> str:
    """The commit that is checked out, with a mark when files differ from it; empty outside of a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=10", "--exclude=*"]
    done = subprocess.run(command, cwd=FOLDER, check=False, capture_output=True, text=True)
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
