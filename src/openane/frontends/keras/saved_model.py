"""Which SavedModels TensorFlow may load.

Loading runs functions of the model, and translating it runs more (constants are folded). TensorFlow has operations that
read and write any file, start servers and call Python. Admitted are those that tf2onnx translates and those that hold
variables and call functions. The operations of checkpoints, which name files, may stand only in functions that nothing
calls: TensorFlow restores variables without them.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from openane.core.errors import FormatError, InputError, UnsupportedError
from openane.core.files import open_regular

SIZE_LIMIT_BYTES = (2 << 30) - 1
"""Of a protocol buffer."""
CHECKPOINT = frozenset({"MergeV2Checkpoints", "RestoreV2", "SaveV2", "ShardedFilename"})
PLUMBING = frozenset(
    {
        *("Assert", "AssignVariableOp", "DisableCopyOnRead", "NoOp", "PartitionedCall", "ReadVariableOp"),
        *("StatefulPartitionedCall", "StaticRegexFullMatch", "StringJoin", "VarHandleOp", "VarIsInitializedOp"),
        *("Case", "If", "StatelessCase", "StatelessIf", "StatelessWhile", "While"),
    }
)

AUGMENTATION = frozenset(
    {
        *("HSVToRGB", "ImageProjectiveTransformV3", "RGBToHSV"),
        *("StatelessRandomGetKeyCounter", "StatelessRandomUniformV2"),
    }
)
"""Of layers that augment pictures: in the functions for training, which a SavedModel keeps."""


def check_saved_model(folder: Path) -> None:
    """Refuses a SavedModel that may do more than compute.

    Raises:
        FormatError: `saved_model.pb` is damaged or too large.
        InputError: a file of the folder is a pipe or device, or a link that leads out of it.
        UnsupportedError: an operation that is not admitted, or a model of TensorFlow 1.
    """
    _check_files(folder)
    for graph in _parsed(folder / "saved_model.pb").meta_graphs:
        where = f"{folder}: saved_model.pb"
        if not graph.object_graph_def.nodes:
            raise UnsupportedError(
                "the SavedModel is one of TensorFlow 1", where=where, hint="Load and save it with TensorFlow 2."
            )
        functions = graph.graph_def.library.function
        entries = set(graph.object_graph_def.concrete_functions)
        called = {name for function in functions for name in _names(function.node_def)}
        for function in functions:
            name = function.signature.name
            unused = name not in entries and name not in called
            _check_operations(function.node_def, unused, f"{where}: function {name!r}")
        _check_operations(graph.graph_def.node, False, where)


def _check_files(folder: Path) -> None:
    root = folder.resolve()
    for path in sorted(folder.rglob("*")):
        if not path.resolve().is_relative_to(root):
            raise InputError("the link leads out of the model's folder", where=str(path))
        if not path.is_dir():
            try:
                open_regular(path).close()
            except OSError as error:
                raise InputError(f"cannot read: {error.strerror or error}", where=str(path)) from error


def _parsed(path: Path) -> Any:
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from tensorflow.core.protobuf import saved_model_pb2

    try:
        if path.stat().st_size > SIZE_LIMIT_BYTES:
            raise FormatError("too large for a protocol buffer", where=str(path), limit=f"{SIZE_LIMIT_BYTES} bytes")
        with open_regular(path) as file:
            return saved_model_pb2.SavedModel.FromString(file.read())
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror or error}", where=str(path)) from error
    except DecodeError as error:
        raise FormatError("cannot be read: not a SavedModel", where=str(path)) from error


def _names(nodes: Any) -> Iterator[str]:
    """The functions that nodes name in their attributes."""
    for node in nodes:
        yield node.op
        for attribute in node.attr.values():
            for function in (attribute.func, *attribute.list.func):
                yield function.name


def _check_operations(nodes: Any, checkpoints: bool, where: str) -> None:
    for node in nodes:
        if node.op not in _admitted() and not (checkpoints and node.op in CHECKPOINT):
            raise UnsupportedError(
                "the model has an operation that openane does not let TensorFlow run",
                where=where,
                value=node.op,
                limit="operations that tf2onnx translates, variables and calls of functions",
                hint="Save the model without operations that read or write files, call Python or handle text.",
            )


@functools.cache
def _admitted() -> frozenset[str]:
    """The operations that tf2onnx translates, and those that hold variables, call functions or augment pictures."""
    import tf2onnx.tfonnx  # noqa: F401 (its import registers them)
    from tf2onnx.handler import tf_op

    versions = [table for tables in tf_op.get_opsets().values() for table in tables if table]
    return PLUMBING | AUGMENTATION | {name for table in versions for name in table}
