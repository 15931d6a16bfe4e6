"""Reads Core ML models into a Graph: `.mlmodel` files and `.mlpackage` folders."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from openane.core.errors import FormatError, InputError, OpenaneError, UnsupportedError, valid
from openane.frontends.coreml.inputs import described_shapes, listed_shapes
from openane.frontends.coreml.proto import parse_model
from openane.graph import Graph

_MODEL_LIMIT_BYTES = 1 << 31  # a protocol buffer cannot be larger
_MANIFEST_LIMIT_BYTES = 1 << 24
_NETWORKS = ("neuralNetwork", "neuralNetworkClassifier", "neuralNetworkRegressor")
#: Content of a Model message begins at field 200; ONNX, which begins alike, has nothing there.
_FIRST_CONTENT_FIELD = 200


def sniff(path: Path) -> bool:
    """Whether a file is a Core ML model, or a folder a Core ML package; looks at the structure, not at the name."""
    try:
        if path.is_dir():
            return (path / "Manifest.json").is_file()
        with path.open("rb") as file:
            return _has_content_field(file, path.stat().st_size)
    except OSError:
        return False


def _has_content_field(file: Any, size_bytes: int) -> bool:
    """Walks the outermost fields of a protocol buffer: a version first, and one field of the content."""
    position, first = 0, True
    for _ in range(64):
        file.seek(position)
        head = file.read(20)
        if not head:
            return False
        tag, used = _varint(head)
        field, wire = tag >> 3, tag & 7
        if first and (field, wire) != (1, 0):
            return False
        first = False
        if field >= _FIRST_CONTENT_FIELD:
            return wire == 2
        length, more = _varint(head[used:])
        position += used + more + (length if wire == 2 else 0)
        if wire not in (0, 2) or not more or position >= size_bytes:
            return False
    return False


def _varint(data: bytes) -> tuple[int, int]:
    """A variable-length integer and the bytes it takes, 0 where it has no end."""
    value = 0
    for i, byte in enumerate(data[:10]):
        value |= (byte & 0x7F) << 7 * i
        if not byte & 0x80:
            return value, i + 1
    return value, 0


def load(path: str | os.PathLike[str], shapes: Mapping[str, tuple[int, ...]] | None = None) -> Graph:
    """Reads a `.mlmodel` file or a `.mlpackage` folder.

    Args:
        path: of the model.
        shapes: whole shapes for inputs that the model leaves flexible, by name; the others take the model's default.

    Returns:
        The graph; inputs and outputs are named as in the file.

    Raises:
        FormatError: not a Core ML model, damaged, or a weight file is missing.
        InputError: the file cannot be read, or a shape does not fit.
        ModelError: the model contradicts itself.
        UnsupportedError: a kind of model, layer or input that openane does not have.
        UnavailableError: coremltools is not installed.
    """
    path = Path(path)
    data, folder = _read(path)
    return read_model(data, shapes or {}, name=valid(path.name), folder=folder)


def enumerated_shapes(path: Path) -> list[dict[str, tuple[int, ...]]]:
    """The input shapes that a model enumerates, the default first; the n-th shapes of all inputs belong together.

    Returns:
        Shapes by name of the inputs with enumerated shapes; one empty mapping where there are none.

    Raises:
        FormatError: not a Core ML model, or damaged.
        InputError: the file cannot be read.
        UnavailableError: coremltools is not installed.
    """
    return listed_shapes(parse_model(_read(path)[0], valid(path.name)).description)


def _read(path: Path) -> tuple[bytes, Path]:
    """The bytes of a model and the folder of its weights."""
    try:
        file = model_file(path) if path.is_dir() else path
        if not file.is_file():
            raise InputError("no such file" if not file.exists() else "not a file", where=str(path))
        if file.stat().st_size > _MODEL_LIMIT_BYTES:
            raise FormatError("too large for a Core ML model", where=str(path), limit=f"{_MODEL_LIMIT_BYTES} bytes")
        return file.read_bytes(), file.parent
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read: {error}", where=str(path)) from error


def read_model(
    data: bytes, shapes: Mapping[str, tuple[int, ...]], *, name: str = "model.mlmodel", folder: Path | None = None
) -> Graph:
    """Reads the bytes of a `.mlmodel`.

    Args:
        data: the protocol buffer.
        shapes: as in :func:`load`.
        name: for messages.
        folder: where its weight files may lie; None forbids them.

    Raises:
        As :func:`load`.
    """
    model = parse_model(data, name)
    kind = model.WhichOneof("Type")
    inputs = described_shapes(model.description, shapes, name)
    try:
        if kind == "mlProgram":
            from openane.frontends.coreml.mlprogram import read_program
            from openane.frontends.mil.blob import BlobStore

            return read_program(model, BlobStore(folder), inputs, name)
        if kind in _NETWORKS:
            from openane.frontends.coreml.network import read_network

            return read_network(model, getattr(model, kind), inputs, name)
    except OpenaneError as error:
        if error.diagnostic.where.startswith(name):
            raise
        raise error.at(name) from error
    raise UnsupportedError(
        "this kind of Core ML model is not supported", where=name, value=kind, limit="neural networks, ML programs"
    )


def model_file(package: Path) -> Path:
    """The model specification of a `.mlpackage`, found by its manifest.

    Raises:
        FormatError: the manifest is damaged, or the specification is missing or outside of the package.
    """
    where = str(package)
    manifest_path = package / "Manifest.json"
    if not manifest_path.is_file():
        raise FormatError("not a Core ML package: it has no Manifest.json", where=where)
    if manifest_path.stat().st_size > _MANIFEST_LIMIT_BYTES:
        raise FormatError("the manifest is too large", where=where, limit=f"{_MANIFEST_LIMIT_BYTES} bytes")
    try:
        manifest = json.loads(manifest_path.read_bytes())
        entry = manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]
        relative = entry["path"]
        parts = PurePosixPath(relative).parts
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FormatError("Manifest.json names no root model", where=where) from error
    data = package / "Data"
    file = data.joinpath(*parts)
    absolute = relative.startswith("/") or "\0" in relative or "\\" in relative
    if absolute or not file.resolve().is_relative_to(package.resolve()):
        raise FormatError("the root model is outside of the package", where=where, value=relative[:80])
    if not file.is_file():
        raise FormatError("the root model is missing", where=where, value=relative[:80])
    return file


__all__ = ["enumerated_shapes", "load", "model_file", "read_model", "sniff"]
