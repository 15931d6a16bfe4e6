"""Constants, and operations that are constants once all shapes are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from onnx import AttributeProto

from openane.core.errors import ModelError
from openane.frontends.onnx.call import Handler, NodeCall
from openane.frontends.onnx.tensors import dtype_of
from openane.graph.folding import SIZE_LIMIT
from openane.graph.ops import Expand, Gather, Reshape
from openane.graph.ops.support import product_of, require


def _constant(call: NodeCall) -> Sequence[str]:
    for attribute in call.node.attribute:
        match attribute.name:
            case "value":
                tensor = call.attribute("value", AttributeProto.TENSOR)
                assert tensor is not None
                return [call.make(call.tensors.array(tensor.t, "the constant"))]
            case "sparse_value":
                sparse = call.attribute("sparse_value", AttributeProto.SPARSE_TENSOR)
                assert sparse is not None
                return [call.make(call.tensors.dense(sparse.sparse_tensor, "the constant"))]
            case "value_int":
                return [call.make(np.array(call.attr_int("value_int", 0), np.int64))]
            case "value_ints":
                return [call.make(np.array(call.attr_ints("value_ints"), np.int64))]
            case "value_float":
                return [call.make(np.array(call.attr_float("value_float", 0), np.float32))]
            case "value_floats":
                return [call.make(np.array(call.attr_floats("value_floats"), np.float32))]
            case "value_string" | "value_strings":
                call.refuse("texts are not supported")
    raise ModelError("the constant has no value")


def _constant_of_shape(call: NodeCall) -> Sequence[str]:
    shape = call.integers(0, "the shape")
    require(all(e >= 0 for e in shape), "the shape has a negative extent", value=list(shape))
    large = product_of(shape) > SIZE_LIMIT
    require(not large, "the shape is absurdly large", value=list(shape), limit=f"{SIZE_LIMIT} elements")
    attribute = call.attribute("value", AttributeProto.TENSOR)
    value = np.zeros(1, np.float32) if attribute is None else call.tensors.array(attribute.t, "the value")
    require(value.size == 1, "the value must be one number", value=list(value.shape))
    return [call.emit(Expand(shape), call.make(value.reshape(())))]


def _shape(call: NodeCall) -> Sequence[str]:
    shape = call.operand(0).shape
    start, end = call.attr_int("start", 0), call.attr_int("end", len(shape))
    return [call.make(np.array(shape[slice(start, end)], np.int64))]


def _size(call: NodeCall) -> Sequence[str]:
    return [call.make(np.array(call.operand(0).size, np.int64))]


def _range(call: NodeCall) -> Sequence[str]:
    start, limit, delta = (call.constant(i, what) for i, what in enumerate(("the start", "the limit", "the step")))
    for value in (start, limit, delta):
        require(value.size == 1, "start, limit and step must be one number each", value=list(value.shape))
    first, last, step = (value.reshape(()).item() for value in (start, limit, delta))
    require(step != 0, "the step is 0")
    count = (last - first) / step
    require(count <= SIZE_LIMIT, "the range is absurdly long", value=count, limit=SIZE_LIMIT)
    length = max(int(np.ceil(count)), 0)
    return [call.make((first + np.arange(length) * step).astype(start.dtype))]


def _eye_like(call: NodeCall) -> Sequence[str]:
    x = call.operand(0)
    require(len(x.shape) == 2 and x.size <= SIZE_LIMIT, "needs a matrix of bearable size", value=x)
    number = call.attr_int("dtype", 0)
    dtype = dtype_of(number, "the result") if number else x.dtype
    return [call.make(np.eye(x.shape[0], x.shape[1], k=call.attr_int("k", 0), dtype=dtype.numpy))]


def _known(call: NodeCall) -> np.ndarray:
    """The array of an input that decides the shape of the result.

    Raises:
        UnsupportedError: it is computed.
    """
    call.operand(0)
    array = call.known(0)
    if array is None:
        call.refuse("the shape of the result depends on the data", value=repr(call.node.input[0]))
    return array


def _non_zero(call: NodeCall) -> Sequence[str]:
    x = _known(call)
    return [call.make(np.array(np.nonzero(x), np.int64).reshape(x.ndim, -1))]


def _compress(call: NodeCall) -> Sequence[str]:
    x, condition = call.operand(0), call.known(1)
    if condition is None:
        call.refuse("the shape of the result depends on the data", value=repr(call.node.input[1]))
    flat = call.attribute("axis", AttributeProto.INT) is None
    value = call.emit(Reshape((x.size,)), call.name(0)) if flat else call.name(0)
    axis = 0 if flat else call.axis(0, len(x.shape))
    return [call.emit(Gather(axis), value, call.make(np.flatnonzero(condition)))]


def _unique(call: NodeCall) -> Sequence[str]:
    x = _known(call)
    axis = call.attribute("axis", AttributeProto.INT)
    along = None if axis is None else call.axis(0, x.ndim)
    values, first, inverse, counts = np.unique(x, True, True, True, axis=along)
    if not call.flag("sorted", True):
        order = np.argsort(first)
        rank = np.empty_like(order)
        rank[order] = np.arange(order.size)
        values = np.take(values, order, 0 if along is None else along)
        first, counts, inverse = first[order], counts[order], rank[inverse]
    return [call.make(a) for a in (values, *(b.ravel().astype(np.int64) for b in (first, inverse, counts)))]


HANDLERS: Mapping[str, Handler] = {
    "Compress": _compress,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "EyeLike": _eye_like,
    "NonZero": _non_zero,
    "Range": _range,
    "Shape": _shape,
    "Size": _size,
    "Unique": _unique,
}
