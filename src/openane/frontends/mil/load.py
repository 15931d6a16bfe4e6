"""Reads MIL text into a Graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from openane.core.errors import FormatError, ModelError, valid
from openane.frontends.mil.blob import BlobStore
from openane.frontends.mil.call import ConstantValue, MilGraphBuilder, OperationCall
from openane.frontends.mil.elaborate import elaborate
from openane.frontends.mil.operations import OPERATIONS, refuse_unknown
from openane.frontends.mil.parser import parse
from openane.frontends.mil.program import MilOperation, MilProgram
from openane.frontends.mil.syntax import SourceText
from openane.graph.graph import Graph, Node
from openane.graph.ops import Identity

_LARGEST_TEXT_BYTES = 1 << 30
_SNIFF_BYTES = 4096
_COMPRESSED = "constexpr_"


def sniff(path: Path) -> bool:
    """Whether a file is MIL text, or a folder holds `model.mil`."""
    if path.is_dir():
        return (path / "model.mil").is_file()
    try:
        with path.open("rb") as file:
            head = file.read(_SNIFF_BYTES)
    except OSError:
        return False
    return _without_comments(head).startswith(b"program(") or _without_comments(head).startswith(b"program (")


def _without_comments(head: bytes) -> bytes:
    """What follows leading white space and comments."""
    while True:
        head = head.removeprefix(b"\xef\xbb\xbf").lstrip()
        if head.startswith(b"//"):
            head = head.partition(b"\n")[2]
        elif head.startswith(b"/*"):
            head = head.partition(b"*/")[2]
        else:
            return head


def load(path: Path, shapes: Mapping[str, tuple[int, ...]] | None = None, function: str | None = None) -> Graph:
    """Reads a `.mil` file, or the `model.mil` of a `.mlmodelc` folder, with its weight files.

    `@model_path` means the folder of the file; constants may not lie outside it.

    Args:
        path: of the file or folder.
        shapes: sizes for inputs whose extents the text leaves open, by name.
        function: name of one of several functions; None for "main", or the only one.

    Raises:
        InputError: there is no such function, or a size for an input that the program does not have, or whose size is
            fixed.
        FormatError: the text or a weight file is damaged; says where.
        ModelError: an operation does not fit its inputs.
        UnsupportedError: an operation or a form of it that has no place in the Graph.
    """
    file = path / "model.mil" if path.is_dir() else path
    try:
        size_bytes = file.stat().st_size
        if size_bytes > _LARGEST_TEXT_BYTES:
            raise FormatError(
                "the text is too long",
                where=str(path),
                value=f"{size_bytes} bytes",
                limit=f"{_LARGEST_TEXT_BYTES} bytes",
            )
        data = file.read_bytes()
    except OSError as error:
        raise FormatError(f"cannot read: {error.strerror or error}", where=str(path)) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError("not UTF-8 text", where=f"{path}: offset {error.start:#x}") from error
    return loads(text, folder=file.parent, name=valid(file.name), shapes=shapes, function=function)


def loads(
    text: str,
    *,
    folder: Path | None = None,
    name: str = "model.mil",
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    function: str | None = None,
) -> Graph:
    """Reads MIL text.

    Args:
        text: the program.
        folder: what `@model_path` means; None when no constant is in a file.
        name: of the text, for messages.
        shapes, function: as in :func:`load`.

    Raises:
        As :func:`load`.
    """
    source = SourceText(name, text)
    return replace(to_graph(elaborate(parse(source), source, BlobStore(folder), shapes or {}, function)), rows=True)


def to_graph(program: MilProgram) -> Graph:
    """The Graph of a MIL program.

    Raises:
        ModelError, UnsupportedError: see :func:`load`.
    """
    builder = MilGraphBuilder(_declared(program))
    for name, kind in program.inputs.items():
        builder.input(name, kind)
        builder.values[name] = name
    builder.states = program.states
    for operation in program.operations:
        _translate(builder, operation)
    outputs = tuple(_output(builder, name, program) for name in program.outputs)
    states = {name: _kept(builder, name) for name in program.inputs if name in program.states}
    states = {name: output for name, output in states.items() if output}
    graph = builder.graph(program.name, (*outputs, *states.values()))
    return replace(graph, states=states, compressed=builder.compressed)


def _kept(builder: MilGraphBuilder, state: str) -> str:
    """The output with the last value of a state, NAME_out; empty where the program does not change it."""
    value = builder.values[state]
    if value == state:
        return ""
    if isinstance(value, ConstantValue) and isinstance(value.value, np.ndarray):
        value = builder.constant(value.value, value.name)
    assert isinstance(value, str)
    name = builder.unique(f"{state}_out")
    builder.nodes.append(Node(builder.unique(f"{name}_write"), Identity(), (value,), (name,)))
    builder.types[name] = builder.types[value]
    return name


def _declared(program: MilProgram) -> set[str]:
    declared = set(program.inputs)
    for operation in program.operations:
        for result in operation.results:
            if result.name in declared:
                raise ModelError(f"value {result.name!r} is defined twice", where=operation.where)
            declared.add(result.name)
    return declared


def _translate(builder: MilGraphBuilder, operation: MilOperation) -> None:
    if operation.kind == "const":
        value = operation.arguments["val"]
        name = operation.results[0].name
        builder.values[name] = ConstantValue(name, value)  # type: ignore[arg-type]  # constants hold no references
        return
    entry = OPERATIONS.get(operation.kind)
    if entry is None:
        refuse_unknown(operation)
    builder.compressed |= operation.kind.startswith(_COMPRESSED)
    entry.translate(OperationCall(builder, operation, entry.parameters))


def _output(builder: MilGraphBuilder, name: str, program: MilProgram) -> str:
    value = builder.values.get(name)
    if isinstance(value, ConstantValue) and isinstance(value.value, np.ndarray):
        return builder.constant(value.value, value.name)
    if not isinstance(value, str):
        raise ModelError(f"result {name!r} is never computed", where=program.name)
    return value
