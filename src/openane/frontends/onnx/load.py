"""From an .onnx file to a Graph: read, check, freeze shapes, import node by node."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from openane.core.errors import OpenaneError, UnavailableError
from openane.graph import Graph

Shapes = Mapping[str, tuple[int, ...]]
Arrays = Mapping[str, np.ndarray]

_FIXED = re.compile(r"\[(?:\d+(?:,\d+)*)?\]$")


def load(path: str | Path, shapes: Shapes | None = None, constants: Arrays | None = None) -> Graph:
    """Reads an ONNX model.

    Args:
        path: of the file; external weights must lie in its folder or below.
        shapes: whole shapes for inputs whose dimensions the model leaves open, by input name.
        constants: fixed values for inputs, by name; they are not inputs of the graph. This is the way to give sizes,
            axes and flags that a model takes as inputs, since every shape must be known before it runs.

    Returns:
        The graph; inputs and outputs are named as in the file.

    Raises:
        FormatError: the file is not an ONNX model or is truncated.
        ModelError: it contradicts itself: a cycle, a missing weight, shapes that do not fit, absurd sizes.
        InputError: the file cannot be read, or `shapes` is missing or does not fit.
        UnsupportedError: it uses what openane does not have.
        UnavailableError: the onnx package is not installed.
    """
    _require_onnx()
    from openane.frontends.onnx.read import read_model

    path = Path(path)
    return load_model(read_model(path), shapes, constants, name=path.name, folder=path.parent)


def open_inputs(path: str | Path) -> dict[str, str]:
    """The inputs of a model that leaves dimensions open, as text such as "float32[batch,3,?,?]"; else nothing.

    Raises:
        FormatError, InputError, UnsupportedError, UnavailableError: as `load`.
    """
    _require_onnx()
    from openane.frontends.onnx.inputs import declared_shapes
    from openane.frontends.onnx.read import read_model

    declared = declared_shapes(read_model(Path(path)).graph)
    return declared if not all(_FIXED.search(text) for text in declared.values()) else {}


def load_model(
    model: Any,
    shapes: Shapes | None = None,
    constants: Arrays | None = None,
    *,
    name: str = "model",
    folder: Path | None = None,
) -> Graph:
    """Imports an ONNX ModelProto that is in memory.

    Args:
        model: the ModelProto; it is not modified.
        shapes, constants: as in `load`.
        name: put before every message.
        folder: where external weights may lie; None forbids them.

    Raises:
        As `load`.
    """
    _require_onnx()
    from openane.frontends.onnx.importer import import_model

    try:
        graph = import_model(model, shapes or {}, constants or {}, name, folder)
        return replace(graph, compressed=_has_quantized_weights(model))
    except OpenaneError as error:
        raise error.at(name) from error


def _has_quantized_weights(model: Any) -> bool:
    """Whether a constant of the main graph is stored as integers that a DequantizeLinear makes numbers of."""
    constants = {each.name for each in model.graph.initializer}
    return any(node.op_type == "DequantizeLinear" and node.input[0] in constants for node in model.graph.node)


def _require_onnx() -> None:
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise UnavailableError(
            "reading ONNX models needs the onnx package", hint='Install it with: pip install "openane[onnx]"'
        ) from error
