"""Core ML neural networks (`.mlmodel`): layer by layer into the Graph.

Networks of the older kind ("rank 5") see every tensor as (sequence, batch, C, H, W), whatever shape the model's
description gives it; newer ones see the described shape itself. Both keep single precision.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from openane.core.errors import ModelError, OpenaneError, UnsupportedError
from openane.core.registry import collect
from openane.frontends.coreml.network.builder import NetworkBuilder, NetworkLayer
from openane.graph import Graph, TensorType
from openane.graph import ops as g

_Handler = Callable[[NetworkLayer], str | tuple[str, ...]]

#: By the name of the parameter field: the tables LAYERS of the modules of this package.
_LAYERS: Mapping[str, _Handler] = collect(__name__, "LAYERS")


def read_network(model: Any, network: Any, inputs: Mapping[str, tuple[int, ...]], where: str) -> Graph:
    """The Graph of a neural network, classifier or regressor.

    Args:
        model: the Model message.
        network: its content, one of the three NeuralNetwork messages.
        inputs: shapes of the described inputs, frozen.
        where: the file, for messages.

    Raises:
        FormatError, ModelError, UnsupportedError: as the loader says.
    """
    if not network.layers:
        raise ModelError("the network has no layers", where=where)
    for name, shape in inputs.items():
        if not shape:
            raise ModelError("the input has no shape", where=f"{where}: input {name!r}")
    outputs = _output_names(model, network)
    builder = NetworkBuilder({name: TensorType(shape) for name, shape in inputs.items()})
    _start(builder, model, network, where)
    for message in network.layers:
        _read_layer(builder, message, where)
    described = {feature.name: feature.type for feature in model.description.output}
    graph = builder.finished("net", {name: _finish(builder, name, described.get(name)) for name in outputs})
    compressed = any(_is_quantized(message) for message in network.layers)
    return replace(graph, labels=_labels(model, network, graph), compressed=compressed)


def _is_quantized(message: Any) -> bool:
    """Whether a layer has weights of fewer bits."""
    kind = message.WhichOneof("layer")
    fields = getattr(message, kind).ListFields() if kind else ()
    weights = [each for field, each in fields if field.message_type and field.message_type.name == "WeightParams"]
    return any(each.HasField("quantization") for each in weights if hasattr(each, "HasField"))


def _labels(model: Any, network: Any, graph: Graph) -> dict[str, tuple[str, ...]]:
    """The names of the classes of a classifier, for the output that has a score for each."""
    kind = network.WhichOneof("ClassLabels") if "ClassLabels" in network.DESCRIPTOR.oneofs_by_name else None
    if kind is None:
        return {}
    names = tuple(str(each) for each in getattr(network, kind).vector)
    wanted = (model.description.predictedProbabilitiesName, network.labelProbabilityLayerName, *graph.outputs)
    output = next(name for name in wanted if name in graph.outputs)
    return {output: names} if graph.types[output].size == len(names) else {}


def _output_names(model: Any, network: Any) -> tuple[str, ...]:
    """The blobs that the model gives out; of a classifier, the probabilities in place of labels."""
    made = {name for layer in network.layers for name in layer.output}
    names = tuple(f.name for f in model.description.output if f.name in made)
    if names:
        return tuple(dict.fromkeys(names))
    wanted = getattr(network, "labelProbabilityLayerName", "")
    return (wanted if wanted in made else network.layers[-1].output[0],) if network.layers[-1].output else ()


def _start(builder: NetworkBuilder, model: Any, network: Any, where: str) -> None:
    """Gives the inputs the shapes that the layers see, and applies the preprocessing of images."""
    for feature in model.description.input:
        name = feature.name
        image = feature.type.WhichOneof("Type") == "imageType"
        shape = builder.types[name].shape
        mapping = network.imageInputShapeMapping if image else network.arrayInputShapeMapping
        value = name
        if image:
            value = _preprocess(builder, name, feature, network, where)
        if mapping == 0:
            value = builder.reshape(value, _rank_5(shape, where), f"{name}_shaped", name)
        builder.blobs[name] = value


def _rank_5(shape: tuple[int, ...], where: str) -> tuple[int, ...]:
    if len(shape) == 1:
        return (1, 1, *shape, 1, 1)
    if len(shape) == 2:  # a sequence of vectors
        return (shape[0], 1, shape[1], 1, 1)
    if len(shape) > 5:
        raise UnsupportedError("tensors have at most five axes", where=where, value=list(shape))
    if len(shape) == 4:
        return (1, *shape)
    return (1,) * (5 - len(shape)) + shape


def _preprocess(builder: NetworkBuilder, name: str, feature: Any, network: Any, where: str) -> str:
    """scale * pixel + bias per channel, or pixel - mean."""
    value, shape = name, builder.types[name].shape
    for step in network.preprocessing:
        if step.featureName not in ("", name):
            continue
        if step.WhichOneof("preprocessor") == "meanImage":
            mean = np.array(step.meanImage.meanImage, np.float32)
            if mean.size != math.prod(shape):
                raise ModelError("the mean image has another size", where=f"{where}: input {name!r}", value=mean.size)
            constant = builder.constant(mean.reshape(shape), f"{name}_mean")
            (value,) = builder.add(g.Sub(), [value, constant], f"{name}_centered", name)
            continue
        scaler = step.scaler
        if shape[1] == 1:
            biases = [scaler.grayBias]
        else:
            biases = [scaler.redBias, scaler.greenBias, scaler.blueBias]
            space = feature.type.imageType
            if space.ColorSpace.Name(space.colorSpace) == "BGR":
                biases.reverse()
        scale = builder.constant(np.full((), scaler.channelScale or 1.0, np.float32), f"{name}_scale")
        bias = builder.constant(np.array(biases, np.float32).reshape(-1, 1, 1), f"{name}_bias")
        (value,) = builder.add(g.Mul(), [value, scale], f"{name}_scaled", name)
        (value,) = builder.add(g.Add(), [value, bias], f"{name}_biased", name)
    return value


def _read_layer(builder: NetworkBuilder, message: Any, where: str) -> None:
    kind = message.WhichOneof("layer")
    place = f"{where}: layer {message.name!r} ({kind})"
    if kind not in _LAYERS:
        raise UnsupportedError("this kind of layer cannot be read", where=place, value=kind or "a layer without a kind")
    for name in message.input:
        if name not in builder.blobs:
            raise ModelError(f"reads {name!r}, which nothing before it defines", where=place)
    if not message.output:
        raise ModelError("the layer has no output", where=place)
    inputs = tuple(builder.blobs[name] for name in message.input)
    layer = NetworkLayer(builder, kind, getattr(message, kind), message.name, inputs, tuple(message.output), place)
    try:
        found = _LAYERS[kind](layer)
    except OpenaneError as error:
        if error.diagnostic.where.startswith(where):
            raise
        raise error.at(place) from error
    results = (found,) if isinstance(found, str) else found
    if len(results) != len(message.output):
        raise ModelError("the layer has another number of outputs", where=place, value=len(message.output))
    builder.blobs.update(zip(message.output, results, strict=True))


def _finish(builder: NetworkBuilder, name: str, kind: Any) -> str:
    """A blob in the shape that the model's description gives it."""
    value = builder.blobs[name]
    return builder.reshape(value, _described(kind, builder.types[value].shape), name, name)


def _described(kind: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    if kind is not None and kind.WhichOneof("Type") == "multiArrayType":
        described = tuple(kind.multiArrayType.shape)
        if described and math.prod(described) == math.prod(shape):
            return described
    if len(shape) != 5:
        return shape
    if math.prod(shape[:2]) == 1:
        return shape[2:3] if shape[3:] == (1, 1) else shape[2:]
    return shape
