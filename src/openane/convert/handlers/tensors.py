"""How each operation of the Graph is spelled in MIL: products, windows, and moving of elements."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from openane.convert.builder import Handler, MilBuilder
from openane.core.errors import UnsupportedError
from openane.graph import Node, Operation
from openane.graph import ops as g


def _interleaved(pads: tuple[int, ...]) -> np.ndarray:
    """(all begins, all ends) as (begin, end) of each axis."""
    rank = len(pads) // 2
    return np.array([pads[side * rank + axis] for axis in range(rank) for side in (0, 1)], np.int32)


def _integers(values: Any) -> np.ndarray:
    return np.array(values, np.int32)


def _conv(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    return (b.mb.conv(**_convolution(b, node)),)


def _conv_transpose(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    operation = node.operation
    assert isinstance(operation, g.ConvTranspose)
    arguments = _convolution(b, node)
    if any(operation.output_padding):
        arguments["output_shape"] = _integers(b.type(node.outputs[0]).shape)
    return (b.mb.conv_transpose(**arguments),)


def _convolution(b: MilBuilder, node: Node) -> dict[str, Any]:
    operation = node.operation
    assert isinstance(operation, (g.Conv, g.ConvTranspose))
    arguments: dict[str, Any] = {
        "x": b.get(node.inputs[0]),
        "weight": b.array(node.inputs[1], "weights"),
        "strides": _integers(operation.strides),
        "pad_type": "custom",
        "pad": _interleaved(operation.pads),
        "dilations": _integers(operation.dilations),
        "groups": operation.groups,
    }
    if len(node.inputs) > 2 and node.inputs[2]:
        arguments["bias"] = b.array(node.inputs[2], "the bias")
    return arguments


def _pool(kind: str) -> Handler:
    """Windows beyond the padding (`ceil_mode`) become padding, where that counts the same."""

    def handler(b: MilBuilder, node: Node) -> tuple[Any, ...]:
        operation: Any = node.operation
        if any(step != 1 for step in operation.spacing):
            raise UnsupportedError("Core ML has no dilated pooling")
        x, rank = b.type(node.inputs[0]).shape, len(operation.kernel)
        out = b.type(node.outputs[0]).shape[2:]
        ends = [
            max(end, (o - 1) * stride + kernel - extent - begin)
            for o, stride, kernel, extent, begin, end in zip(
                out, operation.strides, operation.kernel, x[2:], operation.begins, operation.ends, strict=True
            )
        ]
        arguments: dict[str, Any] = {
            "x": b.get(node.inputs[0]),
            "kernel_sizes": _integers(operation.kernel),
            "strides": _integers(operation.strides),
            "pad_type": "custom",
            "pad": _interleaved((*operation.pads[:rank], *ends)),
        }
        if kind == "avg_pool":
            if operation.count_include_pad and tuple(ends) != tuple(operation.ends):
                raise UnsupportedError("Core ML counts positions beyond the padding")
            arguments["exclude_padding_from_average"] = not operation.count_include_pad
        return (getattr(b.mb, kind)(**arguments),)

    return handler


def _matmul(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    operation = node.operation
    assert isinstance(operation, g.MatMul)
    x, y = node.inputs
    left, right = b.type(x).shape, b.type(y).shape
    weight = b.graph.constants.get(y)
    if weight is not None and weight.ndim == 2 and len(left) > 1 and not operation.transpose_a:
        rows = weight if operation.transpose_b else weight.T
        return (b.mb.linear(x=b.get(x), weight=np.ascontiguousarray(rows, np.float32)),)
    matrices = [b.get(x), b.get(y)]
    if len(left) == 1:
        matrices[0] = b.reshape(matrices[0], (1, *left))
    if len(right) == 1:
        matrices[1] = b.reshape(matrices[1], (*right, 1))
    product = b.mb.matmul(
        x=matrices[0],
        y=matrices[1],
        transpose_x=operation.transpose_a and len(left) > 1,
        transpose_y=operation.transpose_b and len(right) > 1,
    )
    shape = b.type(node.outputs[0]).shape
    return (product if min(len(left), len(right)) > 1 else b.reshape(product, shape),)


def _einsum(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    operation = node.operation
    assert isinstance(operation, g.Einsum)
    try:
        return (b.mb.einsum(values=tuple(map(b.get, node.inputs)), equation=operation.equation.replace(" ", "")),)
    except Exception as error:
        raise UnsupportedError("Core ML has no such product of tensors", value=operation.equation) from error


def _reshape(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    return (b.reshape(b.get(node.inputs[0]), b.type(node.outputs[0]).shape),)


def _transpose(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    operation = node.operation
    assert isinstance(operation, g.Transpose)
    return (b.mb.transpose(x=b.get(node.inputs[0]), perm=_integers(operation.permutation)),)


def _concat(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    operation = node.operation
    assert isinstance(operation, g.Concat)
    return (b.mb.concat(values=[b.get(name) for name in node.inputs], axis=operation.axis),)


def _slice(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    operation = node.operation
    assert isinstance(operation, g.Slice)
    arguments: dict[str, Any] = {
        "x": b.get(node.inputs[0]),
        "begin": _integers(operation.starts),
        "end": _integers([max(0, end) for end in operation.ends]),
        "stride": _integers(operation.steps),
    }
    if min(operation.ends, default=0) < 0:
        arguments["end_mask"] = [end < 0 for end in operation.ends]
    return (b.mb.slice_by_index(**arguments),)


def _split(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    operation = node.operation
    assert isinstance(operation, g.Split)
    parts = b.mb.split(x=b.get(node.inputs[0]), split_sizes=_integers(operation.sizes), axis=operation.axis)
    return tuple(parts) if isinstance(parts, (list, tuple)) else (parts,)


_PAD_MODES = {g.PadMode.CONSTANT: "constant", g.PadMode.REFLECT: "reflect", g.PadMode.EDGE: "replicate"}


def _pad(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    operation = node.operation
    assert isinstance(operation, g.Pad)
    if operation.mode not in _PAD_MODES or min(operation.pads, default=0) < 0:
        raise UnsupportedError("Core ML has no such padding", value=f"{operation.mode.value} {list(operation.pads)}")
    if not b.floats(node.inputs[0]):
        raise UnsupportedError("Core ML pads floating-point tensors only")
    mode, value = _PAD_MODES[operation.mode], np.float32(operation.value)
    if not math.isfinite(operation.value):
        raise UnsupportedError("Core ML pads with finite values", value=operation.value)
    pad = _interleaved(operation.pads)
    return (b.mb.pad(x=b.get(node.inputs[0]), pad=pad, mode=mode, constant_val=value),)


def _expand(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    wide = b.broadcast(node.inputs[0], b.type(node.outputs[0]).shape)
    return (b.mb.identity(x=wide),)


def _tile(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    operation = node.operation
    assert isinstance(operation, g.Tile)
    return (b.mb.tile(x=b.get(node.inputs[0]), reps=_integers(operation.repeats)),)


def _gather(kind: str) -> Handler:
    def handler(b: MilBuilder, node: Node) -> tuple[Any, ...]:
        operation: Any = node.operation
        x, indices = (b.get(name) for name in node.inputs)
        return (getattr(b.mb, kind)(x=x, indices=indices, axis=operation.axis),)

    return handler


def _gather_nd(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    operation = node.operation
    assert isinstance(operation, g.GatherND)
    if operation.batch_axes:
        raise UnsupportedError("Core ML's GatherND has no batch axes before iOS 16")
    return (b.mb.gather_nd(x=b.get(node.inputs[0]), indices=b.get(node.inputs[1])),)


def _depth_to_space(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    operation, x = node.operation, b.get(node.inputs[0])
    assert isinstance(operation, g.DepthToSpace)
    if operation.order is g.BlockOrder.COLUMN_ROW_DEPTH:
        return (b.mb.pixel_shuffle(x=x, upscale_factor=operation.block),)
    return (b.mb.depth_to_space(x=x, block_size=operation.block),)


def _space_to_depth(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    operation, x = node.operation, b.get(node.inputs[0])
    assert isinstance(operation, g.SpaceToDepth)
    if operation.order is not g.BlockOrder.DEPTH_COLUMN_ROW:
        raise UnsupportedError("Core ML has one order of SpaceToDepth", value=operation.order.value)
    return (b.mb.space_to_depth(x=x, block_size=operation.block),)


def _channel_shuffle(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    operation = node.operation
    assert isinstance(operation, g.ChannelShuffle)
    shape = b.type(node.inputs[0]).shape
    n, c = shape[:2]
    parts = b.reshape(b.get(node.inputs[0]), (n, operation.groups, c // operation.groups, math.prod(shape[2:])))
    return (b.reshape(b.mb.transpose(x=parts, perm=_integers((0, 2, 1, 3))), shape),)


def _trilu(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    operation = node.operation
    assert isinstance(operation, g.Trilu)
    mask = np.ones(b.type(node.inputs[0]).shape[-2:], np.float32)
    mask = np.triu(mask, operation.offset) if operation.upper else np.tril(mask, operation.offset)
    return (b.mb.mul(x=b.get(node.inputs[0]), y=mask),)


def _resize(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    operation, x = node.operation, b.get(node.inputs[0])
    assert isinstance(operation, g.Resize)
    shape, sizes = b.type(node.inputs[0]).shape, operation.sizes
    if len(shape) != 4 or tuple(sizes[:2]) != shape[:2]:
        raise UnsupportedError("Core ML resizes the last two of four axes", value=f"{list(shape)} to {list(sizes)}")
    whole = all(to % of == 0 for to, of in zip(sizes, shape, strict=True))
    factors = tuple(to // of for to, of in zip(sizes[2:], shape[2:], strict=True))
    if operation.mode is g.ResizeMode.NEAREST and whole and _repeats(operation, shape):
        return (b.mb.upsample_nearest_neighbor(x=x, scale_factor_height=factors[0], scale_factor_width=factors[1]),)
    sampling = {g.Coordinates.ALIGN_CORNERS: "STRICT_ALIGN_CORNERS", g.Coordinates.HALF_PIXEL: "UNALIGN_CORNERS"}
    if operation.mode is g.ResizeMode.LINEAR and operation.coordinates in sampling and not operation.antialias:
        mode = sampling[operation.coordinates]
        return (b.mb.resize_bilinear(x=x, target_size_height=sizes[2], target_size_width=sizes[3], sampling_mode=mode),)
    value = f"{operation.mode.value}, {operation.coordinates.value}, {list(shape)} to {list(sizes)}"
    raise UnsupportedError("Core ML has no such resizing", value=value)


def _repeats(operation: g.Resize, shape: tuple[int, ...]) -> bool:
    """Whether every pixel is repeated: the reference itself says so on a ramp."""
    for extent, size in zip(shape[2:], operation.sizes[2:], strict=True):
        ramp = np.arange(extent, dtype=np.float32).reshape(1, 1, extent, 1)
        alone = g.Resize((1, 1, size, 1), operation.mode, operation.coordinates, operation.rounding)
        if not np.array_equal(alone.evaluate([ramp])[0], np.repeat(ramp, size // extent, 2)):
            return False
    return True


#: By class of the operation.
_SCATTERS: Mapping[g.ScatterMode, str] = MappingProxyType(
    {
        g.ScatterMode.REPLACE: "update",
        g.ScatterMode.ADD: "add",
        g.ScatterMode.MULTIPLY: "mul",
        g.ScatterMode.MAXIMUM: "max",
        g.ScatterMode.MINIMUM: "min",
    }
)
"""What Core ML calls the combination with the element that is already there."""


def _scatter_nd(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    operation = node.operation
    assert isinstance(operation, g.ScatterND)
    x, indices, updates = node.inputs
    sizes = b.type(x).shape[: b.type(indices).shape[-1]]
    places = _counted_from_the_front(b, indices, sizes)
    return (b.mb.scatter_nd(data=b.get(x), indices=places, updates=b.get(updates), mode=_SCATTERS[operation.mode]),)


def _scatter_elements(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    operation = node.operation
    assert isinstance(operation, g.ScatterElements)
    x, indices, updates = node.inputs
    places = _counted_from_the_front(b, indices, b.type(x).shape[operation.axis : operation.axis + 1])
    return (
        b.mb.scatter_along_axis(
            data=b.get(x), indices=places, updates=b.get(updates), axis=operation.axis, mode=_SCATTERS[operation.mode]
        ),
    )


def _counted_from_the_front(b: MilBuilder, indices: str, sizes: Sequence[int]) -> Any:
    """Indices, negative ones counted from the front: not every system counts from the end."""
    if indices in b.graph.constants:
        array = b.array(indices)
        return b.mb.const(val=np.where(array < 0, array + _integers(sizes), array).astype(np.int32))
    x = b.get(indices)
    shifted = b.mb.add(x=x, y=_integers(sizes if len(sizes) > 1 else sizes[0]))
    return b.mb.select(cond=b.mb.less(x=x, y=np.int32(0)), a=shifted, b=x)


def _one_hot(b: MilBuilder, node: Node) -> tuple[Any, ...]:
    operation = node.operation
    assert isinstance(operation, g.OneHot)
    off, on = b.array(node.inputs[1], "the values")
    indices = b.get(node.inputs[0])
    if b.floats(node.inputs[0]):
        indices = b.mb.cast(x=indices, dtype="int32")
    shifted = b.mb.add(x=indices, y=np.int32(operation.depth))
    places = b.mb.select(cond=b.mb.less(x=indices, y=np.int32(0)), a=shifted, b=indices)
    return (
        b.mb.one_hot(
            indices=places, one_hot_vector_size=operation.depth, axis=operation.axis, on_value=on, off_value=off
        ),
    )


HANDLERS: Mapping[type[Operation], Handler] = MappingProxyType(
    {
        g.AveragePool: _pool("avg_pool"),
        g.ChannelShuffle: _channel_shuffle,
        g.Concat: _concat,
        g.Conv: _conv,
        g.ConvTranspose: _conv_transpose,
        g.DepthToSpace: _depth_to_space,
        g.Einsum: _einsum,
        g.Expand: _expand,
        g.Gather: _gather("gather"),
        g.GatherElements: _gather("gather_along_axis"),
        g.GatherND: _gather_nd,
        g.MatMul: _matmul,
        g.MaxPool: _pool("max_pool"),
        g.OneHot: _one_hot,
        g.Pad: _pad,
        g.Reshape: _reshape,
        g.Resize: _resize,
        g.ScatterElements: _scatter_elements,
        g.ScatterND: _scatter_nd,
        g.Slice: _slice,
        g.SpaceToDepth: _space_to_depth,
        g.Split: _split,
        g.Tile: _tile,
        g.Transpose: _transpose,
        g.Trilu: _trilu,
    }
)
