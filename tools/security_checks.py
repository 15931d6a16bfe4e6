"""Takes security checks out, one at a time, and says whether the test that docs/security.md names next to them fails.

    python tools/security_checks.py            all of them
    python tools/security_checks.py NAME ...   some

Each check is replaced in a process of its own, which then runs the test; a test that still passes proves nothing, and
the status is 1.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

KERAS_TESTS = "tests/frontends/keras/test_keras_files.py"


def _nothing(*_: object, **__: object) -> None:
    """A check that finds nothing."""


def _open_anything(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb")


CHECKS: dict[str, tuple[str, str, Any, str]] = {
    "saved-model-files": (
        *("openane.frontends.keras.saved_model", "_check_files", _nothing),
        f"{KERAS_TESTS}::test_files_of_a_saved_model",
    ),
    "saved-model-operations": (
        *("openane.frontends.keras.saved_model", "_check_operations", _nothing),
        f"{KERAS_TESTS}::test_operations_that_reach_out",
    ),
    "cache-links": (
        *("openane.artifact.cache", "_open_regular", _open_anything),
        "tests/artifact/test_cache.py::test_pipes_and_links_in_a_shared_folder_are_not_followed",
    ),
}
"""Module and name of each check, what takes its place, and the test that needs it."""


def _without(name: str) -> int:
    """Runs the test of a check without the check; the status of pytest."""
    import pytest

    module, attribute, instead, test = CHECKS[name]
    found = importlib.import_module(module)
    assert callable(getattr(found, attribute))
    setattr(found, attribute, instead)
    return int(pytest.main([test, "-q", "-x", "-n", "0", "-p", "no:cacheprovider"]))


def main(names: list[str]) -> int:
    """Prints one line per check; the status is 1 when a test does not need its check."""
    missed = 0
    for name in names or CHECKS:
        command = [sys.executable, __file__, "--without", name]
        status = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, check=False).returncode
        missed += status != 1
        print(f"{name}: {'its test fails without it' if status == 1 else f'PROVES NOTHING (pytest status {status})'}")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(_without(sys.argv[2]) if sys.argv[1:2] == ["--without"] else main(sys.argv[1:]))
