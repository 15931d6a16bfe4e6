"""How far two arrays are from each other, in the measures that matter for half precision."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from openane.numerics.fp16 import to_fp16
from openane.numerics.limits import HALF_LARGEST, HALF_SMALLEST

_FRACTION_BITS = 10
_LOWEST_EXPONENT = -14

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Error:
    """The distance of an array from the reference, over all elements where both are finite.

    Attributes:
        max_abs: largest |a - reference|.
        rms: root mean square of a - reference.
        max_ulp: the largest in units of the last place of fp16 at the reference.
        mean_ulp: mean in the same unit.
        cosine: of the angle between both, taken as vectors; 1 when both are zero.
        relative: max_abs over the largest |reference|; 0 when both are zero.
        relative_rms: rms over the root mean square of the reference; 0 when both are zero.
        not_finite: elements where exactly one side is finite, or the infinities or NaNs differ.
        at: flat index of the largest error, -1 without elements.
    """

    max_abs: float
    rms: float
    max_ulp: float
    mean_ulp: float
    cosine: float
    relative: float
    relative_rms: float
    not_finite: int
    at: int


@dataclass(frozen=True, slots=True)
class ValueRange:
    """Least, largest, and smallest nonzero magnitude of an array's finite elements; how many are not finite."""

    least: float
    largest: float
    smallest: float
    not_finite: int = 0

    @property
    def peak(self) -> float:
        """The largest magnitude."""
        return max(abs(self.least), abs(self.largest))


def half(array: np.ndarray) -> np.ndarray:
    """A float array rounded to fp16 and widened again to float32; others as they are."""
    if array.dtype.kind != "f":
        return array
    return to_fp16(array).astype(np.float32)


def saturated(array: np.ndarray) -> np.ndarray:
    """A float array with everything beyond fp16, infinities included, as its largest numbers; others as they are."""
    return np.clip(array, -HALF_LARGEST, HALF_LARGEST) if array.dtype.kind == "f" else array


def half_of_array(array: np.ndarray) -> np.ndarray:
    """A float array as fp16, everything else as it is: how a value of the model reaches the engine."""
    return to_fp16(array) if array.dtype.kind == "f" else array


def ulp(reference: Doubles) -> Doubles:
    """The distance between neighboring fp16 numbers at each element; 2^-24 below the normal numbers."""
    _, exponents = np.frexp(np.maximum(np.abs(reference), HALF_SMALLEST))
    found: Doubles = np.ldexp(1.0, np.clip(exponents - 1, _LOWEST_EXPONENT, 15) - _FRACTION_BITS)
    return found


def measure(found: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> Error:
    """The error of some arrays against their references, all taken as one.

    Args:
        found, wanted: the same number of arrays with the same number of elements each.
    """
    a, b = _flat(found), _flat(wanted)
    both = np.isfinite(a) & np.isfinite(b)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    odd = int(np.count_nonzero(~both & ~same))
    x, y = np.where(both, a, 0.0), np.where(both, b, 0.0)
    gap = np.abs(x - y)
    if not gap.size:
        return Error(0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0, -1)
    ulps = gap / ulp(y)
    peak, worst = float(np.abs(y).max()), float(gap.max())
    rms, size = root_mean_square(gap), root_mean_square(y)
    at = int(np.argmax(~both & ~same)) if odd else int(gap.argmax())
    return Error(
        worst,
        rms,
        float(ulps.max()),
        float(ulps.mean()),
        _cosine(x, y),
        _share(worst, peak),
        _share(rms, size),
        odd,
        at,
    )


def root_mean_square(values: Doubles) -> float:
    """Of finite values, without an overflow of their squares; 0 without elements."""
    peak = float(np.abs(values).max(initial=0.0))
    return peak * math.sqrt(float(np.mean(np.square(values / peak)))) if peak else 0.0


def _share(error: float, of: float) -> float:
    return error / of if of else (math.inf if error else 0.0)


def range_of(arrays: Sequence[np.ndarray]) -> ValueRange:
    """The range of some arrays, all taken as one."""
    values = _flat(arrays)
    finite = values[np.isfinite(values)]
    if not finite.size:
        return ValueRange(0.0, 0.0, 0.0, values.size)
    sizes = np.abs(finite[finite != 0])
    smallest = float(sizes.min()) if sizes.size else 0.0
    return ValueRange(float(finite.min()), float(finite.max()), smallest, values.size - finite.size)


def _flat(arrays: Sequence[np.ndarray]) -> Doubles:
    parts = [np.asarray(array, np.float64).reshape(-1) for array in arrays]
    return np.concatenate(parts) if parts else np.zeros(0)


def _cosine(a: Doubles, b: Doubles) -> float:
    size_a, size_b = (float(np.abs(each).max()) for each in (a, b))
    if size_a == 0.0 or size_b == 0.0:
        return 1.0 if size_a == size_b else 0.0
    a, b = a / size_a, b / size_b  # squares of the largest floats would overflow
    return float(np.clip(np.sum(a * b) / math.sqrt(float(np.sum(a * a)) * float(np.sum(b * b))), -1.0, 1.0))
