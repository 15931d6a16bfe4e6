"""Clean environments for the tools that try the package out as a user has it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def clean_environment(python: str, folder: Path) -> Path:
    """A new environment with nothing in it, not even pip; what was there before goes. Returns its interpreter.

    Raises:
        subprocess.CalledProcessError: the interpreter cannot make one.
    """
    shutil.rmtree(folder, ignore_errors=True)
    run(python, "-m", "venv", "--without-pip", folder)
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def install(python: Path, requirements: Sequence[str]) -> None:
    """Installs into an environment with the pip of this one.

    Raises:
        subprocess.CalledProcessError: something is not to be had; `stderr` says what.
    """
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-compile", *requirements)


def run(*command: object, cwd: Path | None = None) -> str:
    """Runs a command to its end; returns what it printed.

    Raises:
        subprocess.CalledProcessError: it failed; `stdout` and `stderr` have its words.
    """
    words = [str(part) for part in command]
    return subprocess.run(words, cwd=cwd, check=True, capture_output=True, text=True).stdout


def reason(error: subprocess.CalledProcessError) -> str:
    """The line that says why a command failed: the last one that calls itself an error, else the last one."""
    lines = [line.strip() for line in f"{error.stdout}\n{error.stderr}".splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("ERROR", "error"))]
    return (errors or lines or [f"status {error.returncode}"])[-1]
