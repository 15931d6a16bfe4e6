"""Quantized models: numbers to integers and back; quantized products are computed on the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnx import TensorProto

from openane.core.types import DType
from openane.frontends.onnx.call import Handler, NodeCall
from openane.frontends.onnx.handlers.convolution import convolution_of
from openane.frontends.onnx.tensors import DTYPES, type_name
from openane.graph.ops import DequantizeLinear, Expand, MatMul, Mul, QuantizeLinear
from openane.graph.ops.support import normalize_axis


def _axis(call: NodeCall) -> int:
    """The axis of a scale with more than one value."""
    rank = call.rank()
    scalar = call.operand(1).shape in ((), (1,))
    return 0 if scalar else normalize_axis(call.attr_int("axis", 1), rank)


def _quantize(call: NodeCall) -> Sequence[str]:
    dtype = DType.UINT8
    if call.has(2):
        dtype = call.operand(2).dtype
    number = call.attr_int("output_dtype", 0)
    if number:
        if number not in DTYPES or DTYPES[number].is_float:
            call.refuse("the quantized type is not supported", value=type_name(number))
        dtype = DTYPES[number]
    if dtype.is_float:
        call.refuse("the quantized type is not supported", value=dtype.value)
    operation = QuantizeLinear(dtype, _axis(call), call.attr_int("block_size", 0))
    return [call.emit(operation, *call.inputs)]


def _dequantize(call: NodeCall) -> Sequence[str]:
    dtype = call.operand(1).dtype
    number = call.attr_int("output_dtype", 0)
    if number and number != TensorProto.BFLOAT16 and number in DTYPES:
        dtype = DTYPES[number]
    if call.operand(0).dtype.is_float:
        call.refuse("floating-point quantized types are not supported")
    operation = DequantizeLinear(dtype, _axis(call), call.attr_int("block_size", 0))
    return [call.emit(operation, *call.inputs)]


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
