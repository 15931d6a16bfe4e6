"""Weights of a model as arrays: inline, or in external files inside the model's folder."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from openane.core.errors import FormatError, InputError, ModelError, UnsupportedError
from openane.core.sidecar_files import note_sidecar_file
from openane.core.types import DType
from openane.graph.ops import NarrowType

#: Elements of one tensor, weights and results alike.
ELEMENT_LIMIT = 1 << 29

#: Elements of a sparse tensor once its zeros are filled in.
SPARSE_LIMIT = 1 << 26

#: Narrow element types by their numbers.
NARROW: dict[int, NarrowType] = {int(getattr(TensorProto, kind.name)): kind for kind in NarrowType}

#: Element types of values in a Graph. Narrow ones are held, and computed, in a wider type that has all their values.
DTYPES: dict[int, DType] = {
    TensorProto.FLOAT: DType.FLOAT32,
    TensorProto.FLOAT16: DType.FLOAT16,
    TensorProto.DOUBLE: DType.FLOAT64,
    TensorProto.INT8: DType.INT8,
    TensorProto.UINT8: DType.UINT8,
    TensorProto.INT16: DType.INT16,
    TensorProto.UINT16: DType.UINT16,
    TensorProto.INT32: DType.INT32,
    TensorProto.UINT32: DType.UINT32,
    TensorProto.INT64: DType.INT64,
    TensorProto.UINT64: DType.UINT64,
    TensorProto.BOOL: DType.BOOL,
    **{number: kind.held_as for number, kind in NARROW.items()},
}


_NARROW_ARRAYS: dict[np.dtype[np.generic], int] = {onnx.helper.tensor_dtype_to_np_dtype(n): n for n in NARROW}


def type_name(number: int) -> str:
    """ONNX's name of an element type."""
    try:
        return str(TensorProto.DataType.Name(number)).lower()
    except ValueError:
        return f"type {number}"


def held(array: np.ndarray) -> np.ndarray:
    """The array in the element type that a Graph holds; only narrow types change."""
    number = _NARROW_ARRAYS.get(array.dtype)
    return array if number is None else array.astype(DTYPES[number].numpy)


def dtype_of(number: int, what: str) -> DType:
    """The element type of a value.

    Raises:
        UnsupportedError: values of a Graph do not have it.
    """
    if number not in DTYPES:
        known = ", ".join(sorted(type_name(n) for n in DTYPES))
        raise UnsupportedError(f"{what} has an element type without support", value=type_name(number), limit=known)
    return DTYPES[number]


