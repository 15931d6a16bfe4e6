"""Matrix products: by constants, of two tensors, and of a constant with one axis of a tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from openane.compiler.lowering.context import GraphLowering, Handle
from openane.compiler.lowering.layout import MATRICES, SPATIAL, Layout, engine_shape
from openane.compiler.lowering.operand_rules import FEWER_AXES
from openane.core.errors import require
from openane.core.rules import RuleKind, rule
from openane.graph import Node, Operation
from openane.graph import ops as g
from openane.net import (
    ConcatParams,
    ConvParams,
    Dimension,
    InputViewParams,
    LinearParams,
    MatMulParams,
    TensorShape,
    TransposeParams,
)

_HEIGHT_WIDTH = (0, 1, 2, 4, 3)


#: Dimensions outside of the planes, the outermost first.
_OUTER = (Dimension.BATCH, Dimension.DEPTH, Dimension.CHANNEL)

#: Elements of a matrix that the lowering makes to move or weigh the elements along an axis.
_MATRIX_LIMIT = 1 << 24


@rule(
    "axis-matrix",
    family="every operation",
    kind=RuleKind.COMPILER,
    limit=f"{_MATRIX_LIMIT} weights",
    hint="Do it in two shorter steps, or before the model.",
    evidence="openane.compiler.lowering.matrix: a bound on the size of programs",
)
def axis_matrix(rows: int, columns: int) -> object | None:
    """The axis is too long to be rearranged by a matmul."""
    return f"{columns} to {rows} elements" if rows * columns > _MATRIX_LIMIT else None


@rule(
    "matmul-axes",
    family="product by a constant",
    kind=RuleKind.COMPILER,
    limit="five axes",
    hint=FEWER_AXES,
    evidence="limits.md#sizes: rank 5",
)
def matrix_axes(layout: Layout, shape: Sequence[int]) -> object | None:
    """The matmul has more than five axes."""
    return None if layout[-1] is Dimension.WIDTH else f"shape {list(shape)}"


@rule(
    "matmul-batch-axes",
    family="product of two tensors",
    kind=RuleKind.COMPILER,
    limit="at most three batch axes",
    hint="Merge the batch axes by a Reshape.",
    evidence="limits.md#sizes: rank 5",
)
def batch_axes(rank: int) -> object | None:
    """The matmul has more than three batch axes."""
    return f"{rank} axes" if rank > 5 else None


def check_matrix(rows: int, columns: int) -> None:
    """Refuses to make a huge matrix.

    Raises:
        UnsupportedError: it would be too large.
    """
    require(axis_matrix, rows, columns)


def selection(places: Sequence[int] | np.ndarray, extent: int) -> np.ndarray:
    """The matrix of ones and zeros whose product with an axis of `extent` elements takes those at `places`.

    Raises:
        UnsupportedError: it would be too large.
    """
    check_matrix(len(places), extent)
    matrix = np.zeros((len(places), extent), np.float16)
    matrix[np.arange(len(places)), places] = 1
    return matrix


def _swap(a: Dimension, b: Dimension) -> TransposeParams:
    order = [0, 1, 2, 3, 4]
    order[a.axis], order[b.axis] = b.axis, a.axis
    n, d, c, h, w = order
    return TransposeParams((n, d, c, h, w))


def along(ctx: GraphLowering, x: Handle, dimension: Dimension, matrix: np.ndarray) -> Handle:
    """y[.., i, ..] = sum over j of matrix[i, j] * x[.., j, ..] along one dimension."""
    if dimension is Dimension.CHANNEL:
        return ctx.emit(ConvParams(matrix[:, :, None, None]), x)
    if dimension is Dimension.WIDTH:
        return _linear(ctx, x, matrix)
    swap = _swap(dimension, Dimension.WIDTH)
    return ctx.emit(swap, _linear(ctx, ctx.emit(swap, x), matrix))


def _linear(ctx: GraphLowering, x: Handle, weight: np.ndarray) -> Handle:
    """A product along Width, on one stack of rows: planes lie one after another, so this view costs nothing.

    More rows than an image may have are cut in halves along the outermost dimension.
    """
    shape = ctx.extents(x)
    rows = shape.size // shape.width
    outer = next((d for d in _OUTER if d.extent(shape) > 1), None)
    if rows > ctx.options.machine.max_height and outer is not None:
        extent = outer.extent(shape)
        spans = ((0, extent // 2), (extent // 2, extent - extent // 2))
        parts = [_linear(ctx, ctx.emit(InputViewParams(outer, first, count), x), weight) for first, count in spans]
        return ctx.emit(ConcatParams(outer), *parts)
    y = ctx.emit(LinearParams(weight), ctx.reshape(x, TensorShape(1, 1, rows, shape.width)))
    return ctx.reshape(y, Dimension.WIDTH.resize(shape, weight.shape[0]))


def _lower_matmul(ctx: GraphLowering, node: Node) -> None:
    operation = node.operation
    assert isinstance(operation, g.MatMul)
    a, b = node.inputs
    right = ctx.constant(b)
    if right is not None and right.ndim <= 2 and not (operation.transpose_a and len(ctx.shape(a)) > 1):
        weight = right.reshape(-1, 1) if right.ndim == 1 else right
        _times_constant(ctx, node, weight if operation.transpose_b else weight.T)
        return
    left = ctx.constant(a)
    if left is not None and left.ndim == 2 and len(ctx.shape(b)) >= 2 and not operation.transpose_b:
        shape, layout = ctx.shape(node.outputs[0]), ctx.layout(b)
        dimension = layout[-2]
        if dimension is not None:
            y = along(ctx, ctx.read(b, layout), dimension, left.T if operation.transpose_a else left)
            ctx.define(node.outputs[0], y, layout[-len(shape) :])
            return
    _two_tensors(ctx, node, operation)


def _times_constant(ctx: GraphLowering, node: Node, weight: np.ndarray) -> None:
    """x [..., K] times a constant, given as (N, K).

    One vector that is in channels, or is an image that was flattened, is a convolution: of one pixel, or with the
    image as the window. Everything else is rows on Width.
    """
    name, result = node.inputs[0], node.outputs[0]
    shape, out = ctx.shape(name), ctx.shape(result)
    value = ctx.values[name]
    engine = ctx.extents(value.handle)
    outputs, inner = weight.shape
    vectors = shape[0] if len(shape) == 2 else 1
    if len(shape) <= 2 and _is_image(ctx, name, engine, vectors):
        window = (engine.width, engine.height)
        machine = ctx.options.machine
        if window[0] > machine.max_kernel_width or window[1] > machine.max_kernel_height:
            engine = TensorShape(vectors, inner)
        kernel = weight.reshape(outputs, engine.channels, engine.height, engine.width)
        unit = ctx.emit(ConvParams(kernel), ctx.reshape(value.handle, engine))
        ctx.define(result, unit, SPATIAL[len(out)] if out else ())
        return
    layout = MATRICES[len(shape)] if len(shape) <= 5 else ctx.layout(name)
    require(matrix_axes, layout, shape)
    unit = _linear(ctx, ctx.read(name, layout), weight)
    # A vector on the right is a matrix of one column, whose axis the result has not.
    ctx.define(result, unit, layout if len(out) == len(shape) else layout[:-1])


def _is_image(ctx: GraphLowering, name: str, engine: TensorShape, vectors: int) -> bool:
    if engine.depth != 1 or engine.batch != vectors:
        return False
    value = ctx.values[name]
    if value.layout is not None:
        return value.layout[-1] is Dimension.CHANNEL
    # A reshaped value: from an image if it has channels. Rows of a matrix product stay rows.
    return engine.channels > 1 or (not ctx.options.rows and max(engine.width, engine.height) == 1)


def _two_tensors(ctx: GraphLowering, node: Node, operation: g.MatMul) -> None:
    a, b = node.inputs
    ctx.check_factors(a, b)
    shapes = [ctx.shape(a), ctx.shape(b)]
    out = ctx.shape(node.outputs[0])
    # One axis alone is a row on the left and a column on the right.
    left = shapes[0] if len(shapes[0]) > 1 else (1, *shapes[0])
    right = shapes[1] if len(shapes[1]) > 1 else (*shapes[1], 1)
    rank = max(len(left), len(right))
    if left[-2 if operation.transpose_a else -1] == 1:
        _outer_product(ctx, node, operation, left, right)
        return
    require(batch_axes, rank)
    layout = MATRICES[rank]
    batch = np.broadcast_shapes(left[:-2], right[:-2])
    handles = []
    for name, shape in ((a, left), (b, right)):
        full = (1,) * (rank - len(shape)) + shape
        handle = ctx.read_as(name, engine_shape(full, layout))
        handles.append(ctx.broadcast(handle, engine_shape((*batch, *shape[-2:]), layout)))
    unit = ctx.emit(MatMulParams(operation.transpose_a, operation.transpose_b), *handles)
    ctx.define(node.outputs[0], unit, layout if len(out) == rank else None)


def _outer_product(
    ctx: GraphLowering, node: Node, operation: g.MatMul, left: tuple[int, ...], right: tuple[int, ...]
) -> None:
    """One term per result: a product of two repeated tensors, of one task for the whole batch."""
    column = (*left[:-2], left[-1 if operation.transpose_a else -2], 1)
    row = (*right[:-2], 1, right[-2 if operation.transpose_b else -1])
    parts = [ctx.apply(g.Reshape(shape), name) for shape, name in zip((column, row), node.inputs, strict=True)]
    product = ctx.apply(g.Mul(), *parts)
    result = ctx.apply(g.Reshape(ctx.shape(node.outputs[0])), product)
    ctx.define(node.outputs[0], ctx.values[result].handle, ctx.values[result].layout)


def _lower_cumsum(ctx: GraphLowering, node: Node) -> None:
    operation = node.operation
    assert isinstance(operation, g.CumSum)
    layout = ctx.layout(node.inputs[0])
    dimension = layout[operation.axis]
    x = ctx.read(node.inputs[0], layout)
    extent = ctx.shape(node.inputs[0])[operation.axis]
    check_matrix(extent, extent)
    offset = 1 if operation.exclusive else 0
    matrix = (
        np.triu(np.ones((extent, extent)), offset) if operation.reverse else np.tril(np.ones((extent,) * 2), -offset)
    )
    ctx.define(node.outputs[0], along(ctx, x, dimension, matrix) if dimension else x, layout)


LOWERINGS: Mapping[type[Operation], Callable[[GraphLowering, Node], None]] = MappingProxyType(
    {g.MatMul: _lower_matmul, g.CumSum: _lower_cumsum}
)

__all__ = ["LOWERINGS", "Layout", "along"]
