"""How each operation of the Graph is spelled in ONNX, opset 20."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from openane.core.errors import UnsupportedError
from openane.core.types import DType
from openane.graph import Node, Operation
from openane.graph import ops as o
from openane.runtimes.host.writer import Handler, Writer


def _attributes(kind: str, *names: str, **renamed: str) -> Handler:
    """A node with these attributes of the operation, under their own or another name."""
    pairs = {**{name: name for name in names}, **renamed}

    def handler(w: Writer, node: Node) -> list[str]:
        values = {theirs: getattr(node.operation, ours) for ours, theirs in pairs.items()}
        plain = {name: int(value) if isinstance(value, bool) else value for name, value in values.items()}
        return w.emit(kind, *node.inputs, count=len(node.outputs), **plain)

    return handler


def _same(w: Writer, node: Node) -> list[str]:
    """An operation without attributes that has its name in ONNX."""
    return w.emit(type(node.operation).__name__, *node.inputs, count=len(node.outputs))


def _reduction(kind: str) -> Handler:
    def handler(w: Writer, node: Node) -> list[str]:
        operation: Any = node.operation
        if not operation.axes:
            return w.emit(kind, node.inputs[0], w.integers(), keepdims=1, noop_with_empty_axes=1)
        return w.emit(kind, node.inputs[0], w.integers(*operation.axes), keepdims=int(operation.keepdims))

    return handler


def _integers(kind: str, attribute: str) -> Handler:
    """A node whose attribute is a second input there: a row of integers."""

    def handler(w: Writer, node: Node) -> list[str]:
        return w.emit(kind, node.inputs[0], w.integers(*getattr(node.operation, attribute)))

    return handler


def _running(kind: str) -> Handler:
    def handler(w: Writer, node: Node) -> list[str]:
        operation: Any = node.operation
        axis = w.constant(np.int64(operation.axis))
        return w.emit(kind, node.inputs[0], axis, exclusive=int(operation.exclusive), reverse=int(operation.reverse))

    return handler


def _division(w: Writer, node: Node) -> list[str]:
    x, y = node.inputs
    if not w.type(x).dtype.is_float:
        divisor = w.graph.constants.get(y)
        if divisor is None or not np.all(divisor):
            raise UnsupportedError("a division of integers whose divisor may be 0 is left to the reference")
    operation = node.operation
    if isinstance(operation, o.Mod):
        if w.type(x).dtype.is_float and not operation.truncated:
            raise UnsupportedError("ONNX has no remainder of numbers with the sign of the divisor")
        return w.emit("Mod", x, y, fmod=int(operation.truncated))
    if isinstance(operation, o.FloorDiv):
        if not w.type(x).dtype.is_float:
            raise UnsupportedError("ONNX has no floor division of integers")
        return w.emit("Floor", w.one("Div", x, y))
    return w.emit("Div", x, y)


def _affine(w: Writer, node: Node) -> list[str]:
    (x,), operation = node.inputs, node.operation
    assert isinstance(operation, o.Affine)
    scaled = w.one("Mul", x, w.constant(operation.alpha, x))
    return w.emit("Add", scaled, w.constant(operation.beta, x))


def _shifted(w: Writer, node: Node) -> str:
    """The operand plus the operation's epsilon."""
    (x,), epsilon = node.inputs, getattr(node.operation, "epsilon", 0.0)
    return w.one("Add", x, w.constant(epsilon, x)) if epsilon else x


def _log(w: Writer, node: Node) -> list[str]:
    return w.emit("Log", _shifted(w, node))


def _reciprocal(w: Writer, node: Node) -> list[str]:
    return w.emit("Reciprocal", _shifted(w, node))


def _rsqrt(w: Writer, node: Node) -> list[str]:
    return w.emit("Reciprocal", w.one("Sqrt", _shifted(w, node)))


def _exp2(w: Writer, node: Node) -> list[str]:
    return w.emit("Pow", w.constant(2.0, node.inputs[0]), node.inputs[0])


