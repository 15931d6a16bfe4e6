"""Whole arrays of float32 to float16 with the processor's own instruction, which numpy does not use."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from openane.numerics.jit import compiled, narrow


def to_float16(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    """`values.astype(np.float16)`, any shape: nearest, ties to even, too large becomes infinity, NaN stays NaN."""
    flat = np.ascontiguousarray(values).reshape(-1)
    words = np.empty(flat.shape, np.uint16)
    _narrow_all(flat, words)
    return words.view(np.float16).reshape(values.shape)


@compiled
def _narrow_all(values: npt.NDArray[np.float32], words: npt.NDArray[np.uint16]) -> None:
    for j in range(values.size):
        words[j] = narrow(values[j])
