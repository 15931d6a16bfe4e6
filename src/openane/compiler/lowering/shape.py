"""Operations that move elements: views, joins, transposes, padding, resampling."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType

import numpy as np

from openane.compiler.lowering.context import GraphLowering, Handle
from openane.compiler.lowering.elementwise import affine
from openane.compiler.lowering.layout import Layout, canonical, channels_layout, engine_shape
from openane.compiler.lowering.matrix import along, check_matrix, selection
from openane.compiler.lowering.operand_rules import FEWER_AXES, LOOK_UP_HINT, five_dimensions
from openane.core.errors import require
from openane.core.rules import RuleKind, rule
from openane.graph import Node, Operation
from openane.graph import ops as g
from openane.net import ConcatParams, ConvParams, Dimension, InputViewParams, PadParams, TransposeParams


def _lower_reshape(ctx: GraphLowering, node: Node) -> None:
    """Nothing happens: the value only gets another shape, and whoever needs the elements elsewhere moves them."""
    ctx.define(node.outputs[0], ctx.values[node.inputs[0]].handle, None)


def _coalesced(shape: Sequence[int], permutation: Sequence[int]) -> tuple[list[int], list[int]]:
    """Extents and permutation without axes of 1, and with axes that stay neighbors joined."""
    axes = [axis for axis in permutation if shape[axis] != 1]
    runs: list[list[int]] = []
    real = [axis for axis in range(len(shape)) if shape[axis] != 1]
    position = {axis: i for i, axis in enumerate(real)}
    for axis in axes:
        if runs and position[axis] == position[runs[-1][-1]] + 1:
            runs[-1].append(axis)
        else:
            runs.append([axis])
    source = sorted(runs)
    extents = [int(np.prod([shape[axis] for axis in run], dtype=object)) for run in source]
    return extents, [source.index(run) for run in runs]


def _lower_transpose(ctx: GraphLowering, node: Node) -> None:
    operation = node.operation
    assert isinstance(operation, g.Transpose)
    name, result = node.inputs[0], node.outputs[0]
    shape = ctx.shape(name)
    extents, order = _coalesced(shape, operation.permutation)
    if order == sorted(order):
        ctx.define(result, ctx.values[name].handle, None)
        return
    wanted = ctx.preferences.layouts.get(result)
    if len(shape) <= 5:
        source, target = ctx.layout(name), wanted or ctx.free_layout(result)
        permutation = _engine_permutation(source, target, operation.permutation)
        ctx.define(result, ctx.emit(permutation, ctx.read(name, source)), target)
        return
    require(five_dimensions, len(extents), shape)
    layout: Layout = tuple(list(Dimension)[5 - len(extents) :])
    unit = ctx.emit(_engine_permutation(layout, layout, order), ctx.read_as(name, engine_shape(extents, layout)))
    ctx.define(result, unit, None)


def _engine_permutation(source: Layout, target: Layout, permutation: Sequence[int]) -> TransposeParams:
    """The unit that takes axis permutation[i] in layout `source` to axis i in layout `target`."""
    axes: dict[int, int] = {}
    for i, dimension in enumerate(target):
        origin = source[permutation[i]]
        if dimension is not None and origin is not None:
            axes[dimension.axis] = origin.axis
    rest = iter([axis for axis in range(5) if axis not in axes.values()])
    n, d, c, h, w = (axes[i] if i in axes else next(rest) for i in range(5))
    return TransposeParams((n, d, c, h, w))


def _lower_concat(ctx: GraphLowering, node: Node) -> None:
    operation = node.operation
    assert isinstance(operation, g.Concat)
    names = [name for name in node.inputs if ctx.types[name].size]
    known = [ctx.values[n].layout for n in node.inputs if n in ctx.values and ctx.values[n].layout]
    layout = known[0] if known and known[0] is not None else ctx.free_layout(node.outputs[0])
    if len(names) == 1:
        ctx.define(node.outputs[0], ctx.read(names[0], layout), layout)
        return
    dimension = layout[operation.axis]
    if dimension is None:
        layout = canonical(ctx.shape(node.outputs[0]), rows=ctx.options.rows)
        dimension = layout[operation.axis]
    assert dimension is not None, "the joined axis has more than one element"
    unit = ctx.emit(ConcatParams(dimension), *(ctx.read(name, layout) for name in names))
    ctx.define(node.outputs[0], unit, layout)


def _view(ctx: GraphLowering, x: Handle, dimension: Dimension | None, positions: range) -> Handle:
    """Every step-th element along a dimension; backwards by a matrix product."""
    if dimension is None:
        return x
    extent = dimension.extent(ctx.extents(x))
    if positions == range(extent):
        return x
    if positions.step < 0 and len(positions) > 1:
        return along(ctx, x, dimension, selection(positions, extent))
    return ctx.emit(InputViewParams(dimension, positions[0], len(positions), max(positions.step, 1)), x)


def _lower_split(ctx: GraphLowering, node: Node) -> None:
    operation = node.operation
    assert isinstance(operation, g.Split)
    layout = ctx.layout(node.inputs[0])
    x = ctx.read(node.inputs[0], layout)
    start = 0
    for name, size in zip(node.outputs, operation.sizes, strict=True):
        if name and size:
            ctx.define(name, _view(ctx, x, layout[operation.axis], range(start, start + size)), layout)
        start += size


def _lower_slice(ctx: GraphLowering, node: Node) -> None:
    operation = node.operation
    assert isinstance(operation, g.Slice)
    layout = ctx.layout(node.inputs[0])
    x = ctx.read(node.inputs[0], layout)
    for dimension, positions in zip(layout, operation.ranges(), strict=True):
        x = _view(ctx, x, dimension, positions)
    ctx.define(node.outputs[0], x, layout)


def _take(ctx: GraphLowering, x: Handle, dimension: Dimension, places: Sequence[int]) -> Handle:
    """The elements at `places` along a dimension: a view or a repeated element, else a matrix of ones and zeros."""
    steps = {b - a for a, b in pairwise(places)}
    first, last = min(places), max(places)
    if steps == {0}:
        one = _view(ctx, x, dimension, range(first, first + 1))
        return ctx.broadcast(one, dimension.resize(ctx.extents(one), len(places)))
    if len(steps) <= 1 and min(steps, default=1) > 0:
        return _view(ctx, x, dimension, range(first, last + 1, steps.pop() if steps else 1))
    near = _view(ctx, x, dimension, range(first, last + 1))
    return along(ctx, near, dimension, selection([place - first for place in places], last - first + 1))


@rule(
    "repeated-axis",
    family="gather",
    kind=RuleKind.COMPILER,
    limit="an axis with a dimension of the engine: all of five axes, or those longer than 1",
    hint=FEWER_AXES,
    evidence="openane.compiler.lowering.layout: axes of one element have no dimension where there are more than five",
)
def repeated_axis(count: int, shape: Sequence[int]) -> object | None:
    """An axis of one element that has no dimension on the engine is repeated."""
    return f"{count} times, shape {list(shape)}" if count > 1 else None


def _lower_gather(ctx: GraphLowering, node: Node) -> None:
    """Constant positions; positions that are computed are the host's."""
    operation = node.operation
    assert isinstance(operation, g.Gather)
    indices = ctx.weights(node.inputs[1], "the positions that are gathered", LOOK_UP_HINT)
    layout = ctx.layout(node.inputs[0])
    shape = ctx.shape(node.inputs[0])
    extent = shape[operation.axis]
    places = [int(i) % extent for i in indices.ravel()]
    x = ctx.read(node.inputs[0], layout)
    dimension = layout[operation.axis]
    if dimension is not None:
        x = _take(ctx, x, dimension, places)
    else:
        require(repeated_axis, len(places), shape)
    if indices.ndim == 0:
        ctx.define(node.outputs[0], x, layout[: operation.axis] + layout[operation.axis + 1 :])
    else:
        ctx.define(node.outputs[0], x, layout if indices.ndim == 1 else None)


