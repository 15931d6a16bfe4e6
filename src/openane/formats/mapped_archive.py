"""ZIP archives in bytes at hand."""

from __future__ import annotations

import zipfile

from openane.core.reader import Buffer


def open_archive(data: Buffer) -> zipfile.ZipFile:
    """The archive in some bytes; only what is read is copied.

    Raises:
        zipfile.BadZipFile, OSError, ValueError, NotImplementedError, OverflowError: it is not one, or is damaged.
    """
    return zipfile.ZipFile(_Window(memoryview(data)))


class _Window:
    """A file object over bytes that copies only what is read."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._position = 0

    def read(self, size: int = -1) -> bytes:
        end = len(self._data) if size is None or size < 0 else self._position + size
        chunk = bytes(self._data[self._position : end])
        self._position += len(chunk)
        return chunk

    def seek(self, offset: int, whence: int = 0) -> int:
        base = (0, self._position, len(self._data))[whence]
        if base + offset < 0:
            raise ValueError("before the start")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def seekable(self) -> bool:
        return True
