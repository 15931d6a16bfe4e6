"""Nodes that openane has no operation for: their result types, and whether onnxruntime computes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnx
from onnx import TypeProto, defs, helper, numpy_helper, shape_inference

from openane.core.errors import Diagnostic, UnavailableError, UnsupportedError
from openane.core.origin import Origin
from openane.core.types import DType
from openane.frontends.onnx.call import NodeCall
from openane.frontends.onnx.tensors import DTYPES
from openane.frontends.onnx.verify import free_names, subgraphs
from openane.graph import TensorType
from openane.graph.ops import OnnxNode
from openane.graph.ops.foreign import open_session

Types = Mapping[str, onnx.TypeProto]

PARAMETER_BYTES = 1 << 10
"""Constants up to this size are part of the node: axes, sizes and scales decide the shapes of results."""
RANDOM = frozenset(
    {
        *("Bernoulli", "Dropout", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform"),
        *("RandomUniformLike", "BiasDropout", "BitmaskDropout", "BitmaskBiasDropout"),
    }
)
"""Operations that draw random numbers."""


def host_node(call: NodeCall, why: Diagnostic, declared: Types) -> Sequence[str]:
    """Emits a node of the file as an `OnnxNode`.

    Args:
        call: the node.
        why: openane has no operation for it.
        declared: types that the file states, by name.

    Returns:
        The value names of its outputs, "" where one is left out.

    Raises:
        ModelError: onnxruntime fails while it computes a node of constants.
    """
    node = _OneNode(call)
    session_problem, types = node.resolve(declared)
    full = f"{call.node.domain}.{call.node.op_type}" if call.node.domain else call.node.op_type
    reason = f"{why.what} (found {why.value})" if why.value else why.what
    operation = OnnxNode(
        full,
        node.model.SerializeToString(deterministic=True),
        tuple(call.type_of(value) for value in node.values),
        tuple(_graph_type(types[name]) for name in node.outputs),
        reason,
        session_problem,
        _is_random(call.node),
    )
    made: Sequence[str]
    if call.inputs and not node.values and operation.is_repeatable and not list(subgraphs(call.node)):
        made = [call.make(array) for array in operation.evaluate(())]
    else:
        made = call.builder.emit(operation, node.values, call.label, Origin(call.layers))
    for name, value in zip(node.outputs, made, strict=True):
        call.builder.note_type(value, types[name])
    found = dict(zip(node.outputs, made, strict=True))
    return [found.get(name, "") for name in call.node.output]


class _OneNode:
    """The model of a single node.

    Attributes:
        model: the model; the outputs have types after `resolve`.
        values: the values of the graph that it reads, in the order of its inputs.
        outputs: the names of its outputs in the file.
    """

    def __init__(self, call: NodeCall) -> None:
        self._call = call
        self.values: list[str] = []
        self.outputs = [name for name in call.node.output if name]
        self.model = onnx.ModelProto()
        self.model.ir_version = onnx.IR_VERSION
        used = {call.node.domain, *(inner.domain for graph in subgraphs(call.node) for inner in _nodes(graph))}
        opsets = {"": 1, **{domain: call.scope.opsets.get(domain, 1) for domain in used}, **_main(call)}
        self.model.opset_import.extend(helper.make_opsetid(domain, version) for domain, version in opsets.items())
        self.model.graph.name = "node"
        node = onnx.NodeProto()
        node.CopyFrom(call.node)
        _seed(node, call)
        self._inputs(node)
        self.model.graph.node.append(node)
        self.model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in self.outputs)

    def _inputs(self, node: onnx.NodeProto) -> None:
        call, graph = self._call, self.model.graph
        names = dict(zip(node.input, call.inputs, strict=True))
        for position, value in enumerate(call.inputs):
            if not value:
                node.input[position] = ""
        for inner in subgraphs(node):
            names.update((name, call.scope.names[name]) for name in sorted(free_names(inner)))
        for name, value in names.items():
            if not value:
                continue
            held, stored = call.builder.types[value], call.builder.onnx_types.get(value)
            inner = name
            if stored is not None and held.is_static:  # the graph holds it in a wider element type
                inner = f"{name}/held"
                number = stored.tensor_type.elem_type
                graph.node.append(helper.make_node("Cast", [inner], [name], to=number))
            array = call.builder.constants.get(value)
            if array is not None and array.nbytes <= PARAMETER_BYTES:
                graph.initializer.append(numpy_helper.from_array(np.asarray(array, order="C"), inner))
                continue
            kind = stored if stored is not None and inner == name else _onnx_type(held)
            graph.input.append(helper.make_value_info(inner, kind))
            self.values.append(value)

    def resolve(self, declared: Types) -> tuple[str, dict[str, onnx.TypeProto]]:
        """Finds the types of the outputs, and writes them into the model.

        Returns:
            Why onnxruntime cannot compute the node (empty when it can), and the types by name in the file.
        """
        untyped = next((value.name for value in self.model.graph.input if not value.type.WhichOneof("value")), "")
        problem, found = f"the type of {untyped!r} is not known" if untyped else "", _inferred(self.model)
        for version in () if untyped else _versions(self.model, self._call.node):
            self._set_version(version)
            try:
                found = _merged(found, _of_session(self.model))
                problem = ""
                break
            except UnavailableError:
                break
            except UnsupportedError as error:
                problem = problem or error.diagnostic.what
        if problem:
            self._set_version(self._call.version)
        types = _merged(found, {name: declared[name] for name in self.outputs if name in declared})
        for position, name in enumerate(self.outputs):
            kind = types.setdefault(name, TypeProto())
            if kind.HasField("tensor_type") and _is_held(kind):  # hand it out in the type that the graph holds it in
                outer, dtype = f"{name}/held", DTYPES[kind.tensor_type.elem_type]
                number = helper.np_dtype_to_tensor_dtype(dtype.numpy)
                self.model.graph.node.append(helper.make_node("Cast", [name], [outer], to=number))
                self.model.graph.output[position].name = outer
            elif kind.WhichOneof("value"):
                self.model.graph.output[position].type.CopyFrom(kind)
        return problem, types

    def _set_version(self, version: int) -> None:
        domain = "" if self._call.node.domain == "ai.onnx" else self._call.node.domain
        for entry in self.model.opset_import:
            if entry.domain == domain:
                entry.version = version


def _seed(node: onnx.NodeProto, call: NodeCall) -> None:
    """Gives a random node without a seed one that no other node has; every session would draw the same otherwise."""
    domain = "" if node.domain == "ai.onnx" else node.domain
    if node.op_type in RANDOM and defs.has(node.op_type, call.version, domain):
        known = defs.get_schema(node.op_type, call.version, domain).attributes.get("seed")
        if known is not None and all(attribute.name != "seed" for attribute in node.attribute):
            number = len(call.builder.nodes) + 1
            is_float = int(known.type) == onnx.AttributeProto.FLOAT
            node.attribute.append(helper.make_attribute("seed", float(number) if is_float else number))


def _main(call: NodeCall) -> dict[str, int]:
    """The version of ONNX's own operations, for the casts around a node."""
    return {"": call.scope.opsets[""]} if "" in call.scope.opsets else {"": defs.onnx_opset_version()}


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for inner in subgraphs(node):
            yield from _nodes(inner)


