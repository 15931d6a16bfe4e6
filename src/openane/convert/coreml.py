"""A Graph as a Core ML model, through coremltools' builder and its writers."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from openane.convert.builder import MilBuilder, element_name, plain_names
from openane.convert.handlers import HANDLERS
from openane.core.errors import Diagnostic, UnavailableError, UnsupportedError
from openane.graph import Graph, Node


def coremltools() -> Any:
    """The package.

    Raises:
        UnavailableError: it is not installed.
    """
    try:
        with _quiet():
            import coremltools
    except ImportError as error:
        raise UnavailableError(
            "writing Core ML models needs coremltools", hint="Install it: pip install 'openane[coreml]'."
        ) from error
    return coremltools


@contextlib.contextmanager
def without_frameworks() -> Iterator[None]:
    """While the block runs, TensorFlow and PyTorch look as if they were not installed.

    coremltools loads both when it is imported first, which takes many seconds, and its builder needs neither. For
    processes of our own only: coremltools will not convert from them afterwards.
    """
    hidden = [name for name in ("tensorflow", "torch") if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def program_of(graph: Graph, deployment: Any) -> Any:
    """The graph as a `coremltools` MIL program.

    Args:
        graph: to convert.
        deployment: the oldest system that has to run it; decides which operations there are.

    Raises:
        UnsupportedError: lists every node that has no counterpart.
        UnavailableError: coremltools is not installed.
    """
    _check_border(graph)
    with _quiet():
        coremltools()
        from coremltools.converters.mil.mil import Builder, Function, Program, types

        names = plain_names((*graph.inputs, *graph.outputs))
        elements = {"fp32": types.fp32, "int32": types.int32, "bool": types.bool}
        placeholders = {
            names[name]: Builder.placeholder(shape=kind.shape, dtype=elements[element_name(kind.dtype)])
            for name, kind in graph.inputs.items()
        }
        program = Program()
        with Function(placeholders, opset_version=deployment) as function:
            builder = MilBuilder(Builder, graph)
            builder.values.update((name, function.inputs[names[name]]) for name in graph.inputs)
            _add_nodes(builder)
            function.set_outputs([Builder.identity(x=builder.get(name), name=names[name]) for name in graph.outputs])
            program.add_function("main", function)
    return program


def _check_border(graph: Graph) -> None:
    for name in (*graph.inputs, *graph.outputs):
        kind = graph.types[name]
        if not kind.shape or not kind.size:
            raise UnsupportedError("Core ML has no scalar or empty inputs and outputs", value=f"{name!r} is {kind}")
    for name, kind in graph.inputs.items():
        if element_name(kind.dtype) == "bool":
            raise UnsupportedError("Core ML has no booleans as inputs", value=f"{name!r} is {kind}")


def _add_nodes(builder: MilBuilder) -> None:
    """Adds every node; those without a counterpart are collected, so that the user sees all of them."""
    graph = builder.graph
    refused: list[Diagnostic] = []
    for node in graph.nodes:
        try:
            if HANDLERS.get(type(node.operation)) is None:
                raise UnsupportedError(f"openane writes no Core ML counterpart of {node.operation.title}")
            if not refused:
                _add_node(builder, node)
        except UnsupportedError as error:
            place = f"{graph.name}: node {node.name!r} ({node.operation.title})"
            refused.append(error.at(place).diagnostic)
    if refused:
        first, *others = refused
        raise UnsupportedError(first, others=tuple(others))


def _add_node(builder: MilBuilder, node: Node) -> None:
    try:
        results = HANDLERS[type(node.operation)](builder, node)
    except (ValueError, NotImplementedError, AssertionError, TypeError) as error:
        text = " ".join(str(error).split())[:200]
        raise UnsupportedError("Core ML's builder refuses the operation", value=text) from error
    builder.values.update(zip(node.outputs, results, strict=False))


def write_package(graph: Graph, path: Path, *, half: bool = True) -> None:
    """Writes an ML program (.mlpackage), for iOS 15, macOS 12 and newer.

    Args:
        graph: to convert.
        path: of the package.
        half: weights and arithmetic in half precision, as the engine computes; otherwise in single precision.

    Raises:
        UnsupportedError, UnavailableError: see `program_of`.
    """
    model = _converted(graph, "mlprogram", half=half)
    with _quiet():
        model.save(str(path))


def write_network(graph: Graph, path: Path) -> None:
    """Writes a neural network (.mlmodel, single precision), for iOS 13, macOS 10.15 and newer.

    Raises:
        UnsupportedError, UnavailableError: see `program_of`.
    """
    model = _converted(graph, "neuralnetwork")
    with _quiet():
        model.save(str(path))


def _converted(graph: Graph, kind: str, *, half: bool = False) -> Any:
    tools = coremltools()
    deployment = tools.target.iOS15 if kind == "mlprogram" else tools.target.iOS13
    program = program_of(graph, deployment)
    options: dict[str, Any] = {}
    if kind == "mlprogram":
        options["compute_precision"] = tools.precision.FLOAT16 if half else tools.precision.FLOAT32
    try:
        with _quiet():
            return tools.convert(
                program,
                source="milinternal",
                convert_to=kind,
                minimum_deployment_target=deployment,
                skip_model_load=True,
                **options,
            )
    except (ValueError, NotImplementedError, AssertionError, TypeError, RuntimeError, KeyError) as error:
        text = " ".join(str(error).split())[:200]
        raise UnsupportedError(f"coremltools cannot write it as a {kind}", where=graph.name, value=text) from error


@contextlib.contextmanager
def package_parts(graph: Graph, *, half: bool = True) -> Iterator[tuple[Any, Path | None]]:
    """The specification of the graph as an ML program, and its weight file (None without one) while the block runs.

    Raises:
        UnsupportedError, UnavailableError: see `program_of`.
    """
    model = _converted(graph, "mlprogram", half=half)
    with tempfile.TemporaryDirectory() as folder:
        with _quiet():
            model.save(str(Path(folder) / "model.mlpackage"))
        found = sorted(Path(folder).rglob("weight.bin"))
        yield model.get_spec(), found[0] if found else None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the log lines, progress bars and warnings that coremltools writes."""
    log = logging.getLogger("coremltools")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stderr(io.StringIO()),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
