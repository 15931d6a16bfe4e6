"""The program that Core ML sees of a model in another format: what `openane convert` writes in half precision.

The operations come from the same handlers as in `openane.convert`, which here write into a recorder in place of
coremltools' builder. So neither coremltools nor the values of weights are needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from openane.convert.builder import MilBuilder
from openane.convert.handlers import HANDLERS
from openane.core.errors import UnsupportedError
from openane.core.types import DType
from openane.coreml_placement.program import PlacedOperation, PlacedProgram, PlacedTensor
from openane.graph import Graph, Node, TensorType

SOURCE = "the MIL that `openane convert` writes (half precision)"
_MOST_VALUES = 64
_NAMES = {DType.BOOL: "bool", DType.FLOAT16: "fp16", DType.FLOAT32: "fp16", DType.FLOAT64: "fp16"}
_KEPT = {DType.INT8: "int8", DType.UINT8: "uint8", DType.INT16: "int16", DType.UINT16: "uint16"}


def program_of_graph(graph: Graph) -> PlacedProgram:
    """The program of a graph.

    Floating-point tensors become fp16, as `openane convert` and coremltools do it: inputs and outputs in single
    precision get a cast. An operation that has no counterpart keeps its own name and is reported as a note.
    """
    recorder = _Recorder()
    builder = _TypesOnlyBuilder(recorder, graph)
    notes = []
    for name, kind in graph.inputs.items():
        builder.values[name] = recorder.input(name, kind)
    for node in graph.nodes:
        recorder.layer = node.name
        try:
            handler = HANDLERS.get(type(node.operation))
            if handler is None:
                raise UnsupportedError("no counterpart in MIL")
            results = handler(builder, node)
        except (UnsupportedError, ValueError, TypeError, AssertionError) as error:
            results = recorder.foreign(node, [builder.get(name) for name in node.inputs if name], graph)
            what = error.diagnostic.what if isinstance(error, UnsupportedError) else str(error)
            notes.append(f"layer {node.name!r} ({node.operation.title}) does not convert: {what}")
        for name, value in zip(node.outputs, results, strict=False):
            builder.values[name] = recorder.settle(value, graph.types[name]) if name else value
    outputs = [recorder.output(name, builder.get(name), graph.types[name]) for name in graph.outputs]
    return PlacedProgram(graph.name, tuple(_linear_layers(recorder.operations)), tuple(outputs), SOURCE, tuple(notes))


def element_type(dtype: DType) -> str:
    """The MIL element type that a converted model computes with."""
    return _NAMES.get(dtype) or _KEPT.get(dtype, "int32")


class _TypesOnlyBuilder(MilBuilder):
    """As the converter's builder; arrays stay as they are, for only their types are of interest."""

    def array(self, name: str, what: str = "an operand") -> np.ndarray:
        array = self.graph.constants.get(name)
        if array is None:
            raise UnsupportedError(f"Core ML needs {what} to be constant", value=f"{name!r} is computed at run time")
        return array


class _Recorder:
    """Replaces coremltools' builder: every call becomes an operation.

    Attributes:
        operations: so far, in order.
        layer: of the model that is being written.
    """

    def __init__(self) -> None:
        self.operations: list[PlacedOperation] = []
        self.layer = ""

    def __getattr__(self, kind: str) -> Callable[..., Any]:
        if kind.startswith("_"):
            raise AttributeError(kind)
        return lambda **arguments: self._record(kind, arguments)

    def const(self, val: Any) -> PlacedTensor:
        return _constant(val)

    def input(self, name: str, kind: TensorType) -> PlacedTensor:
        """An input, with the cast that single precision needs."""
        self.layer = name
        declared = "fp32" if kind.dtype.is_float and kind.dtype is not DType.FLOAT16 else element_type(kind.dtype)
        value = PlacedTensor(name, declared, kind.shape)
        return self._add("cast", {"x": (value,)}, "fp16", kind.shape) if declared == "fp32" else value

    def output(self, name: str, value: PlacedTensor, kind: TensorType) -> str:
        """The name of the value that an output has, with the cast that single precision needs."""
        self.layer = name
        if kind.dtype.is_float and kind.dtype is not DType.FLOAT16:
            return self._add("cast", {"x": (value,)}, "fp32", kind.shape).name
        return value.name

    def foreign(self, node: Node, inputs: list[PlacedTensor], graph: Graph) -> tuple[PlacedTensor, ...]:
        """A node without a counterpart, under its own name as MIL would spell it."""
        kinds = [graph.types[name] for name in node.outputs if name]
        own = node.operation.title
        spelled = _SPELLED.get(own) or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", own).lower()
        given = {_OPERANDS[i] if i < len(_OPERANDS) else str(i): (tensor,) for i, tensor in enumerate(inputs)}
        operands = given if spelled in ("conv", "conv_transpose") else {"x": tuple(inputs)}
        first = self._add(spelled, operands, element_type(kinds[0].dtype), kinds[0].shape)
        others = [PlacedTensor(f"{first.name}_{i}", element_type(k.dtype), k.shape) for i, k in enumerate(kinds[1:])]
        last = self.operations[-1]
        self.operations[-1] = replace(last, results=(first, *others))
        return (first, *others)

    def settle(self, value: Any, kind: TensorType) -> PlacedTensor:
        """A result of a node with the type that the graph states, which is exact where the recorder guessed."""
        tensor = value if isinstance(value, PlacedTensor) else _constant(value)
        exact = PlacedTensor(tensor.name, element_type(kind.dtype), kind.shape, tensor.constant, tensor.values)
        for place in range(len(self.operations) - 1, -1, -1):
            operation = self.operations[place]
            if operation.layers != (self.layer,):
                break
            if any(result.name == tensor.name for result in operation.results):
                results = tuple(exact if result.name == tensor.name else result for result in operation.results)
                self.operations[place] = replace(operation, results=results)
                return exact
        return tensor

    def _record(self, kind: str, arguments: Mapping[str, Any]) -> Any:
        inputs = {name: _operands(value) for name, value in arguments.items() if value is not None}
        if kind == "identity":
            return inputs["x"][0]
        first = next((t for tensors in inputs.values() for t in tensors if not t.constant), None)
        wanted = arguments.get("dtype")
        dtype = str(wanted).replace("fp32", "fp16") if wanted else first.dtype if first else "fp16"
        if kind in _COMPARISONS:
            dtype = "bool"
        result = self._add(kind, inputs, dtype, _shape(kind, inputs, first))
        if kind not in _SEVERAL:
            return result
        count = len(_integers(inputs.get("split_sizes"))) if kind == "split" else _SEVERAL[kind]
        more = tuple(PlacedTensor(f"{result.name}_{i}", result.dtype, result.shape) for i in range(1, count))
        last = self.operations[-1]
        self.operations[-1] = replace(last, results=(result, *more))
        return (result, *more)

    def _add(
        self, kind: str, inputs: Mapping[str, tuple[PlacedTensor, ...]], dtype: str, shape: tuple[int, ...] | None
    ) -> PlacedTensor:
        result = PlacedTensor(f"{self.layer}#{len(self.operations)}", dtype, shape)
        self.operations.append(PlacedOperation(kind, self.layer, inputs, (result,), (self.layer,)))
        return result


