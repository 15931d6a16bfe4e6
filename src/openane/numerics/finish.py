"""What happens to sums on their way out of the MAC engine: bias, scale, function, rounding. Compiled, row by row."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from openane.numerics.jit import compiled
from openane.numerics.lookup import INFINITY, evaluate_row, store_row

Floats = npt.NDArray[np.float32]

ACC_BIAS, POST_SCALE, FLUSH_BELOW, OUTPUT_LIMIT, FACTOR_COUNT = 0, 1, 2, 3, 4
"""Places in the `factors` array that the kernels take."""

LINEAR, RELU, TABLE = 0, 1, 2
"""Functions behind the scale."""


@compiled
def finish_row(
    values: Floats, count: int, bias: float, factors: Floats, function: int, table: Floats, meta:
    npt.NDArray[np.int64], result: npt.NDArray[np.uint16],
) -> None:  # fmt: skip
    """Bits of the stored results of a row of sums of one channel.

    v = (total + bias + acc_bias) * post_scale, each step rounded to fp32; then the function; then fp16.

    Args:
        values: the sums; overwritten.
        count: of them.
        bias: of the channel; -0.0 without one, which changes nothing.
    """
    acc_bias, scale = factors[ACC_BIAS], factors[POST_SCALE]
    flush, limit = factors[FLUSH_BELOW], factors[OUTPUT_LIMIT]
    own = np.float32(bias)
    row = values[:count]
    for j in range(count):
        v = row[j]
        v = np.float32(0) if abs(v) < flush else v
        v = np.float32(np.float32(np.float32(v + own) + acc_bias) * scale)
        huge = np.float32(INFINITY) if v > 0 else np.float32(-INFINITY)
        row[j] = huge if abs(v) >= limit else v
    if function == RELU:
        for j in range(count):
            v = row[j]
            row[j] = v if v > 0 else np.float32(0)
    elif function == TABLE:
        evaluate_row(row, table, meta)
    store_row(row, count, result)
