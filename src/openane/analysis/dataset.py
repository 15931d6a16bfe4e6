"""Data sets for evaluation: numbered samples of input arrays, with labels or expected outputs where there are any."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from openane.analysis.parquet import ParquetColumn, read_parquet
from openane.core.errors import FormatError, InputError, UnavailableError
from openane.core.files import open_regular, read_npy, read_npz
from openane.graph import TensorType

LABELS = "labels"
EXPECTED_PREFIX = "out:"
INPUT_PREFIX = "in:"
UNREADABLE = (
    *(
        OSError,
        ValueError,
        EOFError,
        LookupError,
        TypeError,
        AttributeError,
        SyntaxError,
        RuntimeError,
        ArithmeticError,
    ),
    *(MemoryError, zipfile.BadZipFile, zlib.error, struct.error),
)
"""What numpy, zipfile and the picture library raise for a damaged file."""
PICTURES: Mapping[str, str] = MappingProxyType(
    {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP", ".webp": "WEBP"}
)
"""Endings of pictures, and what Pillow calls the formats."""
_PICTURE_BYTES = 1 << 28


@dataclass(frozen=True, slots=True)
class Sample:
    """One element of a data set.

    Attributes:
        inputs: an array per model input, in the model's shape.
        label: the right class, None where the set has none.
        expected: what outputs should be, by name; empty where the set has none.
    """

    inputs: Mapping[str, np.ndarray]
    label: int | None
    expected: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Dataset:
    """A data set on disk; samples are read when they are asked for.

    Forms:
        FILE.npz: arrays named as the inputs (or "in:NAME"), first axis the samples; "labels"; "out:NAME" for expected
            outputs.
        FILE.parquet: columns named in the same way; a cell holds the elements of one array, flat.
        FOLDER: .npz files of one sample each, .npy files or pictures for a model of one input; the name of a
            sub-folder that is a number is the label.

    Attributes:
        path: file or folder.
        inputs: the model's inputs.
        scale: pictures are divided by this after they are read as RGB.
    """

    path: Path
    inputs: Mapping[str, TensorType]
    scale: float = 255.0

    def __len__(self) -> int:
        return len(self._files) if self.path.is_dir() else self._columns_length

    def __getitem__(self, index: int) -> Sample:
        """Sample number `index`.

        Raises:
            FormatError: its arrays are missing or have another size than the model's inputs.
        """
        if self.path.is_dir():
            return self._from_file(self._files[index])
        columns = self._columns
        rows = {name: columns[name][index] for name in columns}
        return self._sample(rows, f"{self.path}: sample {index}")

    @cached_property
    def _files(self) -> tuple[Path, ...]:
        kinds = {*PICTURES, ".npz", ".npy"}
        files = sorted(path for path in self.path.rglob("*") if path.suffix.lower() in kinds and path.is_file())
        if not files:
            raise InputError("the folder holds no samples", where=str(self.path), limit=", ".join(sorted(kinds)))
        return tuple(files)

    @cached_property
    def _columns(self) -> Mapping[str, ParquetColumn]:
        try:
            if self.path.suffix.lower() == ".parquet":
                return read_parquet(self.path)
            return read_npz(self.path)
        except UNREADABLE as error:
            raise FormatError(
                "not a data set that can be read", where=str(self.path), hint="Give a folder, .npz or .parquet."
            ) from error

    @property
    def _columns_length(self) -> int:
        lengths = {name: len(column) if column.shape else None for name, column in self._columns.items()}
        if not lengths or None in lengths.values() or len(set(lengths.values())) != 1:
            raise FormatError("columns of different lengths", where=str(self.path), value=lengths)
        return next(iter(lengths.values())) or 0

    def _from_file(self, path: Path) -> Sample:
        name = path.parent.name
        label = int(name) if path.parent != self.path and name.isascii() and name.isdigit() else None
        try:
            if path.suffix.lower() == ".npz":
                rows: dict[str, Any] = dict(read_npz(path))
            elif path.suffix.lower() == ".npy":
                rows = {self._only_input(): read_npy(path)}
            else:
                rows = {self._only_input(): read_picture(path, self.inputs[self._only_input()], self.scale)}
        except UNREADABLE as error:
            raise FormatError("not a sample that can be read", where=str(path)) from error
        if label is not None:
            rows.setdefault(LABELS, label)
        return self._sample(rows, str(path))

    def _only_input(self) -> str:
        if len(self.inputs) != 1:
            raise InputError(
                "single arrays and pictures need a model of one input",
                where=str(self.path),
                value=f"{len(self.inputs)} inputs",
                hint="Use .npz files with an array for each input.",
            )
        return next(iter(self.inputs))

    def _sample(self, rows: Mapping[str, Any], where: str) -> Sample:
        inputs = {}
        for name, kind in self.inputs.items():
            key = name if name in rows else INPUT_PREFIX + name
            if key not in rows:
                raise FormatError(f"no array for input {name!r}", where=where, value=", ".join(rows))
            array = np.asarray(rows[key])
            if array.size != kind.size:
                raise FormatError(
                    f"the array for {name!r} has another size", where=where, value=array.shape, limit=kind.shape
                )
            if array.dtype.kind not in "biuf":
                raise FormatError(f"the array for {name!r} holds no numbers", where=where, value=array.dtype)
            inputs[name] = array.reshape(kind.shape).astype(kind.dtype.numpy)
        label = _label(rows[LABELS], where) if LABELS in rows else None
        expected = {}
        for name, value in rows.items():
            if name.startswith(EXPECTED_PREFIX):
                array = np.asarray(value)
                if array.dtype.kind not in "biuf":
                    raise FormatError(f"the array {name!r} holds no numbers", where=where, value=array.dtype)
                expected[name.removeprefix(EXPECTED_PREFIX)] = array
        return Sample(inputs, label, expected)


def _label(value: Any, where: str) -> int:
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "biu":
        raise FormatError("the label is not one integer", where=where, value=f"{array.dtype}, {array.shape}")
    return int(array.item())


def read_picture(path: Path, kind: TensorType, scale: float) -> np.ndarray:
    """A picture as the model's input: RGB or gray, resized, channels where the model has them.

    Args:
        path: of the picture.
        kind: of the input; its last three sizes are those of an image, channels first or last.
        scale: values from 0 to 255 are divided by it.

    Returns:
        float32, of the last three sizes.

    Raises:
        InputError: it cannot be opened.
        FormatError: it is too large.
        UnavailableError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise UnavailableError("reading pictures needs Pillow", hint="pip install 'openane[eval]'") from error
    shape = kind.shape[-3:]
    channels_last = shape[-1] in (1, 3) and shape[0] not in (1, 3)
    height, width, channels = shape if channels_last else (shape[1], shape[2], shape[0])
    if path.stat().st_size > _PICTURE_BYTES:
        raise FormatError("the picture's file is too large", where=str(path), limit=f"{_PICTURE_BYTES} bytes")
    with open_regular(path) as file:
        content = io.BytesIO(file.read())  # Pillow reads as much as a length in the file says; more is not there
    try:
        with (
            warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning),
            Image.open(content, formats=tuple(PICTURES.values())) as picture,  # some other formats start programs
        ):
            fitted = picture.convert("L" if channels == 1 else "RGB").resize((width, height), Image.Resampling.BILINEAR)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise FormatError("the picture is absurdly large", where=str(path)) from error
    array: np.ndarray = np.asarray(fitted, np.float32).reshape(height, width, channels) / scale
    return array if channels_last else array.transpose(2, 0, 1)