@dataclass(frozen=True, slots=True)
class Tensors:
    """Reads TensorProtos.

    Attributes:
        folder: where external data may lie; None forbids it.
    """

    folder: Path | None = None

    def array(self, tensor: onnx.TensorProto, what: str) -> np.ndarray:
        """The tensor as an array of a type that a Graph has.

        Raises:
            ModelError: its size and its data disagree.
            FormatError: its external data is outside the folder, missing or too short.
            UnsupportedError: texts, complex numbers and the like.
        """
        kind = tensor.data_type
        dtype = dtype_of(kind, what)
        size = 1
        for extent in tensor.dims:
            if extent < 0:
                raise ModelError(f"{what} has a negative extent", value=list(tensor.dims))
            size *= extent
        if size > ELEMENT_LIMIT:
            raise ModelError(f"{what} is absurdly large", value=list(tensor.dims), limit=f"{ELEMENT_LIMIT} elements")
        if tensor.data_location == TensorProto.EXTERNAL:
            tensor = self._inlined(tensor, size, what)
        try:
            array = numpy_helper.to_array(tensor)
        except (ValueError, TypeError, IndexError, OverflowError) as error:
            raise ModelError(
                f"{what} holds another number of elements than its shape says", value=list(tensor.dims)
            ) from error
        return array.astype(dtype.numpy, copy=False)

    def dense(self, sparse: onnx.SparseTensorProto, what: str) -> np.ndarray:
        """A sparse tensor with its zeros filled in.

        Raises:
            ModelError: an index is out of range, or too many elements.
        """
        shape = tuple(sparse.dims)
        size = 1
        for extent in shape:
            size *= max(extent, 0)
        if size > SPARSE_LIMIT:
            raise ModelError(f"{what} is too large to fill in", value=list(shape), limit=f"{SPARSE_LIMIT} elements")
        values = self.array(sparse.values, what)
        places = self.array(sparse.indices, f"indices of {what}").astype(np.int64)
        result = np.zeros(size, values.dtype)
        try:
            if places.ndim == 2:
                places = np.ravel_multi_index(tuple(places.T), shape)
            if places.size and int(places.min()) < 0:
                raise IndexError("negative")
            result[places] = values
        except (ValueError, IndexError) as error:
            raise ModelError(f"{what} has indices outside its shape", value=list(shape)) from error
        return result.reshape(shape)

    def _inlined(self, tensor: onnx.TensorProto, size: int, what: str) -> onnx.TensorProto:
        """A copy of the tensor that holds its data."""
        fields = {entry.key: entry.value for entry in tensor.external_data}
        try:
            offset = int(fields.get("offset") or 0)
            bits = _item_bits(tensor.data_type)
            length = int(fields.get("length") or -(-size * bits // 8))
        except ValueError as error:
            raise ModelError(f"{what} has a malformed place of its external data", value=fields) from error
        if length < 0 or offset < 0:
            raise ModelError(f"{what} has a negative place of its external data", value=fields)
        if length > max(size, 1) * 8:
            raise ModelError(f"{what} has more external data than elements", value=f"{length} bytes", limit=size)
        whole = onnx.TensorProto()
        whole.name, whole.data_type = tensor.name, tensor.data_type
        whole.dims.extend(tensor.dims)
        whole.raw_data = self._read(fields.get("location", ""), offset, length, what)
        return whole

    def _read(self, location: str, offset: int, length: int, what: str) -> bytes:
        path = self._inside(location, what)
        try:
            # Opened without waiting, so that a pipe cannot hang us.
            handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
            with os.fdopen(handle, "rb") as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise FormatError(f"external data of {what} is not a regular file", value=repr(location))
                if offset + length > status.st_size:
                    raise FormatError(
                        f"external data of {what} reaches beyond its file {location!r}",
                        value=f"{length} bytes at {offset:#x}",
                        limit=f"{status.st_size} bytes",
                    )
                file.seek(offset)
                data = file.read(length)
        except OSError as error:
            reason = error.strerror or str(error)
            raise InputError(f"cannot read external data of {what}: {reason}", value=repr(location)) from error
        return data

    def _inside(self, location: str, what: str) -> Path:
        """The external file, which must lie in the model's folder or below, symbolic links followed."""
        if self.folder is None:
            raise FormatError(f"{what} has external data, but the model is not in a folder", value=repr(location))
        if not isinstance(location, str):  # what is not UTF-8 comes as bytes
            raise FormatError(f"the place of the external data of {what} is not UTF-8", value=repr(location))
        posix, windows = PurePosixPath(location), PureWindowsPath(location)
        odd = not location or "\0" in location or posix.is_absolute() or windows.is_absolute() or windows.drive
        if not odd and ".." not in posix.parts and ".." not in windows.parts:
            root = Path(os.path.realpath(self.folder))
            path = Path(os.path.realpath(root / location))
            if path.is_relative_to(root):
                note_sidecar_file(root / location)
                return path
        raise FormatError(
            f"external data of {what} is outside the model's folder",
            value=repr(location),
            hint="openane reads weights only from the folder of the model.",
        )


def _item_bits(kind: int) -> int:
    """Bits of one element in a file."""
    if kind not in NARROW:
        return 8 * DTYPES[kind].numpy.itemsize
    digits = re.findall(r"\d+", NARROW[kind].value)
    return int(digits[0])
