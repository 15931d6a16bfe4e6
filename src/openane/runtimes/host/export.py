"""A Graph as an ONNX model, for onnxruntime and for whoever else reads ONNX."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from openane.core.errors import UnavailableError, UnsupportedError
from openane.core.registry import collect
from openane.core.types import DType
from openane.graph import Graph, Operation, TensorType
from openane.runtimes.host.onnx_nodes import operator_sets
from openane.runtimes.host.writer import Handler, Writer

#: By class of the operation: the tables MAPPINGS of the modules of this package.
HANDLERS: Mapping[type[Operation], Handler] = collect(__package__, "MAPPINGS")

IR_VERSION = 9
LARGEST_BYTES = (2 << 30) - (1 << 20)
"""A protocol buffer holds 2 GiB at most."""


def export_model(graph: Graph) -> Any:
    """The graph as an `onnx.ModelProto` that computes the same.

    Raises:
        UnsupportedError: an operation has no form in ONNX, or the weights do not fit into one file; says which.
        UnavailableError: the package onnx is not installed.
    """
    try:
        from onnx import helper, numpy_helper
    except ImportError as error:
        raise UnavailableError(
            "writing ONNX needs the package onnx", hint="Install it: pip install 'openane[onnx]'."
        ) from error
    if sum(array.nbytes for array in graph.constants.values()) > LARGEST_BYTES:
        raise UnsupportedError("the weights do not fit into one ONNX file", limit="2 GiB", where=graph.name)
    writer = Writer(graph)
    for node in graph.nodes:
        name = node.operation.title
        try:
            if type(node.operation) in HANDLERS:
                results = HANDLERS[type(node.operation)](writer, node)
            else:
                raise UnsupportedError(f"ONNX has no operation {name}")
        except UnsupportedError as error:
            raise error.at(f"{graph.name}: node {node.name!r} ({name})") from error
        for output, result in zip(node.outputs, results, strict=False):
            if output:
                writer.nodes.append(helper.make_node("Identity", [result], [output]))
    constants = {**graph.constants, **writer.constants}
    proto = helper.make_graph(
        writer.nodes,
        graph.name or "model",
        [_value(helper, name, kind) for name, kind in graph.inputs.items()],
        [_value(helper, name, graph.types[name]) for name in graph.outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid(*pair) for pair in operator_sets(writer.nodes, writer.versions).items()]
    version = max(IR_VERSION, helper.find_min_ir_version_for(opsets, ignore_unknown=True))
    return helper.make_model(proto, opset_imports=opsets, ir_version=version, producer_name="openane")


def _value(helper: Any, name: str, kind: TensorType) -> Any:
    if kind.dtype is DType.OBJECT:
        raise UnsupportedError("texts, sequences and optional values are not written", where=f"value {name!r}")
    extents = [extent if extent >= 0 else None for extent in kind.shape]
    return helper.make_tensor_value_info(name, element_type(kind.dtype), extents)


def element_type(dtype: DType) -> int:
    """ONNX's number of an element type."""
    from onnx import helper

    return int(helper.np_dtype_to_tensor_dtype(dtype.numpy))
