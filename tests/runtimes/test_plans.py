"""Plans of several programs on one emulated device."""

import numpy as np
import pytest
from tests.support.runtime_programs import binary_program, sum_times_second

from openane.core.errors import FaultError
from openane.core.types import DType
from openane.runtimes import Choice
from openane.runtimes.linux import LinuxRuntime
from openane.runtimes.linux.emulation import DriverLimits, EmulatedDriver, EmulatedSystem
from openane.runtimes.linux.engine import SimulatedEngine


@pytest.fixture
def device(monkeypatch):
    def make(limits=None):
        driver = EmulatedDriver(SimulatedEngine(), limits)
        runtime = LinuxRuntime(EmulatedSystem(driver))
        choice = Choice(runtime, "linux: for the test", runtime.probe())
        monkeypatch.setattr("openane.runtimes.execution.choose", lambda name: choice)
        return driver

    return make


def plan_of_two(shape=(3, 2, 5)):
    """r = (x + y) * y, each step a program of its own."""
    from openane.artifact.plan import Artifact, EngineStep, Plan
    from openane.graph import TensorType

    kind = TensorType((1, 1, *shape), DType.FLOAT16)
    steps = (
        EngineStep(binary_program("add", shape), {"a": "x", "b": "y"}, {"out": "sum"}),
        EngineStep(binary_program("mul", shape, inputs_first=False), {"a": "sum", "b": "y"}, {"out": "r"}),
    )
    types = dict.fromkeys(("x", "y", "sum", "r"), kind)
    return Artifact(Plan("two", {"x": kind, "y": kind}, {"r": kind}, steps, types), "h13")


def test_a_plan_of_two_programs_runs_on_one_device(device):
    from openane.runtimes.execution import Execution

    driver = device()
    artifact = plan_of_two()
    generator = np.random.default_rng(0)
    with Execution(artifact, "linux") as execution:
        for _ in range(3):
            x, y = (generator.standard_normal((1, 1, 3, 2, 5)).astype(np.float16) for _ in "xy")
            result = execution.run({"x": x, "y": y})
            np.testing.assert_array_equal(result.outputs["r"], sum_times_second(x, y))
            assert [step.where for step in result.steps] == ["linux", "linux"]
    assert driver.used_bytes == 0


def test_a_fault_in_the_second_program_is_an_error_of_the_plan(device):
    from openane.runtimes.execution import Execution

    driver = device(DriverLimits(submissions=1))
    x = np.ones((1, 1, 3, 2, 5), np.float16)
    with Execution(plan_of_two(), "linux") as execution, pytest.raises(FaultError, match="did not finish in time"):
        execution.run({"x": x, "y": x})
    assert driver.used_bytes == 0
