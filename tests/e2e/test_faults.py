"""Full disks, kills and unreadable folders: an output is whole or absent, never half, and nothing else is left."""

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
from openane.artifact.cache import SUFFIX, Cache
from openane.artifact.plan import Artifact
from openane.compiler.cached_build import build_cached, key_of
from openane.compiler.driver import Options, save
from openane.convert import convert
from openane.core import files
from openane.core.errors import InputError
from openane.core.files import staged, write_array, write_atomically
from openane.runtimes.verification import select_cases, write_kit

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
    monkeypatch.setattr("openane.core.files.os.open", refused)
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


# Outputs of several files ---------------------------------------------------------------------------------------------


def write_pair(path: Path, content: bytes) -> None:
    with staged(path) as place:
        (place.parent / "weights").mkdir()
        (place.parent / "weights" / "w.bin").write_bytes(content)
        place.write_bytes(content)


def pair(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_several_files_as_one(tmp_path: Path) -> None:
    for content in (b"old", b"new"):
        write_pair(tmp_path / "m.mil", content)
        assert pair(tmp_path) == {"m.mil": content, "weights/w.bin": content}
    with pytest.raises(ValueError, match="no"), staged(tmp_path / "m.mil") as place:
        place.write_bytes(b"half")
        raise ValueError("no")
    assert pair(tmp_path) == {"m.mil": b"new", "weights/w.bin": b"new"}


@pytest.mark.parametrize("failing", range(3))
def test_several_files_never_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int) -> None:
    """The main file never is next to others of another time, wherever the moving stops."""
    write_pair(tmp_path / "m.mil", b"old")
    count, replace = 0, Path.replace

    def sometimes(self: Path, target: Path) -> Path:
        nonlocal count
        count += 1
        if count > failing:
            full()
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", sometimes)
    try:
        write_pair(tmp_path / "m.mil", b"new")
    except InputError:
        assert failing < 2
    found = pair(tmp_path)
    assert "m.mil" not in found or len(set(found.values())) == 1
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_folder_replaces_a_folder_and_a_link(tmp_path: Path) -> None:
    target, victim = tmp_path / "m.mlpackage", tmp_path / "victim"
    victim.mkdir()
    (victim / "mine").write_bytes(b"mine")
    target.symlink_to(victim, target_is_directory=True)
    for content in (b"first", b"second"):
        with staged(target) as place:
            place.mkdir()
            (place / content.decode()).write_bytes(content)
        assert pair(target) == {content.decode(): content}
    assert pair(victim) == {"mine": b"mine"}


def test_folders_of_the_user_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "o.mlpackage").mkdir()
    (tmp_path / "o.mlpackage" / "notes").write_text("mine")
    (tmp_path / "o.plist").mkdir()
    for name in ("o.mlpackage", "o.plist"):
        with pytest.raises(InputError, match="in the way"):
            convert(DIGITS, tmp_path / name)
    assert (tmp_path / "o.mlpackage" / "notes").read_text() == "mine"


REPLACE = """
import sys
from pathlib import Path
from openane.core.files import staged
print("ready", flush=True)
number = 0
while True:
    number = number % 250 + 1
    with staged(Path(sys.argv[1])) as place:
        place.with_suffix(".weights").write_bytes(bytes([number]) * 65536)
        place.write_bytes(bytes([number]) * 65536)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("wait_seconds", [0.003, 0.02, 0.05, 0.11])
def test_killed_while_several_files_are_written(tmp_path: Path, wait_seconds: float) -> None:
    path = tmp_path / "o.plist"
    process = start(REPLACE, path)
    time.sleep(wait_seconds)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    if path.exists():
        assert path.read_bytes() == path.with_suffix(".weights").read_bytes()
        assert len(set(path.read_bytes())) == 1


# Every verb that writes -----------------------------------------------------------------------------------------------

WRITERS: dict[str, tuple[str, ...]] = {
    "hwx": ("compile", "MODEL", "-o", "o.hwx"),
    "anec": ("compile", "MODEL", "-o", "o.anec"),
    "plist": ("compile", "MODEL", "-o", "o.plist"),
    "stages": ("compile", "MODEL", "-o", "o.hwx", "--dump", "stages"),
    "to onnx": ("convert", "MODEL", "-o", "o.onnx"),
    "to mlmodel": ("convert", "MODEL", "-o", "o.mlmodel"),
    "to mlpackage": ("convert", "MODEL", "-o", "o.mlpackage"),
    "to mil": ("convert", "MODEL", "-o", "o.mil"),
    "to plist": ("convert", "MODEL", "-o", "o.plist"),
    "text": ("dis", "PROGRAM", "-o", "o.s"),
    "text and constants": ("dis", "PROGRAM", "-o", "o.s", "--constants", "file"),
    "assembled": ("asm", "TEXT", "-o", "o.hwx"),
    "patched": ("patch", "PROGRAM", "task[0].Common.Cin.Cin=1", "-o", "o.hwx"),
    "page": ("view", "MODEL", "-o", "o.html"),
    "arrays": ("run", "MODEL", "--no-cache", "--output-dir", "arrays"),
    "trace": ("run", "MODEL", "--no-cache", "--trace", "trace.jsonl"),
    "tensors": ("run", "MODEL", "--no-cache", "--dump", "tensors"),
    "kit": ("verify-device", "--kit", "kit", "--case", "planar engine"),
    "demo": ("demo", "--keep", "kept"),
    "journal": ("eval", "MODEL", "DATA", "--journal", "journal.jsonl", "--no-cache", "--layers", "0"),
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory, artifact: Artifact) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("sources")
    save(artifact, folder / "digits.hwx")
    (folder / "digits.s").write_text(openane.disassemble(folder / "digits.hwx"))
    np.savez(folder / "data.npz", image=np.zeros((4, 1, 28, 28), np.float32), labels=np.zeros(4, np.int64))
    openane.run(artifact, {"image": np.zeros((1, 1, 28, 28), np.float32)})  # the kernels are compiled and kept now,
    list(write_kit(select_cases(("planar engine",)), folder / "kit", "h13"))  # while there is room
    names = {"PROGRAM": "digits.hwx", "TEXT": "digits.s", "DATA": "data.npz"}
    return {"MODEL": str(DIGITS)} | {key: str(folder / name) for key, name in names.items()}


SMALL_DISK = """
import resource, sys
from openane.cli import main
import openane.analysis.compare, openane.viewer.page
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
main(sys.argv[1:])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits of file sizes")
@pytest.mark.parametrize("name", WRITERS)
def test_a_disk_that_takes_a_hundred_bytes(tmp_path: Path, sources: dict[str, str], name: str) -> None:
    """The system's own refusal, in the middle of a file: one line, and no part of an output."""
    if name.startswith("to ml") or name == "to mil":
        pytest.importorskip("coremltools", reason="the package coremltools is missing")
    command = [sources.get(word, word) for word in WRITERS[name]]
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", SMALL_DISK, *command],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        check=False,
    )
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 2, done.stderr
    assert len(errors) == 1, done.stderr
    left = [each for each in tmp_path.rglob("*") if each.is_file() and "Microsoft" not in each.parts]
    assert not left, left  # onnxruntime keeps a database of its own in the cache folder
