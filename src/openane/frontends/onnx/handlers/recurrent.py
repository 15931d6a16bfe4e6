"""LSTM, GRU and RNN."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from openane.core.errors import ModelError
from openane.frontends.onnx.call import Handler, NodeCall
from openane.graph import ops
from openane.graph.ops import GRU, LSTM, RNN, Direction, Transpose
from openane.graph.ops.unary import Unary

#: Activations by name; those with parameters take alpha, then beta, with ONNX's defaults.
_ACTIVATIONS: Mapping[str, tuple[Callable[..., Unary], tuple[float, ...]]] = {
    "affine": (ops.Affine, (1.0, 0.0)),
    "elu": (ops.Elu, (1.0,)),
    "hardsigmoid": (ops.HardSigmoid, (0.2, 0.5)),
    "leakyrelu": (ops.LeakyRelu, (0.01,)),
    "relu": (ops.Relu, ()),
    "scaledtanh": (ops.ScaledTanh, (1.0, 1.0)),
    "sigmoid": (ops.Sigmoid, ()),
    "softplus": (ops.Softplus, ()),
    "softsign": (ops.Softsign, ()),
    "tanh": (ops.Tanh, ()),
    "thresholdedrelu": (ops.ThresholdedRelu, (1.0,)),
}


def _activations(call: NodeCall) -> tuple[Unary, ...]:
    names = call.attr_texts("activations") or ()
    alphas, betas = list(call.attr_floats("activation_alpha") or ()), list(call.attr_floats("activation_beta") or ())
    result = []
    for name in names:
        found = _ACTIVATIONS.get(name.lower())
        if found is None:
            call.refuse("the activation is not supported", value=repr(name), limit=", ".join(_ACTIVATIONS))
        kind, defaults = found
        values = list(defaults)
        for i, given in enumerate((alphas, betas)[: len(defaults)]):
            if given:
                values[i] = given.pop(0)
        result.append(kind(*values))
    return tuple(result)


def _recurrent(kind: type[RNN] | type[GRU] | type[LSTM], flag: str | None) -> Handler:
    """The handler of a recurrent layer; `flag` names its own attribute."""

    def handler(call: NodeCall) -> Sequence[str]:
        rank = call.rank(0)
        if rank != 3 or call.rank(2) != 3:
            raise ModelError("the input and its weights must have three axes", value=call.operand(0))
        direction = Direction(call.choice("direction", "forward", *(d.value for d in Direction)))
        hidden = call.attr_int("hidden_size", call.operand(2).shape[2])
        clip = call.attr_float("clip", 0.0) or math.inf
        extra = {flag: call.flag(flag)} if flag else {}
        operation = kind(hidden, direction, _activations(call), clip, **extra)
        inputs = [call.name(i) for i in range(len(kind.input_names))]
        batch_first = call.flag("layout")
        if batch_first:
            swap = Transpose((1, 0, 2))
            inputs = [call.emit(swap, name) if name and i in (0, 5, 6) else name for i, name in enumerate(inputs)]
        y, *states = call.emit_all(operation, *inputs)
        if batch_first:
            y = call.emit(Transpose((2, 0, 1, 3)), y)
            states = [call.emit(Transpose((1, 0, 2)), state) for state in states]
        return [y, *states]

    return handler


HANDLERS: Mapping[str, Handler] = {
    "GRU": _recurrent(GRU, "linear_before_reset"),
    "LSTM": _recurrent(LSTM, "input_forget"),
    "RNN": _recurrent(RNN, None),
}
