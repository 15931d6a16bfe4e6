"""Layers on images: convolution, pooling, normalization, resampling. They work on the last three axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from openane.frontends.coreml.network.builder import NetworkLayer
from openane.graph import ops as g


def _pair(layer: NetworkLayer, values: Sequence[int], default: int) -> tuple[int, int]:
    if len(values) not in (0, 2):
        layer.wrong("two numbers are needed, for height and width", value=list(values))
    return (values[0], values[1]) if values else (default, default)


def _borders(layer: NetworkLayer, amounts: Sequence[object]) -> tuple[int, int, int, int]:
    """Edge sizes as (top, left, bottom, right), the order of the Graph."""
    if len(amounts) not in (0, 2):
        layer.wrong("edges are needed for height and width", value=len(amounts))
    if not amounts:
        return (0, 0, 0, 0)
    (top, bottom), (left, right) = ((a.startEdgeSize, a.endEdgeSize) for a in amounts)  # type: ignore[attr-defined]
    return (top, left, bottom, right)


def _split(layer: NetworkLayer, totals: Sequence[int]) -> tuple[int, int, int, int]:
    """Totals per axis shared out as SamePadding says."""
    mode = layer.params.same.SamePaddingMode.Name(layer.params.same.asymmetryMode)
    small = [total // 2 for total in totals]
    large = [total - half for total, half in zip(totals, small, strict=True)]
    first, second = (large, small) if mode == "TOP_LEFT_HEAVY" else (small, large)
    return (first[0], first[1], second[0], second[1])


def _same(extents: Sequence[int], kernel: Sequence[int], strides: Sequence[int]) -> list[int]:
    return [
        max((-(-extent // stride) - 1) * stride + reach - extent, 0)
        for extent, reach, stride in zip(extents, kernel, strides, strict=True)
    ]


def _convolution(layer: NetworkLayer) -> str:
    p = layer.params
    kernel, strides = _pair(layer, p.kernelSize, 3), _pair(layer, p.stride, 1)
    dilations, groups = _pair(layer, p.dilationFactor, 1), p.nGroups or 1
    if min(*kernel, *strides, *dilations) < 1:
        layer.wrong("kernel, strides and dilations must be positive")
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    x, _ = layer.image(layer.x())
    extents = layer.shape(x)[2:]
    bias = layer.constant(layer.weights("bias", (p.outputChannels,)), "bias") if p.hasBias else ""
    operands = [bias] if bias else []
    if p.isDeconvolution:
        return _deconvolution(layer, kernel, strides, dilations, groups, reach, operands)
    shape = (p.outputChannels, p.kernelChannels, *kernel)
    pads = (
        _split(layer, _same(extents, reach, strides))
        if p.WhichOneof("ConvolutionPaddingType") == "same"
        else _borders(layer, p.valid.paddingAmounts.borderAmounts)
    )
    weight = layer.constant(_conv_weights(layer, shape, 0), "weight")
    return layer.image_layer(g.Conv(strides, pads, dilations, groups), weight, *operands)


def _conv_weights(layer: NetworkLayer, shape: Sequence[int], channel_axis: int) -> np.ndarray:
    if len(layer.inputs) > 1:
        layer.refuse("a kernel that is computed at run time is not supported")
    return layer.weights("weights", shape, channel_axis=channel_axis)


def _deconvolution(
    layer: NetworkLayer,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    dilations: tuple[int, int],
    groups: int,
    reach: Sequence[int],
    operands: Sequence[str],
) -> str:
    p = layer.params
    if p.outputChannels % groups:
        layer.wrong("groups must divide the output channels", value=p.outputChannels, limit=groups)
    x, _ = layer.image(layer.x())
    extents = layer.shape(x)[2:]
    whole = [(e - 1) * s + r for e, s, r in zip(extents, strides, reach, strict=True)]
    if p.WhichOneof("ConvolutionPaddingType") == "same":
        wanted = list(p.outputShape) or [e * s for e, s in zip(extents, strides, strict=True)]
        pads = _split(layer, [max(0, w - o) for w, o in zip(whole, wanted, strict=True)])
    else:
        pads = _borders(layer, p.valid.paddingAmounts.borderAmounts)
        wanted = list(p.outputShape)
    natural = [w - b - a for w, b, a in zip(whole, pads[:2], pads[2:], strict=True)]
    extra = [o - n for o, n in zip(wanted or natural, natural, strict=True)]
    # An output shape may add positions at the end, or cut more of them off.
    ends = [max(0, -e) for e in extra]
    pads = (pads[0], pads[1], pads[2] + ends[0], pads[3] + ends[1])
    output_padding = (max(0, extra[0]), max(0, extra[1]))
    shape = (p.kernelChannels, p.outputChannels // groups, *kernel)
    weight = layer.constant(_conv_weights(layer, shape, 1), "weight")
    return layer.image_layer(g.ConvTranspose(strides, pads, dilations, groups, output_padding), weight, *operands)


def _convolution_3d(layer: NetworkLayer) -> str:
    p = layer.params
    if p.isDeconvolution or len(layer.shape(layer.x())) != 5:
        layer.refuse("only plain convolutions of rank-5 tensors are supported")
    groups = p.nGroups or 1
    kernel = (p.kernelDepth, p.kernelHeight, p.kernelWidth)
    strides = (p.strideDepth or 1, p.strideHeight or 1, p.strideWidth or 1)
    dilations = (p.dilationDepth or 1, p.dilationHeight or 1, p.dilationWidth or 1)
    pads = _pads_3d(layer, kernel, strides, dilations)
    if not all(kernel) or p.inputChannels % groups:
        layer.wrong("kernel extents must be positive and groups divide the channels")
    weight = layer.weights("weights", (p.outputChannels, p.inputChannels // groups, *kernel))
    operands = [layer.constant(weight, "weight")]
    if p.hasBias:
        operands.append(layer.constant(layer.weights("bias", (p.outputChannels,)), "bias"))
    return layer.last(g.Conv(strides, pads, dilations, groups), layer.x(), *operands)


def _pads_3d(
    layer: NetworkLayer, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> tuple[int, ...]:
    p = layer.params
    match layer.enum("paddingType"):
        case "VALID":
            return (0,) * 6
        case "SAME":
            reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
            totals = _same(layer.shape(layer.x())[2:], reach, strides)
            return (*(t // 2 for t in totals), *(t - t // 2 for t in totals))
    before = (p.customPaddingFront, p.customPaddingTop, p.customPaddingLeft)
    return (*before, p.customPaddingBack, p.customPaddingBottom, p.customPaddingRight)


def _pooling_3d(layer: NetworkLayer) -> str:
    p = layer.params
    kernel = (p.kernelDepth, p.kernelHeight, p.kernelWidth)
    strides = (p.strideDepth or 1, p.strideHeight or 1, p.strideWidth or 1)
    pads = _pads_3d(layer, kernel, strides, (1, 1, 1))
    if layer.enum("type") == "MAX":
        return layer.last(g.MaxPool(kernel, strides, pads), layer.x())
    average = g.AveragePool(kernel, strides, pads, count_include_pad=not p.countExcludePadding)
    return layer.last(average, layer.x())


def _global_pooling_3d(layer: NetworkLayer) -> str:
    rank = len(layer.shape(layer.x()))
    axes = tuple(range(max(0, rank - 3), rank))
    return layer.last((g.ReduceMax if layer.enum("type") == "MAX" else g.ReduceMean)(axes), layer.x())


def _pooling(layer: NetworkLayer) -> str:
    p, kind = layer.params, layer.enum("type")
    if p.globalPooling:
        reduction = {"MAX": g.ReduceMax, "AVERAGE": g.ReduceMean, "L2": g.ReduceL2}[kind]
        return layer.image_layer(reduction((2, 3)))
    kernel, strides = _pair(layer, p.kernelSize, 3), _pair(layer, p.stride, 1)
    if min(*kernel, *strides) < 1:
        layer.wrong("kernel and strides must be positive")
    x, _ = layer.image(layer.x())
    ceil_mode = False
    match p.WhichOneof("PoolingPaddingType"):
        case "same":
            pads = _split(layer, _same(layer.shape(x)[2:], kernel, strides))
        case "includeLastPixel":
            vertical, horizontal = _pair(layer, p.includeLastPixel.paddingAmounts, 0)
            pads, ceil_mode = (vertical, horizontal, vertical, horizontal), True
        case _:
            pads = _borders(layer, p.valid.paddingAmounts.borderAmounts)
    if kind == "MAX":
        return layer.image_layer(g.MaxPool(kernel, strides, pads, ceil_mode=ceil_mode))
    if kind == "L2":
        return layer.image_layer(g.LpPool(kernel, strides, pads, ceil_mode=ceil_mode))
    include = not p.avgPoolExcludePadding
    return layer.image_layer(g.AveragePool(kernel, strides, pads, ceil_mode=ceil_mode, count_include_pad=include))


def _inner_product(layer: NetworkLayer) -> str:
    """A product over the last axis, or over channels before 1x1 images."""
    p, x = layer.params, layer.x()
    if p.int8DynamicQuantize:
        layer.refuse("dynamically quantized weights are not supported")
    shape = layer.shape(x)
    image = len(shape) >= 4
    lead = shape[:-3] if image else shape[:-1]
    inner = math.prod(shape[-3:]) if image else (shape[-1] if shape else 1)
    if inner != p.inputChannels:
        layer.wrong("the input has another number of channels", value=list(shape), limit=p.inputChannels)
    weight = layer.constant(layer.weights("weights", (p.outputChannels, p.inputChannels)), "weight")
    flat = layer.reshape(x, (math.prod(lead), inner) if image or not lead else shape)
    y = layer.add(g.MatMul(transpose_b=True), flat, weight)
    if p.hasBias:
        bias = layer.constant(layer.weights("bias", (p.outputChannels,)), "bias")
        y = layer.last(g.Add(), y, bias) if not image and lead else layer.add(g.Add(), y, bias)
    result = (*lead, p.outputChannels, 1, 1) if image else (*lead, p.outputChannels)
    return layer.reshape(y, result, last=True)


def _batch_norm(layer: NetworkLayer) -> str:
    p = layer.params
    channels = (p.channels,)
    epsilon = p.epsilon or 1e-5
    gamma = layer.constant(layer.weights("gamma", channels), "gamma")
    beta = layer.constant(layer.weights("beta", channels), "beta")
    if p.instanceNormalization or p.computeMeanVar:
        if not p.instanceNormalization:
            layer.refuse("statistics of a batch are not computed")
        return layer.image_layer(g.InstanceNorm(epsilon), gamma, beta)
    mean = layer.constant(layer.weights("mean", channels), "mean")
    variance = layer.constant(layer.weights("variance", channels), "variance")
    return layer.image_layer(g.BatchNorm(epsilon), gamma, beta, mean, variance)


def _mean_variance(layer: NetworkLayer) -> str:
    p = layer.params
    axes = (1, 2, 3) if p.acrossChannels else (2, 3)
    if p.normalizeVariance:
        return layer.image_layer(g.LayerNorm(axes, p.epsilon or 1e-5))
    x, lead = layer.image(layer.x())
    return layer.back(layer.add(g.Sub(), x, layer.add(g.ReduceMean(axes), x)), lead)


def _local_response(layer: NetworkLayer) -> str:
    p = layer.params
    return layer.image_layer(g.LocalResponseNorm(p.localSize, p.alpha, p.beta, p.k or 1.0))


def _upsample(layer: NetworkLayer) -> str:
    p = layer.params
    factors = list(p.fractionalScalingFactor or p.scalingFactor)
    if len(factors) not in (0, 2) or any(not 0 < f < math.inf for f in factors):
        layer.wrong("two positive factors are needed", value=factors)
    x, _ = layer.image(layer.x())
    n, c, h, w = layer.shape(x)
    fh, fw = factors or (1, 1)
    sizes = (n, c, math.floor(h * fh + 1e-6), math.floor(w * fw + 1e-6))
    if layer.enum("mode") == "NN":
        nearest = g.Resize(sizes, g.ResizeMode.NEAREST, g.Coordinates.ASYMMETRIC, g.Rounding.FLOOR)
        return layer.image_layer(nearest)
    coordinates = {
        "DEFAULT": g.Coordinates.ASYMMETRIC,
        "ALIGN_CORNERS_TRUE": g.Coordinates.ALIGN_CORNERS,
        "ALIGN_CORNERS_FALSE": g.Coordinates.HALF_PIXEL,
    }[layer.enum("linearUpsampleMode")]
    return layer.image_layer(g.Resize(sizes, g.ResizeMode.LINEAR, coordinates))


def _resize_bilinear(layer: NetworkLayer) -> str:
    p = layer.params
    mode = p.mode.Method.Name(p.mode.samplingMethod)
    coordinates = {
        "STRICT_ALIGN_ENDPOINTS_MODE": g.Coordinates.ALIGN_CORNERS,
        "UPSAMPLE_MODE": g.Coordinates.ASYMMETRIC,
    }
    x, _ = layer.image(layer.x())
    n, c, *_ = layer.shape(x)
    height, width = _pair(layer, p.targetSize, 1)
    if mode == "ALIGN_ENDPOINTS_MODE" and min(height, width) > 1:
        mode = "STRICT_ALIGN_ENDPOINTS_MODE"
    if mode not in coordinates:
        layer.refuse("this way of sampling is not supported", value=mode, limit=", ".join(coordinates))
    return layer.image_layer(g.Resize((n, c, height, width), g.ResizeMode.LINEAR, coordinates[mode]))


def _crop(layer: NetworkLayer) -> str:
    x, _ = layer.image(layer.x())
    n, c, h, w = layer.shape(x)
    if len(layer.inputs) > 1:
        top, left = _pair(layer, layer.params.offset, 0)
        height, width = layer.shape(layer.x(1))[-2:]
        ends = (top + height, left + width)
    else:
        top, left, bottom, right = _borders(layer, layer.params.cropAmounts.borderAmounts)
        ends = (h - bottom, w - right)
    return layer.image_layer(g.Slice((0, 0, top, left), (n, c, *ends), (1,) * 4))


def _padding(layer: NetworkLayer) -> str:
    p = layer.params
    top, left, bottom, right = _borders(layer, p.paddingAmounts.borderAmounts)
    pads = (0, 0, top, left, 0, 0, bottom, right)
    match p.WhichOneof("PaddingType"):
        case "reflection":
            return layer.image_layer(g.Pad(pads, g.PadMode.REFLECT))
        case "replication":
            return layer.image_layer(g.Pad(pads, g.PadMode.EDGE))
    return layer.image_layer(g.Pad(pads, g.PadMode.CONSTANT, p.constant.value))


def _reorganize(layer: NetworkLayer) -> str:
    block = layer.params.blockSize
    if layer.enum("mode") == "SPACE_TO_DEPTH":
        return layer.image_layer(g.SpaceToDepth(block))
    order = g.BlockOrder.COLUMN_ROW_DEPTH if layer.enum("mode") == "PIXEL_SHUFFLE" else g.BlockOrder.DEPTH_COLUMN_ROW
    return layer.image_layer(g.DepthToSpace(block, order))


LAYERS: Mapping[str, Callable[[NetworkLayer], str]] = MappingProxyType(
    {
        "convolution": _convolution,
        "convolution3d": _convolution_3d,
        "pooling": _pooling,
        "pooling3d": _pooling_3d,
        "globalPooling3d": _global_pooling_3d,
        "innerProduct": _inner_product,
        "batchnorm": _batch_norm,
        "mvn": _mean_variance,
        "l2normalize": lambda layer: layer.image_layer(g.LpNorm((1, 2, 3), 2, layer.params.epsilon or 1e-6)),
        "lrn": _local_response,
        "upsample": _upsample,
        "resizeBilinear": _resize_bilinear,
        "crop": _crop,
        "padding": _padding,
        "reorganizeData": _reorganize,
    }
)
