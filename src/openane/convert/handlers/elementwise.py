"""How each operation of the Graph is spelled in MIL, Core ML's language: elementwise functions, norms, reductions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from openane.convert.builder import Handler, MilBuilder, element_name
from openane.core.errors import UnsupportedError
from openane.graph import Node, Operation
from openane.graph import ops as g

#: Functions of one operand: class -> name in MIL.
UNARY: Mapping[type[Operation], str] = MappingProxyType(
    {
        g.Abs: "abs",
        g.Acos: "acos",
        g.Asin: "asin",
        g.Atan: "atan",
        g.Atanh: "atanh",
        g.Ceil: "ceil",
        g.Cos: "cos",
        g.Cosh: "cosh",
        g.Erf: "erf",
        g.Exp: "exp",
        g.Exp2: "exp2",
        g.Floor: "floor",
        g.Identity: "identity",
        g.Not: "logical_not",
        g.Relu: "relu",
        g.Round: "round",
        g.Sigmoid: "sigmoid",
        g.Sign: "sign",
        g.Sin: "sin",
        g.Sinh: "sinh",
        g.Softplus: "softplus",
        g.Softsign: "softsign",
        g.Sqrt: "sqrt",
        g.Square: "square",
        g.Tan: "tan",
        g.Tanh: "tanh",
    }
)
#: Functions of two operands.
BINARY: Mapping[type[Operation], str] = MappingProxyType(
    {
        g.Add: "add",
        g.And: "logical_and",
        g.Equal: "equal",
        g.FloorDiv: "floor_div",
        g.Greater: "greater",
        g.GreaterOrEqual: "greater_equal",
        g.Less: "less",
        g.LessOrEqual: "less_equal",
        g.Max: "maximum",
        g.Min: "minimum",
        g.Mul: "mul",
        g.NotEqual: "not_equal",
        g.Or: "logical_or",
        g.Pow: "pow",
        g.Sub: "sub",
        g.Xor: "logical_xor",
    }
)
REDUCTIONS: Mapping[type[Operation], str] = MappingProxyType(
    {
        g.ReduceL1: "reduce_l1_norm",
        g.ReduceL2: "reduce_l2_norm",
        g.ReduceLogSum: "reduce_log_sum",
        g.ReduceLogSumExp: "reduce_log_sum_exp",
        g.ReduceMax: "reduce_max",
        g.ReduceMean: "reduce_mean",
        g.ReduceMin: "reduce_min",
        g.ReduceProd: "reduce_prod",
        g.ReduceSum: "reduce_sum",
        g.ReduceSumSquare: "reduce_sum_square",
    }
)
_LOGICAL = (g.And, g.Or, g.Xor)


def _unary(kind: str) -> Handler:
    return lambda b, node: (getattr(b.mb, kind)(x=b.get(node.inputs[0])),)


def _binary(kind: str) -> Handler:
    def handler(b: MilBuilder, node: Node) -> tuple[Any, ...]:
        x, y = (b.get(name) for name in node.inputs)
        if b.type(node.inputs[0]).dtype.value == "bool" and not isinstance(node.operation, _LOGICAL):
            x, y = (b.mb.cast(x=value, dtype="int32") for value in (x, y))
        return (getattr(b.mb, kind)(x=x, y=y),)

    return handler


def _reduction(kind: str) -> Handler:
    def handler(b: MilBuilder, node: Node) -> tuple[Any, ...]:
        operation: Any = node.operation
        axes = np.array(operation.axes, np.int32)
        return (getattr(b.mb, kind)(x=b.get(node.inputs[0]), axes=axes, keep_dims=operation.keepdims),)

    return handler


def _div(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    if not b.floats(node.inputs[0]):
        raise UnsupportedError("Core ML rounds quotients of integers down, not towards zero")
    x, y = (b.get(name) for name in node.inputs)
    return (b.mb.real_div(x=x, y=y),)


def _mod(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    operation = node.operation
    assert isinstance(operation, g.Mod)
    if operation.truncated:
        raise UnsupportedError("Core ML has no truncated remainder")
    return (b.mb.mod(x=b.get(node.inputs[0]), y=b.get(node.inputs[1])),)


def _with_epsilon(kind: str) -> Handler:
    """log, inverse and rsqrt: their own epsilon is not optional, so ours is added before."""

    def handler(b: MilBuilder, node: Node) -> tuple[Any, ...]:
        x, epsilon = b.get(node.inputs[0]), getattr(node.operation, "epsilon", 0.0)
        if kind == "inverse":
            return (b.mb.real_div(x=np.float32(1), y=b.scaled(x, 1, epsilon)),)
        return (getattr(b.mb, kind)(x=x, epsilon=np.float32(epsilon or 1e-45)),)

    return handler


def _neg(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    minus = np.float32(-1) if b.floats(node.inputs[0]) else np.int32(-1)
    return (b.mb.mul(x=b.get(node.inputs[0]), y=minus),)


def _trunc(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    x = b.get(node.inputs[0])
    return (b.mb.mul(x=b.mb.sign(x=x), y=b.mb.floor(x=b.mb.abs(x=x))),)


def _affine(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    operation = node.operation
    assert isinstance(operation, g.Affine)
    return (
        b.mb.linear_activation(
            x=b.get(node.inputs[0]), alpha=np.float32(operation.alpha), beta=np.float32(operation.beta)
        ),
    )


def _clip(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    operation, x = node.operation, b.get(node.inputs[0])
    assert isinstance(operation, g.Clip)
    number = np.float32 if b.floats(node.inputs[0]) else np.int32
    finite = math.isfinite(operation.minimum), math.isfinite(operation.maximum)
    if all(finite) and number is np.float32 and operation.minimum < operation.maximum:
        return (b.mb.clip(x=x, alpha=number(operation.minimum), beta=number(operation.maximum)),)
    if finite[0]:
        x = b.mb.maximum(x=x, y=number(operation.minimum))
    if finite[1]:
        x = b.mb.minimum(x=x, y=number(operation.maximum))
    return (x if any(finite) else b.mb.identity(x=x),)


def _attributes(kind: str, *names: str) -> Handler:
    def handler(b: MilBuilder, node: Node) -> tuple[Any, ...]:
        values = {name: np.float32(getattr(node.operation, name)) for name in names}
        return (getattr(b.mb, kind)(x=b.get(node.inputs[0]), **values),)

    return handler


def _celu(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    """alpha * elu(x / alpha), which is x above 0."""
    operation = node.operation
    assert isinstance(operation, g.Celu)
    x = b.scaled(b.get(node.inputs[0]), 1 / operation.alpha)
    return (b.scaled(b.mb.elu(x=x, alpha=np.float32(1)), operation.alpha),)


def _selu(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    operation = node.operation
    assert isinstance(operation, g.Selu)
    x = b.mb.elu(x=b.get(node.inputs[0]), alpha=np.float32(operation.alpha))
    return (b.scaled(x, operation.gamma),)


def _gelu(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    operation = node.operation
    assert isinstance(operation, g.Gelu)
    return (b.mb.gelu(x=b.get(node.inputs[0]), mode="TANH_APPROXIMATION" if operation.approximate else "EXACT"),)


def _hard_sigmoid(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    operation = node.operation
    assert isinstance(operation, g.HardSigmoid)
    alpha, beta = np.float32(operation.alpha), np.float32(operation.beta)
    return (b.mb.sigmoid_hard(x=b.get(node.inputs[0]), alpha=alpha, beta=beta),)


def _hard_swish(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    x = b.get(node.inputs[0])
    return (b.mb.mul(x=x, y=b.mb.sigmoid_hard(x=x, alpha=np.float32(1 / 6), beta=np.float32(0.5))),)


def _silu(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    operation, x = node.operation, b.get(node.inputs[0])
    assert isinstance(operation, g.Silu)
    return (b.mb.mul(x=x, y=b.mb.sigmoid(x=b.scaled(x, operation.alpha))),)


def _mish(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    x = b.get(node.inputs[0])
    return (b.mb.mul(x=x, y=b.mb.tanh(x=b.mb.softplus(x=x))),)


def _thresholded_relu(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    operation, x = node.operation, b.get(node.inputs[0])
    assert isinstance(operation, g.ThresholdedRelu)
    above = b.mb.cast(x=b.mb.greater(x=x, y=np.float32(operation.alpha)), dtype="fp32")
    return (b.mb.mul(x=x, y=above),)


def _prelu(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    """max(x, 0) + slope * min(x, 0): slopes of any shape."""
    x, slope = (b.get(name) for name in node.inputs)
    negative = b.mb.mul(x=slope, y=b.mb.minimum(x=x, y=np.float32(0)))
    return (b.mb.add(x=b.mb.relu(x=x), y=negative),)


def _where(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    shape = b.type(node.outputs[0]).shape
    condition, x, y = (b.broadcast(name, shape) for name in node.inputs)
    return (b.mb.select(cond=condition, a=x, b=y),)


def _cast(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    operation, x = node.operation, b.get(node.inputs[0])
    assert isinstance(operation, g.Cast)
    given, wanted = (element_name(dtype) for dtype in (b.type(node.inputs[0]).dtype, operation.dtype))
    return (b.mb.identity(x=x) if given == wanted else b.mb.cast(x=x, dtype=wanted),)


def _softmax(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    operation: Any = node.operation
    return (b.mb.softmax(x=b.get(node.inputs[0]), axis=operation.axis),)


def _log_softmax(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    operation, x = node.operation, b.get(node.inputs[0])
    assert isinstance(operation, g.LogSoftmax)
    return (b.mb.sub(x=x, y=b.mb.reduce_log_sum_exp(x=x, axes=[operation.axis], keep_dims=True)),)


def _scaled_and_shifted(b: MilBuilder, node: Node, x: Any, per_channel: bool = False) -> Any:
    """Times input 1, plus input 2, where the node has them."""
    for name, kind in zip(node.inputs[1:], ("mul", "add"), strict=False):
        if name:
            operand = b.get(name)
            if per_channel:
                rank = len(b.type(node.inputs[0]).shape)
                operand = b.reshape(operand, (1, -1, *[1] * (rank - 2)))
            x = getattr(b.mb, kind)(x=x, y=operand)
    return x


def _layer_norm(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    operation, x = node.operation, b.get(node.inputs[0])
    assert isinstance(operation, g.LayerNorm)
    axes, epsilon = list(operation.axes), np.float32(operation.epsilon)
    extents = tuple(b.type(node.inputs[0]).shape[axis] for axis in axes)
    operands = [name for name in node.inputs[1:] if name]
    fits = all(name in b.graph.constants and b.type(name).shape == extents for name in operands)
    if fits:
        names = zip(("gamma", "beta"), node.inputs[1:], strict=False)
        arrays = {theirs: b.array(ours) for theirs, ours in names if ours}
        return (b.mb.layer_norm(x=x, axes=axes, epsilon=epsilon, **arrays),)
    return (_scaled_and_shifted(b, node, b.mb.layer_norm(x=x, axes=axes, epsilon=epsilon)),)


def _channel_norm(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    """GroupNorm and InstanceNorm: every group of channels as a row that is standardized."""
    operation: Any = node.operation
    shape = b.type(node.inputs[0]).shape
    groups = operation.groups if isinstance(operation, g.GroupNorm) else shape[1]
    rows = b.reshape(b.get(node.inputs[0]), (shape[0], groups, math.prod(shape[1:]) // groups))
    normal = b.mb.layer_norm(x=rows, axes=[2], epsilon=np.float32(operation.epsilon))
    return (_scaled_and_shifted(b, node, b.reshape(normal, shape), per_channel=True),)


def _rms_norm(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    operation, x = node.operation, b.get(node.inputs[0])
    assert isinstance(operation, g.RmsNorm)
    mean = b.mb.reduce_mean(x=b.mb.square(x=x), axes=list(operation.axes), keep_dims=True)
    normal = b.mb.mul(x=x, y=b.mb.rsqrt(x=mean, epsilon=np.float32(operation.epsilon)))
    return (_scaled_and_shifted(b, node, normal),)


def _lp_norm(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    operation, x = node.operation, b.get(node.inputs[0])
    assert isinstance(operation, g.LpNorm)
    kind = "reduce_l1_norm" if operation.p == 1 else "reduce_sum_square"
    total = getattr(b.mb, kind)(x=x, axes=list(operation.axes), keep_dims=True)
    total = b.scaled(total, 1, operation.epsilon)
    norm = total if operation.p == 1 else b.mb.sqrt(x=total)
    smallest = np.float32(1e-20)  # keeps rows of zeros what they are
    return (b.mb.real_div(x=x, y=b.mb.maximum(x=norm, y=smallest)),)


def _batch_norm(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    operation = node.operation
    assert isinstance(operation, g.BatchNorm)
    x, *arrays = node.inputs
    gamma, beta, mean, variance = (b.array(name, "statistics of a batch norm") for name in arrays)
    return (
        b.mb.batch_norm(
            x=b.get(x), mean=mean, variance=variance, gamma=gamma, beta=beta, epsilon=np.float32(operation.epsilon)
        ),
    )


def _local_response_norm(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    operation = node.operation
    assert isinstance(operation, g.LocalResponseNorm)
    return (
        b.mb.local_response_norm(
            x=b.get(node.inputs[0]),
            size=operation.size,
            alpha=np.float32(operation.alpha),
            beta=np.float32(operation.beta),
            k=np.float32(operation.bias),
        ),
    )


def _extreme(kind: str) -> Handler:
    def handler(b: MilBuilder, node: Node) -> tuple[Any, ...]:
        operation: Any = node.operation
        if operation.last:
            raise UnsupportedError("Core ML finds the first position, not the last")
        x = b.get(node.inputs[0])
        return (getattr(b.mb, kind)(x=x, axis=operation.axis, keep_dims=operation.keepdims),)

    return handler


def _top_k(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    operation = node.operation
    assert isinstance(operation, g.TopK)
    x = b.get(node.inputs[0])
    return tuple(b.mb.topk(x=x, k=operation.k, axis=operation.axis, ascending=not operation.largest))


def _cumsum(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    operation = node.operation
    assert isinstance(operation, g.CumSum)
    x = b.get(node.inputs[0])
    exclusive, reverse = operation.exclusive, operation.reverse
    return (b.mb.cumsum(x=x, axis=operation.axis, exclusive=exclusive, reverse=reverse),)


#: By class of the operation.
HANDLERS: Mapping[type[Operation], Handler] = MappingProxyType(
    {
        **{operation: _unary(kind) for operation, kind in UNARY.items()},
        **{operation: _binary(kind) for operation, kind in BINARY.items()},
        **{operation: _reduction(kind) for operation, kind in REDUCTIONS.items()},
        g.Affine: _affine,
        g.ArgMax: _extreme("reduce_argmax"),
        g.ArgMin: _extreme("reduce_argmin"),
        g.BatchNorm: _batch_norm,
        g.Cast: _cast,
        g.Celu: _celu,
        g.Clip: _clip,
        g.CumSum: _cumsum,
        g.Div: _div,
        g.Elu: _attributes("elu", "alpha"),
        g.Gelu: _gelu,
        g.GroupNorm: _channel_norm,
        g.HardSigmoid: _hard_sigmoid,
        g.HardSwish: _hard_swish,
        g.InstanceNorm: _channel_norm,
        g.LayerNorm: _layer_norm,
        g.LeakyRelu: _attributes("leaky_relu", "alpha"),
        g.LocalResponseNorm: _local_response_norm,
        g.Log: _with_epsilon("log"),
        g.LogSoftmax: _log_softmax,
        g.LpNorm: _lp_norm,
        g.Mish: _mish,
        g.Mod: _mod,
        g.Neg: _neg,
        g.PRelu: _prelu,
        g.Reciprocal: _with_epsilon("inverse"),
        g.RmsNorm: _rms_norm,
        g.Rsqrt: _with_epsilon("rsqrt"),
        g.ScaledTanh: _attributes("scaled_tanh", "alpha", "beta"),
        g.Selu: _selu,
        g.Silu: _silu,
        g.Softmax: _softmax,
        g.ThresholdedRelu: _thresholded_relu,
        g.TopK: _top_k,
        g.Trunc: _trunc,
        g.Where: _where,
    }
)
