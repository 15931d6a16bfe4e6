"""Collects the nodes of a Graph from the layers of a neural network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np

from openane.core.errors import FormatError, ModelError, UnsupportedError
from openane.core.origin import Origin
from openane.core.types import DType
from openane.frontends.coreml.network.weights import weights
from openane.graph import Graph, Node, Operation, TensorType
from openane.graph import ops as g
from openane.graph.builder import GraphBuilder
from openane.graph.naming import Names


class NetworkBuilder(GraphBuilder):
    """A graph in the making. Values of the network have single precision; numbers of layers are floats as well.

    Args:
        inputs: of the network, in order.

    Attributes:
        blobs: name of a blob -> the value it is at this point of the network.
    """

    def __init__(self, inputs: Mapping[str, TensorType]) -> None:
        super().__init__(inputs, Names(inputs, separator="_tmp_", first=0), Names(separator="_", first=2))
        self.blobs: dict[str, str] = {name: name for name in inputs}
        self._producers: dict[str, Node] = {}

    def add(self, operation: Operation, inputs: Sequence[str], name: str, layer: str) -> tuple[str, ...]:
        """A node of a layer, or constants where all inputs are; the names of its results.

        Raises:
            ModelError: the inputs do not fit, or a result is absurdly large.
        """
        before = len(self.nodes)
        outputs = self.emit(operation, inputs, name, Origin((layer,)), label=layer)
        if len(self.nodes) > before:
            self._producers.update(dict.fromkeys(outputs, self.nodes[-1]))
        return outputs

    def reshape(self, value: str, shape: tuple[int, ...], name: str, layer: str) -> str:
        """The same elements in another shape; the value itself where that is its shape."""
        producer = self._producers.get(value)
        if producer is not None and isinstance(producer.operation, g.Reshape):
            value = producer.inputs[0]
        if self.types[value].shape == shape:
            return value
        return self.add(g.Reshape(shape), [value], name, layer)[0]

    def finished(self, name: str, outputs: Mapping[str, str]) -> Graph:
        """What was collected, without nodes and constants that nothing reads.

        Args:
            name: of the graph.
            outputs: output name -> value; the value takes that name, and one that has it already takes another.
        """
        names: dict[str, str] = {}
        for output, value in outputs.items():
            if value in names or value in self.inputs or value in self.constants:
                (value,) = self.add(g.Identity(), [value], f"{output}_copy", output)
            names[value] = output
        for value in list(self.types):
            if value in outputs and value not in names:
                names[value] = self.unique(value)
        needed = {value for value, name in names.items() if name in outputs}
        kept: list[Node] = []
        for node in reversed(self.nodes):
            if needed.intersection(node.outputs):
                needed.update(node.inputs)
                inputs, results = (tuple(names.get(v, v) for v in vs) for vs in (node.inputs, node.outputs))
                kept.append(replace(node, inputs=inputs, outputs=results))
        constants = {names.get(k, k): v for k, v in self.constants.items() if k in needed}
        return Graph(name, self.inputs, tuple(outputs), tuple(reversed(kept)), constants)


@dataclass(frozen=True, slots=True)
class NetworkLayer:
    """One layer of the network.

    Attributes:
        builder: where its nodes go.
        kind: name of the parameter field, "convolution".
        params: the parameter message.
        name: of the layer.
        inputs: value names.
        outputs: names of the blobs it makes.
        where: for messages.
    """

    builder: NetworkBuilder
    kind: str
    params: Any
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    where: str

    def refuse(self, what: str, *, value: object = "", limit: object = "") -> NoReturn:
        """Raises an UnsupportedError at this layer."""
        raise UnsupportedError(what, where=self.where, value=value, limit=limit)

    def wrong(self, what: str, *, value: object = "", limit: object = "") -> NoReturn:
        """Raises a ModelError at this layer."""
        raise ModelError(what, where=self.where, value=value, limit=limit)

    def x(self, index: int = 0) -> str:
        """Input number `index`.

        Raises:
            ModelError: there are not so many.
        """
        if index >= len(self.inputs):
            self.wrong("an input is missing", value=len(self.inputs), limit=f"at least {index + 1}")
        return self.inputs[index]

    def shape(self, value: str) -> tuple[int, ...]:
        """The shape of a value."""
        return self.builder.types[value].shape

    def last(self, operation: Operation, *inputs: str) -> str:
        """The node whose result is the layer's output."""
        return self.builder.add(operation, inputs, self.outputs[0], self.name)[0]

    def add(self, operation: Operation, *inputs: str) -> str:
        """A node whose result stays inside the layer."""
        name = f"{self.outputs[0]}_tmp"
        number = 0
        while f"{name}_{number}" in self.builder.types:
            number += 1
        return self.builder.add(operation, inputs, f"{name}_{number}", self.name)[0]

    def reshape(self, value: str, shape: Sequence[int], *, last: bool = False) -> str:
        """The same elements in another shape."""
        name = self.outputs[0] if last else f"{self.outputs[0]}_shaped"
        return self.builder.reshape(value, tuple(shape), name, self.name)

    def constant(self, array: np.ndarray, suffix: str) -> str:
        """A constant of the layer."""
        return self.builder.constant(array, f"{self.outputs[0]}_{suffix}")

    def number(self, value: float, suffix: str) -> str:
        """A constant of one element."""
        return self.constant(np.full((), value, np.float32), suffix)

    def weights(self, field: str, shape: Sequence[int], *, channel_axis: int = 0) -> np.ndarray:
        """The array of a weight field."""
        message = getattr(self.params, field)
        if math.prod(shape) > self.builder.element_limit:
            raise FormatError("weights of an absurd size", where=self.where, value=list(shape))
        return weights(message, shape, f"{self.where}: {field}", channel_axis=channel_axis)

    def enum(self, field: str) -> str:
        """The name of an enumeration field's value."""
        descriptor = self.params.DESCRIPTOR.fields_by_name[field].enum_type
        found = descriptor.values_by_number.get(getattr(self.params, field))
        return found.name if found is not None else str(getattr(self.params, field))

    def axis(self, axis: int, rank: int) -> int:
        """An axis counted from the front.

        Raises:
            ModelError: out of range.
        """
        if not -rank <= axis < rank:
            self.wrong("an axis is out of range", value=axis, limit=f"{-rank}..{rank - 1}")
        return axis % rank

    def image(self, value: str) -> tuple[str, tuple[int, ...]]:
        """A value as (N, C, H, W), and the axes before (C, H, W) that it had."""
        shape = self.shape(value)
        if len(shape) < 3:
            self.wrong("the layer needs channels, height and width", value=list(shape))
        lead = shape[:-3]
        return self.reshape(value, (math.prod(lead), *shape[-3:])), lead

    def back(self, value: str, lead: tuple[int, ...]) -> str:
        """The result of an image layer with its axes in front again; the layer's output."""
        return self.reshape(value, (*lead, *self.shape(value)[1:]), last=True)

    def image_layer(self, operation: Operation, *others: str) -> str:
        """A layer that is one operation on (N, C, H, W)."""
        x, lead = self.image(self.x())
        if len(lead) == 1:
            return self.last(operation, x, *others)
        return self.back(self.add(operation, x, *others), lead)

    def as_truth(self, value: str) -> str:
        """A number as a boolean."""
        return value if self.builder.types[value].dtype is DType.BOOL else self.add(g.Cast(DType.BOOL), value)
