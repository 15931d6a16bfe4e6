"""One test body for every runtime: those present on this machine, and those that are faked."""

from contextlib import contextmanager

import numpy as np
import pytest
from tests.support.macos_fake import FakeBridge
from tests.support.runtime_programs import binary_program, chained_program, stored

from openane import runtimes
from openane.core.errors import InputError, UnavailableError
from openane.program.layout import read_surface, write_surface
from openane.runtimes.linux import LinuxRuntime
from openane.runtimes.linux.emulation import EmulatedDriver, EmulatedSystem
from openane.runtimes.linux.engine import SimulatedEngine
from openane.runtimes.macos import MacosRuntime

YES = 1
REQUEST = "requestWithInputs:inputIndices:outputs:outputIndices:weightsBuffer:perfStats:procedureIndex:"


@contextmanager
def simulator():
    yield runtimes.load("simulator")


@contextmanager
def emulated_linux():
    driver = EmulatedDriver(SimulatedEngine())
    yield LinuxRuntime(EmulatedSystem(driver))
    assert driver.used_bytes == 0, driver.log


class SimulatedMac(FakeBridge):
    """A Mac whose engine is the simulator: it runs the model.hwx in the folder that is loaded."""

    def answer(self, name, arguments, receiver):
        handlers = {
            "sharedConnection": lambda: self.object(("client", "_ANEClient")),
            "modelAtURL:key:": self.model,
            "loadModel:options:qos:error:": lambda *_: YES,
            "unloadModel:options:qos:error:": lambda *_: YES,
            REQUEST: self.request,
            "evaluateWithModel:options:request:qos:error:": self.evaluate,
        }
        if name in handlers:
            return handlers[name](*arguments)
        return super().answer(name, arguments, receiver)

    def model(self, url, key):
        from openane.formats.hwx import read_hwx
        from openane.targets import load_program

        program = load_program(read_hwx(self.value(url).removeprefix("file://") + "/model.hwx"))
        return self.object(("model", "_ANEModel", program))

    def request(self, inputs, input_numbers, outputs, output_numbers, *rest):
        return self.object(("request", "_ANERequest", self.surfaces(inputs), self.surfaces(outputs)))

    def evaluate(self, model, options, request, qos, error):
        program, (_, _, inputs, outputs) = self.value(model)[2], self.value(request)
        arrays = {s.name: read_surface(s, memory) for s, memory in zip(program.inputs, inputs, strict=True)}
        with runtimes.load("simulator").open(program) as session:
            results = session.run(arrays)
        for surface, memory in zip(program.outputs, outputs, strict=True):
            write_surface(surface, memory, results[surface.name])
        return YES


@contextmanager
def simulated_mac():
    bridge = SimulatedMac()
    yield MacosRuntime(lambda: bridge, "Darwin", "arm64")
    assert all(count == 0 for count in bridge.live.values()), bridge.live


@contextmanager
def present(name):
    runtime = runtimes.load(name)
    found = runtime.probe()
    if not found.available:
        pytest.skip(f"runtime {name}: {found.reason}")
    yield runtime


MAKERS = {
    "simulator": simulator,
    "linux-emulated": emulated_linux,
    "macos-simulated": simulated_mac,
    "linux-device": lambda: present("linux"),
    "macos-device": lambda: present("macos"),
}


@pytest.fixture(params=MAKERS)
def runtime(request):
    with MAKERS[request.param]() as made:
        yield made


def inputs_of(program, seed=0):
    generator = np.random.default_rng(seed)
    return {s.name: generator.standard_normal(s.shape).astype(np.float16) for s in program.inputs}


@pytest.mark.parametrize("inputs_first", [True, False])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 2, 33), (64, 1, 1)])
def test_a_sum_is_exact(runtime, shape, inputs_first):
    program = binary_program("add", shape, inputs_first=inputs_first)
    inputs = inputs_of(program)
    with runtime.open(program) as session:
        outputs = session.run(inputs)
    assert list(outputs) == ["out"]
    assert outputs["out"].dtype == np.float16
    np.testing.assert_array_equal(outputs["out"], stored(inputs["a"].astype(np.float32) + inputs["b"]))


def test_tasks_through_scratch_and_many_runs(runtime):
    program = chained_program()
    batches = [inputs_of(program, seed) for seed in range(4)]
    with runtime.open(program) as session:
        for inputs, outputs in zip(batches, session.run_many(batches), strict=True):
            np.testing.assert_array_equal(
                outputs["out"],
                stored(stored(inputs["a"].astype(np.float32) + inputs["b"]) * inputs["b"].astype(np.float32)),
            )
        kept = outputs["out"].copy()
        session.run(batches[0])
        np.testing.assert_array_equal(outputs["out"], kept)


def test_two_sessions_do_not_share_anything(runtime):
    programs = [binary_program("add"), binary_program("mul")]
    sessions = [runtime.open(program) for program in programs]
    try:
        inputs = inputs_of(programs[0])
        add, multiply = (session.run(inputs)["out"] for session in sessions)
        np.testing.assert_array_equal(add, stored(inputs["a"].astype(np.float32) + inputs["b"]))
        np.testing.assert_array_equal(multiply, stored(inputs["a"].astype(np.float32) * inputs["b"]))
    finally:
        for session in sessions:
            session.close()


def test_inputs_are_checked_the_same_way_everywhere(runtime):
    program = binary_program()
    inputs = inputs_of(program)
    with runtime.open(program) as session:
        for bad, message in (
            ({}, "missing a, b"),
            (inputs | {"z": inputs["a"]}, "unknown z"),
            (inputs | {"a": inputs["a"][:, :, :1]}, "surface a: the array has another shape"),
            (inputs | {"a": np.full(inputs["a"].shape, 1e9)}, "surface a: values do not fit"),
            (inputs | {"a": inputs["a"].astype(str)}, "surface a: the element type does not fit"),
        ):
            with pytest.raises(InputError, match=message):
                session.run(bad)
        session.run(inputs)
    with pytest.raises(InputError, match="session is closed"):
        session.run(inputs)


def test_a_name_is_taken_or_refused_never_replaced():
    assert runtimes.choose("simulator").runtime.name == "simulator"
    with pytest.raises(InputError, match=r"no such runtime.*gpu.*auto, linux, macos, simulator"):
        runtimes.choose("gpu")
    for name in ("linux", "macos"):
        found = runtimes.load(name).probe()
        if not found.available:
            with pytest.raises(UnavailableError, match=f"runtime {name}: "):
                runtimes.choose(name)


def test_auto_says_what_it_took_and_what_it_passed_over():
    choice = runtimes.choose("auto")
    before = runtimes.NAMES[: runtimes.NAMES.index(choice.runtime.name)]
    assert choice.reason.startswith(f"{choice.runtime.name}: ")
    assert all(f"not {name}: " in choice.reason for name in before)
