"""Recurrent layers and embeddings. Sequences are (sequence, batch, channels, 1, 1)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from openane.core.types import DType
from openane.frontends.coreml.network.builder import NetworkLayer
from openane.frontends.coreml.network.weights import weights
from openane.graph import ops as g

#: Gates in the Graph's order, by the beginning of their field names.
_LSTM_GATES = ("inputGate", "outputGate", "forgetGate", "blockInput")
#: What coremltools writes for "no limit": a cell grows by 1 a step at most, and only where every gate is open.
_USUAL_CELL_CLIP = 500
_GRU_GATES = ("updateGate", "resetGate", "outputGate")

_FUNCTIONS: Mapping[str, Callable[[Any], g.Unary]] = MappingProxyType(
    {
        "sigmoid": lambda p: g.Sigmoid(),
        "tanh": lambda p: g.Tanh(),
        "ReLU": lambda p: g.Relu(),
        "linear": lambda p: g.Affine(p.alpha, p.beta),
        "scaledTanh": lambda p: g.ScaledTanh(p.alpha, p.beta),
        "sigmoidHard": lambda p: g.HardSigmoid(p.alpha, p.beta),
    }
)


def _functions(layer: NetworkLayer, messages: Sequence[Any], count: int) -> tuple[g.Unary, ...]:
    if len(messages) != count:
        layer.wrong("the number of activations is wrong", value=len(messages), limit=count)
    found = []
    for message in messages:
        kind = message.WhichOneof("NonlinearityType")
        if kind not in _FUNCTIONS:
            layer.refuse(
                "this activation is not supported in a recurrent layer", value=kind, limit=", ".join(_FUNCTIONS)
            )
        found.append(_FUNCTIONS[kind](getattr(message, kind)))
    return tuple(found)


def _gates(
    layer: NetworkLayer,
    message: Any,
    gates: Sequence[str],
    features: int,
    hidden: int,
    *,
    bias: bool,
    forget: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """w, r and bias of one direction, gates one below the other."""

    def stacked(ending: str, shape: tuple[int, ...]) -> np.ndarray:
        return np.concatenate(
            [weights(getattr(message, gate + ending), shape, f"{layer.where}: {gate}{ending}") for gate in gates]
        )

    # The file holds as many weights as it says, before anything of that size is made.
    w, r = stacked("WeightMatrix", (hidden, features)), stacked("RecursionMatrix", (hidden, hidden))
    vector = stacked("BiasVector", (hidden,)) if bias else np.zeros(len(gates) * hidden, np.float32)
    if forget:
        vector[gates.index("forgetGate") * hidden :][:hidden] += 1
    both = np.concatenate([vector, np.zeros_like(vector)])
    return w, r, both


def _sequence(layer: NetworkLayer, features: int) -> str:
    """x as (sequence, batch, channels)."""
    shape = layer.shape(layer.x())
    if len(shape) < 3 or math.prod(shape[2:]) != features:
        layer.wrong("the layer needs (sequence, batch, channels)", value=list(shape), limit=f"{features} channels")
    return layer.reshape(layer.x(), (*shape[:2], features))


def _finish(
    layer: NetworkLayer,
    operation: g.LSTM | g.GRU | g.RNN,
    operands: Sequence[str],
    states: Sequence[int],
    every_step: bool,
) -> tuple[str, ...]:
    """Runs the operation; `states` are the numbers of the inputs that hold the first states, per kind of state."""
    x = operands[0]
    directions, hidden = operation.direction.count, operation.hidden
    batch = layer.shape(x)[1]
    initial = []
    kinds = len(states) // directions
    for kind in range(kinds):
        parts = [states[kind + direction * kinds] for direction in range(directions)]
        if len(layer.inputs) <= max(parts):
            initial.append("")
            continue
        shaped = [layer.reshape(layer.x(part), (1, batch, hidden)) for part in parts]
        initial.append(shaped[0] if directions == 1 else layer.add(g.Concat(0), *shaped))
    y, *lasts = layer.builder.add(operation, [*operands, "", *initial], f"{layer.outputs[0]}_steps", layer.name)
    time = layer.shape(x)[0]
    merged = layer.add(g.Transpose((0, 2, 1, 3)), y)
    if not every_step:
        merged = layer.add(g.Transpose((1, 0, 2)), lasts[0])
        time = 1
    results = [layer.reshape(merged, (time, batch, directions * hidden, 1, 1), last=True)]
    for direction in range(directions):
        for last in lasts:
            begin, end = (direction, 0, 0), (direction + 1, batch, hidden)
            part = last if directions == 1 else layer.add(g.Slice(begin, end, (1, 1, 1)), last)
            results.append(layer.reshape(part, (1, batch, hidden, 1, 1)))
    return tuple(results[: len(layer.outputs)])


def _operands(
    layer: NetworkLayer, features: int, parts: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]
) -> list[str]:
    names = ("weight", "recursion", "bias")
    arrays = [np.stack([part[i] for part in parts]) for i in range(3)]
    constants = [layer.constant(array, name) for name, array in zip(names, arrays, strict=True)]
    return [_sequence(layer, features), *constants]


def _lstm(layer: NetworkLayer) -> tuple[str, ...]:
    p = layer.params
    both = layer.kind == "biDirectionalLSTM"
    options = p.params
    if options.hasPeepholeVectors:
        layer.refuse("peepholes are not supported")
    features, hidden = p.inputVectorSize, p.outputVectorSize
    if both:
        functions = _functions(layer, p.activationsForwardLSTM, 3) + _functions(layer, p.activationsBackwardLSTM, 3)
        messages = list(p.weightParams)
        direction = g.Direction.BIDIRECTIONAL
    else:
        functions, messages = _functions(layer, p.activations, 3), [p.weightParams]
        direction = g.Direction.REVERSE if p.reverseInput else g.Direction.FORWARD
    if len(messages) != direction.count:
        layer.wrong("one set of weights is needed per direction", value=len(messages), limit=direction.count)
    parts = [
        _gates(layer, m, _LSTM_GATES, features, hidden, bias=options.hasBiasVectors, forget=options.forgetBias)
        for m in messages
    ]
    clip = options.cellClipThreshold
    if 0 < clip < _USUAL_CELL_CLIP:
        layer.refuse("clipped cells are not supported", value=clip, limit=f"at least {_USUAL_CELL_CLIP}")
    operation = g.LSTM(hidden, direction, functions, input_forget=options.coupledInputAndForgetGate)
    states = (1, 2, 3, 4) if both else (1, 2)
    return _finish(layer, operation, _operands(layer, features, parts), states, options.sequenceOutput)


def _gru(layer: NetworkLayer) -> tuple[str, ...]:
    p = layer.params
    features, hidden = p.inputVectorSize, p.outputVectorSize
    parts = [_gates(layer, p, _GRU_GATES, features, hidden, bias=p.hasBiasVectors)]
    direction = g.Direction.REVERSE if p.reverseInput else g.Direction.FORWARD
    operation = g.GRU(hidden, direction, _functions(layer, p.activations, 2))
    return _finish(layer, operation, _operands(layer, features, parts), (1,), p.sequenceOutput)


def _simple(layer: NetworkLayer) -> tuple[str, ...]:
    p = layer.params
    features, hidden = p.inputVectorSize, p.outputVectorSize
    w, r = layer.weights("weightMatrix", (hidden, features)), layer.weights("recursionMatrix", (hidden, hidden))
    bias = layer.weights("biasVector", (hidden,)) if p.hasBiasVector else np.zeros(hidden, np.float32)
    part = (w, r, np.concatenate([bias, np.zeros_like(bias)]))
    direction = g.Direction.REVERSE if p.reverseInput else g.Direction.FORWARD
    operation = g.RNN(hidden, direction, _functions(layer, [p.activation], 1))
    return _finish(layer, operation, _operands(layer, features, [part]), (1,), p.sequenceOutput)


def _embedding(layer: NetworkLayer) -> str:
    """Rows of a table by number; the axis of one element that held the number takes the row."""
    p = layer.params
    newer = layer.kind == "embeddingND"
    count, size = (p.vocabSize, p.embeddingSize) if newer else (p.inputDim, p.outputChannels)
    table = layer.weights("weights", (size, count)).T
    if p.hasBias:
        table = table + layer.weights("bias", (size,))
    shape = layer.shape(layer.x())
    lead = shape[:-1] if newer else shape[:-3]
    if math.prod(shape) != math.prod(lead):
        layer.wrong("the numbers need an axis of one element for the result", value=list(shape))
    numbers = layer.add(g.Cast(DType.INT64), layer.reshape(layer.x(), lead))
    rows = layer.add(g.Gather(0), layer.constant(np.ascontiguousarray(table), "table"), numbers)
    return layer.reshape(rows, (*lead, size) if newer else (*lead, size, 1, 1), last=True)


LAYERS: Mapping[str, Callable[[NetworkLayer], str | tuple[str, ...]]] = MappingProxyType(
    {
        "uniDirectionalLSTM": _lstm,
        "biDirectionalLSTM": _lstm,
        "gru": _gru,
        "simpleRecurrent": _simple,
        "embedding": _embedding,
        "embeddingND": _embedding,
    }
)
