"""Core ML's weight files: constants that MIL text names by path and offset.

Layout, as coremltools writes it: u32 number of blobs, u32 2 (version), zeros to byte 64; then per blob, on a multiple
of 64, u32 0xDEADBEEF, u32 type, u64 size in bytes, u64 offset of the data in the file, u64 padding in bits; the data on
a multiple of 64.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from openane.core.errors import FormatError
from openane.core.files import open_regular
from openane.core.sidecar_files import note_sidecar_file
from openane.core.types import DType

SENTINEL = 0xDEADBEEF
_METADATA = struct.Struct("<IIQQ")
_LARGEST_BYTES = 1 << 34  # a program's weights are limited to about 2 GB; above this a size is damage


@dataclass(frozen=True, slots=True)
class BlobType:
    """An element type of a weight file.

    Attributes:
        name: as MIL text spells it.
        code: in the metadata.
        bits: of one element; less than 8 are packed, lowest bits first.
        dtype: of the array that is made of it.
    """

    name: str
    code: int
    bits: int
    dtype: DType

    def size_bytes(self, count: int) -> int:
        """Bytes of `count` elements."""
        return -(-count * self.bits // 8)


# Codes and packing: written by coremltools' blob storage writer, read back in the tests.
BLOB_TYPES: dict[str, BlobType] = {
    kind.name: kind
    for kind in (
        BlobType("fp16", 1, 16, DType.FLOAT16),
        BlobType("fp32", 2, 32, DType.FLOAT32),
        BlobType("uint8", 3, 8, DType.UINT8),
        BlobType("int8", 4, 8, DType.INT8),
        BlobType("int16", 6, 16, DType.INT16),
        BlobType("uint16", 7, 16, DType.UINT16),
        BlobType("int4", 8, 4, DType.INT8),
        BlobType("uint1", 9, 1, DType.UINT8),
        BlobType("uint2", 10, 2, DType.UINT8),
        BlobType("uint4", 11, 4, DType.UINT8),
        BlobType("uint3", 12, 3, DType.UINT8),
        BlobType("uint6", 13, 6, DType.UINT8),
        BlobType("int32", 14, 32, DType.INT32),
        BlobType("uint32", 15, 32, DType.UINT32),
    )
}
_NAMES = {kind.code: kind.name for kind in BLOB_TYPES.values()}


@dataclass(frozen=True, slots=True)
class BlobStore:
    """The folder of a model, in which its weight files are looked up.

    Attributes:
        folder: what `@model_path` means; None for a text without a file.
    """

    folder: Path | None

    def read(self, path: str, offset: int, kind: BlobType, count: int) -> np.ndarray:
        """A constant.

        The rule is that of Apple's compiler, with Core ML's own layout of the metadata: the sentinel must be there, and
        the data offset is believed. A type code that Core ML knows is believed too, and must agree in type and size;
        with any other code nothing but the offset is used. (Files whose metadata was packed as u32 sentinel, u64 size,
        u64 offset give the offset 0 this way, and their constants start with the file's own header: Apple's compiler
        does just that.)

        Args:
            path: as in the text, "@model_path/weights/weight.bin".
            offset: of the metadata in the file.
            kind: element type asked for.
            count: number of elements asked for.

        Returns:
            A one-dimensional array of `count` elements.

        Raises:
            FormatError: a path outside the folder, a missing or damaged file, or another type or size.
        """
        size_bytes = kind.size_bytes(count)
        file_path = self._resolve(path)
        where = f"{path}: offset {offset:#x}"
        try:
            with open_regular(file_path) as file:
                file_bytes = file_path.stat().st_size
                if offset < 0 or offset + _METADATA.size > file_bytes:
                    raise FormatError(
                        "the metadata of a constant is outside the weight file",
                        where=where,
                        limit=f"{file_bytes} bytes in all",
                    )
                file.seek(offset)
                data_offset = _data_offset(file.read(_METADATA.size), kind, size_bytes, where)
                if size_bytes > _LARGEST_BYTES or data_offset + size_bytes > file_bytes:
                    raise FormatError(
                        "the data of a constant does not fit in the weight file",
                        where=where,
                        value=f"{size_bytes} bytes at {data_offset:#x}",
                        limit=f"{file_bytes} bytes in all",
                        hint="The weight file is truncated, damaged or of another model.",
                    )
                file.seek(data_offset)
                data = file.read(size_bytes)
        except OSError as error:
            raise FormatError(
                f"cannot read the weight file: {error.strerror or error}",
                where=path,
                hint="Weight files are looked up next to the model, where its text says.",
            ) from error
        return unpack(data, kind, count)

    def _resolve(self, path: str) -> Path:
        relative = path.removeprefix("@model_path").lstrip("/")
        if self.folder is None:
            raise FormatError(
                "a constant is in a weight file, but this text has no folder to look in",
                where=path,
                hint="Load the model from its file.",
            )
        folder = self.folder.resolve()
        absolute = path.startswith("/") or "\0" in path or "\\" in path
        named = folder.joinpath(*PurePosixPath(relative).parts)
        found = folder if absolute else named.resolve()
        if absolute or not relative or not found.is_relative_to(folder):
            raise FormatError(
                "the path of a weight file leaves the model's folder",
                where=path,
                hint="Give it relative to @model_path, inside the folder.",
            )
        note_sidecar_file(named)
        try:
            there = found.is_file()
        except OSError:  # a name that no file can have
            there = False
        if not there:
            raise FormatError("the weight file is missing", where=path, value=f"no file {relative!r} next to the model")
        return found


def _data_offset(metadata: bytes, kind: BlobType, size_bytes: int, where: str) -> int:
    sentinel, code, stored_bytes, data_offset = _METADATA.unpack(metadata)
    if sentinel != SENTINEL:
        raise FormatError(
            "no constant begins here in the weight file",
            where=where,
            value=f"{sentinel:#010x}",
            limit=f"{SENTINEL:#010x}",
            hint="The offset in the text is wrong, or the weight file is of another model.",
        )
    if code in _NAMES:
        if code != kind.code:
            raise FormatError(
                "the weight file has another element type than the text asks for",
                where=where,
                value=_NAMES[code],
                limit=kind.name,
            )
        if stored_bytes != size_bytes:
            raise FormatError(
                "the weight file has another size than the text asks for",
                where=where,
                value=f"{stored_bytes} bytes",
                limit=f"{size_bytes} bytes",
            )
    return int(data_offset)


def unpack(data: bytes, kind: BlobType, count: int) -> np.ndarray:
    """`count` elements from packed bytes; elements of less than 8 bits become int8 or uint8."""
    if kind.bits >= 8:
        return np.frombuffer(data, kind.dtype.numpy, count).copy()
    bits = np.unpackbits(np.frombuffer(data, np.uint8), count=count * kind.bits, bitorder="little")
    values = np.packbits(bits.reshape(count, kind.bits), axis=1, bitorder="little")[:, 0]
    if kind.dtype is DType.INT8:
        sign = 1 << kind.bits - 1
        return ((values ^ sign).astype(np.int16) - sign).astype(np.int8)
    return values
