"""Writing files whole or not at all."""

from __future__ import annotations

import errno
import io
import os
import re
import shutil
import signal
import stat
import tempfile
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import numpy as np

from openane.core.errors import FormatError, InputError, OpenaneError
from openane.core.reader import Buffer

PART_SUFFIX = ".part"
"""Of a file that is being written; one that stays was left by a process that was killed."""
_HINT = "Choose a folder that exists, is writable and has room."


def write_atomically(path: Path, data: Buffer | Iterable[Buffer]) -> None:
    """Writes `data` to a temporary file and renames it to `path`, so that a reader sees the old file or the new one.

    A device or a pipe, also one that a link leads to, and an open file descriptor (/dev/stdout) are written to instead.
    Any other link is replaced. An existing file keeps its permissions.

    Args:
        path: the file to make or replace; its folder must exist.
        data: the bytes, or pieces of them in order.

    Raises:
        InputError: the file cannot be written; nothing is left over.
    """
    pieces = [data] if isinstance(data, (bytes, bytearray, memoryview)) else data
    temporary = None
    try:
        if is_stream(path):
            with _open_stream(path) as file:
                for piece in pieces:
                    file.write(piece)
            return
        permissions = _permissions(path)
        with _signals_held():
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=PART_SUFFIX)
        with os.fdopen(handle, "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(permissions)
        Path(temporary).replace(path)
    except OSError as error:
        raise InputError(f"cannot write: {error.strerror or error}", where=str(path), hint=_HINT) from error
    finally:
        if temporary is not None:
            with _signals_held():
                Path(temporary).unlink(missing_ok=True)


@contextmanager
def _signals_held() -> Iterator[None]:
    """Holds back the signals that end a process, so that none comes between making a file and knowing its name."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _permissions(path: Path) -> int:
    """Those of the file that will be replaced; where there is none, or a link, those of any new file."""
    with suppress(OSError):
        found = path.lstat()
        if stat.S_ISREG(found.st_mode):
            return found.st_mode & 0o777
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


def is_stream(path: Path) -> bool:
    """Whether bytes written to a path go to a device, a pipe or an open file descriptor, also by way of a link."""
    try:
        kind = path.stat().st_mode
    except (OSError, ValueError):
        return False
    if stat.S_ISREG(kind):
        return _descriptor(path) is not None
    return not stat.S_ISDIR(kind)


_DESCRIPTOR_FOLDER = re.compile(r"/dev/fd|/proc/(?:self|thread-self|\d+)(?:/task/\d+)?/fd")


def _descriptor(path: Path) -> Path | None:
    """The name of the open file descriptor that a path or the links after it lead to ("/proc/self/fd/1")."""
    for _ in range(40):  # as many links as Linux follows
        folder = str(path.parent.resolve())
        if _DESCRIPTOR_FOLDER.fullmatch(folder) and path.name.isdigit():
            return Path(folder) / path.name
        if not path.is_symlink():
            return None
        path = path.parent / path.readlink()
    return None


def _open_stream(path: Path) -> IO[bytes]:
    descriptor = _descriptor(path)
    own = (Path("/dev/fd"), Path(f"/proc/{os.getpid()}/fd"))
    if descriptor is not None and descriptor.parent in own:
        # Opened anew, a file would be written from its start, over what the process has written already.
        return os.fdopen(os.dup(int(descriptor.name)), "wb")
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND), "wb")


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """A path of the same name in a folder next to `path`, for an output that is a folder or several files.

    What the block writes there, and next to it, is moved to `path`, and next to that, when the block ends without an
    error; `path` itself comes last. In between `path` is absent, so that it is never seen with files of another time.

    Raises:
        InputError: something cannot be written; nothing of it is left.
    """
    folder = None
    try:
        with _signals_held():
            folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=PART_SUFFIX))
        yield folder / path.name
        _move(folder, path)
    except OSError as error:
        raise InputError(f"cannot write: {error.strerror or error}", where=str(path), hint=_HINT) from error
    except OpenaneError as error:
        raise error.renamed(str(folder), str(path.parent)) from error
    finally:
        if folder is not None:
            with _signals_held():
                shutil.rmtree(folder, ignore_errors=True)


def _move(folder: Path, path: Path) -> None:
    made = folder / path.name
    others = [each for each in sorted(folder.rglob("*")) if each.is_file() and made not in (each, *each.parents)]
    targets = [path.parent / each.relative_to(folder) for each in others]
    for target in (*targets, path):
        if is_stream(target):
            raise InputError("several files do not go to a device or pipe", where=str(target), hint=_HINT)
    for target in (*targets, *([] if made.is_dir() else [path])):
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    for each, target in zip((*others, made), (*targets, path), strict=True):
        if each.is_file():
            each.chmod(_permissions(target))
    if path.is_symlink() or (path.is_file() and (others or made.is_dir())):
        path.unlink()
    for each, target in zip(others, targets, strict=True):
        target.parent.mkdir(exist_ok=True)
        each.replace(target)
    if made.is_dir() and path.is_dir():
        path.rename(folder / f"{path.name}.old")
    made.replace(path)


def open_regular(path: Path) -> io.BufferedReader:
    """Opens a file for reading; a pipe, socket or device is refused and not waited for.

    Raises:
        InputError: it is one of these.
        OSError: there is no such file, or it cannot be read.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    kind = path.stat().st_mode  # a device may act when it is opened
    if stat.S_ISREG(kind):
        handle = os.open(path, flags)
        kind = os.fstat(handle).st_mode
        if stat.S_ISREG(kind):
            return open(handle, "rb")  # noqa: PTH123 (a descriptor, not a path)
        os.close(handle)
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise InputError("not a file but a pipe or device", where=str(path), hint="Copy its content to a file first.")


def make_folder(path: Path) -> None:
    """Makes a folder and those above it, unless it is there.

    Raises:
        InputError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder: {error.strerror or error}", where=str(path)) from error


def safe_file_name(name: str) -> str:
    """A tensor name as a file name: characters that are unfit become "_"; never empty, hidden or a path."""
    cleaned = re.sub(r"[^\w.@+=-]", "_", name).lstrip(".")[:120]
    return cleaned or "_"


def write_array(path: Path, array: np.ndarray) -> None:
    """Writes an array as .npy, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
    write_atomically(path, buffer.getbuffer())


ARCHIVE_LIMIT_BYTES = 4 << 30
"""Of all arrays of a .npz together, unpacked: an archive can say a thousand times its own size."""
EXPANSION_LIMIT = 1100
"""Largest accepted ratio of an array to what the archive holds of it; numpy's own compression reaches 1032."""
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_DAMAGE = (
    *(OSError, ValueError, EOFError, KeyError, TypeError, AttributeError, SyntaxError, RuntimeError),
    *(
        RecursionError,
        OverflowError,
        NotImplementedError,
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        zlib.error,
        tokenize.TokenError,
    ),
)
"""What numpy and zipfile raise for damaged files."""


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a .npz file by name; pickled objects are refused.

    Raises:
        InputError: the file cannot be opened.
        FormatError: damaged, no archive of arrays, or larger than ARCHIVE_LIMIT_BYTES when unpacked.
    """
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            unpacked_bytes = sum(member.file_size for member in members)
            if unpacked_bytes > ARCHIVE_LIMIT_BYTES:
                raise FormatError(
                    "the arrays are too large when unpacked",
                    where=str(path),
                    value=f"{unpacked_bytes} bytes",
                    limit=f"{ARCHIVE_LIMIT_BYTES} bytes",
                )
            arrays = {}
            for member in members:
                if member.file_size > EXPANSION_LIMIT * max(member.compress_size, 1):
                    raise FormatError("an array expands absurdly", where=f"{path}: {member.filename}")
                with archive.open(member) as content:
                    arrays[member.filename.removesuffix(".npy")] = _read_npy(content, member.file_size)
            return arrays
    except MemoryError as error:
        raise _too_large(path) from error
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
            raise InputError(f"cannot read: {error.strerror or error}", where=str(path)) from error
        raise FormatError("not a .npz archive of arrays of numbers", where=str(path)) from error


def read_npy(path: Path) -> np.ndarray:
    """The array of a .npy file; pickled objects are refused.

    Raises:
        InputError: the file cannot be opened.
        FormatError: damaged, or no array of numbers.
    """
    try:
        with open_regular(path) as file:
            return _read_npy(file, path.stat().st_size)
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror or error}", where=str(path)) from error
    except MemoryError as error:
        raise _too_large(path) from error
    except _DAMAGE as error:
        raise FormatError("not a .npy array of numbers", where=str(path)) from error


def _too_large(path: Path) -> InputError:
    return InputError(
        "the arrays do not fit in memory",
        where=str(path),
        value=f"{path.stat().st_size} bytes on disk",
        hint="Take a part of them, or a machine with more memory.",
    )


def _read_npy(file: IO[bytes], size_bytes: int) -> np.ndarray:
    """An array whose header is believed only as far as the file reaches, since memory is taken by what it says."""
    read_header = _HEADERS[np.lib.format.read_magic(file)]
    with warnings.catch_warnings(action="ignore"):  # numpy reports the terminal about headers of Python 2
        shape, fortran_order, dtype = read_header(file)
    count = 1
    for extent in shape:
        count *= extent
    if dtype.hasobject or count < 0 or count * dtype.itemsize > size_bytes:
        raise ValueError("more elements than the file has, or objects")
    array = np.frombuffer(bytearray(file.read(count * dtype.itemsize)), dtype, count)
    return array.reshape(shape, order="F" if fortran_order else "C")
