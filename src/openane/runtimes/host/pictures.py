"""How operations on pictures are spelled in ONNX: windows, blocks and resampling."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from openane.core.errors import UnsupportedError
from openane.graph import Node, Operation
from openane.graph import ops as o
from openane.runtimes.host.writer import Handler, Writer


def _convolution(w: Writer, node: Node) -> list[str]:
    operation: Any = node.operation
    attributes: dict[str, Any] = {
        "strides": operation.strides,
        "pads": operation.pads,
        "dilations": operation.dilations,
        "group": operation.groups,
        "kernel_shape": w.type(node.inputs[1]).shape[2:],
    }
    if isinstance(operation, o.Conv):
        return w.emit("Conv", *node.inputs, **attributes)
    if operation.output_padding:
        attributes["output_padding"] = operation.output_padding
    return w.emit("ConvTranspose", *node.inputs, **attributes)


def _whole_windows(operation: o.Pooling, extents: tuple[int, ...]) -> tuple[int, ...] | None:
    """Pads with which every window is whole, so that readers of ONNX need not agree on `ceil_mode`.

    Longer ones change no maximum; None where they would not be shorter than the window, which ONNX wants.
    """
    if replace(operation, ceil_mode=False).spatial(extents) == operation.spatial(extents):
        return operation.pads
    rows = zip(operation.spatial(extents), operation.strides, operation.kernel, operation.spacing, strict=True)
    reach = [(out - 1) * stride + (kernel - 1) * dilation + 1 for out, stride, kernel, dilation in rows]
    places = zip(reach, extents, operation.begins, operation.ends, strict=True)
    ends = [max(end, needed - extent - begin) for needed, extent, begin, end in places]
    return (*operation.begins, *ends) if all(map(int.__lt__, ends, operation.kernel)) else None


def _pooling(kind: str) -> Handler:
    def handler(w: Writer, node: Node) -> list[str]:
        operation: Any = node.operation
        pads = _whole_windows(operation, w.type(node.inputs[0]).shape[2:])
        attributes: dict[str, Any] = {
            "kernel_shape": operation.kernel,
            "strides": operation.strides,
            "pads": pads or operation.pads,
            "dilations": operation.spacing,
            "ceil_mode": int(pads is None),
        }
        if pads != operation.pads and kind != "MaxPool":
            raise UnsupportedError("windows beyond the padding are averaged differently by readers of ONNX")
        if kind == "AveragePool":
            attributes["count_include_pad"] = int(operation.count_include_pad)
        if kind == "LpPool":
            attributes["p"] = operation.p
        return w.emit(kind, node.inputs[0], **attributes)

    return handler


def _space_to_depth(w: Writer, node: Node) -> list[str]:
    operation = node.operation
    assert isinstance(operation, o.SpaceToDepth)
    if operation.order is not o.BlockOrder.DEPTH_COLUMN_ROW:
        raise UnsupportedError("ONNX has one order of SpaceToDepth", value=operation.order.value)
    return w.emit("SpaceToDepth", node.inputs[0], blocksize=operation.block)


def _depth_to_space(w: Writer, node: Node) -> list[str]:
    operation = node.operation
    assert isinstance(operation, o.DepthToSpace)
    return w.emit("DepthToSpace", node.inputs[0], blocksize=operation.block, mode=operation.order.value)


def _channel_shuffle(w: Writer, node: Node) -> list[str]:
    operation = node.operation
    assert isinstance(operation, o.ChannelShuffle)
    shape = w.type(node.inputs[0]).shape
    rank = len(shape) + 1
    parts = w.integers(shape[0], operation.groups, shape[1] // operation.groups, *shape[2:])
    dealt = w.one("Transpose", w.one("Reshape", node.inputs[0], parts), perm=[0, 2, 1, *range(3, rank)])
    return w.emit("Reshape", dealt, w.integers(*shape))


def _resize(w: Writer, node: Node) -> list[str]:
    operation = node.operation
    assert isinstance(operation, o.Resize)
    nearest = operation.mode is o.ResizeMode.NEAREST
    if (
        operation.region
        or operation.antialias
        or (operation.coordinates is o.Coordinates.TF_HALF_PIXEL_FOR_NN and not nearest)
    ):
        raise UnsupportedError("this kind of Resize is left to the reference")
    x = node.inputs[0]
    shape = w.type(x).shape
    # Scales only where the model states them, and where the sizes follow from what single precision keeps of them.
    scales = np.array(operation.scales, np.float32)
    stated = scales.size and tuple(np.floor(scales * np.array(shape, np.float32)).astype(int)) == operation.sizes
    sizes = ("", w.constant(scales)) if stated else ("", "", w.integers(*operation.sizes))
    return w.emit(
        "Resize",
        x,
        *sizes,
        mode=operation.mode.value,
        coordinate_transformation_mode=operation.coordinates.value,
        nearest_mode=operation.rounding.value,
        cubic_coeff_a=operation.cubic_coefficient,
        exclude_outside=int(operation.exclude_outside),
    )


def _local_response_norm(w: Writer, node: Node) -> list[str]:
    """Over images of four axes and an odd number of channels, the only ones that onnxruntime takes."""
    operation = node.operation
    assert isinstance(operation, o.LocalResponseNorm)
    if operation.size % 2 == 0:
        raise UnsupportedError("windows of an even number of channels are left to the reference")
    shape = w.type(node.inputs[0]).shape
    images = w.one("Reshape", node.inputs[0], w.integers(*shape[:2], math.prod(shape[2:]), 1))
    constants = {"size": operation.size, "alpha": operation.alpha, "beta": operation.beta, "bias": operation.bias}
    return w.emit("Reshape", w.one("LRN", images, **constants), w.integers(*shape))


#: By class of the operation.
MAPPINGS: Mapping[type[Operation], Handler] = MappingProxyType(
    {
        o.AveragePool: _pooling("AveragePool"),
        o.ChannelShuffle: _channel_shuffle,
        o.Conv: _convolution,
        o.ConvTranspose: _convolution,
        o.DepthToSpace: _depth_to_space,
        o.LocalResponseNorm: _local_response_norm,
        o.LpPool: _pooling("LpPool"),
        o.MaxPool: _pooling("MaxPool"),
        o.Resize: _resize,
        o.SpaceToDepth: _space_to_depth,
    }
)
