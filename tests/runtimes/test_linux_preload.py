"""Existing programs for the Linux driver run against the emulated one, unchanged."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.support.runtime_clients import CLIENTS, COMPILER
from tests.support.runtime_engine import TinyEngine
from tests.support.runtime_programs import binary_program

from openane.core.errors import InputError, UnavailableError
from openane.program.layout import read_surface
from openane.runtimes.linux import server
from openane.runtimes.linux.command import build_command
from openane.runtimes.linux.emulation import EmulatedDriver

pytestmark = pytest.mark.skipif(sys.platform != "linux" or COMPILER is None, reason="needs Linux and a C compiler")


def write_anec(program, path):
    """The container as published, written here from its description: outputs are 4 on, inputs after them."""
    command = build_command(program, 1 << 30)
    tiles, places = [0] * 32, [0] * 192
    for index, size in command.buffer_bytes.items():
        tiles[index] = size // 0x4000
    for surface in program.surfaces:
        n, _, c, h, w = surface.shape
        plane, row = surface.strides_bytes[2:4]
        places[6 * surface.buffer : 6 * surface.buffer + 6] = n, c, h, w, plane, row
    body = command.tasks + bytes(command.constants)
    header = struct.pack(
        "<QIIQQII32I192Q",
        len(body),
        command.first_task_bytes,
        command.task_count,
        command.stream_bytes,
        len(command.constants),
        len(program.inputs),
        len(program.outputs),
        *tiles,
        *places,
    )
    path.write_bytes(header.ljust(0x1000, b"\0") + body)


@pytest.fixture(scope="module")
def c_client(tmp_path_factory):
    path = tmp_path_factory.mktemp("client") / "client"
    subprocess.run([COMPILER, "-O1", "-Wall", "-o", path, CLIENTS / "client.c"], check=True)
    return [str(path)]


@pytest.fixture
def case(tmp_path):
    program = binary_program("mul", (3, 4, 21), inputs_first=False)
    write_anec(program, tmp_path / "program.anec")
    generator = np.random.default_rng(3)
    # The files follow the order of the buffers: b is 6, a is 5.
    arrays = [generator.standard_normal(program.outputs[0].shape).astype(np.float16) for _ in "ab"]
    arguments = [str(tmp_path / "program.anec"), str(tmp_path / "out")]
    for name, array in zip("ab", arrays, strict=True):
        (tmp_path / name).write_bytes(array.tobytes())
        arguments.append(str(tmp_path / name))
    return arguments, arrays[0] * arrays[1]


def check(command, case):
    arguments, expected = case
    driver = EmulatedDriver(TinyEngine())
    status = server.run_program([*command, *arguments], driver, os.environ)
    assert status == 0, driver.log
    result = np.frombuffer(Path(arguments[1]).read_bytes(), np.float16).reshape(expected.shape)
    np.testing.assert_array_equal(result, expected)
    assert driver.used_bytes == 0


def test_a_c_program_runs(c_client, case):
    check(c_client, case)


def test_a_python_program_runs(case):
    check([sys.executable, str(CLIENTS / "client.py")], case)


def test_our_own_linux_runtime_runs_through_real_system_calls(tmp_path):
    script = f"""
import sys
sys.path[:0] = [{str(Path(__file__).parents[2])!r}]
import numpy as np
from tests.support.runtime_programs import chained_program
from openane.runtimes import SessionOptions
from openane.runtimes.linux import LinuxRuntime
program = chained_program()
inputs = {{s.name: np.full(s.shape, 1.5 + i, np.float16) for i, s in enumerate(program.inputs)}}
with LinuxRuntime().open(program, SessionOptions(device="/dev/accel/accel0")) as session:
    for _ in range(3):
        out = session.run(inputs)["out"]
assert (out == 10).all(), out
"""
    driver = EmulatedDriver(TinyEngine())
    assert server.run_program([sys.executable, "-c", script], driver, os.environ) == 0, driver.log
    assert driver.used_bytes == 0


def test_errors_of_the_driver_reach_the_program(c_client, case, capfd):
    arguments, _ = case
    path = Path(arguments[0])
    data = bytearray(path.read_bytes())
    data[12:16] = (7).to_bytes(4, "little")  # td_count: the chain has one task
    path.write_bytes(data)
    driver = EmulatedDriver(TinyEngine())
    assert server.run_program([*c_client, *arguments], driver, os.environ) == 1
    assert "SUBMIT: Connection timed out" in capfd.readouterr().err
    assert "7 tasks" in driver.log[-1]
    assert driver.used_bytes == 0


def test_other_files_are_left_alone(tmp_path):
    script = "import mmap, sys\n" + (
        "with open(sys.argv[1], 'r+b') as file: mmap.mmap(file.fileno(), 0)[:2] = b'ok'\n"
        "try: open('/dev/accel/accel1')\n"
        "except FileNotFoundError: pass\n"
    )
    (tmp_path / "file").write_bytes(b"no!")
    command = [sys.executable, "-c", script, str(tmp_path / "file")]
    assert server.run_program(command, EmulatedDriver(TinyEngine()), os.environ) == 0
    assert (tmp_path / "file").read_bytes() == b"ok!"


def test_a_program_that_is_killed_leaves_nothing():
    script = """
import os, signal
from openane.runtimes.linux.device import Device
from openane.runtimes.linux.node import KernelSystem
device = Device(KernelSystem().open("/dev/accel/accel0"), "", 5)
device.allocate(1 << 20)
os.kill(os.getpid(), signal.SIGKILL)
"""
    driver = EmulatedDriver(TinyEngine())
    assert server.run_program([sys.executable, "-c", script], driver, os.environ) == -9
    assert driver.used_bytes == 0


def test_a_program_that_does_not_exist_is_one_clear_error():
    with pytest.raises(InputError, match="no-such-program: the program cannot be started: no such file"):
        server.run_program(["no-such-program"], EmulatedDriver(TinyEngine()), os.environ)


def test_without_a_compiler_the_message_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(server.shutil, "which", lambda name: None)
    with pytest.raises(UnavailableError, match=r"no C compiler.*apt install gcc"):
        server.build_library(tmp_path)


@pytest.mark.parametrize("message", [b"", b"abc", struct.pack("<II", 0, 99), struct.pack("<II", 0xC0986443, 1)])
def test_garbage_on_the_socket_is_answered_or_ends_the_connection(message, tmp_path):
    import socket

    listener = server.Server(EmulatedDriver(TinyEngine()), tmp_path / "socket")
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.settimeout(5)
            client.connect(str(tmp_path / "socket"))
            client.send(message)
            reply = client.recv(1024)
        assert reply == b"" or struct.unpack_from("<I", reply)[0] != 0
    finally:
        listener.close()


def test_read_surface_is_the_inverse_of_what_clients_do(case):
    """The clients' own tiling, done with numpy: rows at multiples of 64 bytes."""
    program = binary_program("mul", (3, 4, 21), inputs_first=False)
    memory = np.zeros(program.outputs[0].size_bytes, np.uint8)
    rows = memory.reshape(3, 4, 64)[:, :, :42].view(np.float16)
    rows[...] = np.arange(3 * 4 * 21, dtype=np.float16).reshape(3, 4, 21)
    np.testing.assert_array_equal(read_surface(program.outputs[0], memory)[0, 0], rows)