_OPERANDS = ("x", "weight", "bias")
_SPELLED = {
    "AveragePool": "avg_pool",
    "DequantizeLinear": "dequantize",
    "GridSample": "resample",
    "IsInf": "is_inf",
    "IsNaN": "is_nan",
    "QuantizeLinear": "quantize",
    "ScatterElements": "scatter_along_axis",
    "ScatterND": "scatter_nd",
}
"""MIL's names of operations that the converter does not write."""
_COMPARISONS = frozenset({"greater", "greater_equal", "less", "less_equal", "equal", "not_equal"})
_SEVERAL = {"topk": 2, "split": 0, "lstm": 3, "gru": 2}
"""Operations with several results, and how many."""


def _constant(value: Any) -> PlacedTensor:
    if isinstance(value, str):
        return PlacedTensor("", "string", (), True, (value,))
    array = np.asarray(value)
    values = tuple(array.reshape(-1).tolist()) if array.size <= _MOST_VALUES else None
    return PlacedTensor("", element_type(DType.of(array)), array.shape, True, values)


def _operands(value: Any) -> tuple[PlacedTensor, ...]:
    if isinstance(value, PlacedTensor):
        return (value,)
    if isinstance(value, (list, tuple)) and any(isinstance(each, PlacedTensor) for each in value):
        return tuple(tensor for each in value for tensor in _operands(each))
    return (_constant(value),)


def _integers(tensors: tuple[PlacedTensor, ...] | None) -> tuple[int, ...]:
    values = tensors[0].values if tensors else None
    return tuple(int(value) for value in values) if values else ()


def _shape(
    kind: str, inputs: Mapping[str, tuple[PlacedTensor, ...]], first: PlacedTensor | None
) -> tuple[int, ...] | None:
    """The shape of a result inside of a node; results of nodes get theirs from the graph."""
    shape = first.shape if first is not None else None
    if shape is None:
        return None
    if kind == "reshape":
        return _integers(inputs.get("shape"))
    if kind == "transpose":
        return tuple(shape[axis] for axis in _integers(inputs.get("perm")))
    if kind == "tile":
        return tuple(extent * factor for extent, factor in zip(shape, _integers(inputs.get("reps")), strict=True))
    if kind.startswith("reduce_"):
        axes = {axis % len(shape) for axis in (*_integers(inputs.get("axes")), *_integers(inputs.get("axis")))}
        return tuple(1 if axis in axes else extent for axis, extent in enumerate(shape))
    if kind == "linear":
        weight = inputs["weight"][0].shape or (1,)
        return (*shape[:-1], weight[0])
    shapes = [tensor.shape for name in ("x", "y", "a", "b", "cond") for tensor in inputs.get(name, ()) if tensor.shape]
    try:
        return np.broadcast_shapes(*shapes) if shapes else shape
    except ValueError:
        return shape


def _linear_layers(operations: list[PlacedOperation]) -> list[PlacedOperation]:
    """Linear layers with the bias that is added to them right after, as coremltools joins them."""
    readers: dict[str, int] = {}
    for operation in operations:
        for tensor in operation.data:
            readers[tensor.name] = readers.get(tensor.name, 0) + 1
    found: list[PlacedOperation] = []
    for operation in operations:
        before = found[-1] if found else None
        operands = [tensor for tensors in operation.inputs.values() for tensor in tensors]
        bias = next((tensor for tensor in operands if tensor.constant), None)
        joins = (
            before is not None
            and before.kind == "linear"
            and "bias" not in before.inputs
            and operation.kind == "add"
            and bias is not None
            and bias.size == (before.result.shape or (0,))[-1]
            and any(tensor.name == before.result.name for tensor in operands)
            and readers.get(before.result.name) == 1
        )
        if joins and before is not None and bias is not None:
            inputs = {**before.inputs, "bias": (bias,)}
            found[-1] = replace(
                before, inputs=inputs, results=operation.results, layers=before.layers + operation.layers
            )
        else:
            found.append(operation)
    return found
