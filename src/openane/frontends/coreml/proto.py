"""Core ML's protocol buffers, as coremltools ships them.

Only the generated modules are loaded, under a package name of our own: importing coremltools itself takes seconds,
loads every framework that is installed, and prints.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from openane.core.errors import FormatError, UnavailableError

_PACKAGE = "openane_coreml_proto"


def module(name: str) -> Any:
    """A generated module: "Model_pb2", "NeuralNetwork_pb2", "MIL_pb2", "FeatureTypes_pb2".

    Raises:
        UnavailableError: coremltools is not installed.
    """
    if _PACKAGE not in sys.modules:
        sys.modules[_PACKAGE] = _package()
    try:
        return importlib.import_module(f"{_PACKAGE}.{name}")
    except ImportError as error:
        raise UnavailableError(f"cannot load coremltools' {name}: {error}", hint=_HINT) from error


_HINT = 'Install it with: pip install "openane[coreml]"'


def _package() -> ModuleType:
    found = importlib.util.find_spec("coremltools")
    folders = list(found.submodule_search_locations or ()) if found else []
    if not folders:
        raise UnavailableError("reading Core ML models needs the coremltools package", hint=_HINT)
    package = ModuleType(_PACKAGE)
    package.__path__ = [str(Path(folder) / "proto") for folder in folders]
    return package


def parse_model(data: bytes, where: str) -> Any:
    """The `Model` message in `data`.

    Raises:
        FormatError: not a Core ML model, or truncated.
        UnavailableError: coremltools is not installed.
    """
    model = module("Model_pb2").Model()
    try:
        model.ParseFromString(data)
    except Exception as error:  # protobuf's own DecodeError, whose home differs between versions
        raise FormatError(
            "not a Core ML model, or damaged", where=where, hint="The file is truncated or of another format."
        ) from error
    if not model.specificationVersion or model.WhichOneof("Type") is None:
        raise FormatError("not a Core ML model: it has no version or no content", where=where)
    return model