def _lower_expand(ctx: GraphLowering, node: Node) -> None:
    layout = ctx.free_layout(node.outputs[0])
    source = layout[len(layout) - len(ctx.shape(node.inputs[0])) :]
    engine = engine_shape(ctx.shape(node.outputs[0]), layout)
    ctx.define(node.outputs[0], ctx.broadcast(ctx.read(node.inputs[0], source), engine), layout)


def _lower_tile(ctx: GraphLowering, node: Node) -> None:
    operation = node.operation
    assert isinstance(operation, g.Tile)
    layout = ctx.free_layout(node.outputs[0])
    x = ctx.read(node.inputs[0], layout)
    for dimension, count in zip(layout, operation.repeats, strict=True):
        if dimension is None or count == 1:
            continue
        engine = ctx.extents(x)
        if dimension.extent(engine) == 1:
            x = ctx.broadcast(x, dimension.resize(engine, count))
        else:
            x = ctx.emit(ConcatParams(dimension), *[x] * count)
    ctx.define(node.outputs[0], x, layout)


@rule(
    "padded-axes",
    family="padding",
    kind=RuleKind.COMPILER,
    limit="five axes",
    hint=FEWER_AXES,
    evidence="openane.compiler.lowering.layout: axes of one element have no dimension where there are more than five",
)
def padded_axes(layout: Layout) -> object | None:
    """The tensor that is padded has more than five axes."""
    return f"{len(layout)} axes" if any(dimension is None for dimension in layout) else None


