"""Quantized models: numbers to integers and back; quantized products are computed on the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnx import TensorProto
from onnx.helper import make_tensor_type_proto

from openane.core.types import DType
from openane.frontends.onnx.call import Handler, NodeCall
from openane.frontends.onnx.handlers.convolution import convolution_of
from openane.frontends.onnx.tensors import NARROW, dtype_of
from openane.graph.ops import (
    DequantizeLinear,
    Div,
    Expand,
    MatMul,
    Max,
    Min,
    Mul,
    QuantizeLinear,
    Reshape,
    RoundToType,
    Slice,
)
from openane.graph.ops.support import normalize_axis


def _axis(call: NodeCall) -> int:
    """The axis of a scale with more than one value."""
    rank = call.rank()
    scalar = call.operand(1).shape in ((), (1,))
    return 0 if scalar else normalize_axis(call.attr_int("axis", 1), rank)


def _quantize(call: NodeCall) -> Sequence[str]:
    given = call.builder.stored_type(call.name(2)) if call.has(2) else 0
    number = call.attr_int("output_dtype", 0) or given
    dtype = call.operand(2).dtype if call.has(2) else DType.UINT8
    if number:
        dtype = dtype_of(number, "the result")
    narrow = NARROW.get(number)
    if dtype.is_float:
        if narrow is None:
            call.refuse("the quantized type is not supported", value=dtype.value)
        ratio = call.emit(Div(), call.cast(call.name(0), call.operand(1).dtype), _scale(call))
        result = call.emit(RoundToType(narrow, saturate=narrow.has_saturation), ratio)
    else:
        operation = QuantizeLinear(dtype, _axis(call), call.attr_int("block_size", 0))
        result = call.emit(operation, call.name(0), call.name(1), _zero(call))
    if narrow is not None:
        if narrow.range is not None:
            low, high = (call.number(bound, result) for bound in narrow.range)
            result = call.emit(Min(), call.emit(Max(), result, low), high)
        call.builder.note_type(result, make_tensor_type_proto(number, call.type_of(result).shape))
    return [result]


def _scale(call: NodeCall) -> str:
    """The scale in a shape that broadcasts to the first input; with blocks, every value once per element."""
    shape, axis, name = call.operand(0).shape, _axis(call), call.name(1)
    block, scales = call.attr_int("block_size", 0), call.operand(1).shape
    if block:
        parts = (*scales[: axis + 1], 1, *scales[axis + 1 :])
        repeated = call.emit(Expand((*parts[: axis + 1], block, *parts[axis + 2 :])), call.emit(Reshape(parts), name))
        whole = (*scales[:axis], scales[axis] * block, *scales[axis + 1 :])
        joined = call.emit(Reshape(whole), repeated)
        return call.emit(Slice((0,) * len(shape), shape, (1,) * len(shape)), joined)
    if scales in ((), (1,)):
        return call.emit(Reshape(()), name)
    return call.emit(Reshape((shape[axis], *(1,) * (len(shape) - 1 - axis))), name)


def _dequantize(call: NodeCall) -> Sequence[str]:
    dtype = call.operand(1).dtype
    number = call.attr_int("output_dtype", 0)
    if number and number != TensorProto.BFLOAT16:
        dtype = dtype_of(number, "the result")
    if call.operand(0).dtype.is_float:  # whose zero point can only be 0
        return [call.cast(call.emit(Mul(), call.cast(call.name(0), call.operand(1).dtype), _scale(call)), dtype)]
    operation = DequantizeLinear(dtype, _axis(call), call.attr_int("block_size", 0))
    return [call.emit(operation, call.name(0), call.name(1), _zero(call))]


def _zero(call: NodeCall) -> str:
    """The zero point; one of a single element in the shape of the scale."""
    if not call.has(2):
        return ""
    scale, zero = call.operand(1), call.operand(2)
    reshapes = scale.size == zero.size == 1 and scale.shape != zero.shape
    return call.emit(Reshape(scale.shape), call.name(2)) if reshapes else call.name(2)


def _numbers(call: NodeCall, value: int, scale: int, zero: int, axis: int) -> str:
    """A quantized input as float32; a vector of scales runs along `axis`."""
    operation = DequantizeLinear(DType.FLOAT32, axis)
    return call.emit(operation, call.name(value), call.cast(call.name(scale), DType.FLOAT32), call.name(zero))


def _integers(call: NodeCall, value: str, scale: int, zero: int) -> str:
    """float32 values quantized to the type of the zero point."""
    operation = QuantizeLinear(call.operand(zero).dtype, 0)
    return call.emit(operation, value, call.cast(call.name(scale), DType.FLOAT32), call.name(zero))


def _qlinear_matmul(call: NodeCall) -> Sequence[str]:
    left = _numbers(call, 0, 1, 2, max(call.rank(0) - 2, 0))
    right = _numbers(call, 3, 4, 5, max(call.rank(3) - 1, 0))
    return [_integers(call, call.emit(MatMul(), left, right), 6, 7)]


def _qlinear_conv(call: NodeCall) -> Sequence[str]:
    x, weight = _numbers(call, 0, 1, 2, 1), _numbers(call, 3, 4, 5, 0)
    operation = convolution_of(call, 3)
    bias = ""
    if call.has(8):
        # The bias counts in units of the two scales' product.
        units = call.emit(Mul(), call.cast(call.name(1), DType.FLOAT32), call.cast(call.name(4), DType.FLOAT32))
        units = call.emit(Expand(call.operand(8).shape), units)
        bias = call.emit(Mul(), call.cast(call.name(8), DType.FLOAT32), units)
    return [_integers(call, call.emit(operation, x, weight, bias), 6, 7)]


HANDLERS: Mapping[str, Handler] = {
    "DequantizeLinear": _dequantize,
    "QLinearConv": _qlinear_conv,
    "QLinearMatMul": _qlinear_matmul,
    "QuantizeLinear": _quantize,
}
