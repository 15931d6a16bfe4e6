"""Writing files whole or not at all."""

from __future__ import annotations

import errno
import io
import os
import re
import shutil
import tempfile
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from openane.core.errors import FormatError, InputError, OpenaneError
from openane.core.reader import Buffer

PART_SUFFIX = ".part"
"""Of a file that is being written; one that stays was left by a process that was killed."""


def write_atomically(path: Path, data: Buffer | Iterable[Buffer]) -> None:
    """Writes `data` to `path`: beside it first, then renamed, so that a reader sees the old file or the whole new one.

    Args:
        path: the file to make or replace; its folder must exist.
        data: the bytes, or pieces of them in order.

    Raises:
        InputError: the file cannot be written; nothing is left behind.
    """
    pieces = [data] if isinstance(data, (bytes, bytearray, memoryview)) else data
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=PART_SUFFIX)
        with os.fdopen(handle, "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes private files; a new output gets the permissions any other new file would have.
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(path)
    except OSError as error:
        raise InputError(
            f"cannot write: {error.strerror or error}",
            where=str(path),
            hint="Choose a folder that exists, is writable and has room.",
        ) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """A place of the same name beside `path`, for an output that is a folder or several files.

    What the block writes there, and beside there, is moved to `path`, and beside it, when the block ends without an
    error; `path` itself comes last. In between `path` is absent, so that it never stands beside files of another time.

    Raises:
        InputError: something cannot be written; nothing of it is left.
    """
    folder = None
    try:
        folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=PART_SUFFIX))
        yield folder / path.name
        _move(folder, path)
    except OSError as error:
        raise InputError(
            f"cannot write: {error.strerror or error}",
            where=str(path),
            hint="Choose a folder that exists, is writable and has room.",
        ) from error
    except OpenaneError as error:
        raise error.renamed(str(folder), str(path.parent)) from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _move(folder: Path, path: Path) -> None:
    made = folder / path.name
    others = [each for each in sorted(folder.rglob("*")) if each.is_file() and made not in (each, *each.parents)]
    targets = [path.parent / each.relative_to(folder) for each in others]
    for target in (*targets, *([] if made.is_dir() else [path])):
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if path.is_symlink() or (path.is_file() and (others or made.is_dir())):
        path.unlink()
    for each, target in zip(others, targets, strict=True):
        target.parent.mkdir(exist_ok=True)
        each.replace(target)
    if made.is_dir() and path.is_dir():
        path.rename(folder / f"{path.name}.old")
    made.replace(path)


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
    *(OSError, ValueError, EOFError, KeyError, TypeError, AttributeError, SyntaxError, RuntimeError, MemoryError),
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
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
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
        with path.open("rb") as file:
            return _read_npy(file, path.stat().st_size)
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror or error}", where=str(path)) from error
    except _DAMAGE as error:
        raise FormatError("not a .npy array of numbers", where=str(path)) from error


def _read_npy(file: IO[bytes], size_bytes: int) -> np.ndarray:
    """An array whose header is believed only as far as the file reaches, since memory is taken by what it says."""
    read_header = _HEADERS[np.lib.format.read_magic(file)]
    with warnings.catch_warnings(action="ignore"):  # numpy tells the terminal about headers of Python 2
        shape, fortran_order, dtype = read_header(file)
    count = 1
    for extent in shape:
        count *= extent
    if dtype.hasobject or count < 0 or count * dtype.itemsize > size_bytes:
        raise ValueError("more elements than the file has, or objects")
    array = np.frombuffer(bytearray(file.read(count * dtype.itemsize)), dtype, count)
    return array.reshape(shape, order="F" if fortran_order else "C")
