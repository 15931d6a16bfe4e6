"""Convolutions, poolings and matrix products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from openane.core.types import DType
from openane.frontends.onnx.call import Handler, NodeCall
from openane.graph import Operation
from openane.graph.ops import (
    Add,
    AveragePool,
    Conv,
    ConvTranspose,
    Einsum,
    LpPool,
    MatMul,
    MaxPool,
    Mul,
    Pad,
    ReduceL1,
    ReduceL2,
    ReduceMax,
    ReduceMean,
    Reshape,
    ScatterElements,
    Sub,
)
from openane.graph.ops.support import product_of, require


def same_pads(
    extents: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    upper: bool,
) -> tuple[int, ...]:
    """Pads that give ceil(extent / stride) results; an odd one goes after (`upper`) or in front."""
    totals = []
    for extent, k, s, d in zip(extents, kernel, strides, dilations, strict=True):
        out = -(-extent // s)
        totals.append(max((out - 1) * s + (k - 1) * d + 1 - extent, 0))
    small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
    return (*small, *large) if upper else (*large, *small)


def _auto_pad(call: NodeCall) -> str:
    return call.choice("auto_pad", "NOTSET", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")


def _window(call: NodeCall, kernel: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Strides, pads and dilations of a window over the first input."""
    extents = call.operand(0).shape[2:]
    rank = len(kernel)
    require(len(extents) == rank, "the kernel has another rank than the input", value=tuple(kernel))
    strides = call.attr_ints("strides") or (1,) * rank
    dilations = call.attr_ints("dilations") or (1,) * rank
    pads = call.attr_ints("pads") or (0,) * (2 * rank)
    fits = len(strides) == len(dilations) == rank and len(pads) == 2 * rank
    require(fits, "strides, pads or dilations have the wrong length", value=f"{strides}, {pads}, {dilations}")
    require(min((*strides, *dilations, *kernel), default=1) >= 1, "strides, dilations and kernel must be positive")
    if min(pads, default=0) < 0:
        call.refuse("negative pads are not supported", value=pads)
    auto = _auto_pad(call)
    if auto == "VALID":
        pads = (0,) * (2 * rank)
    elif auto != "NOTSET":
        pads = same_pads(extents, kernel, strides, dilations, auto == "SAME_UPPER")
    return strides, pads, dilations


def _kernel_of(call: NodeCall, index: int) -> tuple[int, ...]:
    """The kernel extents, from the weight; the attribute must agree."""
    kernel = call.operand(index).shape[2:]
    stated = call.attr_ints("kernel_shape")
    require(stated in (None, kernel), "kernel_shape is not that of the weight", value=stated, limit=kernel)
    return kernel


def convolution_of(call: NodeCall, weight: int) -> Conv:
    """The convolution that a node's attributes describe, with the weight at input `weight`."""
    strides, pads, dilations = _window(call, _kernel_of(call, weight))
    return Conv(strides, pads, dilations, call.attr_int("group", 1))


def _conv(call: NodeCall) -> Sequence[str]:
    return [call.emit(convolution_of(call, 1), call.name(0), call.name(1), call.name(2))]


def _conv_transpose(call: NodeCall) -> Sequence[str]:
    kernel = _kernel_of(call, 1)
    rank = len(kernel)
    extents = call.operand(0).shape[2:]
    auto = _auto_pad(call)
    same = auto.startswith("SAME")
    strides = call.attr_ints("strides") or (1,) * rank
    dilations = call.attr_ints("dilations") or (1,) * rank
    pads = (call.attr_ints("pads") if auto == "NOTSET" else None) or (0,) * (2 * rank)
    extra = call.attr_ints("output_padding") or (0,) * rank
    wanted = call.attr_ints("output_shape")
    fits = len(strides) == len(dilations) == len(extra) == len(extents) == rank and len(pads) == 2 * rank
    require(fits, "strides, pads, dilations or output_padding have the wrong length")
    if wanted is None and same:
        wanted = tuple(e * s for e, s in zip(extents, strides, strict=True))
    if wanted is not None:
        wanted = wanted[-rank:]
        require(len(wanted) == rank, "output_shape has the wrong length", value=wanted)
        rows = zip(extents, strides, kernel, dilations, extra, wanted, strict=True)
        totals = [(e - 1) * s + (k - 1) * d + 1 + o - w for e, s, k, d, o, w in rows]
        # What the result lacks is appended, as the formula for a negative total says.
        extra = tuple(o + max(-t, 0) for o, t in zip(extra, totals, strict=True))
        totals = [max(t, 0) for t in totals]
        small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
        pads = (*small, *large) if auto == "SAME_UPPER" else (*large, *small)
    operation = ConvTranspose(strides, pads, dilations, call.attr_int("group", 1), extra if any(extra) else ())
    return [call.emit(operation, call.name(0), call.name(1), call.name(2))]


