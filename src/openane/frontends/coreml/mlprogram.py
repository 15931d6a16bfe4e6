"""ML programs: the protocol buffer form of MIL, and its weights in weight.bin."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from openane.core.errors import FormatError, InputError, ModelError, OpenaneError, UnsupportedError
from openane.core.types import DType
from openane.frontends.coreml.proto import module
from openane.frontends.mil.blob import BLOB_TYPES, BlobStore
from openane.frontends.mil.elaborate import select_function
from openane.frontends.mil.load import to_graph
from openane.frontends.mil.program import (
    Argument,
    Constant,
    MilOperation,
    MilProgram,
    ValueReference,
    Variable,
)
from openane.graph import Graph, Node, TensorType
from openane.graph.ops import Identity

_ELEMENT_LIMIT = 1 << 33
_COMPRESSED = "constexpr_"
_CLASSIFY = "classify"
_STATE = "stateType"
_WRITE = "write_state"

#: Element types of the protocol by name: the name in MIL text and weight files, and what an array of it is.
_TYPES: Mapping[str, tuple[str, DType]] = MappingProxyType(
    {
        "BOOL": ("bool", DType.BOOL),
        "FLOAT16": ("fp16", DType.FLOAT16),
        "FLOAT32": ("fp32", DType.FLOAT32),
        "FLOAT64": ("fp64", DType.FLOAT64),
        **{f"INT{bits}": (f"int{bits}", DType(f"int{bits}")) for bits in (8, 16, 32, 64)},
        **{f"UINT{bits}": (f"uint{bits}", DType(f"uint{bits}")) for bits in (8, 16, 32, 64)},
        "INT4": ("int4", DType.INT8),
        **{f"UINT{bits}": (f"uint{bits}", DType.UINT8) for bits in (1, 2, 3, 4, 6)},
    }
)


def read_program(
    model: Any,
    store: BlobStore,
    shapes: Mapping[str, tuple[int, ...]],
    where: str,
    function_name: str | None = None,
) -> Graph:
    """The Graph of an ML program.

    Args:
        model: the Model message, with an mlProgram in it.
        store: where its weight files are.
        shapes: of the inputs, frozen.
        where: the file, for messages.
        function_name: of the function; None for the one that the file declares as the default.

    Raises:
        FormatError, ModelError, UnsupportedError, InputError: as the loader says.
    """
    functions = {key: (key, found) for key, found in sorted(model.mlProgram.functions.items())}
    default = model.description.defaultFunctionName
    name, function = select_function(functions, function_name, where, default)
    blocks = function.block_specializations
    if function.opset in blocks:
        block = blocks[function.opset]
    elif len(blocks) == 1:
        block = next(iter(blocks.values()))
    else:
        raise FormatError("the function has no block of its own opset", where=where, value=function.opset)
    reader = _ProgramReader(store, where)
    inputs: dict[str, TensorType] = {}
    states: list[str] = []
    for feature in function.inputs:
        if feature.name in inputs:
            raise ModelError(f"input {feature.name!r} is declared twice", where=where)
        inputs[feature.name] = reader.input_type(feature, shapes)
        if feature.type.WhichOneof("type") == _STATE:
            states.append(feature.name)
    classified = _classified(block, where)
    operations = tuple(
        reader.operation(operation, i) for i, operation in enumerate(block.operations) if operation.type != _CLASSIFY
    )
    values = {name: classified.get(name, name) for name in block.outputs}
    outputs = {name: value for name, value in values.items() if value}
    if not outputs:
        raise ModelError("the program has no outputs", where=where)
    graph = to_graph(MilProgram(name, inputs, operations, tuple(outputs.values()), frozenset(states)))
    graph = _named_outputs(graph, (*outputs, *graph.states.values()))
    return replace(graph, labels=reader.labels(block, graph))


def _classified(block: Any, where: str) -> dict[str, str]:
    """What means the results of a classifier's last step: the probabilities; nothing for the label, a text."""
    found: dict[str, str] = {}
    for operation in block.operations:
        if operation.type == _CLASSIFY:
            bindings = list(operation.inputs["probabilities"].arguments) if "probabilities" in operation.inputs else []
            if len(bindings) != 1 or not bindings[0].name or len(operation.outputs) != 2:
                raise ModelError("a classifier needs probabilities and two results", where=where)
            label, probabilities = (result.name for result in operation.outputs)
            found |= {label: "", probabilities: bindings[0].name}
    return found