_PAD_MODES = MappingProxyType({g.PadMode.REFLECT: "reflect", g.PadMode.EDGE: "edge", g.PadMode.WRAP: "wrap"})


def _lower_pad(ctx: GraphLowering, node: Node) -> None:
    """Constants by a Pad unit; copies of what is there are taken from it and joined to it, axis by axis."""
    operation = node.operation
    assert isinstance(operation, g.Pad)
    layout = ctx.layout(node.inputs[0])
    rank = len(layout)
    require(padded_axes, layout)
    x = ctx.read(node.inputs[0], layout)
    pairs = list(zip(layout, operation.pads[:rank], operation.pads[rank:], strict=True))
    for dimension, before, after in pairs:
        assert dimension is not None
        extent = dimension.extent(ctx.extents(x))
        if before < 0 or after < 0:
            x = _view(ctx, x, dimension, range(max(0, -before), extent - max(0, -after)))
    grown = {d: (max(0, a), max(0, b)) for d, a, b in pairs if d is not None and (a > 0 or b > 0)}
    if operation.mode is g.PadMode.CONSTANT:
        x = ctx.emit(PadParams(grown, value=float(operation.value)), x) if grown else x
    else:
        for dimension, amounts in grown.items():
            extent = dimension.extent(ctx.extents(x))
            places = np.pad(np.arange(extent), amounts, mode=_PAD_MODES[operation.mode])  # type: ignore[call-overload]
            before, after = places[: amounts[0]].tolist(), places[amounts[0] + extent :].tolist()
            parts = [_take(ctx, x, dimension, before)] if before else []
            parts += [x]
            parts += [_take(ctx, x, dimension, after)] if after else []
            x = ctx.emit(ConcatParams(dimension), *parts)
    ctx.define(node.outputs[0], x, layout)


def _lower_channel_shuffle(ctx: GraphLowering, node: Node) -> None:
    """A 1x1 convolution whose kernel is a permutation."""
    operation = node.operation
    assert isinstance(operation, g.ChannelShuffle)
    layout = channels_layout(ctx.shape(node.inputs[0]))
    channels = ctx.shape(node.inputs[0])[1]
    order = np.arange(channels).reshape(operation.groups, -1).T.ravel()
    unit = along(ctx, ctx.read(node.inputs[0], layout), Dimension.CHANNEL, selection(order, channels))
    ctx.define(node.outputs[0], unit, layout)


