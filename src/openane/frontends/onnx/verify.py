"""Is the model whole? Names, order, missing values, and what ONNX's own checker says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx
from onnx import AttributeProto, checker

from openane.core.errors import ModelError, UnsupportedError

#: The oldest operator set that is read.
OPSET_MINIMUM = 6

#: Characters of a name; longer ones are refused.
NAME_LIMIT = 1024

#: Weights up to this many bytes take part in ONNX's own check.
_SMALL_TENSOR_BYTES = 1 << 10

#: Domain for operations that ONNX's checker must not look at; it passes over those of domains that it does not know.
_UNCHECKED = "unchecked"

#: Graphs inside graphs inside graphs.
DEPTH_LIMIT = 24


def verify(model: onnx.ModelProto) -> None:
    """Raise unless the model is consistent.

    Raises:
        ModelError: it is not.
        UnsupportedError: its operator set is too old or too new.
    """
    _verify_opsets(model)
    for graph in (model.graph, *model.functions):
        _verify_names(graph)
    _check(model)


def _verify_opsets(model: onnx.ModelProto) -> None:
    newest = onnx.defs.onnx_opset_version()
    for entry in model.opset_import:
        _verify_name(entry.domain)
    versions = {entry.domain: entry.version for entry in model.opset_import}
    version = versions.get("", versions.get("ai.onnx"))
    if version is not None and not OPSET_MINIMUM <= version <= newest:
        raise UnsupportedError(
            "the operator set is not supported",
            value=version,
            limit=f"{OPSET_MINIMUM}..{newest}",
            hint=f"Export the model with opset_version={newest}, or update the onnx package: pip install -U onnx."
            if version > newest
            else f"Export the model in a newer operator set, such as {newest}.",
        )


def _verify_names(graph: onnx.GraphProto | onnx.FunctionProto) -> None:
    for name in _names(graph):
        _verify_name(name)


def _verify_name(name: str | bytes) -> None:
    if not isinstance(name, str):
        raise ModelError("a name is not UTF-8", value=repr(name[:80]))
    if len(name) > NAME_LIMIT:
        raise ModelError("a name is absurdly long", value=f"{len(name)} characters", limit=NAME_LIMIT)
    if not name.isprintable():
        raise ModelError("a name holds control characters", value=repr(name))


def _names(graph: onnx.GraphProto | onnx.FunctionProto, depth: int = 0) -> Iterator[str]:
    """All names in a graph and the graphs inside it."""
    if depth > DEPTH_LIMIT:
        raise ModelError("graphs are nested too deeply", limit=DEPTH_LIMIT)
    yield graph.name
    if isinstance(graph, onnx.FunctionProto):
        yield from (*graph.input, *graph.output)
    else:
        for value in (*graph.input, *graph.output):
            yield value.name
            yield from (dimension.dim_param for dimension in value.type.tensor_type.shape.dim)
        yield from (tensor.name for tensor in graph.initializer)
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (name for attribute in node.attribute for name in (attribute.name, attribute.ref_attr_name))
        for inner in subgraphs(node):
            yield from _names(inner, depth + 1)


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs in a node's attributes."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == AttributeProto.GRAPHS:
            yield from attribute.graphs


def free_names(graph: onnx.GraphProto) -> set[str]:
    """Names that a graph inside a node takes from outside."""
    known = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    known.update(tensor.values.name for tensor in graph.sparse_initializer)
    made = {name for node in graph.node for name in node.output}
    read = {name for node in graph.node for name in reads(node)} | {value.name for value in graph.output}
    return read - known - made - {""}


def reads(node: onnx.NodeProto) -> Iterator[str]:
    """Names that a node reads, those of the graphs inside it included."""
    yield from (name for name in node.input if name)
    for inner in subgraphs(node):
        yield from sorted(free_names(inner))


def sorted_nodes(nodes: Iterable[onnx.NodeProto], known: set[str], outputs: Iterable[str]) -> list[onnx.NodeProto]:
    """The nodes, each after those it reads; nodes that already are keep their order.

    Args:
        nodes: of one graph.
        known: names of inputs, weights and outer values.
        outputs: names that the graph gives.

    Raises:
        ModelError: a name is defined twice or never, or nodes read each other in a circle.
    """
    nodes = list(nodes)
    producer: dict[str, int] = {}
    for i, node in enumerate(nodes):
        for name in node.output:
            if name and (name in producer or name in known):
                raise ModelError(f"value {name!r} is defined twice", where=f"node {node.name!r} ({node.op_type})")
            if name:
                producer[name] = i
    for node in nodes:
        for name in reads(node):
            if name not in known and name not in producer:
                raise ModelError(
                    f"reads {name!r}, which no input, weight or node defines",
                    where=f"node {node.name!r} ({node.op_type})",
                    hint="The model misses a weight or a node.",
                )
    for name in outputs:
        if name not in known and name not in producer:
            raise ModelError(f"output {name!r} is never computed")
    return [nodes[i] for i in _order(nodes, producer)]


def _order(nodes: list[onnx.NodeProto], producer: dict[str, int]) -> list[int]:
    """Node numbers in depth-first order of what they need, without recursion."""
    state = [0] * len(nodes)  # 0 new, 1 waiting for its operands, 2 done
    order: list[int] = []
    for start in range(len(nodes)):
        stack = [start]
        while stack:
            i = stack[-1]
            if state[i] == 2:
                stack.pop()
                continue
            needed = [producer[name] for name in reads(nodes[i]) if name in producer]
            open_ones = [j for j in needed if state[j] != 2]
            state[i] = 1
            if any(state[j] == 1 for j in open_ones):
                where = f"node {nodes[i].name!r} ({nodes[i].op_type})"
                raise ModelError("nodes read each other in a circle", where=where)
            if open_ones:
                stack.extend(reversed(open_ones))
            else:
                state[i] = 2
                order.append(i)
                stack.pop()
    return order


def _check(model: onnx.ModelProto) -> None:
    """ONNX's own checker, on a copy whose large weights are inputs instead."""
    copy = onnx.ModelProto()
    copy.ir_version = model.ir_version
    copy.opset_import.extend(model.opset_import)
    copy.functions.extend(model.functions)
    graph = copy.graph
    graph.name = model.graph.name or "graph"
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    given = {value.name for value in model.graph.input}
    for tensor in model.graph.initializer:
        if tensor.ByteSize() <= _SMALL_TENSOR_BYTES and not tensor.external_data:
            graph.initializer.append(tensor)
        elif tensor.name not in given:
            value = graph.input.add()
            value.name = tensor.name
            value.type.tensor_type.elem_type = tensor.data_type
            for extent in tensor.dims:
                value.type.tensor_type.shape.dim.add().dim_value = extent
    graph.sparse_initializer.extend(model.graph.sparse_initializer)
    known = given | {tensor.name for tensor in model.graph.initializer}
    known.update(tensor.values.name for tensor in model.graph.sparse_initializer)
    for value in (*graph.input, *graph.output):
        # Shapes that are left out are inferred; the checker wants to see some.
        if not value.type.WhichOneof("value") or value.type.HasField("tensor_type"):
            tensor_type = value.type.tensor_type
            tensor_type.elem_type = tensor_type.elem_type or onnx.TensorProto.FLOAT
            tensor_type.shape.SetInParent()
    outputs = [value.name for value in model.graph.output]
    graph.node.extend(sorted_nodes(model.graph.node, known, outputs))
    for part, nodes in ((copy, graph.node), *((function, function.node) for function in copy.functions)):
        versions = {entry.domain: entry.version for entry in part.opset_import}
        if _pass_over_born_deprecated(nodes, versions.get("", versions.get("ai.onnx", 0))):
            part.opset_import.append(onnx.helper.make_opsetid(_UNCHECKED, 1))
    try:
        checker.check_model(copy)
    except checker.ValidationError as error:
        raise ModelError("ONNX's checker refuses the model", hint=_first_sentence(error)) from error
    except (ValueError, RuntimeError, TypeError) as error:
        raise ModelError("ONNX's checker cannot read the model", hint=_first_sentence(error)) from error


def _pass_over_born_deprecated(nodes: Iterable[onnx.NodeProto], version: int) -> bool:
    """Moves operations that ONNX knows as deprecated only to a domain of their own; says whether there are any.

    GroupNormalization of the operator sets 18 to 20 is one: ONNX withdrew it later, and its checker has refused since
    then what exporters wrote and runtimes run.
    """
    found = False
    for node in nodes:
        for inner in subgraphs(node):
            found |= _pass_over_born_deprecated(inner.node, version)
        if node.domain not in ("", "ai.onnx") or not onnx.defs.has(node.op_type, version, ""):
            continue
        schema = onnx.defs.get_schema(node.op_type, version, "")
        if schema.deprecated and not onnx.defs.has(node.op_type, schema.since_version - 1, ""):
            node.domain, found = _UNCHECKED, True
    return found


def _first_sentence(error: Exception) -> str:
    text = str(error).split("==> Context")[0]
    return " ".join(text.split())[:300]
