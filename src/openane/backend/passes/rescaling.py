"""The pass that moves the sums of the MAC array away from its step, by powers of two that are undone after the sum.

Products are rounded to 2^-16 and small ones are dropped (arithmetic.md#mac), so larger operands lose less. A sum must
not reach 2^15: operands are doubled as often as a bound on the sums allows. The bound is proven (`ranges`), or it is
what calibration data gives, with a margin. A kernel is doubled itself, and PostScale halved. Of a product of two
tensors one operand is doubled where another unit makes it, and the PostScale of the product is halved. PostScale by a
power of two does not round as long as results are normal numbers, whichever of the two candidate roundings the
hardware has.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from openane.backend.ir.fused import Fused
from openane.backend.passes.editor import NetEditor
from openane.backend.passes.fusion import HOSTS
from openane.backend.ranges import bounds, sum_bound
from openane.backend.sums import doublings, operand_doublings, sums_of
from openane.net.net import Net, Unit
from openane.net.units import BroadcastParams, ReshapeParams, TransposeParams
from openane.numerics.limits import SUM_STEP

ENGINE_MARGIN = 2.0
"""Times that values on the engine may exceed a proven bound: normalizations and functions round, and use tables."""
CALIBRATION_MARGIN = 4.0
"""Times that the sums of other inputs may exceed those of the calibration data."""


@dataclass(frozen=True, slots=True)
class Exponents:
    """The powers of two of a network.

    Attributes:
        kernels: of convolutions and products by a constant, by unit.
        products: of products of two tensors: the unit that makes the doubled operand, and the exponent.
    """

    kernels: Mapping[str, int]
    products: Mapping[str, tuple[str, int]]

    def of(self, name: str) -> int:
        """The exponent of the sums of a unit; 0 where it is not rescaled."""
        return self.kernels.get(name, 0) or self.products.get(name, ("", 0))[1]


def rescale(editor: NetEditor, inputs: Mapping[str, np.ndarray]) -> None:
    """Every convolution and product gets the largest exponent that keeps its sums in range.

    Args:
        editor: of a network after fusion.
        inputs: calibration data: one array per input of the network; empty to use proven bounds only.
    """
    found = exponents(editor.net, inputs)
    for name, exponent in found.kernels.items():
        _replace(editor, name, replace(_fused(editor.units[name]), rescale=exponent))
    for name, (source, exponent) in found.products.items():
        _replace(editor, source, _doubled(_fused(editor.units[source]), exponent))
        _replace(editor, name, _fused(editor.units[name]).scaled(2.0**-exponent, 0.0))


def exponents(net: Net, inputs: Mapping[str, np.ndarray]) -> Exponents:
    """The exponents of a network after fusion; `inputs` as for `rescale`."""
    largest = sum_bounds(net, inputs)
    kernels: dict[str, int] = {}
    products: dict[str, tuple[str, int]] = {}
    units = {unit.name: unit for unit in net.units}
    uses = Counter(bottom for unit in net.units for bottom in unit.bottoms) + Counter(net.outputs.values())
    for name, bound in largest.items():
        sums = sums_of(units[name].params)
        assert sums is not None
        if sums.kernel is not None:
            kernels[name] = doublings(sums, bound)
            continue
        for operand in reversed(units[name].bottoms):
            source = _source(operand, units, uses)
            made = None if source is None else sums_of(units[source].params)
            if source is None or made is None or any(source == taken for taken, _ in products.values()):
                continue
            exponent = operand_doublings(sums, bound, largest[source] * abs(made.post_scale))
            if exponent and _fused(units[name]).function is None:
                products[name] = (source, exponent)
                break
    return Exponents({name: exponent for name, exponent in kernels.items() if exponent}, products)


def sum_bounds(net: Net, inputs: Mapping[str, np.ndarray]) -> dict[str, float]:
    """For each convolution and product, the largest magnitude that a running total may take.

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
        if sums is not None:
            shapes = [net.shapes[name] for name in unit.bottoms]
            rounding = sums.products(shapes) * SUM_STEP
            found[unit.name] = (
                ENGINE_MARGIN * sum_bound(sums, [ranges[name] for name in unit.bottoms], shapes) + rounding
            )
    if inputs:
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite bounds nothing
            _measure(net, inputs, found)
    return found


def _measure(net: Net, inputs: Mapping[str, np.ndarray], found: dict[str, float]) -> None:
    """Lowers bounds to what calibration data shows."""
    for unit, bottoms, _ in net.trace({name: _single(array) for name, array in inputs.items()}):
        if unit.name in found:
            sums = sums_of(unit.params)
            assert sums is not None
            seen = float(sums.magnitudes(bottoms).max())
            measured = CALIBRATION_MARGIN * seen if math.isfinite(seen) else math.inf
            found[unit.name] = min(found[unit.name], measured)


def _source(name: str, units: Mapping[str, Unit], uses: Mapping[str, int]) -> str | None:
    """The convolution or product by a constant that alone makes a value, seen through views; None for others."""
    while name in units and uses[name] == 1:
        unit = units[name]
        if isinstance(unit.params, ReshapeParams | TransposeParams | BroadcastParams):
            (name,) = unit.bottoms
            continue
        sums = sums_of(unit.params)
        plain = not isinstance(unit.params, Fused) or unit.params.function is None
        return name if sums is not None and sums.kernel is not None and plain else None
    return None


def _doubled(made: Fused, exponent: int) -> Fused:
    """A unit whose result is 2^exponent times as large, with the same kernel: what PostScale takes back is less."""
    larger = made.scaled(2.0**exponent, 0.0)
    before, after = sums_of(made), sums_of(larger)
    assert before is not None and after is not None
    in_kernel = after.post_scale == before.post_scale
    return replace(larger, rescale=made.rescale - exponent) if in_kernel else larger


def _fused(unit: Unit) -> Fused:
    params = unit.params
    return params if isinstance(params, Fused) else Fused(params, dimension=HOSTS[type(params)])


def _replace(editor: NetEditor, name: str, params: Fused) -> None:
    editor.units[name] = replace(editor.units[name], params=params)


def _single(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype.kind == "f" else array
