"""Where the elements of a surface lie in memory: arrays in and out of strided buffers, by views.

An element (n, d, c, h, w) of a surface is at

    n * stride[0] + d * stride[1] + (c // I) * stride[2] + h * stride[3] + w * stride[4] + (c % I) * element

with I = `Surface.interleave`, the channels that lie side by side in one element group; I is 1 in every
program seen, so the formula for I > 1 is a guess from the field's name.
"""

from __future__ import annotations

import math

import numpy as np

from openane.core.errors import FormatError, InputError
from openane.numerics.fp16 import has_special, to_fp16
from openane.numerics.limits import HALF_LARGEST
from openane.program.program import Surface

Memory = bytes | bytearray | memoryview | np.ndarray
"""Anything with the buffer protocol whose bytes are contiguous."""

_SHORT_ROW = 16
"""Elements."""


def extent_bytes(surface: Surface) -> int:
    """Bytes from the first to the end of the last element, padding after the last one not counted.

    Raises:
        FormatError: an extent below 1, a stride below 0, or an interleave below 1.
    """
    item = surface.dtype.numpy.itemsize
    if min(surface.shape) < 1 or min(surface.strides_bytes) < 0 or surface.interleave < 1:
        raise FormatError(
            "the surface has no valid layout",
            where=f"surface {surface.name}",
            value=f"shape {surface.shape}, strides {surface.strides_bytes}, interleave {surface.interleave}",
            limit="extents of at least 1, strides of at least 0",
        )
    n, d, c, h, w = surface.shape
    groups = -(-c // surface.interleave)
    steps = (n - 1, d - 1, groups - 1, h - 1, w - 1)
    last = sum(step * stride for step, stride in zip(steps, surface.strides_bytes, strict=True))
    return last + item * min(surface.interleave, c)


def write_surface(surface: Surface, memory: Memory, array: np.ndarray) -> None:
    """Copies an array into the memory of a surface; bytes between rows stay as they are.

    Args:
        surface: the layout.
        memory: writable, at least `extent_bytes(surface)` long.
        array: (N, D, C, H, W) of the surface's shape; cast to its element type as numpy does.

    Raises:
        InputError: the shapes differ.
        FormatError: the layout does not fit in the memory.
    """
    check_shape(surface, array)
    for view, channels in _views(surface, memory):
        _copy(view, array[:, :, channels])


def read_surface(surface: Surface, memory: Memory) -> np.ndarray:
    """A new contiguous (N, D, C, H, W) array of the surface's element type with the elements in `memory`.

    Raises:
        FormatError: the layout does not fit in the memory.
    """
    views = _views(surface, memory)
    result: np.ndarray = np.empty(surface.shape, surface.dtype.numpy)
    for view, channels in views:
        _copy(result[:, :, channels], view)
    return result


def _copy(target: np.ndarray, source: np.ndarray) -> None:
    """target[...] = source; short rows column by column, which numpy does several times as fast."""
    if target.shape[-1] >= _SHORT_ROW:
        target[...] = source
        return
    for column in range(target.shape[-1]):
        target[..., column] = source[..., column]


def surface_view(surface: Surface, memory: Memory) -> np.ndarray:
    """A (N, D, C, H, W) view of the elements in `memory`; nothing is copied, writes go through.

    Raises:
        FormatError: the layout does not fit in the memory, or it interleaves channels (use `read_surface`).
    """
    if surface.interleave != 1:
        raise FormatError(
            "interleaved channels have no plain view",
            where=f"surface {surface.name}",
            value=f"interleave {surface.interleave}",
            limit="interleave 1",
        )
    return _views(surface, memory)[0][0]


def fit_array(surface: Surface, array: np.ndarray) -> np.ndarray:
    """The array in the surface's element type; the same object when nothing has to change.

    Floating-point values are rounded to nearest even; integers must be in range.

    Raises:
        InputError: another shape, a value that the element type cannot hold, or another kind of element.
    """
    array = np.asarray(array)
    check_shape(surface, array)
    wanted = surface.dtype.numpy
    if array.dtype == wanted:
        return array
    where = f"surface {surface.name}"
    if array.dtype.kind not in "fiub" or (wanted.kind in "iu" and array.dtype.kind == "f"):
        raise InputError(
            "the element type does not fit", where=where, value=array.dtype.name, limit=surface.dtype.value
        )
    if wanted.kind in "iu" and array.size:
        low, high = np.iinfo(surface.dtype.value).min, np.iinfo(surface.dtype.value).max
        if int(array.min()) < low or int(array.max()) > high:
            raise InputError(
                "values do not fit the element type",
                where=where,
                value=f"{array.min()} to {array.max()}",
                limit=f"{low} to {high}",
            )
    result = to_fp16(array) if wanted == np.float16 else array.astype(wanted)
    if wanted.kind == "f" and has_special(result) and not np.array_equal(np.isinf(result), np.isinf(array)):
        raise InputError(
            "values do not fit the element type",
            where=where,
            value=f"{float(np.nanmin(array)):g} to {float(np.nanmax(array)):g}",
            limit=f"finite values up to {HALF_LARGEST:g} in size",
            hint="Scale the input, or pass infinities where they are meant.",
        )
    return result


def check_shape(surface: Surface, array: np.ndarray) -> None:
    """Raises InputError when the array has not the shape of the surface."""
    if array.shape != surface.shape:
        raise InputError(
            "the array has another shape than the surface",
            where=f"surface {surface.name}",
            value=array.shape,
            limit=f"{surface.shape} (N, D, C, H, W)",
        )


def _views(surface: Surface, memory: Memory) -> list[tuple[np.ndarray, slice]]:
    """Views on `memory`, each with the channels it holds: one per place in an element group."""
    flat = np.frombuffer(memory, np.uint8) if not isinstance(memory, np.ndarray) else memory.reshape(-1)
    flat = flat.view(np.uint8)
    dtype = surface.dtype.numpy
    # Elements that overlap could be more than the memory holds; reading them would allocate without limit.
    needed = max(extent_bytes(surface), math.prod(surface.shape) * dtype.itemsize)
    if needed > flat.size:
        raise FormatError(
            "the surface does not fit in its buffer",
            where=f"surface {surface.name}",
            value=f"{needed} bytes",
            limit=f"{flat.size} bytes",
        )
    n, d, c, h, w = surface.shape
    views = []
    for place in range(min(surface.interleave, c)):
        channels = slice(place, c, surface.interleave)
        shape = (n, d, len(range(place, c, surface.interleave)), h, w)
        offset = place * dtype.itemsize
        views.append((np.ndarray(shape, dtype, flat.data, offset, surface.strides_bytes), channels))
    return views
