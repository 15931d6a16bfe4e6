"""Walks the nodes of a model: one handler each, functions and constant branches spelled out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx.helper import make_tensor_type_proto

from openane.core.deadline import check_deadline
from openane.core.errors import Diagnostic, ModelError, OpenaneError, UnsupportedError, valid
from openane.core.origin import Origin
from openane.frontends.onnx.builder import OnnxBuilder
from openane.frontends.onnx.call import DependsOnInputsError, FinalRefusalError, NodeCall, Scope
from openane.frontends.onnx.foreign import check_output_count, host_node
from openane.frontends.onnx.functions import FunctionLibrary, same_types
from openane.frontends.onnx.handlers import HANDLERS
from openane.frontends.onnx.inputs import input_types
from openane.frontends.onnx.tensors import DTYPES, NARROW, Tensors
from openane.frontends.onnx.verify import reads, sorted_nodes, verify
from openane.graph import Graph
from openane.graph.builder import NODE_LIMIT
from openane.graph.ops import Identity

Shapes = Mapping[str, tuple[int, ...]]
MORE_NODES = 1 << 15
"""Than the file has: functions in functions and loops in loops can make any number of a few."""
Arrays = Mapping[str, np.ndarray]
_OPEN_INPUT = "it reads a value whose shape or element type is known only when the model runs"


def import_model(model: onnx.ModelProto, shapes: Shapes, constants: Arrays, name: str, folder: Path | None) -> Graph:
    """The Graph of a model.

    Raises:
        ModelError: the model contradicts itself.
        InputError: `shapes` is missing or does not fit.
        UnsupportedError: a node must be known before the model runs, but depends on inputs that could be constants.
    """
    verify(model)
    return Importer(model, shapes, constants, folder).run(valid(Path(name).stem) or "model")


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


class Importer:
    """Builds the graph of one model."""

    def __init__(self, model: onnx.ModelProto, shapes: Shapes, constants: Arrays, folder: Path | None) -> None:
        self._model = model
        self._shapes = shapes
        self._constants = constants
        self._tensors = Tensors(folder)
        self._functions = FunctionLibrary(model)
        self._visits, self._most_visits = 0, min(self._functions.written_size(model.graph) + MORE_NODES, NODE_LIMIT)
        size = self._functions.expanded_size(model.graph.node)
        if size > self._most_visits:
            raise ModelError("the model has too many nodes", value=size, limit=self._most_visits)
        taken = {value.name for value in (*model.graph.input, *model.graph.output)}
        taken.update(tensor.name for tensor in model.graph.initializer)
        taken.update(output for node in model.graph.node for output in node.output)
        self._builder = OnnxBuilder(taken)
        values = (*model.graph.value_info, *model.graph.output)
        self._declared = {value.name: value.type for value in values if value.type.WhichOneof("value")}

    def run(self, title: str) -> Graph:
        """The whole model as a graph."""
        graph = self._model.graph
        opsets = {_domain(entry.domain): entry.version for entry in self._model.opset_import}
        scope = Scope({}, opsets)
        self._weights(graph, scope)
        for name, kind in input_types(graph, self._shapes, self._constants).items():
            if name in self._constants:
                self._builder.weight(name, self._constants[name])
            else:
                self._builder.input(name, kind)
            scope.names[name] = name
        for value in graph.input:
            if value.name in self._builder.inputs:
                self._builder.note_type(value.name, value.type)
        outputs = [value.name for value in graph.output]
        if len(set(outputs)) != len(outputs):
            raise ModelError("an output is named twice", value=outputs)
        if not outputs:
            raise ModelError("the model has no outputs")
        self.nodes(sorted_nodes(graph.node, set(scope.names), outputs), scope)
        for output in outputs:
            if scope.names[output] != output:
                source, start = scope.names[output], self._builder.now()
                (copy,) = self._builder.emit(Identity(), (source,), output, Origin((output,)))
                self._builder.rename(copy, output, start)
        return self._builder.graph(title, outputs)

    def _weights(self, graph: onnx.GraphProto, scope: Scope) -> None:
        """The initializers of a graph as constants."""
        for tensor in graph.initializer:
            array = self._tensors.array(tensor, f"weight {tensor.name!r}")
            self._define_constant(tensor.name, array, scope)
            self._builder.note_type(scope.names[tensor.name], make_tensor_type_proto(tensor.data_type, tensor.dims))
        for sparse in graph.sparse_initializer:
            name = sparse.values.name
            self._define_constant(name, self._tensors.dense(sparse, f"weight {name!r}"), scope)

    def _define_constant(self, name: str, array: np.ndarray, scope: Scope) -> None:
        if not scope.prefix and name in scope.names:
            raise ModelError(f"weight {name!r} is defined twice")
        value = self._builder.unique(scope.prefix + name) if scope.prefix else name
        self._builder.weight(value, array)
        scope.names[name] = value

    def nodes(self, nodes: Iterable[onnx.NodeProto], scope: Scope) -> None:
        """Imports nodes in order; `scope` learns what they define."""
        for node in nodes:
            check_deadline()
            self._visits += 1
            if self._visits > self._most_visits:
                raise ModelError("the model has too many nodes", limit=self._most_visits)
            self._node(node, scope)

    def _node(self, node: onnx.NodeProto, scope: Scope) -> None:
        domain = _domain(node.domain)
        version = scope.opsets.get(domain, 1)
        label = node.name or next((name for name in node.output if name), node.op_type)
        kind = f"{node.domain}.{node.op_type}" if domain else node.op_type
        try:
            inputs = tuple(self._lookup(name, scope) if name else "" for name in node.input)
            start = self._builder.now()
            results = self._results(node, domain, version, inputs, scope, label)
            self._note_narrow(node, domain, version, inputs, results)
            self._bind(node, results, scope, start)
        except OpenaneError as error:
            raise error.at(f"node {label!r} ({kind}, opset {version})") from error

    def _results(
        self,
        node: onnx.NodeProto,
        domain: str,
        version: int,
        inputs: tuple[str, ...],
        scope: Scope,
        label: str,
    ) -> Sequence[str]:
        """The value names of the node's outputs."""
        layers = (*scope.layers, label)
        call = NodeCall(node, version, inputs, self._builder, self._tensors, self, scope, layers)
        open_input = next((name for name in self._reads(node, scope) if not self._builder.types[name].is_static), None)
        declared = self._declared if not scope.prefix else {}
        if open_input is not None:
            known = (domain, node.op_type) in HANDLERS
            finding = Diagnostic(_OPEN_INPUT, value=repr(open_input)) if known else Diagnostic("")
            return host_node(call, finding, declared)
        before = len(self._builder.nodes)
        try:
            results = self._spelled(call, domain, version, label)
            check_output_count(node, results)
            return results
        except DependsOnInputsError as error:
            if error.is_settable:
                raise
            finding = error.diagnostic
        except FinalRefusalError:
            raise
        except UnsupportedError as error:
            finding = error.diagnostic
        self._builder.undo(before)
        return host_node(call, finding, declared)

    def _spelled(self, call: NodeCall, domain: str, version: int, label: str) -> Sequence[str]:
        """The node by operations of the Graph.

        Raises:
            UnsupportedError: it has no such form.
        """
        node, inputs = call.node, call.inputs
        local = self._functions.local(domain, node.op_type)
        handler = HANDLERS.get((domain, node.op_type))
        if local is None and handler is not None:
            return handler(call)
        types = [self._builder.types[name] if name else None for name in inputs]
        function = local or self._functions.of_schema(node, domain, version, types)
        if function is None:
            raise UnsupportedError("")
        return self._inline(node, function, inputs, call.scope, label)

    def _reads(self, node: onnx.NodeProto, scope: Scope) -> list[str]:
        """The values that a node reads, those of the graphs inside it included."""
        return [value for name in reads(node) if (value := scope.names.get(name, ""))]

    def _inline(
        self,
        node: onnx.NodeProto,
        function: onnx.FunctionProto,
        inputs: tuple[str, ...],
        scope: Scope,
        label: str,
    ) -> Sequence[str]:
        """The body of a function in place of the call."""
        own = {_domain(entry.domain): entry.version for entry in function.opset_import}
        given = dict(zip(function.input, (*inputs, *[""] * len(function.input)), strict=False))
        inner = scope.inside(label, {name: value for name, value in given.items() if value}, {**scope.opsets, **own})
        inner.names.update({name: "" for name, value in given.items() if not value})
        wanted = [name for name, outer in zip(function.output, node.output, strict=False) if outer]
        body = sorted_nodes(self._functions.body(function, node), set(given), wanted)
        self.nodes(body, inner)
        return [inner.names.get(name, "") for name in function.output]

    def branch(self, graph: onnx.GraphProto, label: str, scope: Scope, given: Mapping[str, str]) -> list[str]:
        """Imports a graph inside a node; the value names of its outputs.

        Args:
            graph: the graph.
            label: of the node it belongs to.
            scope: of that node.
            given: value names of the graph's inputs.
        """
        inner = scope.inside(label, {**scope.names, **given})
        self._weights(graph, inner)
        outputs = [value.name for value in graph.output]
        self.nodes(sorted_nodes(graph.node, set(inner.names) - _made(graph), outputs), inner)
        return [self._lookup(name, inner) for name in outputs]

    def _note_narrow(
        self, node: onnx.NodeProto, domain: str, version: int, inputs: tuple[str, ...], results: Sequence[str]
    ) -> None:
        """Notes the narrow element type of results that have, by the schema, the type of an input."""
        narrow = {value: number for value in inputs if (number := self._builder.stored_type(value)) in NARROW}
        if not narrow:
            return
        for value, i in same_types(domain, node.op_type, version, len(results), len(inputs)):
            number = narrow.get(inputs[i], 0)
            kind = self._builder.types.get(results[value])
            if number and kind is not None and kind.is_static and kind.dtype is DTYPES[number]:
                self._builder.note_type(results[value], make_tensor_type_proto(number, kind.shape))

    def _lookup(self, name: str, scope: Scope) -> str:
        if name not in scope.names:
            raise ModelError(f"reads {name!r}, which no input, weight or node defines")
        return scope.names[name]

    def _bind(self, node: onnx.NodeProto, results: Sequence[str], scope: Scope, start: int) -> None:
        """Names the results as the file does where they were made since `start`."""
        renamed: dict[str, str] = {}
        for i, output in enumerate(node.output):
            if not output:
                continue
            name = output if not scope.prefix else self._builder.unique(scope.prefix + output)
            value = results[i]
            if value not in renamed and self._builder.rename(value, name, start):
                renamed[value] = name
            scope.names[output] = renamed.get(value, value)


def _made(graph: onnx.GraphProto) -> set[str]:
    return {name for node in graph.node for name in node.output}
