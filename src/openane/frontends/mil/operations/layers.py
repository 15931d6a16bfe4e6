"""Convolution, matrix products, pooling."""

from __future__ import annotations

import math

import numpy as np

from openane.core.types import DType
from openane.frontends.mil.call import OperationCall
from openane.frontends.mil.operations.entry import Entry
from openane.graph import ops
from openane.numerics.limits import HALF_LARGEST


def _kernel_pads(
    call: OperationCall, extents: tuple[int, ...], reach: tuple[int, ...], strides: tuple[int, ...]
) -> tuple[int, ...]:
    """Pads before every spatial axis, then after every one, from `pad_type` and `pad`.

    Args:
        extents: of the spatial axes of the input.
        reach: positions a kernel spans per axis, (kernel - 1) * dilation + 1.
        strides: per axis.
    """
    kind = call.text("pad_type", "valid", ("valid", "same", "same_lower", "custom"))
    if kind == "custom":
        pairs = call.integers("pad", (0,) * 2 * len(extents))
        if len(pairs) != 2 * len(extents):
            call.refuse("pad needs two numbers per spatial axis", value=list(pairs))
        return (*pairs[0::2], *pairs[1::2])
    if kind == "valid":
        return (0,) * 2 * len(extents)
    totals = [
        max((math.ceil(extent / step) - 1) * step + span - extent, 0)
        for extent, span, step in zip(extents, reach, strides, strict=True)
    ]
    small, large = [total // 2 for total in totals], [total - total // 2 for total in totals]
    return (*small, *large) if kind == "same" else (*large, *small)


def _spatial(call: OperationCall, name: str, rank: int) -> tuple[int, ...]:
    values = call.integers(name, (1,) * rank)
    if len(values) != rank or min(values) < 1:
        call.refuse(f"{name} needs one positive number per spatial axis", value=list(values), limit=rank)
    return values


def _conv(call: OperationCall) -> None:
    weight = call.type("weight").shape
    extents = call.type("x").shape[2:]
    rank = len(weight) - 2
    if rank < 1 or len(extents) != rank:
        call.refuse("weight and x must have the same rank of at least 3", value=call.type("weight"))
    strides, dilations = _spatial(call, "strides", rank), _spatial(call, "dilations", rank)
    reach = tuple((k - 1) * d + 1 for k, d in zip(weight[2:], dilations, strict=True))
    operation = ops.Conv(strides, _kernel_pads(call, extents, reach, strides), dilations, call.integer("groups", 1))
    call.finish(operation, call.value("x"), call.value("weight"), call.optional("bias"))


def _conv_transpose(call: OperationCall) -> None:
    weight, extents = call.type("weight").shape, call.type("x").shape[2:]
    rank = len(weight) - 2
    if rank < 1 or len(extents) != rank:
        call.refuse("weight and x must have the same rank of at least 3", value=call.type("weight"))
    strides, dilations = _spatial(call, "strides", rank), _spatial(call, "dilations", rank)
    spans = [(k - 1) * d + 1 for k, d in zip(weight[2:], dilations, strict=True)]
    full = [(e - 1) * s + r for e, s, r in zip(extents, strides, spans, strict=True)]
    if call.has("output_shape"):
        wanted = call.integers("output_shape")[-rank:]
        if len(wanted) != rank:
            call.refuse(f"output_shape needs at least {rank} extents", value=wanted)
    elif call.text("pad_type", "valid") in ("same", "same_lower"):
        wanted = tuple(e * s for e, s in zip(extents, strides, strict=True))
    else:
        cut = _kernel_pads(call, extents, (1,) * rank, strides)
        wanted = tuple(f - b - a for f, b, a in zip(full, cut[:rank], cut[rank:], strict=True))
    kind = call.text("pad_type", "valid", ("valid", "same", "same_lower", "custom"))
    begins = list(call.integers("pad", (0,) * 2 * rank)[0::2]) if kind == "custom" else [0] * rank
    if kind in ("same", "same_lower"):
        begins = [max(f - w, 0) // 2 for f, w in zip(full, wanted, strict=True)]
    ends = [f - b - w for f, b, w in zip(full, begins, wanted, strict=True)]
    operation = ops.ConvTranspose(
        strides,
        (*begins, *(max(end, 0) for end in ends)),
        dilations,
        call.integer("groups", 1),
        tuple(max(-end, 0) for end in ends),
    )
    call.finish(operation, call.value("x"), call.value("weight"), call.optional("bias"))


def _linear(call: OperationCall) -> None:
    product = ops.MatMul(transpose_b=True)
    if not call.has("bias"):
        call.finish(product, call.value("x"), call.value("weight"))
        return
    call.finish(ops.Add(), call.emit(product, call.value("x"), call.value("weight")), call.value("bias"))


def _matmul(call: OperationCall) -> None:
    operation = ops.MatMul(call.truth("transpose_x", False), call.truth("transpose_y", False))
    call.finish(operation, call.value("x"), call.value("y"))


def _einsum(call: OperationCall) -> None:
    call.finish(ops.Einsum(call.text("equation")), *call.values("values"))


def _attention(call: OperationCall) -> None:
    """softmax(query key^T / sqrt(E) + mask) value, spelled out."""
    query, builder = call.type("query"), call.builder
    if len(query.shape) < 2:
        call.refuse("a query has at least two axes", value=query)
    scale = np.asarray(1 / math.sqrt(query.shape[-1]), query.dtype.numpy)
    scores = call.emit(ops.MatMul(transpose_b=True), call.value("query"), call.value("key"))
    scores = call.emit(ops.Mul(), scores, builder.constant(scale, f"{call.operation.name}_scale"))
    if call.has("attn_mask"):
        scores = call.emit(ops.Add(), scores, _additive_mask(call))
    weights = call.emit(ops.Softmax(len(query.shape) - 1), scores)
    call.finish(ops.MatMul(), weights, call.value("value"))


def _additive_mask(call: OperationCall) -> str:
    mask = call.type("attn_mask")
    if mask.dtype.is_float:
        return call.value("attn_mask")
    dtype, name = call.type("query").dtype.numpy, call.operation.name
    keep = call.builder.constant(np.zeros((), dtype), f"{name}_keep")
    lowest = -np.inf if call.type("query").dtype is not DType.FLOAT16 else -HALF_LARGEST
    drop = call.builder.constant(np.asarray(lowest, dtype), f"{name}_drop")
    return call.emit(ops.Where(), call.value("attn_mask"), keep, drop)


def _pool(kind: type[ops.MaxPool] | type[ops.AveragePool] | type[ops.LpPool]) -> Entry:
    def translate(call: OperationCall) -> None:
        extents = call.type("x").shape[2:]
        kernel = call.integers("kernel_sizes")
        if len(kernel) != len(extents):
            call.refuse("kernel_sizes needs one number per spatial axis", value=list(kernel), limit=len(extents))
        strides = _spatial(call, "strides", len(kernel))
        pads = _kernel_pads(call, extents, kernel, strides)
        details: dict[str, bool] = {"ceil_mode": call.truth("ceil_mode", False)}
        if kind is ops.AveragePool:
            details["count_include_pad"] = not call.truth("exclude_padding_from_average", False)
        call.finish(kind(kernel, strides, pads, **details), call.value("x"))  # type: ignore[arg-type]

    names = ("x", "kernel_sizes", "strides", "pad_type", "pad", "exclude_padding_from_average", "ceil_mode")
    return Entry(names, translate)


ENTRIES = {
    "conv": Entry(("x", "weight", "strides", "pad_type", "pad", "dilations", "groups", "bias"), _conv),
    "conv_transpose": Entry(
        ("x", "weight", "bias", "pad", "output_shape", "pad_type", "strides", "dilations", "groups"), _conv_transpose
    ),
    "linear": Entry(("x", "weight", "bias"), _linear),
    "matmul": Entry(("x", "y", "transpose_x", "transpose_y"), _matmul),
    "einsum": Entry(("values", "equation"), _einsum),
    "scaled_dot_product_attention": Entry(("query", "key", "value", "attn_mask"), _attention),
    "max_pool": _pool(ops.MaxPool),
    "avg_pool": _pool(ops.AveragePool),
    "l2_pool": _pool(ops.LpPool),
}
