"""Pooling windows as computations that are on record: maxima of shifted images, depthwise convolutions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from openane.backend.ir.fused import Fused, FusedElementWise
from openane.backend.passes.recorded_forms import Form, UnitSite, taken
from openane.backend.units.functions import is_relu
from openane.net.net import Net, TensorShape, Unit
from openane.net.units import (
    ConcatParams,
    ConstantParams,
    ConvParams,
    ElementWiseKind,
    ElementWiseParams,
    InputViewParams,
    NeuronKind,
    NeuronParams,
    Pads,
    PoolingKind,
    PoolingParams,
    SoftmaxParams,
)
from openane.numerics.limits import HALF_LARGEST

_SHIFT = 3
"""Window of a convolution that moves an image by one row or column."""


def windows(site: UnitSite) -> Iterator[Form]:
    """A pooling unit by other units."""
    params = site.unit.params
    if not isinstance(params, PoolingParams) or params.dilation != (1, 1):
        return
    if params.kind is PoolingKind.MAX:
        yield from _maximum(site, params)
    else:
        yield from _average(site, params)


def _maximum(site: UnitSite, params: PoolingParams) -> Iterator[Form]:
    """Maxima of an image and of itself moved by one, axis by axis; then the rows and columns of the windows.

    What moves in from outside of the image is zero. That matters only where results see the padding and elements may be
    negative: there a constant image makes it the smallest number.
    """
    source, result = site.source, site.shapes[site.unit.name]
    axes = (
        (params.kernel[1], params.pads.top, params.pads.bottom),
        (params.kernel[0], params.pads.left, params.pads.right),
    )
    if any(before + trailing >= window for window, before, trailing in axes):
        return
    units: list[Unit] = []
    name = site.unit.bottoms[0]
    for axis, (window, before, trailing) in enumerate(axes):
        masked = bool(before or trailing) and not site.nonnegative
        for number in range(window - 1):
            suffix, by = f"{axis}.{number}", -1 if number < before else 1
            units.append(site.made(f"moved{suffix}", _moved(source, axis, by), (name,)))
            if masked:
                mask = site.made(f"mask{suffix}", ConstantParams(_outside(source, axis, by)), ())
                inside = FusedElementWise(ElementWiseParams(ElementWiseKind.ADD), source)
                units += [mask, site.made(f"inside{suffix}", inside, (units[-1].name, mask.name))]
            largest = FusedElementWise(ElementWiseParams(ElementWiseKind.MAX), source)
            units.append(site.made(f"largest{suffix}", largest, (name, units[-1].name)))
            name = units[-1].name
    for suffix, step in taken(source, result, params.step):
        units.append(site.made(suffix, step, (name,)))
        name = units[-1].name
    if units:
        yield (*units[:-1], site.made("", units[-1].params, units[-1].bottoms, last=True))


def _moved(shape: TensorShape, axis: int, by: int) -> ConvParams:
    """A depthwise convolution that moves an image: each element is the one `by` rows (or columns) further."""
    kernel = np.zeros((shape.channels, 1, _SHIFT, _SHIFT), np.float32)
    kernel[(slice(None), 0, *((1 + by, 1) if axis == 0 else (1, 1 + by)))] = 1
    return ConvParams(kernel, pads=Pads(1, 1, 1, 1), groups=shape.channels)


def _outside(shape: TensorShape, axis: int, by: int) -> np.ndarray:
    """The smallest number in the row or column that has moved in, else 0: (1, 1, 1, H, W)."""
    image = np.zeros((1, 1, 1, shape.height, shape.width), np.float32)
    edge = 0 if by < 0 else -1
    image[(..., edge, slice(None)) if axis == 0 else (..., edge)] = -HALF_LARGEST
    return image


def _average(site: UnitSite, params: PoolingParams) -> Iterator[Form]:
    """A depthwise convolution with equal weights; averages that leave out the padding are corrected by an image."""
    columns, rows = params.kernel
    shape = site.source
    kernel = np.full((shape.channels, 1, rows, columns), 1 / (rows * columns), np.float32)
    conv = ConvParams(kernel, step=params.step, pads=params.pads, groups=shape.channels)
    if params.count_include_pad or not any(params.pads):
        yield site.chain(("average", conv))
        return
    one = np.ones((1, 1, 1, shape.height, shape.width), np.float32)
    inside = ConvParams(kernel[:1], step=params.step, pads=params.pads).evaluate([one])
    factor = site.made("factor", ConstantParams((1 / inside).astype(np.float32)), ())
    average = site.made("average", conv, site.unit.bottoms)
    product = FusedElementWise(ElementWiseParams(ElementWiseKind.MULT), site.shapes[site.unit.name])
    yield average, factor, site.made("", product, (average.name, factor.name), last=True)


_NONNEGATIVE_KINDS = frozenset({NeuronKind.RELU, NeuronKind.SIGMOID, NeuronKind.EXP, NeuronKind.EXP2, NeuronKind.ABS})


def nonnegative(net: Net) -> frozenset[str]:
    """The values of a network of which no element is negative, as far as the units tell."""
    found: set[str] = set()
    for unit in net.units:
        params = unit.params
        kept = isinstance(params, (PoolingParams, ConcatParams, InputViewParams)) and all(
            name in found for name in unit.bottoms
        )
        function = (
            params.function if isinstance(params, Fused) else params if isinstance(params, NeuronParams) else None
        )
        rectified = function is not None and (is_relu(function) or function.kind in _NONNEGATIVE_KINDS)
        ends = isinstance(params, SoftmaxParams) and not params.log
        if kept or rectified or ends or (isinstance(params, FusedElementWise) and params.relu):
            found.add(unit.name)
    return frozenset(found)
