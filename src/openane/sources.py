"""What can be compiled: files, bytes, and models in memory of the frameworks that openane reads."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from openane.artifact.bundle import Bundle, read_bundle
from openane.artifact.options import Options
from openane.compiler.driver import Level, load_chosen
from openane.core.errors import InputError
from openane.formats.sniff import FileKind, sniff
from openane.graph import Graph
from openane.net import Net
from openane.program import Program

KINDS = (
    "a path",
    "bytes of a file",
    "onnx.ModelProto",
    "torch.export.ExportedProgram",
    "torch.nn.Module with example_inputs",
    "keras.Model",
    "coremltools.models.MLModel",
    "Graph",
    "Net",
    "Program",
    "Artifact",
    "Bundle",
)
"""What a source may be, for messages."""


class Tracing(NamedTuple):
    """How a PyTorch module is exported.

    Attributes:
        example_inputs: tensors of the shapes to compile for, in the order of `forward`.
        output_names: names for its outputs, in their order; none for the exporter's own.
    """

    example_inputs: Sequence[Any] = ()
    output_names: Sequence[str] = ()


def opened(source: Any, options: Options, tracing: Tracing | None = None) -> str | Path | Level | Bundle:
    """A source as something that the compiler takes; paths stay paths.

    Args:
        source: one of `KINDS`, except an Artifact.
        options: shapes, constants, function and model count, as far as the kind of source has them.
        tracing: of a PyTorch module.

    Raises:
        InputError: it is none of these.
        OpenaneError: as the front end of its kind.
    """
    if isinstance(source, (str, Path, Graph, Net, Program, Bundle)):
        return source
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _of_bytes(bytes(source), options)
    for module, name, read in _FRAMEWORKS:
        if _is_a(source, module, name):
            return read(source, options, tracing or Tracing())
    raise InputError("this is not a model", value=f"a {_type_name(source)}", limit=", ".join(KINDS))


def _of_bytes(data: bytes, options: Options) -> Level | Bundle:
    with tempfile.TemporaryDirectory(prefix="openane-") as folder:
        path = Path(folder) / "model"
        path.write_bytes(data)
        return read_bundle(path) if sniff(path) is FileKind.BUNDLE else load_chosen(path, options)


def _onnx(model: Any, options: Options, _: Tracing) -> Level:
    from openane.frontends.onnx import load_model

    return load_model(model, options.shapes, options.constants)


def _exported(program: Any, options: Options, _: Tracing) -> Level:
    from openane.frontends.torch import load_exported

    return load_exported(program, options.shapes)


def _module(module: Any, _: Options, tracing: Tracing) -> Level:
    from openane.frontends.torch import load_module

    if not tracing.example_inputs:
        raise InputError(
            "a PyTorch module needs example inputs",
            where=_type_name(module),
            hint="Pass example_inputs=(tensor, ...), tensors of the shapes to compile for, in the order of `forward`.",
        )
    return load_module(module, tracing.example_inputs, output_names=tracing.output_names)


def _keras(model: Any, options: Options, _: Tracing) -> Level:
    from openane.frontends.keras import load_keras

    return load_keras(model, options.shapes)


def _core_ml(model: Any, options: Options, _: Tracing) -> Level:
    with tempfile.TemporaryDirectory(prefix="openane-") as folder:
        is_program = model.get_spec().WhichOneof("Type") == "mlProgram"
        path = Path(folder) / ("model.mlpackage" if is_program else "model.mlmodel")
        model.save(str(path))
        return load_chosen(path, options)


Reader = Callable[[Any, Options, Tracing], Level]
_FRAMEWORKS: tuple[tuple[str, str, Reader], ...] = (
    ("onnx", "ModelProto", _onnx),
    ("torch", "ExportedProgram", _exported),
    ("torch", "Module", _module),
    ("keras", "Model", _keras),
    ("coremltools", "MLModel", _core_ml),
)


def _is_a(source: Any, package: str, name: str) -> bool:
    """Whether a class of a package is among the bases; no package is imported for the answer."""
    return any(base.__name__ == name and base.__module__.partition(".")[0] == package for base in type(source).__mro__)


def _type_name(source: Any) -> str:
    kind = type(source)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
