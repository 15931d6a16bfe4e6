"""Reading the bytes of an .onnx file as a message."""

from __future__ import annotations

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from openane.core.errors import FormatError, InputError
from openane.core.files import open_regular

#: Protocol buffers end here.
FILE_LIMIT_BYTES = (1 << 31) - 1


def read_model(path: Path) -> onnx.ModelProto:
    """The ModelProto in a file.

    Raises:
        InputError: the file cannot be read.
        FormatError: it is not an ONNX model, is truncated or too large.
    """
    try:
        with open_regular(path) as file:
            size_bytes = path.stat().st_size
            if size_bytes > FILE_LIMIT_BYTES:
                raise FormatError(
                    "the file is too large for an ONNX model",
                    where=path.name,
                    value=f"{size_bytes} bytes",
                    limit=f"{FILE_LIMIT_BYTES} bytes",
                    hint="Keep the weights in external data.",
                )
            data = file.read()
    except IsADirectoryError as error:
        raise InputError("not a regular file but a folder", where=str(path)) from error
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror or error}", where=str(path)) from error
    return parse_model(data, path.name)


def parse_model(data: bytes, name: str) -> onnx.ModelProto:
    """The ModelProto in `data`.

    Raises:
        FormatError: it is none.
    """
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError as error:
        raise FormatError(
            "not an ONNX model, or truncated",
            where=name,
            value=f"{len(data)} bytes",
            hint="Export or download the file again.",
        ) from error
    if not model.HasField("graph") or not model.ir_version or not model.opset_import:
        raise FormatError("not an ONNX model: it has no graph, version or operator set", where=name)
    return model
