"""One node of the file as its handler sees it: attributes, inputs, and a way to emit operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn, Protocol

import numpy as np
import onnx
from onnx import AttributeProto

from openane.core.errors import ModelError, UnsupportedError
from openane.core.origin import Origin
from openane.core.types import DType
from openane.frontends.onnx.builder import OnnxBuilder
from openane.frontends.onnx.tensors import Tensors
from openane.frontends.onnx.verify import DEPTH_LIMIT
from openane.graph import Operation, TensorType
from openane.graph.ops import Cast
from openane.graph.ops.support import normalize_axes, normalize_axis

SETTABLE_RANK = 1
"""Inputs of this rank and below may become constants: shapes, axes, scales and flags."""


class FinalRefusalError(UnsupportedError):
    """A refusal that stays one where onnxruntime could run the node."""


class DependsOnInputsError(UnsupportedError):
    """A model needs a value before it runs that depends on its inputs.

    Args:
        what, value, hint: of the message.
        sources: the inputs, by name.
        is_settable: whether they are numbers and vectors, which may become constants.
    """

    def __init__(
        self, what: str, *, value: str = "", hint: str = "", sources: tuple[str, ...] = (), is_settable: bool = False
    ) -> None:
        super().__init__(what, value=value, hint=hint)
        self.sources = sources
        self.is_settable = is_settable


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a node is.

    Attributes:
        names: name in the file -> value name in the graph.
        opsets: operator set version by domain.
        prefix: of the names of what is made here.
        layers: the user's layers around it.
        depth: functions and graphs around it.
    """

    names: dict[str, str]
    opsets: Mapping[str, int]
    prefix: str = ""
    layers: tuple[str, ...] = ()
    depth: int = 0

    def inside(self, label: str, names: dict[str, str], opsets: Mapping[str, int] | None = None) -> Scope:
        """The scope of a function or graph that belongs to the node `label`.

        Raises:
            ModelError: nested too deeply, as a function that calls itself is.
        """
        if self.depth >= DEPTH_LIMIT:
            raise ModelError("functions or graphs are nested too deeply", limit=DEPTH_LIMIT)
        layers = (*self.layers, label)
        return Scope(names, opsets or self.opsets, f"{self.prefix}{label}/", layers, self.depth + 1)


class GraphImporter(Protocol):
    """Imports the graphs inside a node, such as the branches of If."""

    def branch(self, graph: onnx.GraphProto, label: str, scope: Scope, given: Mapping[str, str]) -> list[str]:
        """The value names of the outputs of a graph, its nodes added to the graph being built."""
        ...


#: Turns a node into operations; gives the value names of its outputs, in order, as many as it makes.
Handler = Callable[["NodeCall"], Sequence[str]]


