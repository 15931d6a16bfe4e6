"""`openane emulate`, as a user calls it."""

import sys

import numpy as np
import pytest
from click.testing import CliRunner
from tests.support.runtime_clients import COMPILER
from tests.support.runtime_programs import binary_program

from openane.cli import main, root
from openane.formats.hwx import write_hwx
from openane.targets import attach

pytestmark = pytest.mark.skipif(sys.platform != "linux" or COMPILER is None, reason="needs Linux and a C compiler")


def emulate(*arguments):
    return CliRunner().invoke(root, ["emulate", *arguments])


@pytest.mark.parametrize(("script", "status"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)])
def test_the_status_of_the_program_is_kept(script, status):
    assert emulate("--", "sh", "-c", script).exit_code == status


@pytest.mark.parametrize("options", [(), ("--quiet",)])
def test_the_kernel_log_is_printed_unless_quiet(options, capfd):
    script = "import fcntl,os; f=os.open('/dev/accel/accel0',2); fcntl.ioctl(f,0xc0186441,bytearray(24))"
    result = emulate(*options, "--", sys.executable, "-c", script)
    assert "OSError: [Errno 22]" in capfd.readouterr().err
    assert ("ane: BO_INIT: 0 bytes are not whole pages" in result.stderr) is not bool(options)


def test_another_path_can_be_the_node(tmp_path):
    script = f"import os; os.open('{tmp_path}/node', os.O_RDWR)"
    assert emulate("--node", f"{tmp_path}/node", "--", sys.executable, "-c", script).exit_code == 0


def test_a_program_that_is_missing_is_one_line(capfd):
    with pytest.raises(SystemExit) as stop:
        main(["emulate", "--", "no-such-program"])
    assert stop.value.code == 2
    message = capfd.readouterr().err
    assert message.startswith("error: no-such-program: the program cannot be started")
    assert len(message.splitlines()) == 1


def test_the_tool_itself_finds_the_emulated_device(tmp_path, capfd):
    """`openane run --on linux` in the emulated surroundings: discovery, buffers, submission, outputs."""
    program = binary_program("mul", (2, 3, 5))
    (tmp_path / "mul.hwx").write_bytes(write_hwx(attach(program)))
    x = np.arange(30, dtype=np.float16).reshape(1, 2, 3, 5)
    arguments = [f"{tmp_path}/mul.hwx", "--on", "linux", "--output-dir", f"{tmp_path}/out"]
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", x)
        arguments += ["--input", f"{name}={tmp_path}/{name}.npy"]
    result = emulate("--", sys.executable, "-m", "openane", "run", *arguments)
    assert result.exit_code == 0, capfd.readouterr().err + result.output
    np.testing.assert_array_equal(np.load(tmp_path / "out/out.npy").reshape(x.shape), x * x)
