"""The pass that moves the sums of the MAC array away from its step: kernels times a power of two, undone in PostScale.

Products are rounded to 2^-16 and small ones are dropped (arithmetic.md#mac), so a larger kernel loses less. A sum must
not reach 2^15: a kernel is doubled as often as a bound on its sums allows. The bound is proven (`ranges`), or it is
what calibration data gives, with a margin. PostScale by a power of two does not round as long as results are normal
numbers, whichever of the two candidate roundings the hardware has.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from openane.backend.ir.fused import Fused
from openane.backend.passes.editor import NetEditor
from openane.backend.passes.fusion import HOSTS
from openane.backend.ranges import bounds, sum_bound
from openane.backend.sums import doublings, sums_of
from openane.net.net import Net
from openane.numerics.limits import SUM_STEP

ENGINE_MARGIN = 2.0
"""Times that values on the engine may exceed a proven bound: normalizations and functions round, and use tables."""
CALIBRATION_MARGIN = 4.0
"""Times that the sums of other inputs may exceed those of the calibration data."""


def rescale(editor: NetEditor, inputs: Mapping[str, np.ndarray]) -> None:
    """Every convolution and product by a constant gets the largest exponent that keeps its sums in range.

    Args:
        editor: of a network after fusion.
        inputs: calibration data: one array per input of the network; empty to use proven bounds only.
    """
    for name, largest in sum_bounds(editor.net, inputs).items():
        unit = editor.units[name]
        params = unit.params
        if not isinstance(params, Fused):
            params = Fused(params, dimension=HOSTS[type(params)])
        sums = sums_of(params)
        assert sums is not None
        exponent = doublings(sums, largest)
        if exponent:
            editor.units[name] = replace(unit, params=replace(params, rescale=params.rescale + exponent))


def sum_bounds(net: Net, inputs: Mapping[str, np.ndarray]) -> dict[str, float]:
    """For each convolution and product by a constant, the largest magnitude that a running total may take.

    Args:
        net: after fusion.
        inputs: calibration data, or nothing.

    Returns:
        With margins; infinite where nothing is known.
    """
    ranges = bounds(net)
    found: dict[str, float] = {}
    for unit in net.units:
        sums = sums_of(unit.params)
        if sums is not None and sums.kernel is not None:
            rounding = sums.kernel[0].size * SUM_STEP
            found[unit.name] = ENGINE_MARGIN * sum_bound(sums, ranges[unit.bottoms[0]]) + rounding
    if inputs:
        for unit, bottoms, _ in net.trace({name: _single(array) for name, array in inputs.items()}):
            if unit.name in found:
                sums = sums_of(unit.params)
                assert sums is not None
                seen = float(sums.magnitudes(bottoms).max())
                measured = CALIBRATION_MARGIN * seen if math.isfinite(seen) else math.inf
                found[unit.name] = min(found[unit.name], measured)
    return found


def _single(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype.kind == "f" else array
