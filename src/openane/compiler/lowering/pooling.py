"""Pooling windows and reductions of whole axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from openane.artifact.options import Functions
from openane.compiler.lowering.context import GraphLowering, Handle
from openane.compiler.lowering.convolution import pad_image, plane, plane_pads
from openane.compiler.lowering.elementwise import affine, power
from openane.compiler.lowering.layout import SPATIAL, Layout
from openane.compiler.lowering.norms import norm
from openane.core.errors import require
from openane.core.rules import RuleKind, rule
from openane.graph import Node, Operation
from openane.graph import ops as g
from openane.net import (
    Dimension,
    ElementWiseKind,
    ElementWiseParams,
    GOCParams,
    InputViewParams,
    NeuronKind,
    NeuronParams,
    Pads,
    PoolingKind,
    PoolingParams,
    ReductionKind,
    ReductionParams,
)
from openane.numerics.limits import HALF_LARGEST


def _pool(ctx: GraphLowering, node: Node, kind: PoolingKind, x: Handle, include: bool) -> Handle:
    """A pooling, with the positions that `ceil_mode` adds as further padding that never counts."""
    operation = node.operation
    assert isinstance(operation, g.Pooling)
    rank = len(operation.kernel)
    extents, out = ctx.shape(node.inputs[0])[2:], ctx.shape(node.outputs[0])[2:]
    extra, strides, spacing = [], [], operation.spacing
    for axis in range(rank):
        reach = (operation.kernel[axis] - 1) * spacing[axis] + 1
        padded = extents[axis] + operation.begins[axis] + operation.ends[axis]
        extra.append(max(0, (out[axis] - 1) * operation.strides[axis] + reach - padded))
        # With a single result, any stride that leaves no second one is equivalent.
        single = max(0, padded - reach) + 1
        strides.append(min(operation.strides[axis], single) if out[axis] == 1 else operation.strides[axis])
    pads = plane_pads(operation.pads)
    if include and any(extra):
        x, pads, include = pad_image(ctx, x, pads, 0.0), Pads(), False
    more = plane_pads((*[0] * rank, *extra))
    pads = Pads(*(a + b for a, b in zip(pads, more, strict=True)))
    pooling = PoolingParams(
        kind, plane(operation.kernel, 1), plane(strides, 1), pads, include and any(pads), plane(spacing, 1)
    )
    shape = ctx.extents(x)
    if pooling.kernel == (shape.width, shape.height) and not any(pads):
        whole = ReductionKind.MAX if kind is PoolingKind.MAX else ReductionKind.MEAN
        return ctx.emit(ReductionParams(whole, frozenset({Dimension.HEIGHT, Dimension.WIDTH})), x)
    return _windows(ctx, x, pooling)


def _windows(ctx: GraphLowering, x: Handle, pooling: PoolingParams) -> Handle:
    """A pooling in the forms that the engine has: dense windows, short steps."""
    if pooling.dilation != (1, 1):
        return _dilated(ctx, x, pooling)
    own = [max(f for f in range(1, ctx.options.machine.max_pool_stride + 1) if step % f == 0) for step in pooling.step]
    shape = pooling.infer([ctx.extents(x)])
    y = ctx.emit(replace(pooling, step=(own[0], own[1])), x)
    views = ((Dimension.WIDTH, 0, shape.width), (Dimension.HEIGHT, 1, shape.height))
    for dimension, axis, size in views:
        if own[axis] != pooling.step[axis]:
            y = ctx.emit(InputViewParams(dimension, 0, size, pooling.step[axis] // own[axis]), y)
    return y


def _dilated(ctx: GraphLowering, x: Handle, pooling: PoolingParams) -> Handle:
    """Windows with gaps: shifted views of the padded image, joined one axis after the other."""
    largest = pooling.kind is PoolingKind.MAX
    shape = pooling.infer([ctx.extents(x)])
    join = ElementWiseParams(ElementWiseKind.MAX if largest else ElementWiseKind.ADD)
    y = pad_image(ctx, x, pooling.pads, -HALF_LARGEST if largest else 0.0)
    for axis, dimension, size in ((0, Dimension.WIDTH, shape.width), (1, Dimension.HEIGHT, shape.height)):
        views = [
            ctx.emit(InputViewParams(dimension, tap * pooling.dilation[axis], size, pooling.step[axis]), y)
            for tap in range(pooling.kernel[axis])
        ]
        y = views[0]
        for view in views[1:]:
            y = ctx.emit(join, y, view)
    if largest:
        return y
    ones = np.ones((1, 1, 1, *ctx.extents(x).ndchw[3:]))
    share = pooling.evaluate([ones]) / _sums(pooling, ones)
    return affine(ctx, y, scale=share)


def _sums(pooling: PoolingParams, ones: np.ndarray) -> np.ndarray:
    """How many elements of the image each window holds."""
    counted = replace(pooling, count_include_pad=True).evaluate([ones])
    return np.asarray(counted * math.prod(pooling.kernel))


@rule(
    "pooling-window",
    family="pooling",
    kind=RuleKind.COMPILER,
    limit="two axes; three for maximum and average",
    hint="Pool one axis after the other.",
    evidence="encoding.md#common-block: windows have rows and columns",
)
def window_axes(rank: int) -> object | None:
    """The pooling window has more axes than the engine supports."""
    return rank if rank > 2 else None


def _lower_pool(ctx: GraphLowering, node: Node) -> None:
    operation = node.operation
    assert isinstance(operation, g.Pooling)
    rank = len(operation.kernel)
    if rank == 3 and isinstance(operation, (g.MaxPool, g.AveragePool)):
        _pool_3d(ctx, node, operation)
        return
    require(window_axes, rank)
    layout = SPATIAL[rank + 2]
    x = ctx.read(node.inputs[0], layout)
    if isinstance(operation, g.LpPool):
        unit = _lp_pool(ctx, node, operation, x)
    elif isinstance(operation, g.AveragePool):
        unit = _pool(ctx, node, PoolingKind.AVERAGE, x, operation.count_include_pad)
    else:
        unit = _pool(ctx, node, PoolingKind.MAX, x, False)
    ctx.define(node.outputs[0], unit, layout)


def _pool_3d(ctx: GraphLowering, node: Node, operation: g.MaxPool | g.AveragePool) -> None:
    """Images first, with depth among the channels; then along depth, with a row for each depth. Means of means agree,
    because the number of elements in a window is a product of one number per axis."""
    (n, c, d, h, w), out = ctx.shape(node.inputs[0]), ctx.shape(node.outputs[0])
    spacing = operation.spacing
    pads = tuple(zip(operation.begins, operation.ends, strict=True))
    plane_operation = replace(
        operation,
        kernel=operation.kernel[1:],
        strides=operation.strides[1:],
        pads=(pads[1][0], pads[2][0], pads[1][1], pads[2][1]),
        dilations=spacing[1:],
    )
    depth_operation = replace(
        operation,
        kernel=(operation.kernel[0], 1),
        strides=(operation.strides[0], 1),
        pads=(pads[0][0], 0, pads[0][1], 0),
        dilations=(spacing[0], 1),
    )
    images = ctx.apply(g.Reshape((n, c * d, h, w)), node.inputs[0])
    flat = ctx.apply(g.Reshape((n, c, d, out[3] * out[4])), ctx.apply(plane_operation, images))
    value = ctx.values[ctx.apply(depth_operation, flat)]
    ctx.define(node.outputs[0], value.handle, None)


@rule(
    "pooling-norm",
    family="pooling",
    kind=RuleKind.COMPILER,
    limit="norms of order 1 and 2, without ceil_mode",
    hint="Use average pooling of the squares, then a root.",
    evidence="openane.compiler.lowering.pooling: absolute values or squares, averaged",
)
def pooled_norm(operation: g.LpPool) -> object | None:
    """The pooling takes a norm of another order than 1 and 2, or windows beyond the padding."""
    if operation.p not in (1, 2):
        return operation.p
    return "ceil_mode" if operation.ceil_mode else None


def _lp_pool(ctx: GraphLowering, node: Node, operation: g.LpPool, x: Handle) -> Handle:
    """The p-th root of (average of |x|^p, times the number of elements)."""
    require(pooled_norm, operation)
    x = ctx.emit(NeuronParams(NeuronKind.ABS if operation.p == 1 else NeuronKind.SQUARE), x)
    total = ctx.emit(GOCParams(float(math.prod(operation.kernel))), _pool(ctx, node, PoolingKind.AVERAGE, x, True))
    return power(ctx, total, 1 / operation.p)


def reduced(node: Node, layout: Layout) -> frozenset[Dimension]:
    """The engine dimensions of a reduction's axes."""
    axes = getattr(node.operation, "axes", ())
    return frozenset(d for i, d in enumerate(layout) if i in axes and d is not None)