def _named_outputs(graph: Graph, names: tuple[str, ...]) -> Graph:
    """Outputs under the names of the file, also where a value was only passed on."""
    nodes = list(graph.nodes)
    for value, name in zip(graph.outputs, names, strict=True):
        if value != name:
            nodes.append(Node(f"{name}_output", Identity(), (value,), (name,)))
    return replace(graph, outputs=names, nodes=tuple(nodes))


class _ProgramReader:
    def __init__(self, store: BlobStore, where: str) -> None:
        self._store = store
        self._where = where
        self._type_names: Callable[[int], str] = module("MIL_pb2").DataType.Name

    def input_type(self, feature: Any, shapes: Mapping[str, tuple[int, ...]]) -> TensorType:
        """The type of a parameter; unknown extents come from `shapes`."""
        where = f"{self._where}: input {feature.name!r}"
        kind = feature.type.stateType.wrappedType if feature.type.WhichOneof("type") == _STATE else feature.type
        if kind.WhichOneof("type") != "tensorType":
            raise UnsupportedError("only tensors are supported as inputs", where=where)
        tensor = kind.tensorType
        declared = self._extents(tensor)
        known = shapes.get(feature.name)
        if None not in declared:
            fixed = tuple(extent for extent in declared if extent is not None)
            if known is not None and known != fixed and math.prod(known) != math.prod(fixed):
                raise InputError("the shape of this input is fixed", where=where, value=known, limit=fixed)
            return TensorType(fixed, self._dtype(tensor, where)[1])
        fits = known is not None and len(known) == len(declared)
        if not fits or any(d not in (None, k) for d, k in zip(declared, known or (), strict=True)):
            raise InputError(
                "a shape is needed for this input",
                where=where,
                value="" if known is None else list(known),
                limit="[" + ", ".join("?" if extent is None else str(extent) for extent in declared) + "]",
            )
        return TensorType(known or (), self._dtype(tensor, where)[1])

    def labels(self, block: Any, graph: Graph) -> dict[str, tuple[str, ...]]:
        """The names of the classes of a classifier, by output; only lists that have a name for each score."""
        constants = {
            each.outputs[0].name: each.attributes["val"]
            for each in block.operations
            if each.type == "const" and each.outputs and "val" in each.attributes
        }
        found: dict[str, tuple[str, ...]] = {}
        for operation in block.operations:
            if operation.type != _CLASSIFY or "classes" not in operation.inputs:
                continue
            (binding, *_) = operation.inputs["classes"].arguments
            value = constants.get(binding.name) if binding.WhichOneof("binding") == "name" else binding.value
            if value is None:
                raise ModelError("the classes are not a constant", where=self._where)
            classes = self._value(value, f"{self._where}: classes")
            names = tuple(str(each) for each in (classes.reshape(-1) if isinstance(classes, np.ndarray) else classes))
            output = operation.outputs[1].name
            if output in graph.outputs and graph.types[output].size == len(names):
                found[output] = names
        return found

    def operation(self, operation: Any, index: int) -> MilOperation:
        """One operation, its constants read."""
        names = [result.name for result in operation.outputs]
        where = f"{self._where}: operation {index}"
        if operation.blocks:
            raise UnsupportedError(f"{operation.type} with blocks is not supported", where=where)
        if not names and operation.type != _WRITE:
            raise FormatError(f"{operation.type} defines nothing", where=where)
        where = f"{where} ({names[0] if names else operation.type})"
        arguments: dict[str, Argument] = {}
        for key in sorted(operation.inputs):
            bindings = [self._binding(binding, where) for binding in operation.inputs[key].arguments]
            arguments[key] = bindings[0] if len(bindings) == 1 else tuple(bindings)
        if operation.type == "const":
            if "val" not in operation.attributes:
                raise FormatError("a constant without 'val'", where=where)
            arguments["val"] = self._value(operation.attributes["val"], where)
        if operation.type.startswith(_COMPRESSED):
            # Compressed constants of the older form keep their parts where other operations keep remarks.
            for key in sorted(operation.attributes):
                if key != "name" and key not in arguments:
                    arguments[key] = self._value(operation.attributes[key], where)
        layer = names[0] if names else f"{operation.type}_{index}"
        if "name" in operation.attributes:
            found = self._value(operation.attributes["name"], where)
            layer = found if isinstance(found, str) and found else layer
        results = tuple(Variable(r.name, self._declared(r.type, where)) for r in operation.outputs)
        return MilOperation(operation.type, arguments, results, layer, where)

    def _binding(self, binding: Any, where: str) -> Argument:
        if binding.WhichOneof("binding") == "name":
            return ValueReference(binding.name)
        return self._value(binding.value, where)

    def _declared(self, kind: Any, where: str) -> TensorType | None:
        """A declared type; None for texts, containers and unknown extents."""
        if kind.WhichOneof("type") != "tensorType" or self._type_name(kind.tensorType) == "STRING":
            return None
        extents = self._extents(kind.tensorType)
        if None in extents:
            return None
        shape = tuple(extent for extent in extents if extent is not None)
        return TensorType(shape, self._dtype(kind.tensorType, where)[1])

    def _extents(self, tensor: Any) -> tuple[int | None, ...]:
        return tuple(
            dimension.constant.size if dimension.WhichOneof("dimension") == "constant" else None
            for dimension in tensor.dimensions
        )

    def _type_name(self, tensor: Any) -> str:
        """The name of the element type; its number where the protocol has no name for it."""
        try:
            return self._type_names(tensor.dataType)
        except ValueError:
            return str(tensor.dataType)

    def _dtype(self, tensor: Any, where: str) -> tuple[str, DType]:
        name = self._type_name(tensor)
        if name not in _TYPES:
            raise UnsupportedError("unknown element type", where=where, value=name, limit=", ".join(_TYPES))
        return _TYPES[name]

    def _value(self, value: Any, where: str) -> Constant:
        content = value.WhichOneof("value")
        if content == "blobFileValue":
            return self._blob(value, where)
        immediate = value.immediateValue
        match immediate.WhichOneof("value"):
            case "tensor":
                return self._tensor(value.type.tensorType, immediate.tensor, where)
            case "tuple":
                return tuple(self._value(item, where) for item in immediate.tuple.values)
            case "list":
                return tuple(self._value(item, where) for item in immediate.list.values)
        raise UnsupportedError("a constant of an unknown form", where=where, value=content or "nothing")

    def _shape(self, tensor: Any, where: str) -> tuple[int, ...]:
        extents = self._extents(tensor)
        shape = tuple(extent for extent in extents if extent is not None)
        if len(shape) != len(extents) or math.prod(shape) > _ELEMENT_LIMIT:
            raise FormatError("a constant needs a fixed shape of sensible size", where=where, value=str(extents))
        return shape

    def _blob(self, value: Any, where: str) -> np.ndarray:
        tensor = value.type.tensorType
        shape = self._shape(tensor, where)
        name, _ = self._dtype(tensor, where)
        if name not in BLOB_TYPES:
            raise FormatError(f"weight files cannot hold {name}", where=where, limit=", ".join(BLOB_TYPES))
        source = value.blobFileValue
        try:
            flat = self._store.read(source.fileName, source.offset, BLOB_TYPES[name], math.prod(shape))
        except OpenaneError as error:
            raise error.at(where) from error
        return flat.reshape(shape)

    def _tensor(self, kind: Any, content: Any, where: str) -> Constant:
        field = content.WhichOneof("value")
        if field == "strings" or self._type_name(kind) == "STRING":
            texts = tuple(content.strings.values)
            return texts[0] if len(texts) == 1 and not kind.dimensions else texts
        shape = self._shape(kind, where)
        _, dtype = self._dtype(kind, where)
        count = math.prod(shape)
        if field == "bytes":
            data = bytes(content.bytes.values)
            if len(data) != count * dtype.numpy.itemsize:
                raise FormatError(
                    "a constant has the wrong size",
                    where=where,
                    value=f"{len(data)} bytes",
                    limit=f"{count * dtype.numpy.itemsize} bytes",
                )
            return np.frombuffer(data, dtype.numpy.newbyteorder("<")).astype(dtype.numpy).reshape(shape)
        values = list(getattr(content, field).values) if field else []
        if len(values) != count:
            raise FormatError(
                "a constant has the wrong number of elements", where=where, value=len(values), limit=count
            )
        try:
            return np.array(values).astype(dtype.numpy).reshape(shape)
        except (OverflowError, ValueError, TypeError) as error:
            raise FormatError(f"a constant cannot be read: {error}", where=where) from error
