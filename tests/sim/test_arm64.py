"""The kernels for arm64 give the same bits: compiled for it, and run on an emulated processor."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from tests.sim.test_dense import convolution, made
from tests.support.random_programs import KINDS, random_program
from tests.support.random_tensors import Made, Seeded

from openane.program import Program
from openane.sim.kernels.library import FOLDER
from openane.sim.machine import ExecutionOptions, Simulator
from openane.targets.h13.machine import BUFFERS, PROFILE, decode_program

EMULATOR = shutil.which("qemu-aarch64")
FLAGS = ("-O3", "-g0", "-std=c11", "-fwrapv", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off")


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program for arm64 that runs the rows of a file."""
    if EMULATOR is None:
        pytest.skip("qemu-aarch64 is missing: apt install qemu-user")
    if find_spec("ziglang") is None:
        pytest.skip("ziglang is missing: pip install ziglang")
    path = tmp_path_factory.mktemp("arm64") / "emulated"
    sources = [FOLDER / "engine.c", FOLDER / "run.c", Path(__file__).with_name("emulated.c")]
    target = ("-target", "aarch64-linux-musl", "-mcpu=generic", "-static", "-DISA=base", '-DSOURCES=""', f"-I{FOLDER}")
    subprocess.run([sys.executable, "-m", "ziglang", "cc", *FLAGS, *target, *sources, "-o", path], check=True)
    return path


def programs() -> Iterator[tuple[Program, dict[str, np.ndarray]]]:
    """Random programs of every kind, and dense convolutions of hard numbers."""
    for kind in KINDS:
        for seed in range(6):
            one: Made = random_program(Seeded(seed), kind)
            yield one.program, one.arrays
    for plane, scale in (((7, 7), 0.01), ((4, 40), 1.0), ((14, 14), 30.0), ((1, 1), 1000.0)):
        weights, bias, pixels = made(plane, scale)
        yield convolution(weights, bias, pixels.shape), {"x": pixels}


def test_the_memory_after_a_run_is_the_same(emulated: Path, tmp_path: Path) -> None:
    compared = 0
    for program, arrays in programs():
        loaded = Simulator(program, decode_program(program), BUFFERS, ExecutionOptions(PROFILE, threads=1))
        schedule, state = loaded._schedule, loaded._state()
        parts = schedule.parts(0, None)
        if not all(isinstance(part, range) for part in parts):
            continue  # Python takes part
        loaded._bind(state, arrays)
        all_arrays = state.memory.memory, state.image, schedule.constants, state.floats, state.integers
        counts = np.array([len(schedule.rows), *(array.size for array in all_arrays)], np.int64)
        (tmp_path / "in").write_bytes(b"".join(part.tobytes() for part in (counts, schedule.rows, *all_arrays)))
        command = [str(EMULATOR), emulated, tmp_path / "in", tmp_path / "out"]
        name = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        loaded._execute(state, 0, None, loaded._workers)
        assert name.strip() == "arm64"
        assert (tmp_path / "out").read_bytes() == state.memory.memory.tobytes()
        compared += 1
    assert compared > 30
