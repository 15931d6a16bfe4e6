"""Functions: those of the model, and the bodies that ONNX itself gives for some operations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import onnx
from onnx import AttributeProto, TypeProto, defs, helper

from openane.core.errors import ModelError
from openane.frontends.onnx.verify import DEPTH_LIMIT, subgraphs
from openane.graph import TensorType


class FunctionLibrary:
    """Finds the body of an operation."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._local: dict[tuple[str, str], onnx.FunctionProto] = {}
        for function in model.functions:
            domain = "" if function.domain == "ai.onnx" else function.domain
            if (domain, function.name) in self._local:
                raise ModelError(f"function {function.name!r} is defined twice")
            self._local[domain, function.name] = function

        self._sizes: dict[tuple[str, str], int] = {}

    def written_size(self, graph: onnx.GraphProto) -> int:
        """How many nodes the file has, in the main graph, in inner ones and in functions."""
        waiting = [graph.node, *(function.node for function in self._local.values())]
        total = 0
        while waiting:
            for node in waiting.pop():
                total += 1
                waiting += [inner.node for inner in subgraphs(node)]
        return total

    def expanded_size(self, nodes: Iterable[onnx.NodeProto], depth: int = 0) -> int:
        """How many nodes there are when the functions of the model are spelled out, counted without doing so.

        Raises:
            ModelError: nested too deeply, as a function that calls itself is.
        """
        if depth > DEPTH_LIMIT:
            raise ModelError("functions or graphs are nested too deeply", limit=DEPTH_LIMIT)
        total = 0
        for node in nodes:
            key = "" if node.domain == "ai.onnx" else node.domain, node.op_type
            function = self._local.get(key)
            if function is not None and key not in self._sizes:
                self._sizes[key] = self.expanded_size(function.node, depth + 1)
            total += 1 + self._sizes.get(key, 0)
            total += sum(self.expanded_size(graph.node, depth + 1) for graph in subgraphs(node))
        return total

    def local(self, domain: str, name: str) -> onnx.FunctionProto | None:
        """A function of the model, or None."""
        return self._local.get((domain, name))

    @staticmethod
    def of_schema(
        node: onnx.NodeProto, domain: str, version: int, types: Sequence[TensorType | None]
    ) -> onnx.FunctionProto | None:
        """The body that ONNX gives for a node, or None.

        Args:
            node: the node.
            domain: of its operation.
            version: of the operator set.
            types: of its inputs.
        """
        schema = _schema(domain, node.op_type, version)
        if schema is None:
            return None
        dependent = not schema.has_function
        stated = schema.context_dependent_function_opset_versions if dependent else schema.function_opset_versions
        versions = [v for v in stated if v <= version]
        if not versions:
            return None
        if dependent:
            protos = [_type_proto(t).SerializeToString() for t in types]
            body = _parse(
                schema.get_context_dependent_function_with_opset_version(
                    max(versions), node.SerializeToString(), protos
                )
            )
        else:
            body = _parse(schema.get_function_with_opset_version(max(versions)))
        defaults = (attribute.default_value for attribute in schema.attributes.values())
        body.attribute_proto.extend(default for default in defaults if default.name)
        return body

    @staticmethod
    def body(function: onnx.FunctionProto, call: onnx.NodeProto) -> list[onnx.NodeProto]:
        """The nodes of a function with the attributes of its call put in."""
        given = {attribute.name: attribute for attribute in function.attribute_proto}
        given.update({attribute.name: attribute for attribute in call.attribute})
        return [_resolved(node, given) for node in function.node]


def _schema(domain: str, name: str, version: int) -> defs.OpSchema | None:
    try:
        return defs.get_schema(name, version, domain)
    except defs.SchemaError:
        return None


def same_types(domain: str, name: str, version: int, results: int, inputs: int) -> Iterator[tuple[int, int]]:
    """The results of an operation that have, by its schema, the element type of an input: numbers of both."""
    schema = _schema(domain, name, version)
    if schema is None:
        return
    sources: dict[str, int] = {}
    for i in range(inputs):
        parameter = schema.inputs[min(i, len(schema.inputs) - 1)]
        sources.setdefault(parameter.type_str, i)
    for i in range(min(results, len(schema.outputs))):
        if schema.outputs[i].type_str in sources:
            yield i, sources[schema.outputs[i].type_str]


def _parse(function: bytes | onnx.FunctionProto) -> onnx.FunctionProto:
    return onnx.FunctionProto.FromString(function) if isinstance(function, bytes) else function


def _type_proto(kind: TensorType | None) -> onnx.TypeProto:
    if kind is None:
        return TypeProto()
    number = helper.np_dtype_to_tensor_dtype(kind.dtype.numpy)
    return helper.make_tensor_type_proto(number, kind.shape)


def _resolved(node: onnx.NodeProto, given: dict[str, onnx.AttributeProto]) -> onnx.NodeProto:
    """A copy of a node whose references to the function's attributes are replaced, in inner graphs as well."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    del copy.attribute[:]
    for attribute in node.attribute:
        if attribute.ref_attr_name:
            source = given.get(attribute.ref_attr_name)
            if source is not None:
                copy.attribute.add().CopyFrom(source)
                copy.attribute[-1].name = attribute.name
            continue
        own = copy.attribute.add()
        own.CopyFrom(attribute)
        graphs = [own.g] if own.type == AttributeProto.GRAPH else own.graphs
        for graph in graphs:
            nodes = [_resolved(inner, given) for inner in graph.node]
            del graph.node[:]
            graph.node.extend(nodes)
    return copy
