"""PyTorch -> ONNX -> Graph.

PyTorch's exporter (torch.onnx, with onnxscript) knows every operator and is kept up by others, so it does the
translation. What it must not do is run code out of a file: an archive that holds pickled objects or symbolic
expressions (PyTorch evaluates both) is refused before PyTorch sees it.
"""

from __future__ import annotations

import contextlib
import json
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from openane.core.errors import FormatError, InputError, ModelError, UnavailableError, UnsupportedError, valid
from openane.frontends.foreign import first_line, quiet
from openane.frontends.onnx import load_model
from openane.graph import Graph

JSON_LIMIT_BYTES = 256 << 20
EXPANSION_LIMIT = 1000
"""Largest accepted ratio of unpacked to packed size of a member, against archive bombs; real weights are not packed."""


def load(path: str | Path, shapes: Mapping[str, tuple[int, ...]] | None = None) -> Graph:
    """Reads an exported program.

    Args:
        path: a .pt2 file written by `torch.export.save`.
        shapes: refused when there are any; an exported program states its sizes.

    Raises:
        InputError: sizes were given.
        FormatError: not an exported program, or damaged.
        UnsupportedError: it holds pickled objects or open sizes, or an operator that does not translate.
        UnavailableError: PyTorch or onnxscript is not installed.
    """
    path = Path(path)
    if shapes:
        raise InputError("the sizes of an exported program are fixed", where=str(path), value=", ".join(shapes))
    check_archive(path)
    torch = import_torch()
    try:
        with quiet(), _no_pickles():
            exported = torch.export.load(path)
    except Exception as error:  # torch raises many kinds for a damaged archive
        raise FormatError(f"PyTorch cannot read it: {first_line(error)}", where=str(path)) from error
    return _graph(exported, valid(path.stem), str(path))


def load_module(module: Any, example_inputs: Sequence[Any], name: str = "") -> Graph:
    """Exports a module with example inputs and imports it.

    Args:
        module: a `torch.nn.Module`; it is exported in evaluation mode, and its mode is restored.
        example_inputs: tensors of the shapes to compile for, in the order of `forward`.
        name: of the model; the class name by default.

    Raises:
        ModelError: PyTorch cannot trace the module.
        UnsupportedError: an operator does not translate.
        UnavailableError: PyTorch or onnxscript is not installed.
    """
    torch = import_torch()
    name = name or type(module).__name__
    training = module.training
    try:
        with quiet():
            exported = torch.export.export(module.eval(), tuple(example_inputs))
    except Exception as error:  # tracing runs the user's code
        raise ModelError(f"PyTorch cannot export it: {first_line(error)}", where=name) from error
    finally:
        module.train(training)
    return _graph(exported, name, name)


def check_archive(path: Path) -> None:
    """Refuses an archive that PyTorch would have to unpickle or evaluate.

    Raises:
        FormatError: not a zip archive, absurd sizes, or broken tables.
        UnsupportedError: pickled objects or symbolic sizes.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.file_size > EXPANSION_LIMIT * max(member.compress_size, 1):
                    raise FormatError("a member expands absurdly", where=f"{path}: {member.filename}")
                if not member.filename.endswith(".json"):
                    continue
                if member.file_size > JSON_LIMIT_BYTES:
                    raise FormatError("a table is too large", where=f"{path}: {member.filename}")
                _check_table(archive.read(member), f"{path}: {member.filename}")
    except (OSError, zipfile.BadZipFile, zipfile.LargeZipFile, RuntimeError, EOFError) as error:
        raise FormatError(f"not a readable archive: {first_line(error)}", where=str(path)) from error


def _check_table(data: bytes, where: str) -> None:
    try:
        table = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FormatError("not a JSON table", where=where) from error
    if isinstance(table, dict) and isinstance(table.get("config"), dict):
        for name, entry in table["config"].items():
            pickled = isinstance(entry, dict) and entry.get("use_pickle")
            file_name = str(entry.get("path_name", "")) if isinstance(entry, dict) else ""
            if pickled or not file_name.startswith(("weight_", "tensor_")):
                raise UnsupportedError(
                    "a constant is stored as a pickled object, which openane never loads",
                    where=where,
                    value=name,
                    hint="Export the model again with plain tensors.",
                )
    if b'"as_expr"' in data or b"as_expr" in data:
        raise UnsupportedError(
            "the program has open (symbolic) sizes",
            where=where,
            hint="Export it with fixed sizes: torch.export.export(module, example_inputs) without dynamic_shapes.",
        )


def import_torch() -> Any:
    """The torch package.

    Raises:
        UnavailableError: torch or onnxscript is missing.
    """
    try:
        import onnxscript  # noqa: F401
        import torch
    except ImportError as error:
        raise UnavailableError(
            f"reading PyTorch models needs {error.name}", hint="pip install 'openane[torch]'"
        ) from error
    return torch


def _graph(exported: Any, name: str, where: str) -> Graph:
    torch = import_torch()
    try:
        with quiet():
            program = torch.onnx.export(exported, dynamo=True, external_data=False, verbose=False, opset_version=20)
    except Exception as error:  # the exporter wraps every failure in classes of its own
        raise UnsupportedError(f"PyTorch cannot translate it to ONNX: {first_line(error)}", where=where) from error
    model = program.model_proto
    for thing in (model, model.graph, *model.graph.node):
        thing.doc_string = ""
        del thing.metadata_props[:]
    return load_model(model, name=name)


@contextlib.contextmanager
def _no_pickles() -> Iterator[None]:
    """Makes every torch.load inside refuse anything but tensors."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
