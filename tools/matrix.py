"""The built wheel on every supported Python of this machine: installed, tested, typed; a row for each.

    python tools/matrix.py [--jobs 2] [--all]      (make matrix, after make package)

Interpreters are looked for on PATH, where pyenv keeps its own, and with uv. Each minor version from 3.11 on gets a
clean environment with the wheel, its light extras and the light part of the test group, and runs the tests that need
no more. The version that runs this tool has the whole suite in `make pytest` and is left out unless --all asks for it.
A version that is not here, or that cannot have the packages, is named and is not a failure; a test that fails is.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from environments import clean_environment, install, reason, run
from package import DIST, ROOT, check_types

FOLDER = ROOT / "build" / "matrix"
EXTRAS = "demo,onnx,coreml"
TEST_PACKAGES = ("pytest", "hypothesis")
TESTS = (
    *("graph", "compiler/passes", "compiler/test_rules.py", "compiler/test_time_limit.py", "artifact", "numerics"),
    *("frontends/mil", "frontends/onnx/test_front_end.py"),
    *("e2e/test_content.py", "e2e/test_paths.py", "e2e/test_routes.py", "e2e/test_way.py"),
)
"""Tests that need no heavy package and are done within a minute: every level, files, and the way from end to end."""
LEFT_OUT = (
    "every other test: they need large frameworks or a browser, or take long; `make pytest` runs them on its Python"
)
OLDEST, NEWEST = 11, 19
"""Minor versions that are looked for by name."""
PROBE = (
    "import json, sys; print(json.dumps([sys.version_info[:3], sys.implementation.name,"
    " bool(getattr(sys, '_is_gil_enabled', lambda: True)())]))"
)
_MINUTES = 60


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python of this machine: (major, minor, patch) and where it is."""

    version: tuple[int, int, int]
    path: str

    @property
    def name(self) -> str:
        """As "3.12"."""
        return f"{self.version[0]}.{self.version[1]}"


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one version.

    Attributes:
        name: of the version.
        where: the interpreter.
        installed: versions of the packages that matter, or why there are none.
        tests: counts, or what failed.
        typed: the word on the typed example.
        seconds: of wall time.
        failed: whether something that could be tried did not pass.
        log: what failed, at length.
    """

    name: str
    where: str = ""
    installed: str = ""
    tests: str = "-"
    typed: str = "-"
    seconds: float = 0.0
    failed: bool = False
    log: str = ""


def candidates() -> Iterator[str]:
    """Paths of what may be interpreters."""
    yield sys.executable
    for minor in range(OLDEST, NEWEST + 1):
        name = f"python3.{minor}"
        for folder in os.get_exec_path():
            path = shutil.which(name, path=folder)
            if path:
                yield path
    roots = [os.environ.get("PYENV_ROOT", ""), printed("pyenv", "root"), str(Path.home() / ".pyenv")]
    for root in dict.fromkeys(filter(None, roots)):
        yield from map(str, sorted(Path(root).glob("versions/*/bin/python3")))
    listed = printed("uv", "python", "list", "--only-installed", "--output-format", "json")
    for entry in json.loads(listed or "[]"):
        yield str(entry.get("path") or "")


def printed(*command: str) -> str:
    """What a command prints; empty where there is no such command or it fails."""
    try:
        return run(*command).strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def interpreters() -> list[Interpreter]:
    """The newest CPython of each minor version from 3.11 on, oldest first."""
    found: dict[str, Interpreter] = {}
    for path in dict.fromkeys(filter(None, candidates())):
        said = printed(path, "-c", PROBE)
        if not said.startswith("["):
            continue  # a shim without its version, or something else of that name
        version, implementation, usual = json.loads(said)
        each = Interpreter(tuple(version), path)
        if implementation != "cpython" or not usual or each.version < (3, OLDEST):
            continue
        if each.name not in found or found[each.name].version < each.version:
            found[each.name] = each
    return sorted(found.values(), key=lambda each: each.version)


def claimed() -> list[str]:
    """The versions that the package says it supports."""
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    prefix = "Programming Language :: Python :: "
    return [each.removeprefix(prefix) for each in classifiers if each.startswith(prefix)]


def try_out(interpreter: Interpreter, wheel: Path) -> Row:
    """Installs, tests and type-checks on one version."""
    began = time.monotonic()
    row = Row(".".join(map(str, interpreter.version)), interpreter.path.replace(str(Path.home()), "~"))
    folder = FOLDER / interpreter.name
    try:
        python = clean_environment(interpreter.path, folder / "environment")
        install(python, [f"{wheel}[{EXTRAS}]", *TEST_PACKAGES])
    except subprocess.CalledProcessError as error:
        return replace(row, installed=f"cannot be installed: {reason(error)}", seconds=time.monotonic() - began)
    row = replace(row, installed=versions(python))
    tests, log = run_tests(python)
    typed, types_log = typed_example(python, folder)
    failed = bool(log or types_log)
    return replace(row, tests=tests, typed=typed, failed=failed, log=log + types_log, seconds=time.monotonic() - began)


def versions(python: Path) -> str:
    """Versions of what decides most."""
    text = "import numpy, onnx; print('numpy', numpy.__version__, 'onnx', onnx.__version__)"
    return run(python, "-c", text).strip()


def run_tests(python: Path) -> tuple[str, str]:
    """Counts of the tests, and their output when some failed."""
    folders = [f"tests/{name}" for name in TESTS]
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", "-r", "fE", *folders]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=15 * _MINUTES)
    except subprocess.TimeoutExpired as error:
        return "not done in 15 minutes", str(error.stdout)
    last = (done.stdout.strip().splitlines() or ["nothing"])[-1]
    counts = ", ".join(re.findall(r"\d+ (?:passed|failed|skipped|errors?|xfailed|deselected)", last))
    return counts or last, "" if done.returncode == 0 else done.stdout[-8000:] + done.stderr[-2000:]


def typed_example(python: Path, folder: Path) -> tuple[str, str]:
    """Whether the typed example passes, and mypy's words when it does not."""
    try:
        check_types(python, folder / "mypy")
    except subprocess.CalledProcessError as error:
        return "fails", error.stdout
    return "passes", ""


def show(rows: list[Row], missing: list[str]) -> None:
    """Prints the table, what was left out, and what failed."""
    cells = [("Python", "interpreter", "installed", "tests", "typed example", "s")]
    cells += [(row.name, row.where, row.installed, row.tests, row.typed, f"{row.seconds:.0f}") for row in rows]
    cells += [(name, "not on this machine", "", "-", "-", "") for name in missing]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    for each in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(each, widths, strict=True)).rstrip())
    print(f"left out: {LEFT_OUT}")
    for row in rows:
        if row.failed:
            print(f"\n== Python {row.name}\n{row.log}")


def main() -> int:
    """The status is the number of versions that fail."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2, help="versions at a time")
    parser.add_argument("--all", action="store_true", help="also the version that runs this")
    arguments = parser.parse_args()
    wheels = sorted(DIST.glob("*.whl"))
    if len(wheels) != 1:
        sys.exit("dist/ must hold one wheel: run `make package` first")
    here = interpreters()
    chosen = [each for each in here if arguments.all or each.version[:2] != sys.version_info[:2]]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        rows = list(pool.map(lambda each: try_out(each, wheels[0]), chosen))
    if not arguments.all:
        own = ".".join(map(str, sys.version_info[:3]))
        rows.insert(0, Row(own, installed="this environment: make package, make pytest"))
    show(rows, sorted(set(claimed()) - {each.name for each in here}))
    return sum(row.failed for row in rows)


if __name__ == "__main__":
    sys.exit(main())