#: Reductions as units before, the reduction itself, and units after.
_REDUCTIONS: Mapping[type[Operation], tuple[tuple[NeuronKind, ...], ReductionKind, tuple[NeuronKind, ...]]] = (
    MappingProxyType(
        {
            g.ReduceSum: ((), ReductionKind.SUM, ()),
            g.ReduceMean: ((), ReductionKind.MEAN, ()),
            g.ReduceMax: ((), ReductionKind.MAX, ()),
            g.ReduceMin: ((), ReductionKind.MIN, ()),
            g.ReduceL1: ((NeuronKind.ABS,), ReductionKind.SUM, ()),
            g.ReduceL2: ((NeuronKind.SQUARE,), ReductionKind.SUM, (NeuronKind.SQRT,)),
            g.ReduceSumSquare: ((NeuronKind.SQUARE,), ReductionKind.SUM, ()),
            g.ReduceLogSum: ((), ReductionKind.SUM, (NeuronKind.LOG,)),
        }
    )
)


def _kept(node: Node, layout: Layout) -> Layout:
    operation = node.operation
    assert isinstance(operation, g.Reduction)
    if operation.keepdims:
        return layout
    return tuple(d for i, d in enumerate(layout) if i not in operation.axes)


def _lower_reduction(ctx: GraphLowering, node: Node) -> None:
    before, kind, after = _REDUCTIONS[type(node.operation)]
    layout = ctx.layout(node.inputs[0])
    unit = ctx.read(node.inputs[0], layout)
    if isinstance(node.operation, g.ReduceL2) and ctx.options.functions is Functions.ACCURATE:
        ctx.define(node.outputs[0], norm(ctx, unit, reduced(node, layout)), _kept(node, layout))
        return
    for neuron in before:
        unit = ctx.emit(NeuronParams(neuron), unit)
    if dimensions := reduced(node, layout):
        unit = ctx.emit(ReductionParams(kind, dimensions), unit)
    for neuron in after:
        unit = ctx.emit(NeuronParams(neuron), unit)
    ctx.define(node.outputs[0], unit, _kept(node, layout))


