"""Apple's own programs through the Linux path: driver form, emulated driver, simulator on the submitted bytes."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tests.support.runtime_clients import CLIENTS, COMPILER

from openane import runtimes
from openane.formats.anec import read_anec
from openane.formats.hwx import read_hwx
from openane.runtimes.linux import LinuxRuntime
from openane.runtimes.linux.emulation import EmulatedDriver, EmulatedSystem
from openane.runtimes.linux.engine import SimulatedEngine
from openane.runtimes.linux.server import run_program
from openane.targets import load_program

PROGRAMS = [
    "goldens/h13/tinygrad-conv.hwx",
    "goldens/h13/tinygrad-relu.hwx",
    "goldens/h13/tinygrad-sum.hwx",
    "goldens/h13/tinygrad-gemm.hwx",
    "goldens/h13/tinygrad-concat.hwx",
    "goldens/h13/allbilly-mul.hwx",
    "goldens/h13/allbilly-mul-macos14.hwx",
    "goldens/pairs/seed-inner-product/model.hwx",
]


def open_program(path):
    return load_program(read_anec(path) if path.suffix == ".anec" else read_hwx(path))


def inputs_of(program):
    generator = np.random.default_rng(1)
    return {s.name: generator.standard_normal(s.shape).astype(np.float16) for s in program.inputs}


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_driver_path_gives_the_simulators_bits(shared, name):
    program = open_program(shared / name)
    inputs = inputs_of(program)
    driver = EmulatedDriver(SimulatedEngine())
    with runtimes.load("simulator").open(program) as session:
        expected = session.run(inputs)
    with LinuxRuntime(EmulatedSystem(driver)).open(program) as session:
        found = session.run(inputs)
    assert found.keys() == expected.keys()
    for surface, array in expected.items():
        assert found[surface].tobytes() == array.tobytes()


def test_the_seed_example_gives_its_known_answer(shared):
    program = open_program(shared / "goldens/pairs/seed-inner-product/model.hwx")
    (source,), (result,) = program.inputs, program.outputs
    inputs = {source.name: np.array([1337, 0, 0], np.float16).reshape(source.shape)}
    with LinuxRuntime(EmulatedSystem(EmulatedDriver(SimulatedEngine()))).open(program) as session:
        assert session.run(inputs)[result.name].ravel().tolist() == [4012, 4012]


@pytest.mark.skipif(COMPILER is None, reason="needs a C compiler")
def test_a_published_program_runs_under_a_client_of_the_published_interface(shared, tmp_path):
    """eiln-relu.anec as it was published, a C client that knows nothing of openane, the emulated driver."""
    program = shared / "goldens/h13/eiln-relu.anec"
    subprocess.run([COMPILER, "-O1", "-o", tmp_path / "client", CLIENTS / "client.c"], check=True)
    array = np.random.default_rng(5).standard_normal((2560, 1600)).astype(np.float16)
    (tmp_path / "x").write_bytes(array.tobytes())
    command = [str(tmp_path / "client"), str(program), str(tmp_path / "y"), str(tmp_path / "x")]
    driver = EmulatedDriver(SimulatedEngine())
    assert run_program(command, driver, os.environ) == 0, driver.log
    found = np.frombuffer(Path(tmp_path / "y").read_bytes(), np.float16).reshape(array.shape)
    np.testing.assert_array_equal(found, np.maximum(array, 0))
