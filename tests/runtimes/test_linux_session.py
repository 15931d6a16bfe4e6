"""The Linux runtime against the emulated driver: the whole path but the hardware."""

import errno
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from tests.support.runtime_engine import TinyEngine
from tests.support.runtime_programs import binary_program, chained_program

from openane.core.errors import FaultError, InputError, UnavailableError, UnsupportedError
from openane.runtimes import SessionOptions
from openane.runtimes.linux import LinuxRuntime, abi
from openane.runtimes.linux.emulation import DriverLimits, EmulatedDriver, EmulatedSystem


def make(limits=None, engine=None):
    driver = EmulatedDriver(engine or TinyEngine(), limits)
    return driver, LinuxRuntime(EmulatedSystem(driver))


def random_inputs(program, seed=0):
    generator = np.random.default_rng(seed)
    return {s.name: generator.standard_normal(s.shape).astype(np.float16) for s in program.inputs}


@pytest.mark.parametrize("inputs_first", [True, False])
@pytest.mark.parametrize("kind", ["add", "mul"])
def test_programs_of_both_numberings_run(kind, inputs_first):
    program = binary_program(kind, inputs_first=inputs_first)
    driver, runtime = make()
    inputs = random_inputs(program)
    with runtime.open(program) as session:
        out = session.run(inputs)["out"]
    expected = inputs["a"] + inputs["b"] if kind == "add" else inputs["a"] * inputs["b"]
    np.testing.assert_array_equal(out, expected)
    assert out.flags.c_contiguous
    assert driver.used_bytes == 0


def test_two_tasks_hand_over_through_scratch():
    program = chained_program()
    driver, runtime = make()
    inputs = random_inputs(program)
    with runtime.open(program) as session:
        out = session.run(inputs)["out"]
    np.testing.assert_array_equal(out, (inputs["a"] + inputs["b"]) * inputs["b"])
    assert driver.used_bytes == 0


def test_run_many_and_timing():
    program = binary_program()
    _, runtime = make()
    with runtime.open(program) as session:
        assert session.last_seconds == 0
        batches = [random_inputs(program, seed) for seed in range(3)]
        outputs = list(session.run_many(batches))
        for inputs, result in zip(batches, outputs, strict=True):
            np.testing.assert_array_equal(result["out"], inputs["a"] + inputs["b"])
        assert session.timing.runs == 3
        assert 0 < session.last_seconds <= session.timing.total_seconds


def test_sessions_on_one_device_do_not_disturb_each_other():
    driver, runtime = make()
    programs = [binary_program(kind, (channels, 3, 9)) for kind in ("add", "mul") for channels in (1, 5)]
    with ThreadPoolExecutor(4) as pool:
        sessions = list(pool.map(runtime.open, programs))

        def work(index):
            results = []
            for seed in range(8):
                inputs = random_inputs(programs[index], seed)
                out = sessions[index].run(inputs)["out"]
                results.append((out, inputs))
            return results

        for index, results in enumerate(pool.map(work, range(len(programs)))):
            for out, inputs in results:
                function = np.add if programs[index].name == "add" else np.multiply
                np.testing.assert_array_equal(out, function(inputs["a"], inputs["b"]))
    assert driver.used_bytes > 0
    for session in sessions:
        session.close()
    assert driver.used_bytes == 0


def test_one_session_can_be_shared_by_threads():
    program = binary_program(shape=(2, 2, 3))
    _, runtime = make()
    with runtime.open(program) as session, ThreadPoolExecutor(4) as pool:
        batches = [random_inputs(program, seed) for seed in range(20)]
        for inputs, result in zip(batches, pool.map(session.run, batches), strict=True):
            np.testing.assert_array_equal(result["out"], inputs["a"] + inputs["b"])
        assert session.timing.runs == 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x | {"c": x["a"]}, r"do not match.*unknown c"),
        (lambda x: {"a": x["a"]}, r"do not match.*missing b"),
        (lambda x: x | {"a": x["a"][..., :-1]}, r"surface a: .*another shape.*\(1, 1, 4, 2, 4\)"),
        (lambda x: x | {"a": x["a"].reshape(4, 2, 5)}, r"surface a: .*another shape"),
        (lambda x: x | {"a": x["a"].astype(complex)}, r"surface a: .*element type.*complex128"),
        (lambda x: x | {"a": x["a"].astype(np.float32) + 1e6}, r"surface a: values do not fit.*65504"),
    ],
)
def test_wrong_inputs_are_refused_before_anything_runs(change, message):
    program = binary_program()
    engine = TinyEngine()
    _, runtime = make(engine=engine)
    with runtime.open(program) as session:
        with pytest.raises(InputError, match=message):
            session.run(change(random_inputs(program)))
        assert session.timing.runs == engine.runs == 0


