"""Normalizations and softmax."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from openane.artifact.options import Functions
from openane.compiler.lowering.context import GraphLowering, Handle
from openane.compiler.lowering.elementwise import affine, operand, power, spread
from openane.compiler.lowering.layout import Layout, channels_layout
from openane.compiler.lowering.matrix import check_matrix
from openane.compiler.lowering.norms import normalized
from openane.compiler.lowering.pooling import reduced
from openane.core.errors import require
from openane.core.rules import RuleKind, rule
from openane.graph import Node, Operation
from openane.graph import ops as g
from openane.net import (
    ConvParams,
    Dimension,
    ElementWiseKind,
    ElementWiseParams,
    GOCParams,
    LayerNormParams,
    NeuronKind,
    NeuronParams,
    ReductionKind,
    ReductionParams,
    SoftmaxParams,
    TensorShape,
)

#: The smallest positive number of half precision: a norm below it counts as this, and 0 / 0 as 0.
_SMALLEST_NORM = 2.0**-24


def _lower_softmax(ctx: GraphLowering, node: Node) -> None:
    operation = node.operation
    assert isinstance(operation, (g.Softmax, g.LogSoftmax))
    layout = ctx.layout(node.inputs[0])
    dimension = layout[operation.axis]
    if dimension is None:  # one element along the axis: any free dimension has one as well
        dimension = next(d for d in Dimension if d not in layout)
    unit = ctx.emit(SoftmaxParams(dimension, isinstance(operation, g.LogSoftmax)), ctx.read(node.inputs[0], layout))
    ctx.define(node.outputs[0], unit, layout)


def _lower_batch_norm(ctx: GraphLowering, node: Node) -> None:
    operation = node.operation
    assert isinstance(operation, g.BatchNorm)
    known = [ctx.constant(name) for name in node.inputs[1:5]]
    if any(array is None for array in known):
        _computed_batch_norm(ctx, node, operation)
        return
    scale, bias, mean, variance = (array.astype(np.float64) for array in known if array is not None)
    factor = scale / np.sqrt(variance + operation.epsilon)
    layout = channels_layout(ctx.shape(node.inputs[0]))
    shape = (1, 1, -1, 1, 1)
    x = ctx.read(node.inputs[0], layout)
    unit = affine(ctx, x, scale=factor.reshape(shape), bias=(bias - mean * factor).reshape(shape))
    ctx.define(node.outputs[0], unit, layout)


def _computed_batch_norm(ctx: GraphLowering, node: Node, operation: g.BatchNorm) -> None:
    """Statistics from elsewhere: (x - mean) * (scale / sqrt(variance + epsilon)) + bias."""
    x = node.inputs[0]
    channels = (ctx.shape(x)[1], *[1] * (len(ctx.shape(x)) - 2))
    scale, bias, mean, variance = (ctx.apply(g.Reshape(channels), name) for name in node.inputs[1:5])
    factor = ctx.apply(g.Mul(), scale, ctx.apply(g.Rsqrt(operation.epsilon), variance))
    y = ctx.apply(g.Add(), ctx.apply(g.Mul(), ctx.apply(g.Sub(), x, mean), factor), bias)
    value = ctx.values[y]
    ctx.define(node.outputs[0], value.handle, value.layout)


def _scale_and_shift(ctx: GraphLowering, node: Node, unit: Handle, layout: Layout, *, channels: bool) -> Handle:
    """Multiplies by input 1 and adds input 2, where they are there."""
    engine = ctx.extents(unit)
    for index, kind in ((1, ElementWiseKind.MULT), (2, ElementWiseKind.ADD)):
        name = node.inputs[index] if len(node.inputs) > index else ""
        if not name:
            continue
        array = ctx.constant(name)
        if array is None and channels:
            flat = ctx.read_as(name, TensorShape(1, ctx.shape(name)[0]))
            unit = ctx.emit(ElementWiseParams(kind), unit, ctx.broadcast(flat, engine))
        elif array is None:
            unit = ctx.emit(ElementWiseParams(kind), unit, operand(ctx, name, layout, engine))
        else:
            full = array.reshape(1, 1, -1, 1, 1) if channels else spread(array, layout)
            unit = affine(ctx, unit, **{"scale" if kind is ElementWiseKind.MULT else "bias": full})
    return unit


@rule(
    "norm-axes",
    family="normalization",
    kind=RuleKind.COMPILER,
    limit="an axis longer than 1, where there are more than five axes",
    hint="Replace it by its bias: the deviation from the mean of one element is 0.",
    evidence="openane.compiler.lowering.layout: axes of one element have no dimension where there are more than five",
)
def normalized_axes(axes: Sequence[int], dimensions: frozenset[Dimension]) -> object | None:
    """The normalization is along axes of one element only."""
    return None if dimensions else f"axes {list(axes)}"


def _lower_layer_norm(ctx: GraphLowering, node: Node) -> None:
    operation = node.operation
    assert isinstance(operation, (g.LayerNorm, g.RmsNorm))
    layout = ctx.layout(node.inputs[0])
    x = ctx.read(node.inputs[0], layout)
    engine = ctx.extents(x)
    dimensions = reduced(node, layout)
    require(normalized_axes, operation.axes, dimensions)
    if dimensions != {Dimension.CHANNEL, Dimension.HEIGHT, Dimension.WIDTH}:  # the engine has a form of its own for it
        dimensions = frozenset(d for d in dimensions if engine.ndchw[d.axis] > 1) or dimensions
    if dimensions & {Dimension.BATCH, Dimension.DEPTH}:
        _layer_norm_of_rows(ctx, node, operation)
        return
    if dimensions == {Dimension.CHANNEL, Dimension.HEIGHT} and engine.width > 1:
        # Statistics take in whole rows or one column; channels and their rows follow each other, so they are one axis.
        flat = TensorShape(engine.batch, engine.channels * engine.height, 1, engine.width, engine.depth)
        dimensions, x = frozenset({Dimension.CHANNEL}), ctx.reshape(x, flat)
    unit = ctx.emit(LayerNormParams(dimensions, operation.epsilon, isinstance(operation, g.LayerNorm)), x)
    unit = ctx.reshape(unit, engine)
    ctx.define(node.outputs[0], _scale_and_shift(ctx, node, unit, layout, channels=False), layout)


def _layer_norm_of_rows(ctx: GraphLowering, node: Node, operation: g.LayerNorm | g.RmsNorm) -> None:
    """Items and planes are not reduced together: the normalized axes become the rows of a matrix and go back."""
    shape = ctx.shape(node.inputs[0])
    order = (*(axis for axis in range(len(shape)) if axis not in operation.axes), *operation.axes)
    turned = ctx.apply(g.Transpose(order), node.inputs[0])
    columns = math.prod(shape[axis] for axis in operation.axes)
    matrix = ctx.apply(g.Reshape((math.prod(shape) // columns, columns)), turned)
    normed = ctx.apply(type(operation)((1,), operation.epsilon), matrix)
    back = ctx.apply(g.Reshape(tuple(shape[axis] for axis in order)), normed)
    result = ctx.apply(g.Transpose(tuple(order.index(axis) for axis in range(len(shape)))), back)
    layout = ctx.layout(result)
    unit = _scale_and_shift(ctx, node, ctx.read(result), layout, channels=False)
    ctx.define(node.outputs[0], unit, layout)


def _lower_instance_norm(ctx: GraphLowering, node: Node) -> None:
    operation = node.operation
    assert isinstance(operation, g.InstanceNorm)
    layout = channels_layout(ctx.shape(node.inputs[0]))
    space = frozenset(d for d in layout[2:] if d is not None)
    unit = ctx.emit(LayerNormParams(space, operation.epsilon), ctx.read(node.inputs[0], layout))
    ctx.define(node.outputs[0], _scale_and_shift(ctx, node, unit, layout, channels=True), layout)


def _lower_group_norm(ctx: GraphLowering, node: Node) -> None:
    """Groups lie along Depth, their channels along Channel."""
    operation = node.operation
    assert isinstance(operation, g.GroupNorm)
    layout = channels_layout(ctx.shape(node.inputs[0]))
    engine = ctx.extents(ctx.read(node.inputs[0], layout))
    grouped = TensorShape(
        engine.batch, engine.channels // operation.groups, engine.height, engine.width, operation.groups
    )
    dimensions = frozenset({Dimension.CHANNEL, Dimension.HEIGHT, Dimension.WIDTH})
    normed = ctx.emit(LayerNormParams(dimensions, operation.epsilon), ctx.read_as(node.inputs[0], grouped))
    unit = ctx.reshape(normed, engine)
    ctx.define(node.outputs[0], _scale_and_shift(ctx, node, unit, layout, channels=True), layout)


def _lower_lp_norm(ctx: GraphLowering, node: Node) -> None:
    operation = node.operation
    assert isinstance(operation, g.LpNorm)
    layout = ctx.layout(node.inputs[0])
    x = ctx.read(node.inputs[0], layout)
    if ctx.options.functions is Functions.ACCURATE:
        unit = normalized(ctx, x, reduced(node, layout), operation.p, operation.epsilon)
        ctx.define(node.outputs[0], unit, layout)
        return
    size = ctx.emit(NeuronParams(NeuronKind.ABS if operation.p == 1 else NeuronKind.SQUARE), x)
    if dimensions := reduced(node, layout):
        size = ctx.emit(ReductionParams(ReductionKind.SUM, dimensions), size)
    kind = ElementWiseKind.MULT
    if operation.epsilon > 0:
        size = ctx.emit(
            NeuronParams(NeuronKind.RECIPROCAL if operation.p == 1 else NeuronKind.RSQRT, operation.epsilon), size
        )
    else:
        if operation.p == 2:
            size = ctx.emit(NeuronParams(NeuronKind.SQRT), size)
        size = ctx.emit(NeuronParams(NeuronKind.CLAMP, _SMALLEST_NORM, float("inf")), size)
        kind = ElementWiseKind.DIV
    unit = ctx.emit(ElementWiseParams(kind), x, ctx.broadcast(size, ctx.extents(x)))
    ctx.define(node.outputs[0], unit, layout)


def _lower_local_response_norm(ctx: GraphLowering, node: Node) -> None:
    """The sum over neighboring channels is a 1x1 convolution with a band of equal weights."""
    operation = node.operation
    assert isinstance(operation, g.LocalResponseNorm)
    layout = channels_layout(ctx.shape(node.inputs[0]))
    x = ctx.read(node.inputs[0], layout)
    channels = ctx.extents(x).channels
    check_matrix(channels, channels)
    before = (operation.size - 1) // 2
    distance = np.arange(channels)[None, :] - np.arange(channels)[:, None]
    band = (distance >= -before) & (distance < operation.size - before)
    kernel = (band * (operation.alpha / operation.size))[:, :, None, None]
    total = ctx.emit(ConvParams(kernel), ctx.emit(NeuronParams(NeuronKind.SQUARE), x))
    factor = power(ctx, ctx.emit(GOCParams(1.0, operation.bias), total), -operation.beta)
    ctx.define(node.outputs[0], ctx.emit(ElementWiseParams(ElementWiseKind.MULT), x, factor), layout)


LOWERINGS: Mapping[type[Operation], Callable[[GraphLowering, Node], None]] = MappingProxyType(
    {
        g.Softmax: _lower_softmax,
        g.LogSoftmax: _lower_softmax,
        g.BatchNorm: _lower_batch_norm,
        g.LayerNorm: _lower_layer_norm,
        g.RmsNorm: _lower_layer_norm,
        g.InstanceNorm: _lower_instance_norm,
        g.GroupNorm: _lower_group_norm,
        g.LpNorm: _lower_lp_norm,
        g.LocalResponseNorm: _lower_local_response_norm,
    }
)
