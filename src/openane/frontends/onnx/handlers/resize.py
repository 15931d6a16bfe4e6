"""Resize, its forerunner Upsample, and sampling by a grid."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from openane.frontends.onnx.call import Handler, NodeCall
from openane.graph.ops import Border, Coordinates, GridSample, Resize, ResizeMode, Rounding
from openane.graph.ops.support import normalize_axis, require

_MODES = {"nearest": ResizeMode.NEAREST, "linear": ResizeMode.LINEAR, "cubic": ResizeMode.CUBIC}


def _upsample(call: NodeCall) -> Sequence[str]:
    scales = call.reals(1, "the scales") if call.version >= 9 else call.attr_floats("scales") or ()
    return [_scaled(call, scales)]


def _scaled(call: NodeCall, scales: Sequence[float]) -> str:
    """The resampling of Upsample and of Resize before opset 11: coordinates i / scale, cut down."""
    shape = call.operand(0).shape
    _check_scales(scales, len(shape))
    sizes = tuple(math.floor(e * s) for e, s in zip(shape, scales, strict=True))
    mode = call.choice("mode", "nearest", "nearest", "linear", "bilinear")
    kind = _MODES[mode.removeprefix("bi")]
    operation = Resize(sizes, kind, Coordinates.ASYMMETRIC, Rounding.FLOOR, tuple(scales))
    return call.emit(operation, call.name(0))


def _check_scales(scales: Sequence[float], count: int) -> None:
    positive = len(scales) == count and all(0 < s < 1e6 for s in scales)
    require(positive, "one positive scale is needed per axis", value=tuple(scales), limit=f"{count} scales")


def _resize(call: NodeCall) -> Sequence[str]:
    if call.version < 11:
        return [_scaled(call, call.reals(1, "the scales"))]
    shape = call.operand(0).shape
    rank = len(shape)
    axes = call.attr_ints("axes")
    axes = tuple(range(rank)) if axes is None else tuple(normalize_axis(a, rank) for a in axes)
    sizes, scales = _extents(call, axes)
    coordinates = Coordinates(
        call.choice("coordinate_transformation_mode", "half_pixel", *(c.value for c in Coordinates))
    )
    region: tuple[float, ...] = ()
    if coordinates is Coordinates.TF_CROP_AND_RESIZE:
        stated = call.reals(1, "the region of interest")
        require(len(stated) == 2 * len(axes), "the region must name both ends of every axis", value=stated)
        starts, ends = [0.0] * rank, [1.0] * rank
        for i, axis in enumerate(axes):
            starts[axis], ends[axis] = stated[i], stated[len(axes) + i]
        region = (*starts, *ends)
    operation = Resize(
        sizes,
        _MODES[call.choice("mode", "nearest", *_MODES)],
        coordinates,
        Rounding(call.choice("nearest_mode", "round_prefer_floor", *(r.value for r in Rounding))),
        scales,
        call.attr_float("cubic_coeff_a", -0.75),
        call.flag("exclude_outside"),
        call.flag("antialias"),
        region,
        call.attr_float("extrapolation_value", 0.0),
    )
    return [call.emit(operation, call.name(0))]


def _extents(call: NodeCall, axes: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Sizes and scales for every axis, from those stated for `axes`."""
    shape = call.operand(0).shape
    stated = call.reals(2, "the scales") if call.has(2) else ()
    sizes, scales = list(shape), [1.0] * len(shape)
    if stated:
        _check_scales(stated, len(axes))
        for axis, scale in zip(axes, stated, strict=True):
            sizes[axis], scales[axis] = math.floor(shape[axis] * scale), scale
        return tuple(sizes), tuple(scales)
    wanted = call.integers(3, "the sizes")
    require(len(wanted) == len(axes), "one size is needed per axis", value=wanted, limit=f"{len(axes)} sizes")
    require(all(w > 0 for w in wanted), "sizes must be positive", value=wanted)
    policy = call.choice("keep_aspect_ratio_policy", "stretch", "stretch", "not_larger", "not_smaller")
    if policy == "stretch":
        for axis, size in zip(axes, wanted, strict=True):
            sizes[axis] = size
        return tuple(sizes), ()
    ratios = [w / max(shape[a], 1) for a, w in zip(axes, wanted, strict=True)]
    scale = min(ratios) if policy == "not_larger" else max(ratios)
    for axis in axes:
        sizes[axis], scales[axis] = math.floor(shape[axis] * scale + 0.5), scale
    return tuple(sizes), tuple(scales)


def _grid_sample(call: NodeCall) -> Sequence[str]:
    mode = call.choice("mode", "linear", "linear", "bilinear", "nearest", "cubic", "bicubic")
    border = Border(call.choice("padding_mode", "zeros", *(b.value for b in Border)))
    operation = GridSample(_MODES[mode.removeprefix("bi")], border, call.flag("align_corners"))
    return [call.emit(operation, call.name(0), call.name(1))]


HANDLERS: Mapping[str, Handler] = {"GridSample": _grid_sample, "Resize": _resize, "Upsample": _upsample}