def _square(w: Writer, node: Node) -> list[str]:
    return w.emit("Mul", node.inputs[0], node.inputs[0])


def _trunc(w: Writer, node: Node) -> list[str]:
    (x,) = node.inputs
    return w.emit("Mul", w.one("Sign", x), w.one("Floor", w.one("Abs", x)))


def _silu(w: Writer, node: Node) -> list[str]:
    (x,), operation = node.inputs, node.operation
    assert isinstance(operation, o.Silu)
    scaled = x if operation.alpha == 1 else w.one("Mul", x, w.constant(operation.alpha, x))
    return w.emit("Mul", x, w.one("Sigmoid", scaled))


def _scaled_tanh(w: Writer, node: Node) -> list[str]:
    (x,), operation = node.inputs, node.operation
    assert isinstance(operation, o.ScaledTanh)
    inner = w.one("Tanh", w.one("Mul", x, w.constant(operation.beta, x)))
    return w.emit("Mul", inner, w.constant(operation.alpha, x))


def _not_equal(w: Writer, node: Node) -> list[str]:
    return w.emit("Not", w.one("Equal", *node.inputs))


def _gelu(w: Writer, node: Node) -> list[str]:
    operation = node.operation
    assert isinstance(operation, o.Gelu)
    return w.emit("Gelu", node.inputs[0], approximate="tanh" if operation.approximate else "none")


def _clip(w: Writer, node: Node) -> list[str]:
    (x,), operation = node.inputs, node.operation
    assert isinstance(operation, o.Clip)
    low = "" if operation.minimum == -math.inf else w.constant(operation.minimum, x)
    high = "" if operation.maximum == math.inf else w.constant(operation.maximum, x)
    return w.emit("Clip", x, low, high)


def _is_inf(w: Writer, node: Node) -> list[str]:
    operation = node.operation
    assert isinstance(operation, o.IsInf)
    return w.emit(
        "IsInf", *node.inputs, detect_negative=int(operation.negative), detect_positive=int(operation.positive)
    )


def _cast(w: Writer, node: Node) -> list[str]:
    from onnx import helper

    operation = node.operation
    assert isinstance(operation, o.Cast)
    return w.emit("Cast", node.inputs[0], to=int(helper.np_dtype_to_tensor_dtype(operation.dtype.numpy)))


def _round_to_type(w: Writer, node: Node) -> list[str]:
    from onnx import TensorProto

    operation = node.operation
    assert isinstance(operation, o.RoundToType)
    floats = (o.NarrowType.BFLOAT16, o.NarrowType.FLOAT8E4M3FN, o.NarrowType.FLOAT8E4M3FNUZ, o.NarrowType.FLOAT8E5M2)
    if operation.type not in (*floats, o.NarrowType.FLOAT8E5M2FNUZ):
        raise UnsupportedError(f"rounding to {operation.type.value} is left to the reference")
    number = int(TensorProto.DataType.Value(operation.type.name))
    saturation = {"saturate": int(operation.saturate)} if operation.type.has_saturation else {}
    rounded = w.one("Cast", node.inputs[0], to=number, **saturation)
    return w.emit("Cast", rounded, to=TensorProto.FLOAT)


def _matmul(w: Writer, node: Node) -> list[str]:
    operation = node.operation
    assert isinstance(operation, o.MatMul)
    names = []
    for name, swapped in zip(node.inputs, (operation.transpose_a, operation.transpose_b), strict=True):
        rank = len(w.type(name).shape)
        order = [*range(rank - 2), rank - 1, rank - 2]
        names.append(w.one("Transpose", name, perm=order) if swapped and rank > 1 else name)
    return w.emit("MatMul", *names)


def _scaled(w: Writer, node: Node, value: str) -> list[str]:
    """A value times the scale, plus the bias, where the node has them: inputs 1 and 2 by numpy's rule."""
    for kind, name in zip(("Mul", "Add"), node.inputs[1:], strict=False):
        if name:
            value = w.one(kind, value, name)
    return [value]


