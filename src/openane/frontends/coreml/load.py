"""Reads Core ML models into a Graph: `.mlmodel` files and `.mlpackage` folders."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from openane.core.errors import FormatError, InputError, OpenaneError, UnsupportedError, valid
from openane.frontends.coreml.inputs import described_shapes, listed_shapes
from openane.frontends.coreml.pipeline import join, parts_of, select_part
from openane.frontends.coreml.proto import parse_model
from openane.graph import Graph

Shapes = Mapping[str, tuple[int, ...]]
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


def load(
    path: str | os.PathLike[str],
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    function: str | None = None,
    model: int | None = None,
) -> Graph:
    """Reads a `.mlmodel` file or a `.mlpackage` folder.

    Args:
        path: of the model.
        shapes: whole shapes for inputs that the model leaves flexible, by name; the others take the model's default.
        function: name of one of several functions; None for the one that the file declares as the default.
        model: number of one model of a pipeline, from 0 on; None for all of them in a row.

    Returns:
        The graph; inputs and outputs are named as in the file.

    Raises:
        FormatError: not a Core ML model, damaged, or a weight file is missing.
        InputError: the file cannot be read, a shape does not fit, or there is no such function or part.
        ModelError: the model contradicts itself.
        UnsupportedError: a kind of model, layer or input that openane does not have.
        UnavailableError: coremltools is not installed.
    """
    path = Path(path)
    data, folder = _read(path)
    return read_model(data, shapes or {}, name=valid(path.name), folder=folder, function=function, part=model)


def function_names(path: Path) -> list[str]:
    """The functions of a model, the default first; empty for a model with one function.

    Raises:
        As `enumerated_shapes`.
    """
    model = parse_model(_read(path)[0], valid(path.name))
    names = [each.name for each in model.description.functions]
    if len(names) < 2:
        names = sorted(model.mlProgram.functions) if model.WhichOneof("Type") == "mlProgram" else []
    default = model.description.defaultFunctionName
    return sorted(names, key=lambda name: name != default) if len(names) > 1 else []


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


def picture_inputs(path: Path) -> frozenset[str]:
    """The inputs that the model declares as pictures, whose values go from 0 to 255.

    Raises:
        As `enumerated_shapes`.
    """
    description = parse_model(_read(path)[0], valid(path.name)).description
    return frozenset(each.name for each in description.input if each.type.WhichOneof("Type") == "imageType")


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
    data: bytes,
    shapes: Mapping[str, tuple[int, ...]],
    *,
    name: str = "model.mlmodel",
    folder: Path | None = None,
    function: str | None = None,
    part: int | None = None,
) -> Graph:
    """Reads the bytes of a `.mlmodel`.

    Args:
        data: the protocol buffer.
        shapes: as in :func:`load`.
        name: for messages.
        folder: where its weight files may lie; None forbids them.
        function, part: as `function` and `model` of :func:`load`.

    Raises:
        As :func:`load`.
    """
    model = parse_model(data, name)
    parts = parts_of(model)
    if parts is None and part is not None:
        kind = model.WhichOneof("Type")
        raise InputError("only a pipeline has several models", where=name, value=f"a {kind}", limit="no --model")
    try:
        if parts is not None and part is not None:
            return _read_one(select_part(parts, part, name), shapes, f"{name}: model {part}", folder, function)
        if parts is not None:
            return _read_pipeline(model, parts, shapes, name, folder, function)
        return _read_one(model, shapes, name, folder, function)
    except OpenaneError as error:
        if error.diagnostic.where.startswith(name):
            raise
        raise error.at(name) from error


def _read_pipeline(
    model: Any, parts: list[Any], shapes: Shapes, name: str, folder: Path | None, function: str | None
) -> Graph:
    graphs = []
    for index, part in enumerate(parts):
        known = {feature.name for feature in part.description.input}
        own = {key: shape for key, shape in shapes.items() if key in known}
        try:
            graphs.append(_read_one(part, own, f"{name}: model {index}", folder, function))
        except UnsupportedError as error:
            others = ", ".join(f"{i} {each.WhichOneof('Type')}" for i, each in enumerate(parts))
            raise error.hinted(f"The pipeline has the models {others}; select one: --model N.") from error
    unknown = [key for key in shapes if not any(key in graph.inputs for graph in graphs)]
    if unknown:
        raise InputError(f"there is no input {unknown[0]!r}", where=name)
    return join(graphs, [feature.name for feature in model.description.output], name)


def _read_one(model: Any, shapes: Shapes, name: str, folder: Path | None, function: str | None) -> Graph:
    """A model that is not a pipeline."""
    kind = model.WhichOneof("Type")
    if function is not None and kind != "mlProgram":
        raise InputError("only ML programs have functions", where=name, value=f"a {kind}", limit="no --function")
    inputs = described_shapes(_described(model.description, function), shapes, name)
    try:
        if kind == "mlProgram":
            from openane.frontends.coreml.mlprogram import read_program
            from openane.frontends.mil.blob import BlobStore

            return read_program(model, BlobStore(folder), inputs, name, function)
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


def _described(description: Any, function: str | None) -> Any:
    """The description of a function: its own where the file has several, else that of the model."""
    wanted = function or description.defaultFunctionName
    return next((each for each in description.functions if each.name == wanted), description)


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


__all__ = ["enumerated_shapes", "function_names", "load", "model_file", "read_model", "sniff"]
