"""Layers that move elements, and constants."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from openane.core.types import DType
from openane.frontends.coreml.network.builder import NetworkLayer
from openane.graph import ops as g

_ELEMENT_LIMIT = 1 << 25


def _target(layer: NetworkLayer, wanted: Sequence[int], *, zero_copies: bool = False) -> tuple[int, ...]:
    """A target shape with -1 worked out, and with 0 for "as it is" where the layer has that."""
    shape = layer.shape(layer.x())
    size = math.prod(shape)
    target = list(wanted)
    if zero_copies:
        if len(target) != len(shape):
            layer.wrong("the rank must stay", value=target, limit=list(shape))
        target = [own if extent == 0 else extent for extent, own in zip(target, shape, strict=True)]
    if target.count(-1) == 1:
        rest = math.prod(extent for extent in target if extent != -1)
        if rest > 0 and size % rest == 0:
            target[target.index(-1)] = size // rest
    if any(extent < 1 for extent in target) or math.prod(target) != size:
        layer.wrong("the shape holds another number of elements", value=list(wanted), limit=list(shape))
    return tuple(target)


def _reshape(layer: NetworkLayer) -> str:
    """The older reshape, to (C, H, W) or (sequence, C, H, W)."""
    target = tuple(layer.params.targetShape)
    x, shape = layer.x(), layer.shape(layer.x())
    if len(target) not in (3, 4):
        layer.wrong("a shape of three or four extents is needed", value=list(target))
    lead: tuple[int, ...] = shape[:-3]
    if len(shape) == 5:
        lead = (target[0], 1) if len(target) == 4 else (math.prod(shape[:2]), 1)
    c, h, w = target[-3:]
    full = (*lead, c, h, w)
    if math.prod(full) != math.prod(shape):
        layer.wrong("the shape holds another number of elements", value=list(target), limit=list(shape))
    if layer.enum("mode") == "CHANNEL_FIRST":
        return layer.reshape(x, full, last=True)
    image, _ = layer.image(x)
    last = layer.add(g.Transpose((0, 2, 3, 1)), image)
    shaped = layer.reshape(last, (math.prod(lead), h, w, c))
    return layer.back(layer.add(g.Transpose((0, 3, 1, 2)), shaped), lead)


def _flatten(layer: NetworkLayer) -> str:
    x, lead = layer.image(layer.x())
    if layer.enum("mode") == "CHANNEL_LAST":
        x = layer.add(g.Transpose((0, 2, 3, 1)), x)
    return layer.reshape(x, (*lead, math.prod(layer.shape(x)[1:]), 1, 1), last=True)


def _permute(layer: NetworkLayer) -> str:
    """The older permute, of (sequence, C, H, W)."""
    axes, shape = list(layer.params.axis), layer.shape(layer.x())
    if sorted(axes) != [0, 1, 2, 3]:
        layer.wrong("not a permutation of four axes", value=axes)
    if len(shape) == 5:
        places = (0, 2, 3, 4)
        order = [1] * 5
        for place, axis in zip(places, axes, strict=True):
            order[place] = places[axis]
        return layer.last(g.Transpose(tuple(order)), layer.x())
    if len(shape) != 4:
        layer.wrong("a tensor of four axes is needed", value=list(shape))
    return layer.last(g.Transpose(tuple(axes)), layer.x())


def _transpose(layer: NetworkLayer) -> str:
    rank = len(layer.shape(layer.x()))
    return layer.last(g.Transpose(tuple(layer.axis(a, rank) for a in layer.params.axes)), layer.x())


def _concat(layer: NetworkLayer) -> str:
    rank = len(layer.shape(layer.x()))
    if layer.kind == "concatND":
        if layer.params.interleave:
            layer.refuse("interleaved concatenation is not supported")
        axis = layer.params.axis
    else:
        axis = -5 if layer.params.sequenceConcat else -3
    if len(layer.inputs) == 1:
        return layer.last(g.Identity(), layer.x())
    return layer.last(g.Concat(layer.axis(axis, rank)), *layer.inputs)


def _split(layer: NetworkLayer) -> tuple[str, ...]:
    p, shape = layer.params, layer.shape(layer.x())
    axis = layer.axis(p.axis if layer.kind == "splitND" else -3, len(shape))
    count = len(layer.outputs)
    sizes = tuple(p.splitSizes) if layer.kind == "splitND" and p.splitSizes else (shape[axis] // count,) * count
    if len(sizes) != count:
        layer.wrong("one size is needed per output", value=len(sizes), limit=count)
    return layer.builder.add(g.Split(axis, sizes), [layer.x()], layer.outputs[0], layer.name)


def _slice(layer: NetworkLayer) -> str:
    """The older slice; a negative end counts from after, -1 being the end itself."""
    p, shape = layer.params, layer.shape(layer.x())
    axis = layer.axis({"CHANNEL_AXIS": -3, "HEIGHT_AXIS": -2, "WIDTH_AXIS": -1}[layer.enum("axis")], len(shape))
    end = p.endIndex if p.endIndex >= 0 else shape[axis] + p.endIndex + 1
    starts, ends, steps = [0] * len(shape), list(shape), [1] * len(shape)
    starts[axis], ends[axis], steps[axis] = p.startIndex, min(end, shape[axis]), p.stride or 1
    return layer.last(g.Slice(tuple(starts), tuple(ends), tuple(steps)), layer.x())


def _slice_static(layer: NetworkLayer) -> str:
    p, shape = layer.params, layer.shape(layer.x())
    rank = len(shape)
    for field in ("beginIds", "beginMasks", "endIds", "endMasks", "strides"):
        if len(getattr(p, field)) != rank:
            layer.wrong(f"{field} needs one entry per axis", value=len(getattr(p, field)), limit=rank)
    squeezed = [i for i, squeeze in enumerate(p.squeezeMasks[:rank]) if squeeze]
    places = []
    for i in range(rank):
        if i in squeezed:
            first = p.beginIds[i] % shape[i]
            places.append(range(first, first + 1))
            continue
        begin = None if p.beginMasks[i] else p.beginIds[i]
        end = None if p.endMasks[i] else p.endIds[i]
        if not p.strides[i]:
            layer.wrong("a stride of 0")
        places.append(range(*slice(begin, end, p.strides[i]).indices(shape[i])))
    starts, ends, steps = (tuple(getattr(r, f) for r in places) for f in ("start", "stop", "step"))
    if not squeezed:
        return layer.last(g.Slice(starts, ends, steps), layer.x())
    y = layer.add(g.Slice(starts, ends, steps), layer.x())
    kept = [extent for i, extent in enumerate(layer.shape(y)) if i not in squeezed]
    return layer.reshape(y, kept or [1], last=True)


def _squeeze(layer: NetworkLayer) -> str:
    shape = layer.shape(layer.x())
    axes = {layer.axis(a, len(shape)) for a in layer.params.axes}
    if layer.params.squeezeAll:
        axes = {i for i, extent in enumerate(shape) if extent == 1}
    if any(shape[axis] != 1 for axis in axes):
        layer.wrong("only axes of extent 1 are squeezed", value=list(shape))
    kept = [extent for i, extent in enumerate(shape) if i not in axes]
    return layer.reshape(layer.x(), kept or [1], last=True)


def _expand_dims(layer: NetworkLayer) -> str:
    shape = list(layer.shape(layer.x()))
    rank = len(shape) + len(layer.params.axes)
    for axis in sorted(layer.axis(a, rank) for a in layer.params.axes):
        shape.insert(axis, 1)
    return layer.reshape(layer.x(), shape, last=True)


def _flatten_to_2d(layer: NetworkLayer) -> str:
    shape = layer.shape(layer.x())
    axis = layer.params.axis
    axis = axis if axis >= 0 else axis + len(shape)
    return layer.reshape(layer.x(), (math.prod(shape[:axis]), math.prod(shape[axis:])), last=True)


def _stack(layer: NetworkLayer) -> str:
    shape = layer.shape(layer.x())
    axis = layer.axis(layer.params.axis, len(shape) + 1)
    wide = (*shape[:axis], 1, *shape[axis:])
    return layer.last(
        g.Concat(axis), *(layer.builder.reshape(v, wide, f"{v}_shaped", layer.name) for v in layer.inputs)
    )


def _tile(layer: NetworkLayer) -> str:
    return layer.last(g.Tile(tuple(layer.params.reps)), layer.x())


def _sequence_repeat(layer: NetworkLayer) -> str:
    rank = len(layer.shape(layer.x()))
    axis = layer.axis(-5, rank)
    repeats = [layer.params.nRepetitions or 1 if i == axis else 1 for i in range(rank)]
    return layer.last(g.Tile(tuple(repeats)), layer.x())


def _gather(layer: NetworkLayer) -> str:
    rank = len(layer.shape(layer.x()))
    indices = layer.add(g.Cast(DType.INT64), layer.x(1))
    return layer.last(g.Gather(layer.axis(layer.params.axis, rank)), layer.x(), indices)


def _constant_pad(layer: NetworkLayer) -> str:
    p, rank = layer.params, len(layer.shape(layer.x()))
    amounts = [int(a) for a in p.padAmounts]
    if p.padToGivenOutputSizeMode or len(amounts) != 2 * rank:
        layer.refuse("padding is supported with two amounts per axis", value=amounts)
    return layer.last(g.Pad((*amounts[::2], *amounts[1::2]), g.PadMode.CONSTANT, p.value), layer.x())


def _top_k(layer: NetworkLayer) -> tuple[str, ...]:
    p, rank = layer.params, len(layer.shape(layer.x()))
    if len(layer.inputs) > 1 or len(layer.outputs) != 2:
        layer.refuse("the number of values must be a parameter, and two outputs named")
    operation = g.TopK(layer.axis(p.axis, rank), p.K, not p.useBottomK)
    values, places = layer.builder.add(operation, [layer.x()], layer.outputs[0], layer.name)
    (numbers,) = layer.builder.add(g.Cast(DType.FLOAT32), [places], layer.outputs[1], layer.name)
    return values, numbers


def _band(layer: NetworkLayer) -> str:
    p = layer.params
    x = layer.x()
    if p.numLower >= 0:
        x = layer.add(g.Trilu(True, -p.numLower), x)
    if p.numUpper >= 0:
        x = layer.add(g.Trilu(False, p.numUpper), x)
    return layer.last(g.Identity(), x)


def _reverse(layer: NetworkLayer) -> str:
    shape = layer.shape(layer.x())
    flags = list(layer.params.reverseDim)
    if len(flags) != len(shape):
        layer.wrong("one flag is needed per axis", value=len(flags), limit=len(shape))
    starts = tuple(extent - 1 if flag else 0 for extent, flag in zip(shape, flags, strict=True))
    ends = tuple(-1 if flag else extent for extent, flag in zip(shape, flags, strict=True))
    return layer.last(g.Slice(starts, ends, tuple(-1 if flag else 1 for flag in flags)), layer.x())


def _checked(layer: NetworkLayer, shape: Sequence[int]) -> tuple[int, ...]:
    if any(extent < 1 for extent in shape) or math.prod(shape) > _ELEMENT_LIMIT:
        layer.wrong("a constant of impossible size", value=list(shape)[:8], limit=f"{_ELEMENT_LIMIT} elements")
    return tuple(shape)


def _load_constant(layer: NetworkLayer) -> str:
    shape = _checked(layer, layer.params.shape)
    array = layer.weights("data", shape)
    # The older layer makes images in a network whose tensors have five axes.
    wide = (1,) * (5 - len(shape)) + shape if layer.kind == "loadConstant" and len(shape) == 3 else shape
    return layer.constant(array.reshape(wide), "constant")


def _fill(layer: NetworkLayer) -> str:
    shape = layer.shape(layer.x()) if layer.kind == "fillLike" else layer.params.targetShape
    return layer.constant(np.full(_checked(layer, shape), layer.params.value, np.float32), "constant")


def _range(layer: NetworkLayer) -> str:
    p = layer.params
    step = p.stepSizeValue or 1.0
    steps = (p.endValue - p.startValue) / step
    if not math.isfinite(steps):
        layer.wrong("a range without end", value=f"{p.startValue:g} to {p.endValue:g} by {step:g}")
    count = math.ceil(steps)
    _checked(layer, (count,))
    return layer.constant((p.startValue + step * np.arange(count)).astype(np.float32), "constant")


LAYERS: Mapping[str, Callable[[NetworkLayer], str | tuple[str, ...]]] = MappingProxyType(
    {
        "reshape": _reshape,
        "flatten": _flatten,
        "permute": _permute,
        "transpose": _transpose,
        "concat": _concat,
        "concatND": _concat,
        "split": _split,
        "splitND": _split,
        "slice": _slice,
        "sliceStatic": _slice_static,
        "squeeze": _squeeze,
        "expandDims": _expand_dims,
        "flattenTo2D": _flatten_to_2d,
        "stack": _stack,
        "tile": _tile,
        "sequenceRepeat": _sequence_repeat,
        "gather": _gather,
        "constantPad": _constant_pad,
        "topK": _top_k,
        "matrixBandPart": _band,
        "upperTriangular": lambda layer: layer.last(g.Trilu(True, layer.params.k), layer.x()),
        "lowerTriangular": lambda layer: layer.last(g.Trilu(False, layer.params.k), layer.x()),
        "reverse": _reverse,
        "loadConstant": _load_constant,
        "loadConstantND": _load_constant,
        "fillStatic": _fill,
        "fillLike": _fill,
        "rangeStatic": _range,
        "getShape": lambda layer: layer.constant(np.array(layer.shape(layer.x()), np.float32), "constant"),
        "reshapeStatic": lambda layer: layer.reshape(layer.x(), _target(layer, layer.params.targetShape), last=True),
        "rankPreservingReshape": lambda layer: layer.reshape(
            layer.x(), _target(layer, layer.params.targetShape, zero_copies=True), last=True
        ),
        "reshapeLike": lambda layer: layer.reshape(layer.x(), _target(layer, layer.shape(layer.x(1))), last=True),
        "broadcastToStatic": lambda layer: layer.last(g.Expand(tuple(layer.params.targetShape)), layer.x()),
        "broadcastToLike": lambda layer: layer.last(g.Expand(layer.shape(layer.x(1))), layer.x()),
    }
)
