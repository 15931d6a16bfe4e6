"""Bytes to read a container from: a file that is mapped, not loaded, or bytes at hand."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from openane.core.errors import FormatError, InputError, valid
from openane.core.files import open_regular
from openane.core.reader import Buffer, Reader

Source = str | Path | Buffer


def open_source(source: Source, name: str = "") -> Reader:
    """A bounded reader over a file or bytes; files are mapped, so that large constants cost nothing.

    Args:
        source: a path, or the bytes.
        name: for messages; the file's name when empty.

    Raises:
        InputError: there is no such file, or it cannot be read.
        FormatError: it is empty.
    """
    if isinstance(source, (str, Path)):
        path = Path(source)
        name = name or valid(path.name)
        data: Buffer = _map(path)
    else:
        data = source
    if not len(data):
        raise FormatError("the file is empty", where=name or "input")
    return Reader(memoryview(data).toreadonly(), name or "input")


def _map(path: Path) -> Buffer:
    try:
        with open_regular(path) as file:
            if not os.fstat(file.fileno()).st_size:
                return b""
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"cannot read the file: {reason}", where=str(path)) from error