def _is_random(node: onnx.NodeProto) -> bool:
    inside = (inner for graph in subgraphs(node) for inner in _nodes(graph))
    return any(each.op_type in RANDOM for each in (node, *inside))


def _versions(model: onnx.ModelProto, node: onnx.NodeProto) -> Iterator[int]:
    """The version of the operator set, then older ones in which the operation only had fewer element types."""
    domain = "" if node.domain == "ai.onnx" else node.domain
    version = next(entry.version for entry in model.opset_import if entry.domain == domain)
    yield version
    while not list(subgraphs(node)) and defs.has(node.op_type, version, domain):
        schema = defs.get_schema(node.op_type, version, domain)
        version = schema.since_version - 1
        if version < 1 or not defs.has(node.op_type, version, domain):
            return
        older = defs.get_schema(node.op_type, version, domain)
        if older.deprecated or _interface(older) != _interface(schema):
            return
        yield version


def is_same_operation(domain: str, name: str, first: int, second: int) -> bool:
    """Whether an operation means the same in two versions of its operator set, but for element types."""
    if first == second:
        return True
    if not (defs.has(name, first, domain) and defs.has(name, second, domain)):
        return False
    return _interface(defs.get_schema(name, first, domain)) == _interface(defs.get_schema(name, second, domain))


