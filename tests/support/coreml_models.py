"""Builds Core ML specifications for tests, message by message."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from openane.frontends.coreml import read_model
from openane.frontends.coreml.proto import module
from openane.graph import Graph

RANK_5, EXACT = 0, 1


def network(
    inputs: Mapping[str, tuple[int, ...]],
    outputs: Mapping[str, tuple[int, ...]],
    *layers: tuple[str, str, list[str], list[str], Callable[[Any], None]],
    mapping: int = EXACT,
) -> Any:
    """A Model message with a neural network; layers are (name, kind, inputs, outputs, fill in the parameters)."""
    model = module("Model_pb2").Model(specificationVersion=4)
    for features, shapes in ((model.description.input, inputs), (model.description.output, outputs)):
        for name, shape in shapes.items():
            feature = features.add(name=name)
            feature.type.multiArrayType.shape.extend(shape)
            feature.type.multiArrayType.dataType = 65568
    model.neuralNetwork.arrayInputShapeMapping = mapping
    for name, kind, sources, results, fill in layers:
        layer = model.neuralNetwork.layers.add(name=name, input=sources, output=results)
        params = getattr(layer, kind)
        params.SetInParent()
        fill(params)
    return model


def read(model: Any, shapes: Mapping[str, tuple[int, ...]] | None = None) -> Graph:
    """The graph of a message."""
    return read_model(model.SerializeToString(), shapes or {}, name="test.mlmodel")


def run_layer(
    kind: str, fill: Callable[[Any], None], *arrays: np.ndarray, outputs: int = 1, mapping: int = EXACT
) -> list[np.ndarray]:
    """What one layer makes of its inputs."""
    names = [f"x{i}" for i in range(len(arrays))]
    results = [f"y{i}" for i in range(outputs)]
    inputs = {name: array.shape for name, array in zip(names, arrays, strict=True)}
    model = network(inputs, dict.fromkeys(results, ()), ("layer", kind, names, results, fill), mapping=mapping)
    values = read(model).evaluate(dict(zip(names, arrays, strict=True)))
    return [values[name] for name in results]


def setter(**fields: Any) -> Callable[[Any], None]:
    """Fills in parameters: numbers, lists, and arrays as weights; "a__b" is field b of message a."""

    def fill(params: Any) -> None:
        for path, value in fields.items():
            *parents, field = path.split("__")
            message = params
            for parent in parents:
                message = getattr(message, parent)
                message.SetInParent()
            if isinstance(value, np.ndarray):
                getattr(message, field).floatValue.extend(value.astype(np.float32).ravel().tolist())
            elif isinstance(value, list):
                target = getattr(message, field)
                if value and isinstance(value[0], tuple):
                    for start, end in value:
                        target.add(startEdgeSize=start, endEdgeSize=end)
                else:
                    target.extend(value)
            elif value is None:
                getattr(message, field).SetInParent()
            else:
                setattr(message, field, value)

    return fill
