"""Cropping and resizing of images: the last two axes."""

from __future__ import annotations

import math

from openane.frontends.mil.call import OperationCall
from openane.frontends.mil.operations.entry import Entry
from openane.graph import ops

#: Sampling modes whose grids are those of the Graph.
_COORDINATES = {
    "STRICT_ALIGN_CORNERS": ops.Coordinates.ALIGN_CORNERS,
    "ALIGN_CORNERS": ops.Coordinates.ALIGN_CORNERS,
    "DEFAULT": ops.Coordinates.ASYMMETRIC,
    "UNALIGN_CORNERS": ops.Coordinates.HALF_PIXEL,
}


def _crop(call: OperationCall) -> None:
    shape, crops = call.type("x").shape, (call.integers("crop_height"), call.integers("crop_width"))
    if len(shape) < 2 or any(len(crop) != 2 for crop in crops):
        call.refuse("an image needs two axes, and a pair of crops for each", value=crops)
    (top, bottom), (left, right) = crops
    lead = len(shape) - 2
    ends = (*shape[:lead], shape[-2] - bottom, shape[-1] - right)
    call.finish(ops.Slice((*[0] * lead, top, left), ends, (1,) * len(shape)), call.value("x"))


def _finish(call: OperationCall, sizes: tuple[int, int], linear: bool, coordinates: ops.Coordinates) -> None:
    shape = call.type("x").shape
    if len(shape) < 2:
        call.refuse("an image needs two axes", value=call.type("x"))
    target = (*shape[:-2], *sizes)
    if linear:
        call.finish(ops.Resize(target, ops.ResizeMode.LINEAR, coordinates), call.value("x"))
    else:
        nearest = ops.Resize(target, ops.ResizeMode.NEAREST, coordinates, ops.Rounding.FLOOR)
        call.finish(nearest, call.value("x"))


def _scaled(call: OperationCall) -> tuple[int, int]:
    height, width = call.type("x").shape[-2:]
    factors = (call.number("scale_factor_height", 1.0), call.number("scale_factor_width", 1.0))
    if min(factors) <= 0:
        call.refuse("scale factors must be positive", value=factors)
    # Factors such as 1/3 come rounded: 3 * 0.3333333 is meant to be 1.
    return math.floor(height * factors[0] + 1e-5), math.floor(width * factors[1] + 1e-5)


def _target(call: OperationCall) -> tuple[int, int]:
    return call.integer("target_size_height", 1), call.integer("target_size_width", 1)


def _coordinates(call: OperationCall, sizes: tuple[int, int]) -> ops.Coordinates:
    mode = call.text("sampling_mode", "DEFAULT", tuple(_COORDINATES))
    if mode == "ALIGN_CORNERS" and min(sizes) == 1:
        call.unsupported("the middle of an axis as its only sample is not supported")
    return _COORDINATES[mode]


def _upsample_nearest(call: OperationCall) -> None:
    _finish(call, _scaled(call), False, ops.Coordinates.ASYMMETRIC)


def _resize_nearest(call: OperationCall) -> None:
    _finish(call, _target(call), False, ops.Coordinates.ASYMMETRIC)


def _upsample_bilinear(call: OperationCall) -> None:
    if call.truth("align_corners", True):
        coordinates = ops.Coordinates.ALIGN_CORNERS
    elif call.truth("half_pixel_centers", True):
        coordinates = ops.Coordinates.HALF_PIXEL
    else:
        coordinates = ops.Coordinates.ASYMMETRIC
    _finish(call, _scaled(call), True, coordinates)


def _resize_bilinear(call: OperationCall) -> None:
    sizes = _target(call)
    _finish(call, sizes, True, _coordinates(call, sizes))


def _resize(call: OperationCall) -> None:
    """The newer operation: the last `resized_dims` axes take the extents of `shape`."""
    shape, wanted = call.type("x").shape, call.integers("shape")
    count = call.integer("resized_dims", len(wanted))
    if not 1 <= count <= 2 or len(wanted) < count:
        call.unsupported("one or two axes are resized", value=count)
    own = shape[len(shape) - count :]
    ends = [extent if size == 0 else size for size, extent in zip(wanted[-count:], own, strict=True)]
    sizes = (shape[-2] if count == 1 else ends[0], ends[-1])
    linear = call.text("interpolation_mode", "LINEAR", ("LINEAR", "NEAREST_NEIGHBOR")) == "LINEAR"
    coordinates = _coordinates(call, sizes)
    if not linear and coordinates is not ops.Coordinates.ASYMMETRIC:
        call.unsupported("the nearest neighbor is taken with the mode DEFAULT only")
    _finish(call, sizes, linear, coordinates)


_FACTORS = ("x", "scale_factor_height", "scale_factor_width")
_SIZES = ("x", "target_size_height", "target_size_width")

ENTRIES = {
    "crop": Entry(("x", "crop_height", "crop_width"), _crop),
    "upsample_nearest_neighbor": Entry(_FACTORS, _upsample_nearest),
    "resize_nearest_neighbor": Entry(_SIZES, _resize_nearest),
    "upsample_bilinear": Entry((*_FACTORS, "align_corners", "half_pixel_centers"), _upsample_bilinear),
    "resize_bilinear": Entry((*_SIZES, "sampling_mode"), _resize_bilinear),
    "resize": Entry(("x", "shape", "resized_dims", "interpolation_mode", "sampling_mode"), _resize),
}
