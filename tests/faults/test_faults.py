"""Full disks, kills and unreadable folders: an output is whole or absent, never half, and nothing is left beside it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import openane
from openane.compiler.cache import SUFFIX, Cache, build_cached, key_of
from openane.compiler.driver import Options, save
from openane.compiler.plan import Artifact
from openane.core import files
from openane.core.errors import InputError
from openane.core.files import write_array, write_atomically

DIGITS = Path(openane.__file__).parent / "data" / "digits.onnx"
ENDINGS = (".hwx", ".anec", ".plist")
OLD = b"what was there before"


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    return openane.compile(DIGITS)


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(params=["fsync", "replace", "write"])
def full_disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full at one of the moments at which a system says so."""
    if request.param == "fsync":
        monkeypatch.setattr(files.os, "fsync", full)
    elif request.param == "replace":
        monkeypatch.setattr(Path, "replace", full)
    else:
        monkeypatch.setattr(files.os, "fdopen", lambda handle, _: FullFile(handle))


class FullFile:
    """A file that takes half of the first piece and then has no room."""

    def __init__(self, handle: int) -> None:
        self.handle = handle

    def __enter__(self) -> FullFile:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.handle)

    def write(self, piece: bytes) -> None:
        os.write(self.handle, bytes(piece[: len(piece) // 2]))
        full()


@pytest.mark.usefixtures("full_disk")
@pytest.mark.parametrize("before", [None, OLD])
def test_full_disk_leaves_the_old_file_or_none(tmp_path: Path, before: bytes | None) -> None:
    path = tmp_path / "out.bin"
    if before is not None:
        path.write_bytes(before)
    with pytest.raises(InputError, match="No space left"):
        write_atomically(path, [b"new" * 1000, b"more"])
    assert [each.name for each in tmp_path.iterdir()] == (["out.bin"] if before else [])
    assert before is None or path.read_bytes() == before


@pytest.mark.usefixtures("full_disk")
@pytest.mark.parametrize("ending", ENDINGS)
def test_full_disk_while_a_model_is_saved(artifact: Artifact, tmp_path: Path, ending: str) -> None:
    with pytest.raises(InputError, match="No space left"):
        save(artifact, tmp_path / f"out{ending}")
    assert not any(tmp_path.iterdir())


@pytest.mark.usefixtures("full_disk")
def test_full_disk_while_an_array_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No space left"):
        write_array(tmp_path / "y.npy", np.zeros(10))
    assert not any(tmp_path.iterdir())


@pytest.mark.usefixtures("full_disk")
def test_full_disk_only_costs_the_cache(artifact: Artifact, tmp_path: Path) -> None:
    assert not Cache(tmp_path).put("key", artifact)
    assert not any(tmp_path.iterdir())


LOOP = """
import sys
from pathlib import Path
from openane.core.files import write_atomically
number = 0
print("ready", flush=True)
while True:
    number = number % 250 + 1
    write_atomically(Path(sys.argv[1]), (bytes([number]) * 65536 for _ in range(64)))
"""


def start(script: str, *arguments: object) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", script, *map(str, arguments)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def is_whole(data: bytes) -> bool:
    return len(data) == 64 * 65536 and data.count(data[:1]) == len(data)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("wait_seconds", [0.0, 0.013, 0.05, 0.11])
def test_killed_in_the_middle_of_writing(tmp_path: Path, wait_seconds: float) -> None:
    path = tmp_path / "out.bin"
    process = start(LOOP, path)
    time.sleep(wait_seconds)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not path.exists() or is_whole(path.read_bytes())
    write_atomically(path, b"written again")
    assert path.read_bytes() == b"written again"


def test_two_processes_write_the_same_output(tmp_path: Path) -> None:
    path = tmp_path / "out.bin"
    processes = [start(LOOP, path) for _ in range(2)]
    try:
        deadline = time.monotonic() + 60
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        seen = [path.read_bytes() for _ in range(30)]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert all(map(is_whole, seen))


COMPILE = """
import sys
from pathlib import Path
import openane
from openane.compiler.driver import save
artifact = openane.compile(sys.argv[1])
print("ready", flush=True)
for _ in range(20):
    save(artifact, Path(sys.argv[2]))
"""


@pytest.mark.parametrize("ending", [".hwx", ".plist"])
def test_two_compilers_write_the_same_model(artifact: Artifact, tmp_path: Path, ending: str) -> None:
    expected, path = tmp_path / "alone", tmp_path / "both"
    expected.mkdir()
    path.mkdir()
    save(artifact, expected / f"digits{ending}")
    processes = [start(COMPILE, DIGITS, path / f"digits{ending}") for _ in range(2)]
    for process in processes:
        process.communicate(timeout=120)
        assert process.returncode == 0
    assert {each.name: each.read_bytes() for each in path.iterdir()} == {
        each.name: each.read_bytes() for each in expected.iterdir()
    }


def refused(*_: object, **__: object) -> None:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The right is taken away by a patch, since the administrator may read everything."""
    path = tmp_path / "model.onnx"
    path.write_bytes(DIGITS.read_bytes())
    monkeypatch.setattr(Path, "open", refused)
    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(InputError, match="Permission denied"):
        openane.load(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the administrator may read everything")
def test_unreadable_folder(tmp_path: Path) -> None:
    folder = tmp_path / "model.mlpackage"
    folder.mkdir()
    folder.chmod(0)
    try:
        with pytest.raises(InputError):
            openane.load(folder)
    finally:
        folder.chmod(0o700)


@pytest.mark.parametrize("ending", ENDINGS)
def test_folder_that_may_not_be_written(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr(files.tempfile, "mkstemp", refused)
    with pytest.raises(InputError, match="Permission denied"):
        save(artifact, tmp_path / f"out{ending}")
    assert not any(tmp_path.iterdir())


def test_read_only_cache_still_compiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(tmp_path / "cache")
    monkeypatch.setattr(files.tempfile, "mkstemp", refused)
    monkeypatch.setattr(Path, "unlink", refused)
    assert build_cached(DIGITS, Options(), cache).program.tasks
    assert not any((tmp_path / "cache").glob("*"))


def test_read_only_cache_gives_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(tmp_path)
    build_cached(DIGITS, Options(), cache)
    monkeypatch.setattr(os, "utime", refused)
    key = key_of(DIGITS, Options())
    assert key is not None
    assert cache.get(key) is not None


@pytest.mark.parametrize(
    "damage", [lambda path: path.write_bytes(b""), lambda path: path.write_bytes(path.read_bytes()[:-9])]
)
def test_damaged_entry_is_compiled_again(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    cache = Cache(tmp_path)
    build_cached(DIGITS, Options(), cache)
    (entry,) = tmp_path.glob(f"*{SUFFIX}")
    whole = entry.read_bytes()
    damage(entry)
    assert build_cached(DIGITS, Options(), cache).program.tasks
    assert entry.read_bytes() == whole
