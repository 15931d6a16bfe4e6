"""Readers of other people's models: each front end is one folder and gives a Graph; heavy packages load on use."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from openane.core.errors import InputError
from openane.formats.sniff import FileKind, sniff
from openane.graph import Graph

#: Kind of file -> module with `load(path, shapes=...) -> Graph`.
FRONTENDS: Mapping[FileKind, str] = {
    FileKind.ONNX: "onnx",
    FileKind.MLMODEL: "coreml",
    FileKind.MLPACKAGE: "coreml",
    FileKind.MIL: "mil",
    FileKind.MLMODELC: "mil",
    FileKind.KERAS: "keras",
    FileKind.HDF5: "keras",
    FileKind.SAVED_MODEL: "keras",
    FileKind.PT2: "torch",
}


_WEIGHTS = "Load the weights into their model in Python, and export it with torch.export.save or torch.onnx.export."
#: What to do with files of other kinds.
HINTS: Mapping[FileKind, str] = {
    FileKind.TFLITE: "Convert it: python -m tf2onnx.convert --tflite MODEL.tflite --output MODEL.onnx",
    FileKind.GRAPH_DEF: "Convert it: python -m tf2onnx.convert --graphdef MODEL.pb --inputs NAME:0 --outputs NAME:0 "
    "--output MODEL.onnx",
    FileKind.SAFETENSORS: _WEIGHTS,
    FileKind.GGUF: _WEIGHTS,
    FileKind.TORCH_WEIGHTS: _WEIGHTS,
    FileKind.TORCHSCRIPT: "Export the model with torch.export.save instead of torch.jit.save.",
    FileKind.PICTURE: "It may be an input: --input NAME=FILE.",
    FileKind.NUMPY: "It may be an input: --input NAME=FILE.",
    FileKind.ZIPPED: "Unpack it first, for example with `unzip FILE`.",
    FileKind.LFS_POINTER: "Fetch the file itself: git lfs pull",
}


_CORE_ML = (FileKind.MLMODEL, FileKind.MLPACKAGE)


def load_graph(
    path: Path,
    kind: FileKind,
    shapes: Mapping[str, tuple[int, ...]],
    constants: Mapping[str, np.ndarray],
    function: str | None = None,
    model: int | None = None,
) -> Graph:
    """Reads a model.

    Args:
        path: of the file or package.
        kind: what it is, as `formats.sniff` found.
        shapes: sizes for inputs whose dimensions the model leaves open, by name.
        constants: values for inputs that decide shapes or branches, by name (ONNX only).
        function: name of one of several functions (Core ML and MIL only); None for the default.
        model: number of one model of a pipeline (Core ML only); None for all of them.

    Raises:
        InputError: no front end reads this kind, or it has no constants, functions or pipelines.
        FormatError, ModelError, UnsupportedError: see the front ends.
        UnavailableError: the package that reads this format is not installed.
    """
    if kind not in FRONTENDS:
        readable = ", ".join(sorted({known.value for known in FRONTENDS}))
        raise InputError(
            "this kind of file is not a model to compile",
            where=str(path),
            value=kind.value,
            limit=readable,
            hint=HINTS.get(kind, ""),
        )
    module = importlib.import_module(f"openane.frontends.{FRONTENDS[kind]}")
    if constants and kind is not FileKind.ONNX:
        raise InputError("only inputs of ONNX models can be made constants", where=str(path), value=kind.value)
    if function is not None and kind not in (*_CORE_ML, FileKind.MIL, FileKind.MLMODELC):
        raise InputError("only Core ML models have functions", where=str(path), value=kind.value)
    if model is not None and kind not in _CORE_ML:
        raise InputError("only Core ML models are pipelines", where=str(path), value=kind.value)
    chosen = {"constants": constants or None, "function": function, "model": model}
    more = {name: value for name, value in chosen.items() if value is not None}
    graph: Graph = module.load(path, shapes=shapes, **more)
    return graph


def framework_outputs(path: Path, inputs: Sequence[np.ndarray]) -> tuple[str, list[np.ndarray]] | None:
    """The outputs of a model as its own framework computes them, with its name; None where openane does not ask it.

    Args:
        path: of a model; only exported programs of PyTorch (.pt2) are run by theirs.
        inputs: in the model's order.

    Raises:
        FormatError, UnsupportedError, UnavailableError: as the front end.
    """
    if path.is_dir() or sniff(path) is not FileKind.PT2:
        return None
    module = importlib.import_module("openane.frontends.torch")
    return "PyTorch", module.run_program(path, inputs)


def takes_pictures(path: Path) -> frozenset[str]:
    """The inputs for which a model takes pictures itself, with values from 0 to 255; only Core ML models say so.

    Raises:
        As `enumerated_shapes`.
    """
    if sniff(path) not in _CORE_ML:
        return frozenset()
    found: frozenset[str] = importlib.import_module("openane.frontends.coreml").picture_inputs(path)
    return found


def enumerated_shapes(path: Path) -> list[dict[str, tuple[int, ...]]]:
    """The input shapes that a file lists as those it takes; only Core ML models have such lists.

    Returns:
        Shapes by input name, the default first; one empty mapping where nothing is listed.

    Raises:
        InputError: the file cannot be read.
        FormatError: it is damaged.
        UnavailableError: coremltools is not installed.
    """
    if sniff(path) not in _CORE_ML:
        return [{}]
    module = importlib.import_module("openane.frontends.coreml")
    found: list[dict[str, tuple[int, ...]]] = module.enumerated_shapes(path)
    return found


def function_names(path: Path) -> list[str]:
    """The functions of a Core ML package with several, the default first; empty for any other file.

    Raises:
        As `enumerated_shapes`.
    """
    if sniff(path) not in _CORE_ML:
        return []
    found: list[str] = importlib.import_module("openane.frontends.coreml").function_names(path)
    return found