def test_wider_floats_are_rounded_to_nearest_even():
    program = binary_program()
    _, runtime = make()
    inputs = {name: array.astype(np.float64) * 1.0001 for name, array in random_inputs(program).items()}
    with runtime.open(program) as session:
        out = session.run(inputs)["out"]
    np.testing.assert_array_equal(out, inputs["a"].astype(np.float16) + inputs["b"].astype(np.float16))


def test_a_closed_session_says_so_and_closes_twice():
    program = binary_program()
    _, runtime = make()
    session = runtime.open(program)
    session.close()
    session.close()
    assert session.closed
    with pytest.raises(InputError, match="session is closed"):
        session.run(random_inputs(program))


def test_a_device_that_disappears_is_an_error_at_once_and_frees_its_memory():
    program = binary_program()
    driver, runtime = make()
    session = runtime.open(program)
    driver.unplug()
    with pytest.raises(UnavailableError, match=r"device is gone.*ENODEV"):
        session.run(random_inputs(program))
    session.close()
    assert driver.used_bytes == 0
    assert not runtime.probe().available
    with pytest.raises(UnavailableError, match="gone"):
        runtime.open(program)


class HangingEngine:
    """Does not come back until it is reported to."""

    def __init__(self):
        self.go = threading.Event()

    def run(self, submission):
        self.go.wait(30)


def test_a_driver_that_hangs_is_given_up():
    program = binary_program()
    engine = HangingEngine()
    driver, runtime = make(engine=engine)
    session = runtime.open(program, SessionOptions(timeout_seconds=0.05))
    try:
        with pytest.raises(UnavailableError, match=r"did not answer in time.*0\.05 s"):
            session.run(random_inputs(program))
        with pytest.raises(UnavailableError, match="did not answer in time"):
            session.run(random_inputs(program))
        session.close()
        # The engine may still write: the buffers must not be given to others.
        assert driver.used_bytes > 0
    finally:
        engine.go.set()


class FaultingEngine:
    def run(self, submission):
        raise FaultError("the task reads outside its buffer")


def test_an_engine_that_faults_ends_like_a_time_out_and_the_log_says_why():
    program = binary_program()
    driver, runtime = make(engine=FaultingEngine())
    with runtime.open(program) as session, pytest.raises(FaultError, match=r"did not finish in time.*ETIMEDOUT"):
        session.run(random_inputs(program))
    assert "reads outside its buffer" in driver.log[-1]
    assert driver.used_bytes == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: replace(p, target="h14"), r"M1-family chips only.*h14"),
        (lambda p: replace(p, tasks=(), task_offsets=()), r"no tasks"),
        (lambda p: replace(p, task_offsets=(0x100,)), r"does not begin the command buffer.*0x100"),
        (
            lambda p: replace(p, surfaces=(*p.surfaces[:2], replace(p.surfaces[2], buffer=32))),
            r"surface out: the driver has no such buffer.*32",
        ),
        (
            lambda p: replace(p, surfaces=(*p.surfaces[:2], replace(p.surfaces[2], buffer=3))),
            r"surface out: the driver has no such buffer.*buffer 3",
        ),
        (
            lambda p: replace(p, surfaces=p.surfaces[:2]),
            r"task 0: WBase: the task uses a buffer that has no memory.*buffer 6",
        ),
        (
            lambda p: replace(p, surfaces=(replace(p.surfaces[0], size_bytes=0xE0000000), *p.surfaces[1:])),
            r"do not fit in the engine's address space",
        ),
        (
            lambda p: replace(p, surfaces=(replace(p.surfaces[0], strides_bytes=(0, 0, -64, 64, 2)), *p.surfaces[1:])),
            r"surface a: the surface has no valid layout",
        ),
    ],
)
def test_bad_programs_are_refused_before_the_driver_sees_them(change, message):
    driver, runtime = make()
    with pytest.raises(Exception, match=message) as caught:
        runtime.open(change(binary_program()), SessionOptions(memory_limit_bytes=1 << 40))
    assert caught.type.__module__ == "openane.core.errors"
    assert driver.log == []
    assert driver.used_bytes == 0