def _lower_log_sum_exp(ctx: GraphLowering, node: Node) -> None:
    """max + log(sum(exp(x - max)))."""
    layout = ctx.layout(node.inputs[0])
    x = ctx.read(node.inputs[0], layout)
    dimensions = reduced(node, layout)
    if not dimensions:  # of one element each: log(exp(x)) is x
        ctx.define(node.outputs[0], x, _kept(node, layout))
        return
    largest = ctx.emit(ReductionParams(ReductionKind.MAX, dimensions), x)
    centered = ctx.emit(ElementWiseParams(ElementWiseKind.SUB), x, ctx.broadcast(largest, ctx.extents(x)))
    total = ctx.emit(ReductionParams(ReductionKind.SUM, dimensions), ctx.emit(NeuronParams(NeuronKind.EXP), centered))
    unit = ctx.emit(ElementWiseParams(ElementWiseKind.ADD), ctx.emit(NeuronParams(NeuronKind.LOG), total), largest)
    ctx.define(node.outputs[0], unit, _kept(node, layout))


LOWERINGS: Mapping[type[Operation], Callable[[GraphLowering, Node], None]] = MappingProxyType(
    dict.fromkeys((g.MaxPool, g.AveragePool, g.LpPool), _lower_pool)
    | dict.fromkeys(_REDUCTIONS, _lower_reduction)
    | {g.ReduceLogSumExp: _lower_log_sum_exp}
)