def _without_zero(call: NodeCall, index: int, zero: int, axis: int | None) -> str:
    """An integer input as int32 with its zero point taken off; a vector of zero points runs along `axis`."""
    value = call.cast(call.name(index), DType.INT32)
    if not call.has(zero):
        return value
    point = call.cast(call.name(zero), DType.INT32)
    shape = call.type_of(point).shape
    if len(shape) == 1 and axis is not None:
        rank = len(call.type_of(value).shape)
        point = call.emit(Reshape((shape[0], *(1,) * (rank - 1 - axis))), point)
    return call.emit(Sub(), value, point)


def _conv_integer(call: NodeCall) -> Sequence[str]:
    operation = convolution_of(call, 1)
    return [call.emit(operation, _without_zero(call, 0, 2, None), _without_zero(call, 1, 3, 0), "")]


def _matmul_integer(call: NodeCall) -> Sequence[str]:
    rows = call.rank(0) - 2 if call.rank(0) > 1 else 0
    return [call.emit(MatMul(), _without_zero(call, 0, 2, rows), _without_zero(call, 1, 3, call.rank(1) - 1))]


def _matmul(call: NodeCall) -> Sequence[str]:
    return [call.emit(MatMul(), call.name(0), call.name(1))]


def scaled(call: NodeCall, value: str, factor: float) -> str:
    """The value times a number."""
    return value if factor == 1 else call.emit(Mul(), value, call.number(factor, value))


def _gemm(call: NodeCall) -> Sequence[str]:
    for index in (0, 1):
        require(call.rank(index) == 2, "Gemm needs matrices", value=call.operand(index))
    transpose_a, transpose_b = call.flag("transA"), call.flag("transB")
    weight = call.name(1)
    alpha, beta = call.attr_float("alpha", 1), call.attr_float("beta", 1)
    folded = call.known(1) is not None
    product = MatMul(transpose_a, transpose_b)
    y = call.emit(product, call.name(0), scaled(call, weight, alpha) if folded else weight)
    y = y if folded else scaled(call, y, alpha)
    if call.has(2) and beta != 0:
        bias = scaled(call, call.name(2), beta)
        before = call.type_of(y).shape
        y = call.emit(Add(), y, bias)
        require(call.type_of(y).shape == before, "the bias does not fit the product", value=call.operand(2))
    return [y]


def _einsum(call: NodeCall) -> Sequence[str]:
    return [call.emit(Einsum(call.attr_text("equation", "").replace(" ", "")), *call.inputs)]


