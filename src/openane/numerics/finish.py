"""What happens to a sum on its way out of the MAC engine: bias, scale, function, rounding. One element, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from openane.numerics.jit import compiled
from openane.numerics.lookup import evaluate, store_half

Floats = npt.NDArray[np.float32]

ACC_BIAS, POST_SCALE, FLUSH_BELOW, OUTPUT_LIMIT, FACTOR_COUNT = 0, 1, 2, 3, 4
"""Places in the `factors` array that the kernels take."""

LINEAR, RELU, TABLE = 0, 1, 2
"""Functions behind the scale."""


@compiled
def finish(
    total: float, bias: float, factors: Floats, function: int, table: Floats, meta: npt.NDArray[np.int64]
) -> Any:
    """Bits of the stored result of one sum.

    v = (total + bias + acc_bias) * post_scale, each step rounded to fp32; then the function; then fp16.
    """
    v = np.float32(total)
    if abs(v) < factors[FLUSH_BELOW]:
        v = np.float32(0)
    v = np.float32(np.float32(np.float32(v + np.float32(bias)) + factors[ACC_BIAS]) * factors[POST_SCALE])
    if abs(v) >= factors[OUTPUT_LIMIT]:
        v = np.float32(65536.0) if v > 0 else np.float32(-65536.0)
    if function == RELU:
        v = max(v, np.float32(0))
    elif function == TABLE:
        v = evaluate(v, table, meta)
    return store_half(v)
