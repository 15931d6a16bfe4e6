"""The inputs a Core ML model describes, with flexible shapes frozen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from openane.core.errors import InputError, ModelError, UnsupportedError

Shapes = Mapping[str, tuple[int, ...]]

#: Channels of the color spaces by the name of the enumeration.
_COLOR_CHANNELS = {"GRAYSCALE": 1, "GRAYSCALE_FLOAT16": 1, "RGB": 3, "BGR": 3}
_EXTENT_LIMIT = 1 << 24


def described_shapes(description: Any, wanted: Shapes, where: str) -> dict[str, tuple[int, ...]]:
    """The shape of every input of a model description, by name.

    Images are (1, channels, height, width) in the order of their color space. A flexible shape takes the one in
    `wanted`, or else the model's default.

    Args:
        description: the ModelDescription message.
        wanted: shapes for some of the inputs.
        where: for messages.

    Raises:
        InputError: a wanted shape does not fit the model, or names no input.
        ModelError: the description contradicts itself.
        UnsupportedError: an input is neither tensor nor image.
    """
    shapes = {}
    for feature in description.input:
        place = f"{where}: input {feature.name!r}"
        if feature.name in shapes:
            raise ModelError("the name is used twice", where=place)
        shapes[feature.name] = _shape(feature.type, wanted.get(feature.name), place)
    for name in wanted:
        if name not in shapes:
            raise InputError(f"there is no input {name!r}", where=where, limit=", ".join(shapes) or "no inputs")
    return shapes


def listed_shapes(description: Any) -> list[dict[str, tuple[int, ...]]]:
    """The enumerated shapes of a model description, the default first; see `load.enumerated_shapes`."""
    lists: dict[str, list[tuple[int, ...]]] = {}
    for feature in description.input:
        content = feature.type.WhichOneof("Type")
        if content == "multiArrayType" and feature.type.multiArrayType.HasField("enumeratedShapes"):
            array = feature.type.multiArrayType
            sizes = [tuple(shape.shape) for shape in array.enumeratedShapes.shapes]
            lists[feature.name] = list(dict.fromkeys((*filter(None, [tuple(array.shape)]), *sizes)))
        elif content == "imageType" and feature.type.imageType.HasField("enumeratedSizes"):
            image = feature.type.imageType
            channels = _COLOR_CHANNELS.get(image.ColorSpace.Name(image.colorSpace) if image.colorSpace else "", 1)
            sizes = [(1, channels, size.height, size.width) for size in image.enumeratedSizes.sizes]
            lists[feature.name] = list(dict.fromkeys(((1, channels, image.height, image.width), *sizes)))
    count = max(map(len, lists.values()), default=1)
    return [{name: found[min(i, len(found) - 1)] for name, found in lists.items() if found} for i in range(count)]


def _shape(kind: Any, wanted: tuple[int, ...] | None, where: str) -> tuple[int, ...]:
    content = kind.WhichOneof("Type")
    if content == "multiArrayType":
        return _array_shape(kind.multiArrayType, wanted, where)
    if content == "imageType":
        return _image_shape(kind.imageType, wanted, where)
    if content in ("int64Type", "doubleType"):
        return _chosen((1,), wanted, False, where)
    raise UnsupportedError("only tensors and images are supported", where=where, value=content or "no type")


def _array_shape(array: Any, wanted: tuple[int, ...] | None, where: str) -> tuple[int, ...]:
    default = tuple(array.shape)
    flexibility = array.WhichOneof("ShapeFlexibility")
    if flexibility == "enumeratedShapes":
        choices = [tuple(shape.shape) for shape in array.enumeratedShapes.shapes]
        if wanted is not None and wanted not in choices and wanted != default:
            raise InputError(
                "the model does not take this shape",
                where=where,
                value=list(wanted),
                limit=" or ".join(str(list(choice)) for choice in choices[:8]),
            )
        return _chosen(default or (choices[0] if choices else ()), wanted, True, where)
    if flexibility == "shapeRange":
        ranges = [(bounds.lowerBound, bounds.upperBound) for bounds in array.shapeRange.sizeRanges]
        lowest = tuple(max(1, low) for low, _ in ranges)
        if wanted is not None:
            _check_ranges(wanted, ranges, where)
        return _chosen(default or lowest, wanted, True, where)
    return _chosen(default, wanted, False, where)


def _image_shape(image: Any, wanted: tuple[int, ...] | None, where: str) -> tuple[int, ...]:
    space = image.ColorSpace.Name(image.colorSpace) if image.colorSpace else ""
    if space not in _COLOR_CHANNELS:
        raise ModelError("an image without a color space", where=where, value=space)
    default = (1, _COLOR_CHANNELS[space], image.height, image.width)
    flexible = image.WhichOneof("SizeFlexibility") is not None
    if flexible and wanted is not None and wanted[:-2] != default[:-2]:
        raise InputError("only the size of an image changes", where=where, value=list(wanted), limit=list(default))
    return _chosen(default, wanted, flexible, where)


def _check_ranges(wanted: Sequence[int], ranges: Sequence[tuple[int, int]], where: str) -> None:
    fits = len(wanted) == len(ranges) and all(
        low <= extent and (high < 0 or extent <= high) for extent, (low, high) in zip(wanted, ranges, strict=True)
    )
    if not fits:
        limit = ", ".join(f"{low}..{'any' if high < 0 else high}" for low, high in ranges)
        raise InputError("the model does not take this shape", where=where, value=list(wanted), limit=limit)


def _chosen(default: tuple[int, ...], wanted: tuple[int, ...] | None, flexible: bool, where: str) -> tuple[int, ...]:
    if wanted is not None and not flexible and wanted != default and default:
        raise InputError("the shape of this input is fixed", where=where, value=list(wanted), limit=list(default))
    shape = default if wanted is None else wanted
    if any(not 1 <= extent <= _EXTENT_LIMIT for extent in shape):
        raise ModelError(
            "a shape with impossible extents", where=where, value=list(shape), limit=f"1..{_EXTENT_LIMIT} each"
        )
    return shape