def _interface(schema: defs.OpSchema) -> object:
    """What a schema declares, except for element types."""
    sides = [[(each.name, each.option) for each in side] for side in (schema.inputs, schema.outputs)]
    attributes = {
        name: (each.type, each.required, each.default_value.SerializeToString())
        for name, each in schema.attributes.items()
    }
    return sides, attributes


def _inferred(model: onnx.ModelProto) -> dict[str, onnx.TypeProto]:
    """The output types that ONNX itself infers."""
    try:
        whole = shape_inference.infer_shapes(model, data_prop=True)
    except (shape_inference.InferenceError, RuntimeError, ValueError):
        return {}
    return {value.name: value.type for value in whole.graph.output if value.type.WhichOneof("value")}


def _of_session(model: onnx.ModelProto) -> dict[str, onnx.TypeProto]:
    """The output types that onnxruntime infers.

    Raises:
        UnavailableError: it is not installed.
        UnsupportedError: it refuses the model.
    """
    session = open_session(model.SerializeToString(deterministic=True))
    found = {}
    for value in session.get_outputs():
        text = value.type.removeprefix("tensor(").removesuffix(")")
        names = onnx.TensorProto.DataType.DESCRIPTOR.values_by_name
        if value.type.startswith("tensor(") and text.upper() in names:
            known = None if value.shape is None else [e if isinstance(e, int) else None for e in value.shape]
            found[value.name] = helper.make_tensor_type_proto(names[text.upper()].number, known)
    return found


def _merged(first: Mapping[str, onnx.TypeProto], second: Mapping[str, onnx.TypeProto]) -> dict[str, onnx.TypeProto]:
    """The types of both; of two tensor types the extents that either knows."""
    result = dict(first)
    for name, kind in second.items():
        known = result.get(name)
        if known is None or not known.tensor_type.elem_type:
            result[name] = kind
        elif kind.HasField("tensor_type") and kind.tensor_type.HasField("shape"):
            old, new = _extents(known), _extents(kind)
            if old is None or len(old) != len(new or ()):
                extents = new if old is None else old
            else:
                extents = tuple(a if a >= 0 else b for a, b in zip(old, new or (), strict=True))
            shape = None if extents is None else [extent if extent >= 0 else None for extent in extents]
            result[name] = helper.make_tensor_type_proto(known.tensor_type.elem_type, shape)
    return result


def _extents(kind: onnx.TypeProto) -> tuple[int, ...] | None:
    """The extents of a tensor, -1 for open ones; None where not even the rank is known."""
    if not kind.tensor_type.HasField("shape"):
        return None
    return tuple(d.dim_value if d.HasField("dim_value") else -1 for d in kind.tensor_type.shape.dim)


def _is_held(kind: onnx.TypeProto) -> bool:
    """Whether the graph holds a tensor in another element type than the file."""
    number = kind.tensor_type.elem_type
    return number in DTYPES and helper.np_dtype_to_tensor_dtype(DTYPES[number].numpy) != number


def _graph_type(kind: onnx.TypeProto) -> TensorType:
    """The type in the graph; what is not a tensor of numbers is an object."""
    extents = _extents(kind) if kind.HasField("tensor_type") else None
    dtype = DTYPES.get(kind.tensor_type.elem_type, DType.OBJECT)
    return TensorType((-1,) if extents is None else extents, dtype)


def _onnx_type(kind: TensorType) -> onnx.TypeProto:
    number = helper.np_dtype_to_tensor_dtype(kind.dtype.numpy)
    return helper.make_tensor_type_proto(number, [extent if extent >= 0 else None for extent in kind.shape])


def check_output_count(node: onnx.NodeProto, results: Sequence[str]) -> None:
    """Raise unless every output of a node that has a name was made.

    Raises:
        UnsupportedError: one was not.
    """
    for i, output in enumerate(node.output):
        if output and (i >= len(results) or not results[i]):
            raise UnsupportedError(f"output {i} is not supported", value=repr(output))
