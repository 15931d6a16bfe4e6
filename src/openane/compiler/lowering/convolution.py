"""Convolutions, with padding in front taken in, and over one, two and three axes of space."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from openane.compiler.lowering.context import GraphLowering, Handle
from openane.compiler.lowering.elementwise import affine
from openane.compiler.lowering.layout import SPATIAL
from openane.compiler.lowering.matrix import check_matrix
from openane.compiler.lowering.operand_rules import MERGE_AXES
from openane.core.errors import require
from openane.core.rules import RuleKind, rule
from openane.graph import Node, Operation
from openane.graph import ops as g
from openane.net import ConvParams, Dimension, PadParams, Pads


def plane(values: Sequence[int], default: int) -> tuple[int, int]:
    """Values per axis of space as (x, y); one axis is Width."""
    return (values[-1], values[-2] if len(values) > 1 else default)


def plane_pads(pads: Sequence[int]) -> Pads:
    """Pads before every axis, then after every one, of one or two axes."""
    before, after = pads[: len(pads) // 2], pads[len(pads) // 2 :]
    if len(before) == 1:
        return Pads(0, 0, before[0], after[0])
    return Pads(before[0], after[0], before[1], after[1])


def _bias(ctx: GraphLowering, node: Node, unit: Handle) -> Handle:
    if len(node.inputs) > 2 and node.inputs[2]:
        bias = ctx.weights(node.inputs[2], "the bias of a convolution")
        return affine(ctx, unit, bias=bias.reshape(1, 1, -1, 1, 1))
    return unit


def source_and_pads(ctx: GraphLowering, name: str, pads: Sequence[int]) -> tuple[str, tuple[int, ...]]:
    """The source of a convolution and its pads, with a Pad of zeros in front taken in."""
    producer = ctx.producers.get(name)
    if producer is not None and isinstance(producer.operation, g.Pad):
        pad = producer.operation
        rank = len(pad.pads) // 2
        before, after = pad.pads[:rank], pad.pads[rank:]
        plain = pad.mode is g.PadMode.CONSTANT and pad.value == 0 and min(pad.pads) >= 0
        if plain and not any((*before[:2], *after[:2])) and producer.inputs[0] in ctx.values:
            grown = zip(pads, (*before[2:], *after[2:]), strict=True)
            return producer.inputs[0], tuple(a + b for a, b in grown)
    return name, tuple(pads)


def outside_padding(ctx: GraphLowering, x: Handle, pads: Pads, value: float = 0.0) -> tuple[Handle, Pads]:
    """x and the padding that its window takes; more than the engine can express is put around x itself."""
    if max(pads.top, pads.left) <= ctx.options.machine.max_pad:
        return x, pads
    return pad_image(ctx, x, pads, value), Pads()


def pad_image(ctx: GraphLowering, x: Handle, pads: Pads, value: float) -> Handle:
    """Rows and columns of one value around x."""
    amounts = {Dimension.HEIGHT: (pads.top, pads.bottom), Dimension.WIDTH: (pads.left, pads.right)}
    grown = {dimension: amount for dimension, amount in amounts.items() if any(amount)}
    return ctx.emit(PadParams(grown, value=value), x) if grown else x


@rule(
    "convolution-axes",
    family="convolution",
    kind=RuleKind.COMPILER,
    limit="at most three",
    hint=MERGE_AXES,
    evidence="limits.md#sizes: kernels have a width and a height; depth is put together of images",
)
def convolved_axes(count: int) -> object | None:
    """The convolution has too many spatial axes."""
    return count if count > 3 else None


@rule(
    "transposed-convolution-axes",
    family="convolution",
    kind=RuleKind.COMPILER,
    limit="at most two",
    hint=MERGE_AXES,
    evidence="limits.md#sizes: kernels have a width and a height",
)
def transposed_axes(count: int) -> object | None:
    """The transposed convolution has too many spatial axes."""
    return count if count > 2 else None


def _lower_conv(ctx: GraphLowering, node: Node) -> None:
    operation = node.operation
    assert isinstance(operation, g.Conv)
    kernel = ctx.weights(node.inputs[1], "the kernel of a convolution")
    if kernel.ndim == 5:
        _lower_conv_3d(ctx, node, operation, kernel)
        return
    require(convolved_axes, kernel.ndim - 2)
    name, pads = source_and_pads(ctx, node.inputs[0], operation.pads)
    layout = SPATIAL[kernel.ndim]
    x, rest = outside_padding(ctx, ctx.read(name, layout), plane_pads(pads))
    conv = ConvParams(
        kernel if kernel.ndim == 4 else kernel[:, :, None, :],
        plane(operation.strides, 1),
        plane(operation.dilations, 1),
        rest,
        operation.groups,
    )
    ctx.define(node.outputs[0], _bias(ctx, node, ctx.emit(conv, x)), layout)


def _lower_conv_3d(ctx: GraphLowering, node: Node, operation: g.Conv, kernel: np.ndarray) -> None:
    """One convolution of images that are stacked in rows, with the taps along depth as input channels.

    The number of tasks does not grow with depth, and each result is one sum, rounded once.
    """
    (n, c, _, h, w), (_, channels, depth, height, width) = ctx.shape(node.inputs[0]), ctx.shape(node.outputs[0])
    taps, step, spacing = kernel.shape[2], operation.strides, operation.dilations
    front, top, left, back, bottom, right = operation.pads
    rows = -(-(h + top + bottom) // step[1]) * step[1]  # of one image, so that every image begins at a step
    x = node.inputs[0]
    if front or back or rows != h:
        x = ctx.apply(g.Pad((0, 0, front, top, 0, 0, 0, back, rows - h - top, 0)), x)
    reach = (kernel.shape[3] - 1) * spacing[1] + 1
    plane_operation = g.Conv(
        strides=step[1:],
        pads=(0, left, max(reach - step[1], 0), right),
        dilations=spacing[1:],
        groups=operation.groups,
    )
    weights = _depth_as_channels(kernel, operation.groups)
    most = max(ctx.options.machine.max_height // (rows * (taps if operation.groups > 1 else 1)), 1)
    blocks = []
    for first in range(0, depth, most):
        count = min(most, depth - first)
        windows = []
        for tap in range(taps):
            begin = first * step[0] + tap * spacing[0]
            end = begin + (count - 1) * step[0] + 1
            window = g.Slice((0, 0, begin, 0, 0), (n, c, end, rows, w), (1, 1, step[0], 1, 1))
            whole = (begin, end, step[0]) == (0, ctx.types[x].shape[2], 1)
            windows.append(ctx.apply(g.Reshape((n, c, count * rows, w)), x if whole else ctx.apply(window, x)))
        images = windows[0]
        if taps > 1 and operation.groups == 1:
            images = ctx.apply(g.Concat(1), *windows)
        elif taps > 1:
            images = ctx.apply(g.Reshape((n, c * taps, count * rows, w)), ctx.apply(g.Concat(2), *windows))
        made = ctx.apply(plane_operation, images, weights, *filter(None, node.inputs[2:]))
        blocks.append(ctx.apply(g.Reshape((n, channels, count, rows // step[1], width)), made))
    result = blocks[0] if len(blocks) == 1 else ctx.apply(g.Concat(2), *blocks)
    if rows // step[1] != height:
        result = ctx.apply(g.Slice((0,) * 5, (n, channels, depth, height, width), (1,) * 5), result)
    ctx.define(node.outputs[0], ctx.values[result].handle, None)


def _depth_as_channels(kernel: np.ndarray, groups: int) -> np.ndarray:
    """(Cout, Cin / groups, depth, height, width) with depth joined to the input channels: outside of them, or inside
    when groups must stay together."""
    if groups == 1:
        kernel = kernel.swapaxes(1, 2)
    return np.ascontiguousarray(kernel).reshape(kernel.shape[0], -1, *kernel.shape[3:])


def _lower_conv_transpose(ctx: GraphLowering, node: Node) -> None:
    operation = node.operation
    assert isinstance(operation, g.ConvTranspose)
    kernel = ctx.weights(node.inputs[1], "the kernel of a convolution")
    require(transposed_axes, kernel.ndim - 2)
    layout = SPATIAL[kernel.ndim]
    if kernel.ndim == 3:
        kernel = kernel[:, :, None, :]
    groups = operation.groups
    # (Cin, Cout / groups, ...) to the unit's (Cout, Cin / groups, ...), group by group.
    grouped = kernel.reshape(groups, kernel.shape[0] // groups, *kernel.shape[1:]).swapaxes(1, 2)
    conv = ConvParams(
        grouped.reshape(-1, *grouped.shape[2:]),
        plane(operation.strides, 1),
        plane(operation.dilations, 1),
        plane_pads(operation.pads),
        groups,
        transposed=True,
        output_padding=plane(operation.output_padding or (0,) * len(operation.strides), 0),
    )
    unit = ctx.emit(conv, ctx.read(node.inputs[0], layout))
    ctx.define(node.outputs[0], _bias(ctx, node, unit), layout)


def _shuffle_kernel(block: int, depth: int, order: g.BlockOrder) -> np.ndarray:
    """(depth, block^2 * depth, block, block) of ones and zeros: which channel holds which place of a block.

    Raises:
        UnsupportedError: it would be too large.
    """
    check_matrix(depth * block**2, depth * block**2)
    d, row, column = np.meshgrid(np.arange(depth), np.arange(block), np.arange(block), indexing="ij")
    if order is g.BlockOrder.DEPTH_COLUMN_ROW:
        channel = (row * block + column) * depth + d
    else:
        channel = d * block**2 + row * block + column
    kernel = np.zeros((depth, depth * block**2, block, block), np.float16)
    kernel[d, channel, row, column] = 1
    return kernel


def _lower_depth_to_space(ctx: GraphLowering, node: Node) -> None:
    """A transposed convolution with step `block`, whose taps pick one channel each."""
    operation = node.operation
    assert isinstance(operation, g.DepthToSpace)
    depth, block = ctx.shape(node.outputs[0])[1], operation.block
    if operation.order is g.BlockOrder.COLUMN_ROW_DEPTH:
        kernel, groups = np.tile(_shuffle_kernel(block, 1, operation.order), (depth, 1, 1, 1)), depth
    else:
        kernel, groups = _shuffle_kernel(block, depth, operation.order), 1
    conv = ConvParams(kernel, (block, block), groups=groups, transposed=True)
    ctx.define(node.outputs[0], ctx.emit(conv, ctx.read(node.inputs[0], SPATIAL[4])), SPATIAL[4])


def _lower_space_to_depth(ctx: GraphLowering, node: Node) -> None:
    """A convolution with step `block`, whose taps pick one pixel each."""
    operation = node.operation
    assert isinstance(operation, g.SpaceToDepth)
    depth, block = ctx.shape(node.inputs[0])[1], operation.block
    if operation.order is g.BlockOrder.COLUMN_ROW_DEPTH:
        one = _shuffle_kernel(block, 1, operation.order).swapaxes(0, 1)
        kernel, groups = np.tile(one, (depth, 1, 1, 1)), depth
    else:
        kernel, groups = _shuffle_kernel(block, depth, operation.order).swapaxes(0, 1), 1
    conv = ConvParams(kernel, (block, block), groups=groups)
    ctx.define(node.outputs[0], ctx.emit(conv, ctx.read(node.inputs[0], SPATIAL[4])), SPATIAL[4])


LOWERINGS: Mapping[type[Operation], Callable[[GraphLowering, Node], None]] = MappingProxyType(
    {
        g.Conv: _lower_conv,
        g.ConvTranspose: _lower_conv_transpose,
        g.DepthToSpace: _lower_depth_to_space,
        g.SpaceToDepth: _lower_space_to_depth,
    }
)
