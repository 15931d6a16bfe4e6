"""The loader in C runs a bundle through a library of the Linux driver, with the results of the simulator."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto
from tests.support.onnx_models import model, node, value
from tests.support.runtime_clients import CLIENTS, COMPILER

import openane
from openane.artifact.bundle import read_bundle
from openane.cli import root
from openane.core.errors import InputError
from openane.runtimes.execution import Execution

EXAMPLE = Path(__file__).parents[2] / "examples" / "bundle"
pytestmark = pytest.mark.skipif(sys.platform != "linux" or COMPILER is None, reason="needs Linux and a C compiler")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the loader and a library with libane's functions."""
    folder = tmp_path_factory.mktemp("built")
    sources = [EXAMPLE / name for name in ("run_bundle.c", "openane_bundle.c", "json.c")]
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-O1"]
    assert COMPILER is not None
    subprocess.run([COMPILER, *flags, "-o", folder / "run_bundle", *sources, "-ldl"], check=True)
    library = ["-O1", "-shared", "-fPIC", "-o", folder / "libane.so", CLIENTS / "libane.c"]
    subprocess.run([COMPILER, *library], check=True)
    return folder


def run(built: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "openane", "emulate", "--", built / "run_bundle", built / "libane.so", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two outputs, an operand of a matmul that only kernel DMA reads, and an output that is a constant."""
    weights = {"w": np.random.default_rng(1).standard_normal((24, 24)).astype(np.float32), "c": np.ones(5, np.float32)}
    nodes = [
        node("MatMul", ["a", "b"], ["product"]),
        node("MatMul", ["product", "w"], ["y"]),
        node("Relu", ["product"], ["r"]),
        node("Identity", ["c"], ["constant"]),
    ]
    inputs = [value("a", (1, 1, 16, 24)), value("b", (1, 1, 24, 24))]
    outputs = [value("y", (1, 1, 16, 24)), value("r", (1, 1, 16, 24)), value("constant", (5,))]
    onnx.save(model(nodes, inputs, outputs, weights), tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


def test_the_loader_gives_the_results_of_the_simulator(built: Path, path: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "m.openane"
    result = CliRunner().invoke(root, ["compile", str(path), "-o", str(bundle), "--anec", "--no-cache"])
    assert result.exit_code == 0, result.output
    rng = np.random.default_rng(2)
    artifact = read_bundle(bundle).select()
    inputs = {n: rng.standard_normal(kind.shape).astype(np.float32) for n, kind in artifact.plan.inputs.items()}
    for name, array in inputs.items():
        array.tofile(tmp_path / f"{name}.bin")
    done = run(built, bundle, *(f"{name}={tmp_path / f'{name}.bin'}" for name in inputs), tmp_path)
    assert done.returncode == 0, done.stderr
    with Execution(artifact) as execution:
        expected = execution.run(inputs).outputs
    for index, array in enumerate(expected.values()):
        found = np.fromfile(tmp_path / f"{index}.bin", np.float32).reshape(array.shape)
        np.testing.assert_array_equal(found, array)


def test_bundles_that_the_loader_refuses(built: Path, path: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "m.openane"
    openane.compile(path).save(bundle)
    assert "compile it with --anec" in run(built, bundle, tmp_path).stderr
    nodes = [node("Gather", ["table", "i"], ["h"]), node("Relu", ["h"], ["y"])]
    table = {"table": np.ones((9, 64), np.float32)}
    onnx.save(model(nodes, [value("i", (1, 64), TensorProto.INT64)], ["y"], table), tmp_path / "e.onnx")
    openane.bundle(tmp_path / "e.onnx").save(bundle, anec=True)
    assert "the model has a host step" in run(built, bundle, tmp_path).stderr
    bundle.write_bytes(bundle.read_bytes()[:-30])
    assert "error: " in run(built, bundle, tmp_path).stderr
    with pytest.raises(InputError, match="--anec adds to a bundle"):
        CliRunner().invoke(
            root, ["compile", str(path), "-o", str(tmp_path / "m.hwx"), "--anec"], catch_exceptions=False
        )