@dataclass(frozen=True)
class NodeCall:
    """A node of the file.

    Attributes:
        node: as the file has it, attributes that refer to a function's resolved.
        version: of the operator set of its domain.
        inputs: value names in the graph being built, "" where an input is left out.
        builder: of the graph.
        tensors: reads tensor attributes.
        importer: imports graphs inside the node.
        scope: names around the node.
        layers: the user's layers, outermost first.
    """

    node: onnx.NodeProto
    version: int
    inputs: tuple[str, ...]
    builder: OnnxBuilder
    tensors: Tensors
    importer: GraphImporter
    scope: Scope
    layers: tuple[str, ...]

    def refuse(self, reason: str, *, value: object = "", limit: object = "", hint: str = "") -> NoReturn:
        """Raise the UnsupportedError of this node."""
        raise UnsupportedError(reason, value=value, limit=limit, hint=hint)

    # Inputs

    def has(self, index: int) -> bool:
        """Whether input `index` is there."""
        return index < len(self.inputs) and bool(self.inputs[index])

    def name(self, index: int) -> str:
        """The value name of a required input, of an optional one "" where it is left out."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def operand(self, index: int) -> TensorType:
        """The type of a required input.

        Raises:
            ModelError: it is left out.
        """
        if not self.has(index):
            raise ModelError(f"input {index} is missing")
        return self.builder.types[self.inputs[index]]

    def type_of(self, value: str) -> TensorType:
        """The type of a value in the graph."""
        return self.builder.types[value]

    def rank(self, index: int = 0) -> int:
        """The number of axes of a required input."""
        return len(self.operand(index).shape)

    def known(self, index: int) -> np.ndarray | None:
        """The array of an input that is constant; None where it is not, or left out."""
        return self.builder.constants.get(self.inputs[index]) if self.has(index) else None

    def constant(self, index: int, what: str) -> np.ndarray:
        """The array of an input that must be constant.

        Raises:
            DependsOnInputsError: it depends on the model's inputs.
        """
        self.operand(index)
        array = self.known(index)
        if array is None:
            raise self.depends_on_inputs(
                f"{what} must be known before the model runs, but depends on the model's inputs",
                self.inputs[index],
                self.node.input[index],
            )
        return array

    def depends_on_inputs(self, what: str, value: str, name: str) -> DependsOnInputsError:
        """The error that a value, with its name in the file, depends on the model's inputs."""
        names = tuple(self.builder.sources(value))
        sources = ", ".join(map(repr, names))
        return DependsOnInputsError(
            what,
            value=f"{name!r}, computed from {sources}",
            hint=f"Give {sources} as a constant.",
            sources=names,
            is_settable=all(len(self.builder.types[each].shape) <= SETTABLE_RANK for each in names),
        )

    def integers(self, index: int, what: str) -> tuple[int, ...]:
        """The values of a constant input of integers."""
        array = self.constant(index, what)
        if array.dtype.kind not in "iu":
            raise ModelError(f"{what} must hold integers", value=array.dtype)
        return tuple(array.ravel().tolist())

    def reals(self, index: int, what: str) -> tuple[float, ...]:
        """The values of a constant input of numbers."""
        return tuple(map(float, self.constant(index, what).ravel().tolist()))

    def scalar(self, index: int, what: str) -> float:
        """The value of a constant input with one element.

        Raises:
            ModelError: it has more or fewer.
        """
        array = self.constant(index, what)
        if array.size != 1:
            raise ModelError(f"{what} must be one number", value=list(array.shape))
        value = array.reshape(()).item()
        assert isinstance(value, (int, float))
        return value

    def integer(self, index: int, what: str) -> int:
        """The value of a constant input with one element, which is an integer.

        Raises:
            ModelError: it has more or fewer, a fraction, or no end.
        """
        value = self.scalar(index, what)
        if not float(value).is_integer():
            raise ModelError(f"{what} must be an integer", value=value)
        return int(value)

    # Attributes

    def attribute(self, name: str, kind: int) -> AttributeProto | None:
        """The attribute `name`.

        Raises:
            ModelError: it has another type.
        """
        for attribute in self.node.attribute:
            if attribute.name == name:
                if attribute.type != kind:
                    found = AttributeProto.AttributeType.Name(attribute.type)
                    wanted = AttributeProto.AttributeType.Name(kind)
                    raise ModelError(f"attribute {name!r} has the wrong type", value=found, limit=wanted)
                return attribute
        return None

    def attr_int(self, name: str, default: int) -> int:
        """An integer attribute."""
        found = self.attribute(name, AttributeProto.INT)
        return default if found is None else found.i

    def flag(self, name: str, default: bool = False) -> bool:
        """An integer attribute that is 0 or 1."""
        return bool(self.attr_int(name, default))

    def attr_float(self, name: str, default: float) -> float:
        """A float attribute."""
        found = self.attribute(name, AttributeProto.FLOAT)
        return default if found is None else found.f

    def attr_text(self, name: str, default: str) -> str:
        """A text attribute."""
        found = self.attribute(name, AttributeProto.STRING)
        return default if found is None else found.s.decode("utf-8", "replace")

    def attr_ints(self, name: str) -> tuple[int, ...] | None:
        """An attribute of integers, None where it is left out."""
        found = self.attribute(name, AttributeProto.INTS)
        return None if found is None else tuple(found.ints)

    def attr_floats(self, name: str) -> tuple[float, ...] | None:
        """An attribute of floats, None where it is left out."""
        found = self.attribute(name, AttributeProto.FLOATS)
        return None if found is None else tuple(found.floats)

    def attr_texts(self, name: str) -> tuple[str, ...] | None:
        """An attribute of texts, None where it is left out."""
        found = self.attribute(name, AttributeProto.STRINGS)
        return None if found is None else tuple(s.decode("utf-8", "replace") for s in found.strings)

    def choice(self, name: str, default: str, *allowed: str) -> str:
        """A text attribute out of a closed set.

        Raises:
            ModelError: another text.
        """
        value = self.attr_text(name, default)
        if value not in allowed:
            raise ModelError(f"attribute {name!r} is unknown", value=repr(value), limit=", ".join(allowed))
        return value

    def axis(self, default: int, rank: int, name: str = "axis") -> int:
        """An axis attribute, counted from the front."""
        return normalize_axis(self.attr_int(name, default), rank)

    def axes(self, index: int, rank: int) -> tuple[int, ...] | None:
        """Axes as attribute `axes` or constant input `index`, from the front; None where neither is there."""
        axes = self.integers(index, "axes") if self.has(index) else self.attr_ints("axes")
        return None if axes is None else normalize_axes(axes, rank)

    def wants(self, index: int) -> bool:
        """Whether output `index` has a name."""
        return index < len(self.node.output) and bool(self.node.output[index])

    # Results

    @property
    def label(self) -> str:
        """A name for what this node makes."""
        outputs = [name for name in self.node.output if name]
        return self.scope.prefix + (self.node.name or (outputs[0] if outputs else self.node.op_type))

    def emit(self, operation: Operation, *inputs: str) -> str:
        """A node of `operation`; the value name of its only result."""
        (output,) = self.emit_all(operation, *inputs)
        return output

    def emit_all(self, operation: Operation, *inputs: str) -> tuple[str, ...]:
        """A node of `operation`; the value names of its results."""
        return self.builder.emit(operation, inputs, self.label, Origin(self.layers))

    def make(self, array: np.ndarray) -> str:
        """A constant; its value name."""
        return self.builder.constant(np.asarray(array), f"{self.label}/constant")

    def number(self, value: float, like: str) -> str:
        """A constant scalar of the element type of the value `like`."""
        return self.make(np.array(value, self.type_of(like).dtype.numpy))

    def cast(self, value: str, dtype: DType) -> str:
        """The value in an element type."""
        return value if self.type_of(value).dtype is dtype else self.emit(Cast(dtype), value)
