"""Streams of halfwords without their zeros."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from openane.numerics.jit import compiled


@compiled
def expand(body: npt.NDArray[np.uint8], result: npt.NDArray[np.uint16]) -> int:
    """Puts the zeros of a stream of [mask byte][stored halfwords] back.

    Returns:
        The bytes used, or one more than there are when the masks ask for more.
    """
    position = 0
    size = body.size
    for start in range(0, result.size, 8):
        if position >= size:
            return size + 1
        mask = body[position]
        position += 1
        for bit in range(8):
            if mask >> bit & 1:
                if position + 2 > size or start + bit >= result.size:
                    return size + 1
                result[start + bit] = np.uint16(body[position]) | np.uint16(body[position + 1]) << np.uint16(8)
                position += 2
    return position
