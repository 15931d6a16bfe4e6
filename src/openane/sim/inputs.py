"""Arrays of the caller to the memory of the simulated machine."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from openane.core.types import DType
from openane.program import Surface
from openane.program.layout import fit_array, write_surface
from openane.sim.kernels import library


def bind_input(surface: Surface, memory: npt.NDArray[np.uint8], array: np.ndarray) -> None:
    """Writes an input where its surface is.

    float32 is narrowed by the kernels, several times as fast as numpy does it: to fp16 surfaces without gaps
    straight into the memory. Values that need a closer look (NaN, infinities, too large ones) go the slow way.

    Args:
        surface: the layout.
        memory: of its buffer.
        array: (N, D, C, H, W).

    Raises:
        InputError: as `fit_array`.
    """
    array = np.asarray(array)
    if surface.dtype is DType.FLOAT16 and array.dtype == np.float32 and array.shape == surface.shape:
        values, packed = np.ascontiguousarray(array).reshape(-1), _is_packed(surface)
        words = memory[: 2 * values.size].view(np.uint16) if packed else np.empty(values.size, np.uint16)
        if library().narrow(values, words):
            if not packed:
                write_surface(surface, memory, words.view(np.float16).reshape(array.shape))
            return
    write_surface(surface, memory, fit_array(surface, array))


@lru_cache(maxsize=64)
def _is_packed(surface: Surface) -> bool:
    """Whether the elements follow one another."""
    expected, step = [], surface.dtype.numpy.itemsize
    for extent in reversed(surface.shape):
        expected.append(step)
        step *= extent
    strides = zip(surface.shape, surface.strides_bytes, reversed(expected), strict=True)
    return surface.interleave == 1 and all(extent == 1 or stride == wanted for extent, stride, wanted in strides)
