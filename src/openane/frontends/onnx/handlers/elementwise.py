"""Functions of elements: activations, arithmetic, comparisons, casts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from onnx.helper import make_tensor_type_proto

from openane.frontends.onnx.call import Handler, NodeCall
from openane.frontends.onnx.tensors import NARROW, dtype_of
from openane.graph import Operation, ops
from openane.graph.ops import RoundToType
from openane.graph.ops.support import require

Make = Callable[[NodeCall], Operation]


def _fixed(kind: Callable[[], Operation]) -> Make:
    return lambda call: kind()


def _alpha(kind: Callable[[float], Operation], default: float) -> Make:
    return lambda call: kind(call.attr_float("alpha", default))


#: Operations of one tensor, and how they read their attributes.
_UNARY: Mapping[str, Make] = {
    **{
        name: _fixed(kind)
        for name, kind in {
            "Abs": ops.Abs,
            "Acos": ops.Acos,
            "Acosh": ops.Acosh,
            "Asin": ops.Asin,
            "Asinh": ops.Asinh,
            "Atan": ops.Atan,
            "Atanh": ops.Atanh,
            "BitwiseNot": ops.BitwiseNot,
            "Ceil": ops.Ceil,
            "Cos": ops.Cos,
            "Cosh": ops.Cosh,
            "Erf": ops.Erf,
            "Exp": ops.Exp,
            "Floor": ops.Floor,
            "HardSwish": ops.HardSwish,
            "IsNaN": ops.IsNaN,
            "Log": ops.Log,
            "Mish": ops.Mish,
            "Neg": ops.Neg,
            "Not": ops.Not,
            "Reciprocal": ops.Reciprocal,
            "Relu": ops.Relu,
            "Round": ops.Round,
            "Sigmoid": ops.Sigmoid,
            "Sign": ops.Sign,
            "Sin": ops.Sin,
            "Sinh": ops.Sinh,
            "Softplus": ops.Softplus,
            "Softsign": ops.Softsign,
            "Sqrt": ops.Sqrt,
            "Tan": ops.Tan,
            "Tanh": ops.Tanh,
        }.items()
    },
    "Celu": _alpha(ops.Celu, 1),
    "Elu": _alpha(ops.Elu, 1),
    "Gelu": lambda call: ops.Gelu(call.choice("approximate", "none", "none", "tanh") == "tanh"),
    "HardSigmoid": lambda call: ops.HardSigmoid(call.attr_float("alpha", 0.2), call.attr_float("beta", 0.5)),
    "IsInf": lambda call: ops.IsInf(call.flag("detect_negative", True), call.flag("detect_positive", True)),
    "LeakyRelu": _alpha(ops.LeakyRelu, 0.01),
    "Selu": lambda call: ops.Selu(call.attr_float("alpha", ops.Selu.alpha), call.attr_float("gamma", ops.Selu.gamma)),
    "Shrink": lambda call: ops.Shrink(call.attr_float("lambd", 0.5), call.attr_float("bias", 0)),
    "Swish": _alpha(ops.Silu, 1),
    "ThresholdedRelu": _alpha(ops.ThresholdedRelu, 1),
}

#: Operations of two tensors.
_BINARY: Mapping[str, Make] = {
    **{
        name: _fixed(kind)
        for name, kind in {
            "Add": ops.Add,
            "And": ops.And,
            "BitwiseAnd": ops.BitwiseAnd,
            "BitwiseOr": ops.BitwiseOr,
            "BitwiseXor": ops.BitwiseXor,
            "Div": ops.Div,
            "Equal": ops.Equal,
            "Greater": ops.Greater,
            "GreaterOrEqual": ops.GreaterOrEqual,
            "Less": ops.Less,
            "LessOrEqual": ops.LessOrEqual,
            "Mul": ops.Mul,
            "Or": ops.Or,
            "PRelu": ops.PRelu,
            "Pow": ops.Pow,
            "Sub": ops.Sub,
            "Xor": ops.Xor,
        }.items()
    },
    "BitShift": lambda call: (
        ops.ShiftLeft() if call.choice("direction", "", "LEFT", "RIGHT") == "LEFT" else ops.ShiftRight()
    ),
    "Mod": lambda call: ops.Mod(call.flag("fmod")),
}


def _plain(make: Make, count: int) -> Handler:
    """The handler of an operation with `count` inputs and one result."""

    def handler(call: NodeCall) -> Sequence[str]:
        require(len(call.inputs) == count, "the number of inputs is wrong", value=len(call.inputs), limit=count)
        return [call.emit(make(call), *call.inputs)]

    return handler


def _two(make: Make) -> Handler:
    """The handler of an operation of two tensors."""

    def handler(call: NodeCall) -> Sequence[str]:
        require(len(call.inputs) == 2, "the number of inputs is wrong", value=len(call.inputs), limit=2)
        return [call.emit(make(call), call.name(0), _second(call))]

    return handler


def _second(call: NodeCall) -> str:
    """The second operand; before opset 7, attributes say along which axes it is repeated."""
    if call.version >= 7:
        return call.name(1)
    x, y = call.operand(0).shape, call.operand(1).shape
    if call.node.op_type == "PRelu":
        axis = 1 if len(y) == 1 and y != (1,) else len(x) - len(y)
    elif call.flag("broadcast"):
        axis = call.attr_int("axis", len(x) - len(y))
        axis = axis + len(x) if axis < 0 else axis
        fits = 0 <= axis <= len(x) - len(y)
        require(fits, "axis is out of range", value=axis, limit=f"0..{len(x) - len(y)}")
    else:
        require(x == y or call.node.op_type == "Pow", "shapes must be equal", value=f"{list(x)} and {list(y)}")
        return call.name(1)
    shape = (*y, *(1,) * (len(x) - axis - len(y)))
    return call.name(1) if shape == y else call.emit(ops.Reshape(shape), call.name(1))


def _chain(kind: Callable[[], Operation]) -> Handler:
    """The handler of an operation of any number of tensors: the first two, then the result with the third, ..."""

    def handler(call: NodeCall) -> Sequence[str]:
        require(len(call.inputs) >= 1, "there are no inputs")
        total = call.name(0)
        for name in call.inputs[1:]:
            total = call.emit(kind(), total, name)
        return [total]

    return handler


def _mean(call: NodeCall) -> Sequence[str]:
    (total,) = _chain(ops.Add)(call)
    return [call.emit(ops.Mul(), total, call.number(1 / len(call.inputs), total))]


def _clip(call: NodeCall) -> Sequence[str]:
    x = call.name(0)
    if call.version < 11:
        return [call.emit(ops.Clip(call.attr_float("min", -math.inf), call.attr_float("max", math.inf)), x)]
    bounds = [-math.inf, math.inf]
    for index, kind in ((1, ops.Max), (2, ops.Min)):
        if not call.has(index):
            continue
        if call.known(index) is not None:
            bounds[index - 1] = call.scalar(index, "the bound")
        else:
            x = call.emit(kind(), x, call.name(index))
    return [x if bounds == [-math.inf, math.inf] else call.emit(ops.Clip(*bounds), x)]


def _dropout(call: NodeCall) -> Sequence[str]:
    if call.has(2) and bool(call.scalar(2, "training_mode")) and (not call.has(1) or call.scalar(1, "the ratio")):
        call.refuse("training is not supported", value="training_mode = 1")
    results = [call.name(0)]
    if call.wants(1):
        mask = call.make(np.array(True))
        results.append(call.emit(ops.Expand(call.operand(0).shape), mask))
    return results


def _identity(call: NodeCall) -> Sequence[str]:
    call.operand(0)
    return [call.name(0)]


def _where(call: NodeCall) -> Sequence[str]:
    return [call.emit(ops.Where(), *call.inputs)]


def cast_to(call: NodeCall, value: str, number: int) -> str:
    """The value in the element type that ONNX gives a number."""
    narrow = NARROW.get(number)
    if narrow is None:
        return call.cast(value, dtype_of(number, "the result"))
    if call.builder.stored_type(value) == number:
        return value
    rounding = call.choice("round_mode", "up", "up", "down", "nearest")
    result = call.emit(RoundToType(narrow, call.flag("saturate", True) and narrow.has_saturation, rounding), value)
    call.builder.note_type(result, make_tensor_type_proto(number, call.type_of(result).shape))
    return result


def _cast(call: NodeCall) -> Sequence[str]:
    return [cast_to(call, call.name(0), call.attr_int("to", 0))]


def _cast_like(call: NodeCall) -> Sequence[str]:
    stored = call.builder.stored_type(call.name(1))
    return [cast_to(call, call.name(0), stored) if stored else call.cast(call.name(0), call.operand(1).dtype)]


HANDLERS: Mapping[str, Handler] = {
    **{name: _plain(make, 1) for name, make in _UNARY.items()},
    **{name: _two(make) for name, make in _BINARY.items()},
    "Cast": _cast,
    "CastLike": _cast_like,
    "Clip": _clip,
    "Dropout": _dropout,
    "Identity": _identity,
    "Max": _chain(ops.Max),
    "Mean": _mean,
    "Min": _chain(ops.Min),
    "Sum": _chain(ops.Add),
    "Where": _where,
}
