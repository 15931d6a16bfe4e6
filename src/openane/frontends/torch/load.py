"""PyTorch -> ONNX -> Graph.

PyTorch's exporter (torch.onnx, with onnxscript) knows every operator and is kept up by others, so it does the
translation. What it must not do is run code out of a file: PyTorch sees an archive that openane rebuilt from the
validated parts of the file, never the file itself (`archive.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from openane.core.errors import FormatError, InputError, ModelError, UnavailableError, UnsupportedError, valid
from openane.frontends.foreign import first_line, quiet
from openane.frontends.onnx import load_model
from openane.frontends.torch.archive import rebuilt_archive
from openane.graph import Graph


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
    return _graph(_program(path), valid(path.stem), str(path))


def run_program(path: str | Path, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The outputs of an exported program, as PyTorch itself computes them.

    Args:
        path: a .pt2 file.
        inputs: in the order of the program.

    Raises:
        FormatError, UnsupportedError, UnavailableError: as `load`.
        ModelError: PyTorch cannot run it.
    """
    torch, path = import_torch(), Path(path)
    exported = _program(path)
    try:
        with quiet(), torch.no_grad():
            found = exported.module()(*(torch.from_numpy(np.ascontiguousarray(array)) for array in inputs))
        flat, _ = torch.utils._pytree.tree_flatten(found)
        return [each.detach().numpy() for each in flat]
    except Exception as error:  # running raises many kinds
        raise ModelError(f"PyTorch cannot run it: {first_line(error)}", where=str(path)) from error


def _program(path: Path) -> Any:
    torch = import_torch()
    archive = rebuilt_archive(path)
    try:
        with quiet():
            return torch.export.load(archive)
    except Exception as error:  # torch raises many kinds for a damaged archive
        raise FormatError(f"PyTorch cannot read it: {first_line(error)}", where=str(path)) from error


def load_module(module: Any, example_inputs: Sequence[Any], name: str = "", output_names: Sequence[str] = ()) -> Graph:
    """Exports a module with example inputs and imports it.

    Args:
        module: a `torch.nn.Module`; it is exported in evaluation mode, and its mode is restored.
        example_inputs: tensors of the shapes to compile for, in the order of `forward`.
        name: of the model; the class name by default.
        output_names: names of the results, in order; none for those that PyTorch gives them.

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
    return _graph(exported, name, name, output_names)


def load_exported(exported: Any, shapes: Mapping[str, tuple[int, ...]] | None = None, name: str = "") -> Graph:
    """Imports an exported program that is in memory.

    Args:
        exported: a `torch.export.ExportedProgram`.
        shapes: refused when there are any; an exported program states its sizes.
        name: of the model.

    Raises:
        InputError: sizes were given.
        UnsupportedError: an operator does not translate.
        UnavailableError: PyTorch or onnxscript is not installed.
    """
    if shapes:
        raise InputError("the sizes of an exported program are fixed", value=", ".join(shapes))
    import_torch()
    return _graph(exported, name or "model", name or "exported program")


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


def _graph(exported: Any, name: str, where: str, output_names: Sequence[str] = ()) -> Graph:
    torch = import_torch()
    try:
        with quiet():
            program = torch.onnx.export(
                exported,
                dynamo=True,
                external_data=False,
                verbose=False,
                opset_version=20,
                output_names=list(output_names) or None,
            )
    except Exception as error:  # the exporter wraps every failure in classes of its own
        raise UnsupportedError(f"PyTorch cannot translate it to ONNX: {first_line(error)}", where=where) from error
    model = program.model_proto
    for thing in (model, model.graph, *model.graph.node):
        thing.doc_string = ""
        del thing.metadata_props[:]
    return load_model(model, name=name)
