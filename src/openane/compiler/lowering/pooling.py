"""Pooling windows and reductions of whole axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

from openane.compiler.lowering.context import Handle, Lowering
from openane.compiler.lowering.convolution import plane
from openane.compiler.lowering.elementwise import power
from openane.compiler.lowering.layout import SPATIAL, Layout
from openane.core.errors import UnsupportedError
from openane.graph import Node, Operation
from openane.graph import ops as g
from openane.net import (
    GOC,
    Dimension,
    ElementWise,
    ElementWiseKind,
    Neuron,
    NeuronKind,
    Pad,
    Pads,
    Pooling,
    PoolingKind,
    Reduction,
    ReductionKind,
)


def _pool(ctx: Lowering, node: Node, kind: PoolingKind, x: Handle, include: bool) -> Handle:
    """One pooling unit, with the positions that `ceil_mode` adds as further padding that never counts."""
    operation = node.operation
    assert isinstance(operation, g.Pooling)
    rank = len(operation.kernel)
    extents, out = ctx.shape(node.inputs[0])[2:], ctx.shape(node.outputs[0])[2:]
    extra, spacing = [], operation.spacing
    for axis in range(rank):
        reach = (operation.kernel[axis] - 1) * spacing[axis] + 1
        padded = extents[axis] + operation.begins[axis] + operation.ends[axis]
        extra.append(max(0, (out[axis] - 1) * operation.strides[axis] + reach - padded))
    begins, ends = list(operation.begins), list(operation.ends)
    if include and any(extra):
        dimensions = (Dimension.HEIGHT, Dimension.WIDTH)[2 - rank :]
        amounts = zip(dimensions, zip(begins, ends, strict=True), strict=True)
        x = ctx.emit(Pad({d: pair for d, pair in amounts if any(pair)}), x)
        begins, ends, include = [0] * rank, [0] * rank, False
    ends = [end + more for end, more in zip(ends, extra, strict=True)]
    pads = Pads(0, 0, begins[0], ends[0]) if rank == 1 else Pads(begins[0], ends[0], begins[1], ends[1])
    include = include and any(pads)
    pooling = Pooling(kind, plane(operation.kernel, 1), plane(operation.strides, 1), pads, include, plane(spacing, 1))
    return ctx.emit(pooling, x)


def _lower_pool(ctx: Lowering, node: Node) -> None:
    operation = node.operation
    assert isinstance(operation, g.Pooling)
    rank = len(operation.kernel)
    if rank > 2:
        raise UnsupportedError("pooling windows have at most two axes", value=rank, rule="pooling-window")
    layout = SPATIAL[rank + 2]
    x = ctx.read(node.inputs[0], layout)
    if isinstance(operation, g.LpPool):
        unit = _lp_pool(ctx, node, operation, x)
    elif isinstance(operation, g.AveragePool):
        unit = _pool(ctx, node, PoolingKind.AVERAGE, x, operation.count_include_pad)
    else:
        unit = _pool(ctx, node, PoolingKind.MAX, x, False)
    ctx.define(node.outputs[0], unit, layout)


def _lp_pool(ctx: Lowering, node: Node, operation: g.LpPool, x: Handle) -> Handle:
    """The p-th root of (average of |x|^p, times the number of elements)."""
    if operation.p not in (1, 2) or operation.ceil_mode:
        raise UnsupportedError("only norms of order 1 and 2 are pooled", value=operation.p)
    x = ctx.emit(Neuron(NeuronKind.ABS if operation.p == 1 else NeuronKind.SQUARE), x)
    total = ctx.emit(GOC(float(math.prod(operation.kernel))), _pool(ctx, node, PoolingKind.AVERAGE, x, True))
    return power(ctx, total, 1 / operation.p)


def reduced(node: Node, layout: Layout) -> frozenset[Dimension]:
    """The engine dimensions of a reduction's axes."""
    axes = getattr(node.operation, "axes", ())
    return frozenset(d for i, d in enumerate(layout) if i in axes and d is not None)


#: Reductions as units before, the reduction itself, and units behind.
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


def _lower_reduction(ctx: Lowering, node: Node) -> None:
    before, kind, after = _REDUCTIONS[type(node.operation)]
    layout = ctx.layout(node.inputs[0])
    unit = ctx.read(node.inputs[0], layout)
    for neuron in before:
        unit = ctx.emit(Neuron(neuron), unit)
    if dimensions := reduced(node, layout):
        unit = ctx.emit(Reduction(kind, dimensions), unit)
    for neuron in after:
        unit = ctx.emit(Neuron(neuron), unit)
    ctx.define(node.outputs[0], unit, _kept(node, layout))


def _lower_log_sum_exp(ctx: Lowering, node: Node) -> None:
    """max + log(sum(exp(x - max)))."""
    layout = ctx.layout(node.inputs[0])
    x = ctx.read(node.inputs[0], layout)
    dimensions = reduced(node, layout)
    if not dimensions:  # of one element each: log(exp(x)) is x
        ctx.define(node.outputs[0], x, _kept(node, layout))
        return
    largest = ctx.emit(Reduction(ReductionKind.MAX, dimensions), x)
    centred = ctx.emit(ElementWise(ElementWiseKind.SUB), x, ctx.broadcast(largest, ctx.extents(x)))
    total = ctx.emit(Reduction(ReductionKind.SUM, dimensions), ctx.emit(Neuron(NeuronKind.EXP), centred))
    unit = ctx.emit(ElementWise(ElementWiseKind.ADD), ctx.emit(Neuron(NeuronKind.LOG), total), largest)
    ctx.define(node.outputs[0], unit, _kept(node, layout))


HANDLERS: Mapping[type[Operation], Callable[[Lowering, Node], None]] = MappingProxyType(
    dict.fromkeys((g.MaxPool, g.AveragePool, g.LpPool), _lower_pool)
    | dict.fromkeys(_REDUCTIONS, _lower_reduction)
    | {g.ReduceLogSumExp: _lower_log_sum_exp}
)
