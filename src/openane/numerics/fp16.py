"""fp16 on the host: the one place that rounds constants and inputs before the engine reads them.

The nearest fp16 value, ties to even, by IEEE 754; from 65520 on an infinity. What the engine itself computes and writes
is rounded by another rule, ties away from zero: :mod:`openane.numerics.definition.fp16` states it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from openane.numerics.limits import HALF_LARGEST


def to_fp16(values: npt.ArrayLike) -> npt.NDArray[np.float16]:
    """The nearest fp16 values: a new float16 array of the same shape."""
    with np.errstate(over="ignore", invalid="ignore"):  # infinities and NaN are values like any other
        return np.asarray(values).astype(np.float16)


def rounded(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The nearest fp16 values, as float64."""
    return to_fp16(values).astype(np.float64)


def rounded_number(number: float) -> float:
    """The nearest fp16 value of one number."""
    return float(to_fp16(number))


def fp16_word(number: float) -> int:
    """The 16 bits of the nearest fp16 value."""
    return int(to_fp16(number).view(np.uint16))


def from_word(word: int) -> float:
    """The fp16 value of 16 bits, by IEEE 754."""
    return float(np.uint16(word).view(np.float16))


def saturated(array: np.ndarray) -> np.ndarray:
    """The array with finite values beyond fp16 moved to its ends, +-65504; the same object when none is.

    Infinities and NaN stay. Masks of attention are written as -1e9 or as the lowest float32, and mean "far below";
    rounded to nearest they would become infinities, which differ from what the model says once two of them meet.

    Args:
        array: of any shape and element type; integers and booleans stay as they are.
    """
    if array.dtype.kind != "f" or array.dtype == np.float16 or not array.size:
        return array
    with np.errstate(invalid="ignore"):
        if array.max() <= HALF_LARGEST and array.min() >= -HALF_LARGEST:
            return array
        kept: np.ndarray = np.where(np.isfinite(array), np.clip(array, -HALF_LARGEST, HALF_LARGEST), array)
    return kept


def has_special(values: np.ndarray) -> bool:
    """Whether an infinity or a NaN is among float16 values: two quick looks that allocate nothing."""
    words = values.view(np.uint16)
    return words.size > 0 and bool(words.max() >= 0xFC00 or words.view(np.int16).max() >= 0x7C00)
