"""Between numbers and the integers that stand for them."""

from __future__ import annotations

import numpy as np

from openane.core.types import DType
from openane.frontends.mil.call import OperationCall
from openane.frontends.mil.operations.entry import Entry
from openane.graph.ops import DequantizeLinear, QuantizeLinear

_INTEGERS = {"int8": DType.INT8, "uint8": DType.UINT8}


def _quantize(call: OperationCall) -> None:
    """round(x / scale) + zero_point, within the integers of the result."""
    dtype = _INTEGERS[call.text("output_dtype", allowed=tuple(_INTEGERS))]
    call.finish(QuantizeLinear(dtype, _axis(call)), call.value("input"), call.value("scale"), _zero(call, dtype))


def _dequantize(call: OperationCall) -> None:
    """(x - zero_point) * scale, in the type of the scale."""
    dtype = call.type("scale").dtype
    found = call.type("input").dtype
    call.finish(DequantizeLinear(dtype, _axis(call)), call.value("input"), call.value("scale"), _zero(call, found))


def _axis(call: OperationCall) -> int:
    rank = len(call.type("input").shape)
    if not call.type("scale").shape:
        return 0
    return call.axis("axis", rank)


def _zero(call: OperationCall, dtype: DType) -> str:
    """The zero point in the type of the integers and the shape of the scale; empty where it is left out."""
    if not call.has("zero_point"):
        return ""
    zero, shape = call.constant("zero_point"), call.type("scale").shape
    if zero.shape != shape:
        call.refuse("scale and zero point differ in shape", value=list(zero.shape), limit=list(shape))
    limits = np.iinfo(dtype.value)
    if zero.size and not limits.min <= int(zero.min()) <= int(zero.max()) <= limits.max:
        call.refuse("the zero point is not one of the integers", value=zero.max(), limit=dtype.value)
    return call.builder.constant(zero.astype(dtype.numpy), f"{call.operation.name}_zero_point")


ENTRIES = {
    "quantize": Entry(("input", "zero_point", "scale", "output_dtype", "axis"), _quantize),
    "dequantize": Entry(("input", "zero_point", "scale", "axis"), _dequantize),
}
