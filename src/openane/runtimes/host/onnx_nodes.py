"""Nodes of an ONNX file in the ONNX form of a graph, and the operator sets that hold for all nodes of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from openane.core.errors import UnsupportedError
from openane.core.types import DType
from openane.graph import Node, Operation
from openane.graph import ops as o
from openane.runtimes.host.writer import Handler, Writer

OPSET = 20
"""First version with Gelu; every onnxruntime since 1.17 reads it."""


def _onnx_node(w: Writer, node: Node) -> list[str]:
    from onnx import ModelProto, compose, helper, numpy_helper

    operation = node.operation
    assert isinstance(operation, o.OnnxNode)
    if any(kind.dtype is DType.OBJECT for kind in (*operation.operands, *operation.results)):
        raise UnsupportedError("texts, sequences and optional values are not written", value=operation.onnx_name)
    model = ModelProto.FromString(operation.model)
    graph = compose.add_prefix_graph(model.graph, f"{w.fresh()}/")
    w.constants.update({tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer})
    for value, name in zip(graph.input, node.inputs, strict=True):
        w.nodes.append(helper.make_node("Identity", [name], [value.name]))
    nodes = list(graph.node)
    w.nodes += nodes
    versions = {entry.domain: entry.version for entry in model.opset_import}
    w.versions += [(each, versions.get(_domain(each), 1)) for each in nodes]
    return [value.name for value in graph.output]


def _domain(node: Any) -> str:
    return "" if node.domain == "ai.onnx" else str(node.domain)


def operator_sets(nodes: Iterable[Any], versions: Iterable[tuple[Any, int]]) -> dict[str, int]:
    """Operator sets in which every node means what it was written for.

    Args:
        nodes: all of them.
        versions: nodes that were written for other versions of their domain than `OPSET`.

    Raises:
        UnsupportedError: no version of an operator set fits all of its nodes.
    """
    from openane.frontends.onnx.foreign import is_same_operation

    own = [(id(node), node, version) for node, version in versions]
    given = {key for key, _, _ in own}
    stated = [(node, version) for _, node, version in own] + [(n, OPSET) for n in nodes if id(n) not in given]
    found: dict[str, int] = {}
    for domain in dict.fromkeys(("", *(_domain(node) for node, _ in stated))):
        members = [(node, version) for node, version in stated if _domain(node) == domain]
        candidates = dict.fromkeys((*([] if domain else [OPSET]), *sorted({v for _, v in members}, reverse=True)))
        for candidate in candidates:
            if all(is_same_operation(domain, node.op_type, version, candidate) for node, version in members):
                found[domain] = candidate
                break
        else:
            raise UnsupportedError(
                "the nodes need several versions of one operator set",
                value=", ".join(f"{node.op_type} of {version}" for node, version in members[:4]),
                limit=f"one version of {domain or 'ai.onnx'}",
            )
    return found


#: By class of the operation.
MAPPINGS: Mapping[type[Operation], Handler] = MappingProxyType({o.OnnxNode: _onnx_node})
