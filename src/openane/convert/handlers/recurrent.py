"""Recurrent layers in MIL: the Graph's gates rearranged, and the states in MIL's shapes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from openane.convert.builder import Handler, MilBuilder
from openane.core.errors import UnsupportedError
from openane.graph import Node, Operation
from openane.graph import ops as g

#: MIL's names of the functions of a gate.
_ACTIVATIONS: Mapping[Operation, str] = MappingProxyType(
    {g.Sigmoid(): "sigmoid", g.Tanh(): "tanh", g.Relu(): "relu", g.HardSigmoid(0.2, 0.5): "sigmoid_hard"}
)
#: Rows of the Graph's gates in MIL's order: input, forget, output, cell of an LSTM; reset, candidate, update of a GRU.
_LSTM_ORDER, _GRU_ORDER = (0, 2, 1, 3), (1, 2, 0)


def _lstm(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    operation = node.operation
    assert isinstance(operation, g.LSTM)
    if operation.input_forget or _given(node, 7):
        raise UnsupportedError("an LSTM with coupled gates or peepholes cannot be written for Core ML")
    gate, cell, out = _functions(operation, 3)
    clip = {} if operation.clip == math.inf else {"clip": np.float32(operation.clip)}
    y, h, c = b.mb.lstm(
        x=b.get(node.inputs[0]),
        initial_h=_state(b, node, 5),
        initial_c=_state(b, node, 6),
        **dict(_weights(b, node, _LSTM_ORDER)),
        direction=operation.direction.value,
        output_sequence=True,
        recurrent_activation=gate,
        cell_activation=cell,
        activation=out,
        **clip,
    )
    return _results(b, node, y, h, c)


def _gru(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    operation = node.operation
    assert isinstance(operation, g.GRU)
    if operation.direction is g.Direction.BIDIRECTIONAL or operation.linear_before_reset or operation.clip != math.inf:
        what = "a GRU in both directions, with a reset after the product or with a clip cannot be written for Core ML"
        raise UnsupportedError(what)
    gate, out = _functions(operation, 2)
    y, h = b.mb.gru(
        x=b.get(node.inputs[0]),
        initial_h=_state(b, node, 5),
        **dict(_weights(b, node, _GRU_ORDER)),
        direction=operation.direction.value,
        output_sequence=True,
        recurrent_activation=gate,
        activation=out,
    )
    return _results(b, node, y, h)


def _given(node: Node, index: int) -> bool:
    return index < len(node.inputs) and bool(node.inputs[index])


def _functions(operation: g.LSTM | g.GRU, count: int) -> list[str]:
    """MIL's names of the functions, which are the same in both directions."""
    found = operation.activations or operation.default_activations
    directions = {found[i : i + count] for i in range(0, len(found), count)}
    names = [_ACTIVATIONS.get(each) for each in found[:count]]
    if len(directions) > 1 or None in names:
        raise UnsupportedError("Core ML has no such functions in a recurrent layer", value=", ".join(map(str, found)))
    return [name for name in names if name is not None]


def _weights(b: MilBuilder, node: Node, order: Sequence[int]) -> Iterator[tuple[str, np.ndarray]]:
    """The arguments of the weights, those of the way back with an ending of their own."""
    if _given(node, 4):
        raise UnsupportedError("Core ML has no lengths per item in a recurrent layer")
    names = ["weight_ih", "weight_hh", *(["bias"] if _given(node, 3) else [])]
    for name, value in zip(names, node.inputs[1:4], strict=False):
        for ending, array in zip(("", "_back"), b.array(value, "a weight of a recurrent layer"), strict=False):
            if name == "bias":  # of the input and of the state, which are added
                array = array.reshape(2, -1).sum(0)
            yield f"{name}{ending}", np.concatenate([np.split(array, len(order))[i] for i in order])


def _state(b: MilBuilder, node: Node, index: int) -> Any:
    """The state before the first step, (batch, directions * hidden); zeros where none is given."""
    operation = node.operation
    assert isinstance(operation, (g.LSTM, g.GRU))
    batch, directions = b.type(node.inputs[0]).shape[1], operation.direction.count
    if not _given(node, index):
        return np.zeros((batch, directions * operation.hidden), np.float32)
    moved = b.mb.transpose(x=b.get(node.inputs[index]), perm=[1, 0, 2])
    return b.reshape(moved, (batch, directions * operation.hidden))


def _results(b: MilBuilder, node: Node, y: Any, *states: Any) -> tuple[Any, ...]:
    """y (time, directions, batch, hidden) and the states (directions, batch, hidden)."""
    operation = node.operation
    assert isinstance(operation, (g.LSTM, g.GRU))
    time, batch, _ = b.type(node.inputs[0]).shape
    split = (operation.direction.count, operation.hidden)
    results = [b.mb.transpose(x=b.reshape(y, (time, batch, *split)), perm=[0, 2, 1, 3])]
    results += [b.mb.transpose(x=b.reshape(state, (batch, *split)), perm=[1, 0, 2]) for state in states]
    return tuple(results)


HANDLERS: Mapping[type[Operation], Handler] = MappingProxyType({g.LSTM: _lstm, g.GRU: _gru})
