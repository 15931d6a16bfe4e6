"""Outputs that are not ordinary files, inputs that are pipes, and ends by a signal."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import openane
from openane.cli import main
from openane.core.errors import InputError, OpenaneError
from openane.core.files import PART_SUFFIX, open_regular, read_npy, read_npz, staged, write_array, write_atomically
from openane.formats.source import open_source

DIGITS = Path(openane.__file__).parent / "data" / "digits.onnx"
needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="there is no /proc here")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Nothing half-written stays, whatever happens."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert not list(tmp_path.rglob(f".*{PART_SUFFIX}"))


def device(path: Path, major: int, minor: int) -> Path:
    """A copy of a device of the system: the real ones are never risked."""
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(major, minor))
        with path.open("ab"):
            pass
    except (OSError, AttributeError) as error:
        pytest.skip(f"devices cannot be made here: {error}")
    return path


# Outputs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("linked", [False, True])
def test_a_device_is_written_to(folder: Path, linked: bool) -> None:
    path = device(folder / "null", 1, 3)
    if linked:
        (folder / "link").symlink_to(path)
    write_atomically(folder / "link" if linked else path, b"data")
    assert stat.S_ISCHR(path.stat().st_mode)
    assert not linked or (folder / "link").is_symlink()


def test_a_full_device(folder: Path) -> None:
    path = device(folder / "full", 1, 7)
    with pytest.raises(InputError, match="No space left"):
        write_atomically(path, b"data")
    assert stat.S_ISCHR(path.stat().st_mode)


def test_verbs_leave_devices_alone(folder: Path) -> None:
    path = device(folder / "null", 1, 3)
    main(["run", str(DIGITS), "--trace", str(path)])
    assert stat.S_ISCHR(path.stat().st_mode)


@needs_pipes
def test_a_pipe_is_written_to(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append((folder / "pipe").read_bytes()))
    reader.start()
    write_atomically(folder / "pipe", [b"one", b"two"])
    reader.join()
    assert got == [b"onetwo"]
    assert stat.S_ISFIFO((folder / "pipe").stat().st_mode)


WRITE = """
import sys
from pathlib import Path
from openane.core.files import write_atomically
sys.stdout.write("before\\n"); sys.stdout.flush()
write_atomically(Path(sys.argv[1]), b"data\\n")
sys.stdout.write("after\\n")
"""


@needs_proc
@pytest.mark.parametrize("target", ["/proc/self/fd/1", "link", "second"])
def test_standard_output(folder: Path, target: str) -> None:
    """A pipe, and a file that already has content: both get the bytes at their place.

    The links are what /dev/stdout is; that one is not risked.
    """
    (folder / "link").symlink_to("/proc/self/fd/1")
    (folder / "second").symlink_to("link")
    command = [sys.executable, "-c", WRITE, target]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"before\ndata\nafter\n"
    with (folder / "out").open("wb") as file:
        subprocess.run(command, stdout=file, check=True)
    assert (folder / "out").read_bytes() == b"before\ndata\nafter\n"
    assert (folder / "link").is_symlink()


def test_other_links_are_replaced(folder: Path) -> None:
    (folder / "old").write_bytes(b"mine")
    (folder / "link").symlink_to(folder / "old")
    write_atomically(folder / "link", b"new")
    assert ((folder / "old").read_bytes(), (folder / "link").read_bytes()) == (b"mine", b"new")
    assert not (folder / "link").is_symlink()


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_permissions_stay(folder: Path, mode: int) -> None:
    for name in ("x.npy", "y.npy"):
        (folder / name).write_bytes(b"old")
        (folder / name).chmod(mode)
    write_array(folder / "x.npy", np.zeros(2))
    with staged(folder / "y.npy") as path:
        write_array(path, np.zeros(2))
    assert {stat.S_IMODE((folder / name).stat().st_mode) for name in ("x.npy", "y.npy")} == {mode}


def test_a_new_file_follows_the_mask(folder: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(folder / "new", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((folder / "new").stat().st_mode) == 0o640


@needs_pipes
def test_several_files_do_not_go_to_a_pipe(folder: Path) -> None:
    os.mkfifo(folder / "net.plist")
    with pytest.raises(InputError, match="device or pipe"), staged(folder / "net.plist") as path:
        path.write_bytes(b"x")
    assert stat.S_ISFIFO((folder / "net.plist").stat().st_mode)


# Inputs -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def pipe(folder: Path) -> Path:
    if not hasattr(os, "mkfifo"):
        pytest.skip("there are no pipes here")
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


@pytest.mark.parametrize("read", [read_npy, read_npz, open_regular, open_source, openane.load])
def test_readers_do_not_wait_for_a_pipe(pipe: Path, read: object) -> None:
    with pytest.raises(OpenaneError, match="not a file but a pipe or device"):
        read(pipe)  # type: ignore[operator]


@pytest.mark.parametrize("read", [read_npy, open_source])
def test_sockets_are_refused(folder: Path, read: object) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        with pytest.raises(OpenaneError, match="not a file but a pipe or device"):
            read(folder / "socket")  # type: ignore[operator]


@pytest.mark.parametrize(
    "command",
    [
        *(["run", str(DIGITS), "--input", "image=pipe"], ["run", "pipe"], ["info", "pipe"], ["explain", "pipe"]),
        *(["compile", "pipe", "-o", "x.hwx"], ["dis", "pipe", "-o", "x.s"], ["diff", "pipe", "pipe"]),
        *(["run", str(DIGITS), "--constant", "x=pipe.npy"], ["eval", str(DIGITS), "pipe.npz", "--no-cache"]),
        *(["eval", str(DIGITS), "pipe.parquet", "--no-cache"], ["estimate", "pipe"], ["compare", "pipe"]),
    ],
    ids=" ".join,
)
def test_verbs_do_not_wait_for_a_pipe(pipe: Path, command: list[str]) -> None:
    for name in ("pipe.npy", "pipe.npz", "pipe.parquet"):
        os.mkfifo(name)
    with pytest.raises(SystemExit) as stop:
        main(command)
    assert stop.value.code == 2


# Signals ------------------------------------------------------------------------------------------------------------

SLOW = """
import sys, time
from pathlib import Path
from openane.cli import _ending
from openane.core.files import staged, write_atomically