def test_the_memory_limit_of_the_session_counts_before_the_driver_is_asked():
    driver, runtime = make()
    with pytest.raises(UnsupportedError, match="more memory than this session may use"):
        runtime.open(binary_program(), SessionOptions(memory_limit_bytes=4 * 0x4000))
    assert driver.used_bytes == 0


def test_a_driver_with_tighter_limits_is_translated_and_nothing_leaks():
    program = binary_program(shape=(64, 16, 32))
    driver, runtime = make(DriverLimits(buffer_bytes=0x4000))
    with pytest.raises(FaultError, match=r"buffer of 65536 bytes \(BO_INIT\): the driver refused.*EINVAL"):
        runtime.open(program)
    assert driver.used_bytes == 0


def test_running_out_of_programs_per_boot_is_an_error():
    program = binary_program()
    _, runtime = make(DriverLimits(submissions=2))
    with runtime.open(program) as session:
        inputs = random_inputs(program)
        session.run(inputs)
        session.run(inputs)
        with pytest.raises(FaultError, match="did not finish in time"):
            session.run(inputs)


class FailingNode:
    """An emulated node that fails one kind of call the n-th time."""

    def __init__(self, node, request, turn, number):
        self._node, self._request, self._turn, self._number = node, request, turn, number

    def ioctl(self, request, argument):
        if request == self._request:
            self._turn -= 1
            if self._turn < 0:
                raise OSError(self._number, "injected")
        self._node.ioctl(request, argument)

    def map(self, offset, size_bytes):
        if self._request == "map":
            self._turn -= 1
            if self._turn < 0:
                raise OSError(self._number, "injected")
        return self._node.map(offset, size_bytes)

    def close(self):
        self._node.close()


class FailingSystem(EmulatedSystem):
    def arm(self, request, turn, number):
        object.__setattr__(self, "fault", (request, turn, number))

    def open(self, path):
        return FailingNode(super().open(path), *self.fault)


@pytest.mark.parametrize("turn", range(5))
@pytest.mark.parametrize(
    ("request_number", "number", "message"),
    [
        (abi.BO_INIT, errno.ENOMEM, "no memory for the buffers"),
        (abi.BO_INIT, errno.ENOSPC, "address space is full"),
        ("map", errno.EINVAL, "mapping a buffer.*refused"),
        ("map", errno.EAGAIN, "resource temporarily unavailable"),
    ],
)
def test_a_failure_at_any_buffer_frees_the_others(request_number, number, message, turn):
    driver = EmulatedDriver(TinyEngine())
    system = FailingSystem(driver)
    system.arm(request_number, turn, number)
    with pytest.raises((UnavailableError, FaultError), match=message):
        LinuxRuntime(system).open(binary_program())
    assert driver.used_bytes == 0


def test_a_failing_free_does_not_hide_the_rest():
    driver = EmulatedDriver(TinyEngine())
    system = FailingSystem(driver)
    system.arm(abi.BO_FREE, 1, errno.EIO)
    program = binary_program()
    with LinuxRuntime(system).open(program) as session:
        session.run(random_inputs(program))
    assert driver.used_bytes == 0


def test_the_bootstrap_is_the_first_task_with_the_network_id():
    from openane.runtimes.linux.command import build_command

    program = chained_program()
    command = build_command(program, 1 << 30)
    assert command.first_task_bytes == program.tasks[0].size_bytes == len(command.bootstrap)
    assert command.bootstrap[4:] == command.tasks[4 : len(command.bootstrap)]
    assert int.from_bytes(command.bootstrap[:4], "little") == program.tasks[0].header[0] | 0x40 << 16
    assert command.stream_bytes % 64 == 0
    assert command.task_count == 2


def test_constants_follow_the_tasks_where_the_driver_points_buffer_1():
    class Looking:
        def run(self, submission):
            self.constants = bytes(submission.memory[1][:64])

    engine = Looking()
    _, runtime = make(engine=engine)
    program = chained_program()
    with runtime.open(program) as session:
        session.run(random_inputs(program))
    assert engine.constants == program.constants