def _lower_trilu(ctx: GraphLowering, node: Node) -> None:
    """A product with a constant triangle of ones."""
    operation = node.operation
    assert isinstance(operation, g.Trilu)
    layout = ctx.layout(node.inputs[0])
    x = ctx.read(node.inputs[0], layout)
    shape = ctx.shape(node.inputs[0])[-2:]
    mask = (np.triu if operation.upper else np.tril)(np.ones(shape), operation.offset)
    full = mask.reshape(engine_shape(shape, layout[-2:]).ndchw)
    ctx.define(node.outputs[0], affine(ctx, x, scale=full), layout)


@rule(
    "resize-crop",
    family="resize",
    kind=RuleKind.ENGINE,
    limit="any other choice of coordinates",
    hint="Use nearest or linear resizing by an integer factor.",
    evidence="limits.md#operations: crop and resize come with the texture engine of a later generation",
)
def no_crop(operation: g.Resize) -> object | None:
    """The engine does not crop and resize."""
    crops = operation.coordinates is g.Coordinates.TF_CROP_AND_RESIZE
    return operation.coordinates.value if crops else None


def _lower_resize(ctx: GraphLowering, node: Node) -> None:
    """Whole factors of the nearest pixel by a transposed convolution with ones; the rest by a matrix per axis."""
    operation = node.operation
    assert isinstance(operation, g.Resize)
    require(no_crop, operation)
    name, result = node.inputs[0], node.outputs[0]
    shape, layout = ctx.shape(name), ctx.free_layout(node.inputs[0])
    x = ctx.read(name, layout)
    matrices: dict[Dimension, np.ndarray] = {}
    for axis, (extent, size) in enumerate(zip(shape, operation.sizes, strict=True)):
        positions = operation.positions(axis, extent)
        if extent == size and np.array_equal(positions, np.arange(size)):
            continue
        check_matrix(size, extent)
        if operation.mode is g.ResizeMode.NEAREST:
            matrix = selection(operation.nearest(positions, extent), extent)
        else:
            matrix = operation.weights(positions, axis, extent)
        dimension = layout[axis]
        if dimension is not None:
            matrices[dimension] = matrix
    factors = {d: _repeats(matrix) for d, matrix in matrices.items()}
    if matrices and set(factors) <= {Dimension.HEIGHT, Dimension.WIDTH} and all(factors.values()):
        block = (factors.get(Dimension.WIDTH, 1), factors.get(Dimension.HEIGHT, 1))
        channels = ctx.extents(x).channels
        kernel = np.ones((channels, 1, block[1], block[0]), np.float16)
        x = ctx.emit(ConvParams(kernel, block, groups=channels, transposed=True), x)
    else:
        for dimension, matrix in matrices.items():
            x = along(ctx, x, dimension, matrix)
    ctx.define(result, x, layout)


def _repeats(matrix: np.ndarray) -> int:
    """n if the matrix repeats every element n times, else 0."""
    size, extent = matrix.shape
    factor = size // extent
    return factor if factor > 1 and np.array_equal(matrix, np.repeat(np.eye(extent), factor, 0)) else 0


LOWERINGS: Mapping[type[Operation], Callable[[GraphLowering, Node], None]] = MappingProxyType(
    {
        g.Reshape: _lower_reshape,
        g.Transpose: _lower_transpose,
        g.Concat: _lower_concat,
        g.Split: _lower_split,
        g.Slice: _lower_slice,
        g.Gather: _lower_gather,
        g.Expand: _lower_expand,
        g.Tile: _lower_tile,
        g.Pad: _lower_pad,
        g.ChannelShuffle: _lower_channel_shuffle,
        g.Trilu: _lower_trilu,
        g.Resize: _lower_resize,
    }
)
