"""Writing files whole or not at all."""

from __future__ import annotations

import io
import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from openane.core.errors import InputError
from openane.core.reader import Buffer


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
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".part")
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
