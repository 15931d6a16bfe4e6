"""The weight files of a net.plist: raw arrays at byte offsets, without any header that matters."""

from __future__ import annotations

import mmap
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import MappingProxyType

import numpy as np

from openane.core.errors import FormatError, InputError
from openane.core.files import open_regular
from openane.core.reader import Buffer, Reader
from openane.core.sidecar_files import note_sidecar_file
from openane.net.schema.fields import describe

#: `KernelType` and its kin. Float16, Float32 and UInt8 were seen in files.
ELEMENT_TYPES: Mapping[str, np.dtype[np.generic]] = MappingProxyType(
    {
        "Float16": np.dtype("<f2"),
        "Float32": np.dtype("<f4"),
        "UInt8": np.dtype("u1"),
        "Int8": np.dtype("i1"),
    }
)

#: Published descriptions name a scratch file of zeros (called zero, after the device) that was never published.
ZERO_FILE = "zero"
ZERO_LIMIT = 1 << 26
"""Elements of one array; they take memory, though the file has none of them."""

#: Arrays start at multiples of this, in what openane writes.
ALIGNMENT_BYTES = 64


class WeightFiles:
    """The files a network names, opened when first used.

    A path inside a published file points into the machine that wrote it. So only its last part counts, and the file
    must lie in the folder of the plist itself; symbolic links that leave the folder are refused.

    Args:
        names: the `Weights` array.
        folder: of the plist; None when there is none (the plist came as bytes).
        given: contents by file name, used in place of files.
    """

    def __init__(self, names: Sequence[str], folder: Path | None, given: Mapping[str, Buffer]) -> None:
        self._names = names
        self._folder = folder
        self._given = given
        self._readers: dict[int, Reader | None] = {}

    def array(self, index: int, offset: int, dtype: np.dtype[np.generic], shape: Sequence[int]) -> np.ndarray:
        """A copy of the array of `shape` at byte `offset` of file number `index`.

        Raises:
            FormatError: no such file number, or the array is not inside the file.
            InputError: the file is missing or is outside the folder.
        """
        count = 1
        for extent in shape:
            count *= extent
        if index >= len(self._names):
            raise FormatError(
                "weights in a file that is not listed",
                value=f"file number {index}",
                limit=f"{len(self._names)} files in Weights",
            )
        reader = self._open(index)
        if reader is None:
            if count > ZERO_LIMIT:
                raise FormatError("a weight array is too large", value=f"{count} elements", limit=ZERO_LIMIT)
            return np.broadcast_to(np.zeros((), dtype), tuple(shape)).copy()
        data = reader.bytes_at(offset, count * dtype.itemsize, "a weight array")
        return np.frombuffer(data, dtype, count).reshape(tuple(shape)).copy()

    def _open(self, index: int) -> Reader | None:
        if index not in self._readers:
            self._readers[index] = self._find(index)
        return self._readers[index]

    def _find(self, index: int) -> Reader | None:
        name = PurePosixPath(self._names[index].replace("\\", "/")).name
        if name in ("", "..") or "\0" in name:
            raise FormatError("not a name of a weight file", value=describe(self._names[index]))
        if name in self._given:
            return Reader(self._given[name], name)
        if self._folder is None:
            raise InputError(f"weight file {name!r} is needed", hint="Give its contents.")
        path = self._folder / name
        try:
            note_sidecar_file(self._folder.resolve() / name)
            inside = path.resolve().is_relative_to(self._folder.resolve())
            if inside and path.is_file():
                return Reader(_mapped(path), str(path))
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(f"cannot read weight file {name!r}: {error}") from error
        if not inside:
            raise InputError(
                f"weight file {name!r} leads out of the folder of the plist",
                hint="Put a copy next to the plist.",
            )
        if name == ZERO_FILE:
            return None
        raise InputError(
            f"weight file {name!r} is missing",
            hint=f"It belongs next to the plist, in {self._folder}.",
        )


def _mapped(path: Path) -> Buffer:
    with open_regular(path) as file:
        if path.stat().st_size == 0:
            return b""
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


class WeightWriter:
    """Collects arrays for one weight file."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self._size_bytes = 0

    def add(self, array: np.ndarray) -> tuple[str, int]:
        """Appends an array.

        Returns:
            Its element type by name, and its byte offset. Types that the format lacks become Float32.
        """
        named = {dtype: name for name, dtype in ELEMENT_TYPES.items()}
        dtype = array.dtype if array.dtype in named else np.dtype("<f4")
        padding = -self._size_bytes % ALIGNMENT_BYTES
        offset = self._size_bytes + padding
        data = np.ascontiguousarray(array, dtype).tobytes()
        self.pieces += [bytes(padding), data]
        self._size_bytes = offset + len(data)
        return named[dtype], offset