def pieces():
    yield b"begin"
    print("ready", flush=True)
    time.sleep(60)
    yield b"end"

try:
    with _ending.ended_by_signals():
        if sys.argv[1] == "file":
            write_atomically(Path("out"), pieces())
        else:
            with staged(Path("out")) as path:
                path.mkdir()
                write_atomically(path / "x", pieces())
except _ending.Terminated as end:
    sys.exit(end.status)
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_signals_leave_nothing_half_written(folder: Path, name: str, kind: str) -> None:
    if not hasattr(signal, name):
        pytest.skip(f"there is no {name} here")
    number = getattr(signal, name)
    # nohup, under which the tests may run, has its processes ignore SIGHUP
    heard = partial(signal.signal, number, signal.SIG_DFL)
    command = [sys.executable, "-c", SLOW, kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=heard) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert list(folder.rglob(f".*{PART_SUFFIX}"))
        process.send_signal(number)
        assert process.wait(30) == 128 + number
    assert not list(folder.iterdir())


def test_an_ignored_signal_stays_ignored() -> None:
    from openane.cli._ending import ended_by_signals

    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with ended_by_signals():
            assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    main(["info", str(DIGITS)])
    assert signal.getsignal(signal.SIGTERM) == before


# The terminal and memory --------------------------------------------------------------------------------------------

COMMAND = [sys.executable, "-c", "from openane.cli import main; main()"]


@pytest.mark.parametrize("arguments", [["info", str(DIGITS)], ["info", str(DIGITS), "--json"], ["--help"]])
def test_a_full_standard_output(folder: Path, arguments: list[str]) -> None:
    with device(folder / "full", 1, 7).open("wb") as full:
        done = subprocess.run([*COMMAND, *arguments], stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 2
    assert done.stderr.decode() == (
        "error: cannot write the output: No space left on device. Write it to a disk with free space.\n"
    )


def test_a_limit_of_the_address_space() -> None:
    resource = pytest.importorskip("resource", reason="there are no limits here")
    limit = 300 << 20

    def tighten() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    done = subprocess.run(
        [*COMMAND, "run", str(DIGITS), "--no-cache"],
        capture_output=True,
        preexec_fn=tighten,
        check=False,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode in (0, 2), done.stderr
    if done.returncode:
        assert done.stderr.decode().startswith("error: not enough memory. Raise the limit of the process")


def test_arrays_larger_than_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(folder / "x.npz", x=np.zeros(4))
    np.save(folder / "x.npy", np.zeros(4))

    def exhausted(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("openane.core.files._read_npy", exhausted)
    for read, name in ((read_npz, "x.npz"), (read_npy, "x.npy")):
        with pytest.raises(InputError, match=r"do not fit in memory .*bytes on disk"):
            read(folder / name)


SURFACE = '.surface input "x" buffer={buffer} shape={shape} strides={strides} size={size} dtype=float16\n'
FIELDS = {"buffer": "4", "shape": "1,1,2,4,4", "strides": "512,512,256,64,2", "size": "512"}


@pytest.mark.parametrize("number", [1 << 40, 1 << 63, 1 << 64, 1 << 70])
@pytest.mark.parametrize("field", FIELDS)
def test_absurd_numbers_in_assembly_headers(folder: Path, field: str, number: int) -> None:
    """Each position of each field; the message names the line, and nothing is called a bug of openane."""
    parts = FIELDS[field].split(",")
    for index in range(len(parts)):
        text = ",".join([*parts[:index], str(number), *parts[index + 1 :]])
        (folder / "x.s").write_text(".openane 1\n.target h13\n" + SURFACE.format(**{**FIELDS, field: text}))
        with pytest.raises(OpenaneError, match=r"x\.s: line 3.*an impossible size .found .*allowed: 0\.\."):
            openane.load(folder / "x.s")