def _closed(call: NodeCall, kernel: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], bool]:
    """Strides, pads, dilations of a pooling, and whether windows still reach beyond the pads.

    Rounding up becomes larger pads where that is the same: padding never counts, or the last window fits.
    """
    strides, pads, dilations = _window(call, kernel)
    ceil = call.flag("ceil_mode") and _auto_pad(call) == "NOTSET"
    if not ceil:
        return strides, pads, dilations, False
    extents = call.operand(0).shape[2:]
    reached = MaxPool(kernel, strides, pads, dilations, True).spatial(extents)
    rank = len(kernel)
    ends = list(pads[rank:])
    for i in range(rank):
        last = (reached[i] - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1
        ends[i] = max(ends[i], last - extents[i] - pads[i])
    closed = (*pads[:rank], *ends)
    if call.flag("count_include_pad") and closed != pads:
        return strides, pads, dilations, True
    return strides, closed, dilations, False


def _kernel_shape(call: NodeCall) -> tuple[int, ...]:
    kernel = call.attr_ints("kernel_shape")
    require(bool(kernel), "kernel_shape is missing")
    assert kernel is not None
    return kernel


def _max_pool(call: NodeCall) -> Sequence[str]:
    if call.wants(1):
        call.refuse("the places of the maxima (second output) are not supported")
    kernel = _kernel_shape(call)
    return [call.emit(MaxPool(kernel, *_closed(call, kernel)), call.name(0))]


def _max_unpool(call: NodeCall) -> Sequence[str]:
    x = call.operand(0)
    kernel = _kernel_shape(call)
    rank = len(kernel)
    require(call.operand(1).shape == x.shape, "the indices have another shape than the input", value=call.operand(1))
    require(len(x.shape) == rank + 2, "kernel_shape does not fit the input", value=x, limit=f"{rank + 2} axes")
    strides, pads = call.attr_ints("strides") or (1,) * rank, call.attr_ints("pads") or (0,) * 2 * rank
    spans = ((n - 1) * strides[i] + kernel[i] for i, n in enumerate(x.shape[2:]))
    inner = (*x.shape[:2], *(span - pads[i] - pads[rank + i] for i, span in enumerate(spans)))
    require(min(inner) > 0, "the pads are larger than the result", value=list(inner))
    zeros = call.make(np.zeros(product_of(inner), x.dtype.numpy))
    flat = [call.emit(Reshape((x.size,)), call.name(i)) for i in (0, 1)]
    y = call.emit(Reshape(inner), call.emit(ScatterElements(0), zeros, flat[1], flat[0]))
    shape = call.integers(2, "the output shape") if call.has(2) else inner
    ends = [wanted - n for wanted, n in zip(shape, inner, strict=True)] if len(shape) == len(inner) else [-1]
    require(min(ends) >= 0, "the output shape is smaller than the result", value=list(shape), limit=list(inner))
    return [call.emit(Pad((*(0,) * len(inner), *ends)), y) if any(ends) else y]


def _average_pool(call: NodeCall) -> Sequence[str]:
    kernel = _kernel_shape(call)
    operation = AveragePool(kernel, *_closed(call, kernel), call.flag("count_include_pad"))
    return [call.emit(operation, call.name(0))]


def _lp_pool(call: NodeCall) -> Sequence[str]:
    kernel = _kernel_shape(call)
    return [call.emit(LpPool(kernel, *_closed(call, kernel), call.attr_int("p", 2)), call.name(0))]


def _spatial(call: NodeCall) -> tuple[int, ...]:
    rank = call.rank()
    require(rank >= 3, "the input has no spatial axes", value=call.operand(0))
    return tuple(range(2, rank))


def _global_average(call: NodeCall) -> Sequence[str]:
    return [call.emit(ReduceMean(_spatial(call)), call.name(0))]


def _global_max(call: NodeCall) -> Sequence[str]:
    return [call.emit(ReduceMax(_spatial(call)), call.name(0))]


def _global_lp(call: NodeCall) -> Sequence[str]:
    axes, p = _spatial(call), call.attr_int("p", 2)
    kernel = call.operand(0).shape[2:]
    general = LpPool(kernel, (1,) * len(axes), (0,) * 2 * len(axes), p=p)
    operation: Operation = {1: ReduceL1(axes), 2: ReduceL2(axes)}.get(p, general)
    return [call.emit(operation, call.name(0))]


HANDLERS: Mapping[str, Handler] = {
    "AveragePool": _average_pool,
    "Conv": _conv,
    "ConvInteger": _conv_integer,
    "ConvTranspose": _conv_transpose,
    "Einsum": _einsum,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average,
    "GlobalLpPool": _global_lp,
    "GlobalMaxPool": _global_max,
    "LpPool": _lp_pool,
    "MatMul": _matmul,
    "MatMulInteger": _matmul_integer,
    "MaxPool": _max_pool,
    "MaxUnpool": _max_unpool,
}
