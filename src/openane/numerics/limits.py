"""What half precision and the MAC array can hold.

Each constant says where it was measured. The MAC array adds products of fp16 values into a 32-bit fixed-point
accumulator; the planar engine and tables work on fp16 values and have the range of fp16 only.
"""

from __future__ import annotations

import math

from openane.numerics.definition.accumulator import LIMIT, STEP_BITS

HALF_LARGEST = 65504.0
"""The largest finite fp16 number (IEEE 754)."""

HALF_SMALLEST = 2.0**-24
"""The smallest positive fp16 number; half of it and less rounds to 0 (IEEE 754)."""

HALF_SMALLEST_NORMAL = 2.0**-14
"""Below it fp16 numbers lose bits (IEEE 754)."""

SUM_STEP = 2.0**-STEP_BITS
"""One unit of the accumulator, to which each product is rounded; `definition.accumulator` has the rule.

Measured: single values on M4 and M6, 384,000 results on M2 Max. On M1 the error statistics of convolutions agree in all
printed digits with this step and with no other.
"""

PRODUCT_NOISE = SUM_STEP / math.sqrt(12)
"""Root mean square of what rounding to `SUM_STEP` does to one product; a sum of n products has sqrt(n) times that."""

SUM_LIMIT = LIMIT * SUM_STEP
"""A running total of this magnitude leaves the MAC array as infinity and stays infinite.

Measured: single values on M4 and M6; the cliff at 32,768 on M1, M1 Max, M2 Pro, M2 Max, M4, M5, M5 Pro and M6.
"""
