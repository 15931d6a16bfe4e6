"""`openane emulate`, as a user calls it."""

import subprocess
import sys

import pytest
from runtime_clients import COMPILER

pytestmark = pytest.mark.skipif(sys.platform != "linux" or COMPILER is None, reason="needs Linux and a C compiler")


def emulate(*arguments):
    command = [sys.executable, "-m", "openane", "emulate", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_status_of_the_program_is_kept():
    assert emulate("--", "sh", "-c", "exit 7").returncode == 7
    assert emulate("--", "sh", "-c", "kill -9 $$").returncode == 137


def test_the_kernel_log_is_printed_unless_quiet():
    script = "import fcntl,os; f=os.open('/dev/accel/accel0',2); fcntl.ioctl(f,0xc0186441,bytearray(24))"
    loud, quiet = (emulate(*options, "--", sys.executable, "-c", script) for options in ((), ("--quiet",)))
    assert "OSError: [Errno 22]" in loud.stderr
    assert "ane: BO_INIT: 0 bytes are not whole pages" in loud.stderr
    assert "ane: BO_INIT" not in quiet.stderr


def test_another_path_can_be_the_node(tmp_path):
    script = f"import os; os.open('{tmp_path}/node', os.O_RDWR)"
    assert emulate("--node", f"{tmp_path}/node", "--", sys.executable, "-c", script).returncode == 0


def test_a_program_that_is_missing_is_one_line():
    result = emulate("--", "no-such-program")
    assert result.returncode == 1
    assert result.stderr.startswith("error: no-such-program: the program cannot be started")
    assert len(result.stderr.splitlines()) == 1
