"""Element by element: activations, unary functions, arithmetic, comparisons."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from openane.core.types import DType
from openane.frontends.mil.call import OperationCall
from openane.frontends.mil.elaborate import DTYPES
from openane.frontends.mil.operations.entry import Entry
from openane.graph import ops
from openane.graph.operation import Operation

Make = Callable[[OperationCall], Operation]


def _unary(make: Make, *parameters: str) -> Entry:
    return Entry(("x", *parameters), lambda call: call.finish(make(call), call.value("x")))


def _plain(kind: type[Operation]) -> Entry:
    return _unary(lambda call: kind())


def _binary(kind: type[Operation]) -> Entry:
    return Entry(("x", "y"), lambda call: call.finish(kind(), call.value("x"), call.value("y")))


def _gelu(call: OperationCall) -> Operation:
    mode = call.text("mode", "EXACT", ("EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION"))
    return ops.Gelu(approximate=mode == "TANH_APPROXIMATION")


def _translate_gelu(call: OperationCall) -> None:
    if call.text("mode", "EXACT") == "SIGMOID_APPROXIMATION":
        x = call.value("x")
        factor = call.builder.constant(np.asarray(1.702, call.type("x").dtype.numpy), f"{call.operation.name}_factor")
        gate = call.emit(ops.Sigmoid(), call.emit(ops.Mul(), x, factor))
        call.finish(ops.Mul(), x, gate)
        return
    call.finish(_gelu(call), call.value("x"))


def _prelu(call: OperationCall) -> None:
    x, alpha = call.value("x"), call.constant("alpha")
    rank = len(call.type("x").shape)
    slope = alpha.reshape(-1, *(1,) * max(rank - 2, 0)) if alpha.size > 1 else alpha
    name = call.builder.constant(slope, f"{call.operation.name}_slope")
    call.finish(ops.PRelu(), x, name)


def _scaled(call: OperationCall, factor: str, offset: str | None) -> str:
    """x * factor + offset, with constants of the element type of x."""
    x, dtype = call.value("x"), call.type("x").dtype.numpy
    builder, name = call.builder, call.operation.name
    scaled = call.emit(ops.Mul(), x, builder.constant(call.constant(factor).astype(dtype), f"{name}_{factor}"))
    if offset is None:
        return scaled
    return call.emit(ops.Add(), scaled, builder.constant(call.constant(offset).astype(dtype), f"{name}_{offset}"))


def _linear_activation(call: OperationCall) -> None:
    call.finish(ops.Identity(), _scaled(call, "alpha", "beta" if call.has("beta") else None))


def _clamped_relu(call: OperationCall) -> None:
    """min(beta, x) where x >= 0, min(beta, alpha * x) elsewhere."""
    leaky = call.emit(ops.LeakyRelu(call.number("alpha")), call.value("x"))
    call.finish(ops.Clip(maximum=call.number("beta")), leaky)


def _threshold(call: OperationCall) -> None:
    call.finish(ops.Clip(minimum=call.number("alpha")), call.value("x"))


def _softplus_parametric(call: OperationCall) -> None:
    """alpha_c * log(1 + exp(beta_c * x))."""
    x, dtype = call.value("x"), call.type("x").dtype.numpy
    ones = (1,) * max(len(call.type("x").shape) - 2, 0)
    names = {
        key: call.builder.constant(call.constant(key).astype(dtype).reshape(-1, *ones), f"{call.operation.name}_{key}")
        for key in ("alpha", "beta")
    }
    inner = call.emit(ops.Softplus(), call.emit(ops.Mul(), x, names["beta"]))
    call.finish(ops.Mul(), inner, names["alpha"])


def _cast(call: OperationCall) -> None:
    name = call.text("dtype", allowed=("fp16", "fp32", "int8", "uint8", "int16", "uint16", "int32", "bool"))
    dtype = DTYPES[name]
    if dtype == call.type("x").dtype:
        call.finish(ops.Identity(), call.value("x"))
        return
    call.finish(ops.Cast(dtype), call.value("x"))


def _select(call: OperationCall) -> None:
    condition = call.value("cond")
    if call.type("cond").dtype is not DType.BOOL:
        condition = call.emit(ops.Cast(DType.BOOL), condition)
    call.finish(ops.Where(), condition, call.value("a"), call.value("b"))


def _number(name: str, default: float | None = None) -> Callable[[OperationCall], float]:
    return lambda call: call.number(name, default)


_alpha, _beta = _number("alpha"), _number("beta")

ENTRIES = {
    "identity": _plain(ops.Identity),
    "tensor_buffer_to_tensor": Entry(("input",), lambda call: call.finish(ops.Identity(), call.value("input"))),
    "tensor_to_tensor_buffer": Entry(("input",), lambda call: call.finish(ops.Identity(), call.value("input"))),
    "relu": _plain(ops.Relu),
    "relu6": _unary(lambda call: ops.Clip(0.0, 6.0)),
    "leaky_relu": _unary(lambda call: ops.LeakyRelu(call.number("alpha", 0.01)), "alpha"),
    "prelu": Entry(("x", "alpha"), _prelu),
    "elu": _unary(lambda call: ops.Elu(call.number("alpha", 1.0)), "alpha"),
    "clamped_relu": Entry(("x", "alpha", "beta"), _clamped_relu),
    "thresholded_relu": _unary(lambda call: ops.ThresholdedRelu(call.number("alpha", 1.0)), "alpha"),
    "threshold": Entry(("x", "alpha"), _threshold),
    "clip": _unary(lambda call: ops.Clip(_alpha(call), _beta(call)), "alpha", "beta"),
    "linear_activation": Entry(("x", "alpha", "beta"), _linear_activation),
    "scaled_tanh": _unary(
        lambda call: ops.ScaledTanh(call.number("alpha", 1.0), call.number("beta", 1.0)), "alpha", "beta"
    ),
    "sigmoid": _plain(ops.Sigmoid),
    "sigmoid_hard": _unary(
        lambda call: ops.HardSigmoid(call.number("alpha", 0.2), call.number("beta", 0.5)), "alpha", "beta"
    ),
    "silu": _plain(ops.Silu),
    "gelu": Entry(("x", "mode"), _translate_gelu),
    "softplus": _plain(ops.Softplus),
    "softplus_parametric": Entry(("x", "alpha", "beta"), _softplus_parametric),
    "softsign": _plain(ops.Softsign),
    "tanh": _plain(ops.Tanh),
    "abs": _plain(ops.Abs),
    "acos": _plain(ops.Acos),
    "asin": _plain(ops.Asin),
    "atan": _plain(ops.Atan),
    "atanh": _plain(ops.Atanh),
    "ceil": _plain(ops.Ceil),
    "cos": _plain(ops.Cos),
    "cosh": _plain(ops.Cosh),
    "erf": _plain(ops.Erf),
    "exp": _plain(ops.Exp),
    "exp2": _plain(ops.Exp2),
    "floor": _plain(ops.Floor),
    "inverse": _unary(lambda call: ops.Reciprocal(call.number("epsilon", 1e-4)), "epsilon"),
    "log": _unary(lambda call: ops.Log(call.number("epsilon", 1e-45)), "epsilon"),
    "logical_not": _plain(ops.Not),
    "round": _plain(ops.Round),
    "rsqrt": _unary(lambda call: ops.Rsqrt(call.number("epsilon", 1e-12)), "epsilon"),
    "sign": _plain(ops.Sign),
    "sin": _plain(ops.Sin),
    "sinh": _plain(ops.Sinh),
    "sqrt": _plain(ops.Sqrt),
    "square": _plain(ops.Square),
    "tan": _plain(ops.Tan),
    "cast": Entry(("x", "dtype"), _cast),
    "add": _binary(ops.Add),
    "sub": _binary(ops.Sub),
    "mul": _binary(ops.Mul),
    "real_div": _binary(ops.Div),
    "floor_div": _binary(ops.FloorDiv),
    "mod": _binary(ops.Mod),
    "pow": _binary(ops.Pow),
    "maximum": _binary(ops.Max),
    "minimum": _binary(ops.Min),
    "equal": _binary(ops.Equal),
    "not_equal": _binary(ops.NotEqual),
    "less": _binary(ops.Less),
    "less_equal": _binary(ops.LessOrEqual),
    "greater": _binary(ops.Greater),
    "greater_equal": _binary(ops.GreaterOrEqual),
    "logical_and": _binary(ops.And),
    "logical_or": _binary(ops.Or),
    "logical_xor": _binary(ops.Xor),
    "select": Entry(("cond", "a", "b"), _select),
}
