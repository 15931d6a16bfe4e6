"""What a user of the package may write; checked by mypy --strict against the installed type information."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

import openane
from openane.artifact.plan import Artifact
from openane.core.errors import OpenaneError, UnsupportedError
from openane.program import Program
from openane.runtimes.runtime import SessionOptions


def predict(path: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Compiles and runs."""
    artifact: Artifact = openane.compile(path, "h13", host=False)
    return openane.run(artifact, inputs, options=SessionOptions(timeout_seconds=5.0))


def task_names(path: str) -> list[str]:
    """Layers of the tasks, or why there are none."""
    try:
        program: Program = openane.compile(path).program
    except UnsupportedError as error:
        return [error.diagnostic.hint]
    except OpenaneError as error:
        return [diagnostic.what for diagnostic in error.diagnostics]
    return [task.origin.layers[0] for task in program.tasks if task.origin.layers]


def listing(path: str) -> tuple[str, bytes]:
    """Assembly text and back."""
    text: str = openane.disassemble(path)
    data: bytes = openane.assemble(text)
    return text, data
