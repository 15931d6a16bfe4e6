"""Products of the MAC array over whole arrays, for predictions; `definition.accumulator` states the rule."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from openane.numerics.definition.accumulator import STEP_BITS
from openane.numerics.limits import HALF_SMALLEST_NORMAL, SUM_STEP

Array = npt.NDArray[np.float64]


def rounded_products(x: Array, weight: Array) -> Array:
    """The products as the accumulator adds them.

    Args:
        x, weight: finite values of fp16, of shapes that broadcast.

    Returns:
        Multiples of 2^-16; 0 for a dropped product.
    """
    products = x * weight
    steps = np.floor(np.abs(products) / SUM_STEP + 0.5)
    dropped = exponents(x) + exponents(weight) <= -(STEP_BITS + 1)
    return np.where(dropped, 0.0, np.copysign(steps * SUM_STEP, products))


def exponents(values: Array) -> npt.NDArray[np.int64]:
    """Exponents as the drop rule counts them: -14 for subnormals and zero."""
    return np.frexp(np.maximum(np.abs(values), HALF_SMALLEST_NORMAL))[1].astype(np.int64) - 1


def rounded_to_step(values: Array) -> Array:
    """Biases as the accumulator starts with them: multiples of 2^-16, ties away from zero."""
    return np.copysign(np.floor(np.abs(values) / SUM_STEP + 0.5) * SUM_STEP, values)