def _standardized(w: Writer, x: str, axes: tuple[int, ...], epsilon: str) -> str:
    numbers = w.integers(*axes)
    centered = w.one("Sub", x, w.one("ReduceMean", x, numbers))
    variance = w.one("ReduceMean", w.one("Mul", centered, centered), numbers)
    return w.one("Div", centered, w.one("Sqrt", w.one("Add", variance, epsilon)))


def _layer_norm(w: Writer, node: Node) -> list[str]:
    operation = node.operation
    assert isinstance(operation, o.LayerNorm)
    x = node.inputs[0]
    return _scaled(w, node, _standardized(w, x, operation.axes, w.constant(operation.epsilon, x)))


def _rms_norm(w: Writer, node: Node) -> list[str]:
    operation = node.operation
    assert isinstance(operation, o.RmsNorm)
    x = node.inputs[0]
    mean = w.one("ReduceMean", w.one("Mul", x, x), w.integers(*operation.axes))
    root = w.one("Sqrt", w.one("Add", mean, w.constant(operation.epsilon, x)))
    return _scaled(w, node, w.one("Div", x, root))


def _channel_norm(w: Writer, node: Node) -> list[str]:
    """GroupNorm and InstanceNorm: every group of channels standardized, then scale and bias per channel."""
    operation: Any = node.operation
    x = node.inputs[0]
    shape = w.type(x).shape
    groups = operation.groups if isinstance(operation, o.GroupNorm) else shape[1]
    rows = w.one("Reshape", x, w.integers(shape[0], groups, math.prod(shape[1:]) // groups))
    normal = _standardized(w, rows, (2,), w.constant(operation.epsilon, x))
    value = w.one("Reshape", normal, w.integers(*shape))
    per_channel = w.integers(1, shape[1], *[1] * (len(shape) - 2))
    for kind, name in zip(("Mul", "Add"), node.inputs[1:], strict=False):
        if name:
            value = w.one(kind, value, w.one("Reshape", name, per_channel))
    return [value]


def _lp_norm(w: Writer, node: Node) -> list[str]:
    operation = node.operation
    assert isinstance(operation, o.LpNorm)
    (x,) = node.inputs
    axes = w.integers(*operation.axes)
    total = w.one("ReduceL1" if operation.p == 1 else "ReduceSumSquare", x, axes)
    if operation.epsilon:
        total = w.one("Add", total, w.constant(operation.epsilon, x))
    norm = total if operation.p == 1 else w.one("Sqrt", total)
    zero = w.constant(0.0, x)
    divisor = w.one("Where", w.one("Equal", norm, zero), w.constant(1.0, x), norm)
    return w.emit("Div", x, divisor)


def _expand(w: Writer, node: Node) -> list[str]:
    operation = node.operation
    assert isinstance(operation, o.Expand)
    return w.emit("Expand", node.inputs[0], w.integers(*operation.shape))


def _slice(w: Writer, node: Node) -> list[str]:
    operation = node.operation
    assert isinstance(operation, o.Slice)
    before_all = np.iinfo(np.int64).min
    ends = [before_all if end < 0 else end for end in operation.ends]
    axes = w.integers(*range(len(ends)))
    return w.emit(
        "Slice", node.inputs[0], w.integers(*operation.starts), w.integers(*ends), axes, w.integers(*operation.steps)
    )


def _split(w: Writer, node: Node) -> list[str]:
    operation = node.operation
    assert isinstance(operation, o.Split)
    sizes = w.integers(*operation.sizes)
    return w.emit("Split", node.inputs[0], sizes, count=len(node.outputs), axis=operation.axis)


def _pad(w: Writer, node: Node) -> list[str]:
    (x,), operation = node.inputs, node.operation
    assert isinstance(operation, o.Pad)
    if not operation.pads:  # onnxruntime does not pad a value without axes
        return [node.inputs[0]]
    value = w.constant(operation.value, x)
    return w.emit("Pad", x, w.integers(*operation.pads), value, mode=operation.mode.value)


def _trilu(w: Writer, node: Node) -> list[str]:
    operation = node.operation
    assert isinstance(operation, o.Trilu)
    offset = w.constant(np.int64(operation.offset))
    return w.emit("Trilu", node.inputs[0], offset, upper=int(operation.upper))


def _one_hot(w: Writer, node: Node) -> list[str]:
    """Spelled out, because onnxruntime has OneHot for few element types."""
    operation = node.operation
    assert isinstance(operation, o.OneHot)
    indices, values = node.inputs
    shape = w.type(indices).shape
    spread = (*shape[: operation.axis], 1, *shape[operation.axis :])
    places = np.arange(operation.depth).reshape(-1, *[1] * (len(spread) - operation.axis - 1))
    negative = w.one("Less", indices, w.constant(0, indices))
    wrapped = w.one("Where", negative, w.one("Add", indices, w.constant(operation.depth, indices)), indices)
    found = w.one("Equal", w.one("Reshape", wrapped, w.integers(*spread)), w.constant(places, indices))
    off, on = (w.one("Gather", values, w.constant(np.int64(index)), axis=0) for index in (0, 1))
    return w.emit("Where", found, on, off)


def _top_k(w: Writer, node: Node) -> list[str]:
    operation = node.operation
    assert isinstance(operation, o.TopK)
    count = w.integers(operation.k)
    return w.emit("TopK", node.inputs[0], count, count=2, axis=operation.axis, largest=int(operation.largest), sorted=1)


def _scatter(kind: str) -> Handler:
    def handler(w: Writer, node: Node) -> list[str]:
        operation: Any = node.operation
        axis = {"axis": operation.axis} if kind == "ScatterElements" else {}
        return w.emit(kind, *node.inputs, reduction=operation.mode.value, **axis)

    return handler


def _shift(direction: str) -> Handler:
    return lambda w, node: w.emit("BitShift", *node.inputs, direction=direction)


def _recurrent(kind: str) -> Handler:
    def handler(w: Writer, node: Node) -> list[str]:
        operation: Any = node.operation
        if operation.activations or math.isfinite(operation.clip):
            raise UnsupportedError("other activations than the usual ones are left to the reference")
        attributes: dict[str, Any] = {"hidden_size": operation.hidden, "direction": operation.direction.value}
        if isinstance(operation, o.GRU):
            attributes["linear_before_reset"] = int(operation.linear_before_reset)
        if isinstance(operation, o.LSTM):
            attributes["input_forget"] = int(operation.input_forget)
        names = list(node.inputs)
        if len(names) > 4 and names[4] and w.type(names[4]).dtype is not DType.INT32:
            names[4] = w.one("Cast", names[4], to=6)
        return w.emit(kind, *names, count=len(node.outputs), **attributes)

    return handler


#: By class of the operation.
MAPPINGS: Mapping[type[Operation], Handler] = MappingProxyType(
    {
        **dict.fromkeys(
            (
                *(o.Abs, o.Acos, o.Acosh, o.Add, o.And, o.Asin, o.Asinh, o.Atan, o.Atanh, o.BitwiseAnd),
                *(o.BitwiseNot, o.BitwiseOr, o.BitwiseXor, o.Ceil, o.Cos, o.Cosh, o.Equal, o.Erf, o.Exp, o.Floor),
                *(o.Greater, o.GreaterOrEqual, o.HardSwish, o.Identity, o.IsNaN, o.Less, o.LessOrEqual, o.Max),
                *(o.Min, o.Mish, o.Mul, o.Neg, o.Not, o.Or, o.PRelu, o.Pow, o.Relu, o.Round, o.Sigmoid, o.Sign),
                *(o.Sin, o.Sinh, o.Softplus, o.Softsign, o.Sqrt, o.Sub, o.Tan, o.Tanh, o.Where, o.Xor),
            ),
            _same,
        ),
        o.Affine: _affine,
        o.ArgMax: _attributes("ArgMax", "axis", "keepdims", last="select_last_index"),
        o.ArgMin: _attributes("ArgMin", "axis", "keepdims", last="select_last_index"),
        o.BatchNorm: _attributes("BatchNormalization", "epsilon"),
        o.Cast: _cast,
        o.Celu: _attributes("Celu", "alpha"),
        o.Clip: _clip,
        o.Concat: _attributes("Concat", "axis"),
        o.CumSum: _running("CumSum"),
        o.Div: _division,
        o.Einsum: _attributes("Einsum", "equation"),
        o.Elu: _attributes("Elu", "alpha"),
        o.Exp2: _exp2,
        o.Expand: _expand,
        o.FloorDiv: _division,
        o.GRU: _recurrent("GRU"),
        o.Gather: _attributes("Gather", "axis"),
        o.GatherElements: _attributes("GatherElements", "axis"),
        o.GatherND: _attributes("GatherND", batch_axes="batch_dims"),
        o.Gelu: _gelu,
        o.GroupNorm: _channel_norm,
        o.HardSigmoid: _attributes("HardSigmoid", "alpha", "beta"),
        o.Hardmax: _attributes("Hardmax", "axis"),
        o.InstanceNorm: _channel_norm,
        o.IsInf: _is_inf,
        o.LSTM: _recurrent("LSTM"),
        o.LayerNorm: _layer_norm,
        o.LeakyRelu: _attributes("LeakyRelu", "alpha"),
        o.Log: _log,
        o.LogSoftmax: _attributes("LogSoftmax", "axis"),
        o.LpNorm: _lp_norm,
        o.MatMul: _matmul,
        o.Mod: _division,
        o.NotEqual: _not_equal,
        o.OneHot: _one_hot,
        o.Pad: _pad,
        o.RNN: _recurrent("RNN"),
        o.Reciprocal: _reciprocal,
        o.ReduceL1: _reduction("ReduceL1"),
        o.ReduceL2: _reduction("ReduceL2"),
        o.ReduceLogSum: _reduction("ReduceLogSum"),
        o.ReduceLogSumExp: _reduction("ReduceLogSumExp"),
        o.ReduceMax: _reduction("ReduceMax"),
        o.ReduceMean: _reduction("ReduceMean"),
        o.ReduceMin: _reduction("ReduceMin"),
        o.ReduceProd: _reduction("ReduceProd"),
        o.ReduceSum: _reduction("ReduceSum"),
        o.ReduceSumSquare: _reduction("ReduceSumSquare"),
        o.Reshape: _integers("Reshape", "shape"),
        o.ReverseSequence: _attributes("ReverseSequence", batch_axis="batch_axis", time_axis="time_axis"),
        o.RmsNorm: _rms_norm,
        o.RoundToType: _round_to_type,
        o.Rsqrt: _rsqrt,
        o.ScaledTanh: _scaled_tanh,
        o.ScatterElements: _scatter("ScatterElements"),
        o.ScatterND: _scatter("ScatterND"),
        o.Selu: _attributes("Selu", "alpha", "gamma"),
        o.ShiftLeft: _shift("LEFT"),
        o.ShiftRight: _shift("RIGHT"),
        o.Shrink: _attributes("Shrink", "bias", threshold="lambd"),
        o.Silu: _silu,
        o.Slice: _slice,
        o.Softmax: _attributes("Softmax", "axis"),
        o.Split: _split,
        o.Square: _square,
        o.ThresholdedRelu: _attributes("ThresholdedRelu", "alpha"),
        o.Tile: _integers("Tile", "repeats"),
        o.TopK: _top_k,
        o.Transpose: _attributes("Transpose", permutation="perm"),
        o.Trilu: _trilu,
        o.Trunc: _trunc,
    }
)
