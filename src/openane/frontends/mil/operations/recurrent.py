"""Recurrent layers: MIL's weights rearranged to the order of the Graph's gates."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from openane.frontends.mil.call import OperationCall
from openane.frontends.mil.operations.entry import Entry
from openane.graph import ops

_ACTIVATIONS: dict[str, ops.Unary] = {
    "sigmoid": ops.Sigmoid(),
    "tanh": ops.Tanh(),
    "relu": ops.Relu(),
    "sigmoid_hard": ops.HardSigmoid(0.2, 0.5),
}
_DIRECTIONS = {
    "forward": ops.Direction.FORWARD,
    "reverse": ops.Direction.REVERSE,
    "bidirectional": ops.Direction.BIDIRECTIONAL,
}
#: Rows of MIL's gates in the order of the Graph's: input, output, forget, cell out of input, forget, output, cell.
_LSTM_ORDER = (0, 2, 1, 3)
#: Update, reset, candidate out of reset, candidate ("output"), update.
_GRU_ORDER = (2, 0, 1)


def _activation(call: OperationCall, name: str, default: str) -> ops.Unary:
    return _ACTIVATIONS[call.text(name, default, tuple(_ACTIVATIONS))]


def _reordered(array: np.ndarray, order: Sequence[int]) -> np.ndarray:
    """The gates along the first axis in another order."""
    parts = np.split(array, len(order))
    return np.concatenate([parts[i] for i in order])


def _weights(call: OperationCall, order: Sequence[int], backwards: bool) -> list[str]:
    """w, r and bias with one row of arrays per direction."""
    endings = ("", "_back") if backwards else ("",)
    stacked: list[str] = []
    for name in ("weight_ih", "weight_hh"):
        arrays = [_reordered(call.constant(name + ending), order) for ending in endings]
        stacked.append(call.builder.constant(np.stack(arrays), f"{call.operation.name}_{name}"))
    rows = call.constant("weight_ih").shape[0]
    dtype = call.constant("weight_ih").dtype
    biases = []
    for ending in endings:
        given = call.has(f"bias{ending}")
        bias = _reordered(call.constant(f"bias{ending}"), order) if given else np.zeros(rows, dtype)
        biases.append(np.concatenate([bias, np.zeros_like(bias)]))
    stacked.append(call.builder.constant(np.stack(biases), f"{call.operation.name}_bias"))
    return stacked


def _state(call: OperationCall, name: str, directions: int) -> str:
    """(batch, directions * hidden) as (directions, batch, hidden)."""
    batch, width = call.type(name).shape
    split = call.emit(ops.Reshape((batch, directions, width // directions)), call.value(name))
    return call.emit(ops.Transpose((1, 0, 2)), split)


def _finish(call: OperationCall, operation: ops.LSTM | ops.GRU, inputs: Sequence[str]) -> None:
    """y (time, directions, batch, hidden) and the states in MIL's shapes."""
    y, *states = call.emit_all(operation, *inputs)
    time, directions, batch, hidden = call.builder.types[y].shape
    merged = call.emit(ops.Transpose((0, 2, 1, 3)), y)
    merged = call.emit(ops.Reshape((time, batch, directions * hidden)), merged)
    lasts = []
    for state in states:
        swapped = call.emit(ops.Transpose((1, 0, 2)), state)
        lasts.append(call.emit(ops.Reshape((batch, directions * hidden)), swapped))
    if not call.truth("output_sequence", False):
        merged = call.emit(ops.Reshape((1, batch, directions * hidden)), lasts[0])
    call.finish_values(merged, *lasts)


def _lstm(call: OperationCall) -> None:
    direction = _DIRECTIONS[call.text("direction", "forward", tuple(_DIRECTIONS))]
    if call.has("peephole") or call.has("peephole_back"):
        call.unsupported("peepholes cannot be read")
    gate = _activation(call, "recurrent_activation", "sigmoid")
    cell = _activation(call, "cell_activation", "tanh")
    out = _activation(call, "activation", "tanh")
    both = direction is ops.Direction.BIDIRECTIONAL
    weights = _weights(call, _LSTM_ORDER, both)
    states = [_state(call, name, direction.count) for name in ("initial_h", "initial_c")]
    operation = ops.LSTM(
        call.constant("weight_hh").shape[1],
        direction,
        (gate, cell, out) * direction.count,
        call.number("clip", math.inf),
    )
    _finish(call, operation, [call.value("x"), *weights, "", *states])


def _gru(call: OperationCall) -> None:
    direction = _DIRECTIONS[call.text("direction", "forward", ("forward", "reverse"))]
    gate = _activation(call, "recurrent_activation", "sigmoid")
    out = _activation(call, "activation", "tanh")
    weights = _weights(call, _GRU_ORDER, False)
    operation = ops.GRU(
        call.constant("weight_hh").shape[1],
        direction,
        (gate, out),
        linear_before_reset=call.truth("reset_after", False),
    )
    _finish(call, operation, [call.value("x"), *weights, "", _state(call, "initial_h", 1)])


_SHARED = ("direction", "output_sequence", "recurrent_activation")

ENTRIES = {
    "lstm": Entry(
        (
            "x",
            "initial_h",
            "initial_c",
            "weight_ih",
            "weight_hh",
            "bias",
            "peephole",
            "weight_ih_back",
            "weight_hh_back",
            "bias_back",
            "peephole_back",
            *_SHARED,
            "cell_activation",
            "activation",
            "clip",
        ),
        _lstm,
    ),
    "gru": Entry(("x", "initial_h", "weight_ih", "weight_hh", "bias", *_SHARED, "activation"), _gru),
}
