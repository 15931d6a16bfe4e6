"""Kernels that are kept on disk: damage is found and repaired."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

PROGRAM = """
import sys
import numpy as np
import openane
from openane.graph import Graph, Node, TensorType, ops
nodes = (Node("r", ops.Relu(), ("x",), ("y",)),)
graph = Graph("g", {"x": TensorType((1, 2, 4, 4))}, ("y",), nodes, {})
x = np.linspace(-2, 2, 32, dtype=np.float32).reshape(1, 2, 4, 4)
np.save(sys.argv[1], openane.run(openane.compile(graph), {"x": x})["y"])
"""
WANTED = np.maximum(np.linspace(-2, 2, 32, dtype=np.float32).reshape(1, 2, 4, 4), 0)


def run(folder: Path, **environment: str) -> None:
    """Runs a small network with the kernels of a folder, and looks at the result."""
    result = folder.parent / "y.npy"
    variables = {**os.environ, "NUMBA_CACHE_DIR": str(folder), "XDG_CACHE_HOME": str(folder), **environment}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(result)], env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-500:]
    np.testing.assert_allclose(np.load(result, allow_pickle=False), WANTED, atol=2e-3)


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with kept kernels; whatever made them, and whatever they are called."""
    folder = tmp_path_factory.mktemp("kept") / "kernels"
    folder.mkdir()
    run(folder)
    return folder


DAMAGES: tuple[Callable[[bytes], bytes], ...] = (lambda data: b"", lambda data: b"garbage", lambda data: data[:-7])


@pytest.mark.parametrize("damage", DAMAGES, ids=["empty", "garbage", "cut"])
def test_damaged_files(kernels: Path, damage: Callable[[bytes], bytes]) -> None:
    for number, path in enumerate(sorted(path for path in kernels.rglob("*") if path.is_file())):
        if path.suffix == ".nbi" or number % 2:
            path.write_bytes(damage(path.read_bytes()))
    run(kernels)


def test_a_plain_processor(tmp_path: Path) -> None:
    """A setting for other software that shares the compiler does not crash the process."""
    (tmp_path / "kernels").mkdir()
    run(tmp_path / "kernels", NUMBA_CPU_NAME="generic")
