"""What the MAC array adds up, by the published measurements of its accumulator and without a line of openane's own.

The accumulator counts steps of 2^-16. Each product of two fp16 numbers is rounded to it, halves away from zero, before
it is added; a product is lost altogether when the exponents of its factors sum to -17 or less, where subnormal numbers
and zero count as exponent -14. A sum of many small products may vanish, which no error relative to the result allows
for.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from openane.net import TensorShape, UnitParams
from openane.net import units as u

STEP = 2.0**-16
LIMIT_STEPS = 2.0**31
"""Sums from here on leave the array as infinity."""
_LOST = 2.0**-17
"""The product of the powers of two in factors whose product is lost, at most."""
_BLOCK = 1 << 17
"""Products that are in memory at a time: few enough to stay in the caches of the processor."""
_Floats = npt.NDArray[np.float32]
_Steps = npt.NDArray[np.float64]


def accumulated(params: UnitParams, bottoms: Sequence[np.ndarray]) -> np.ndarray | None:
    """The sums of a unit as the accumulator holds them; None for a unit without products.

    Args:
        params: of the unit.
        bottoms: (N, D, C, H, W) arrays. They and the weights are rounded to fp16 first; numbers that are not finite
            are left to the definition of the unit.
    """
    if isinstance(params, u.ConvParams):
        factors, sums = (params.kernel, *bottoms), _convolution
    elif isinstance(params, u.LinearParams):
        factors, sums = (params.weight, *bottoms), _linear
    elif isinstance(params, u.MatMulParams):
        factors, sums = tuple(bottoms), _matmul
    else:
        return None
    with np.errstate(over="ignore"):
        halves = [np.asarray(each, np.float64).astype(np.float16).astype(np.float32) for each in factors]
    if not all(np.isfinite(each).all() for each in halves):
        return None
    steps = sums(params, *halves)  # type: ignore[arg-type]
    return np.where(np.abs(steps) >= LIMIT_STEPS, np.copysign(np.inf, steps), steps * STEP)


def products(first: _Floats, second: _Floats) -> _Steps:
    """(..., M, K) times (..., K, N), in steps of the accumulator.

    A product of two fp16 numbers has 22 significant bits, so that float32 holds it, and half a step more, exactly.
    """
    left, right = _powers(first), _powers(second)
    some_lost = left.min(initial=1.0) * right.min(initial=1.0) <= _LOST
    batch, rows, columns = np.broadcast_shapes(first.shape[:-2], second.shape[:-2]), first.shape[-2], second.shape[-1]
    total = np.zeros((*batch, rows, columns))
    width = max(_BLOCK // max(int(np.prod(batch)) * columns, 1), 1)
    steps = first * np.float32(1 / STEP)
    for row in range(rows):
        terms = np.flatnonzero(first[..., row, :].any(axis=tuple(range(first.ndim - 2))))  # zeros add nothing
        for begin in range(0, len(terms), width):
            part = terms[begin : begin + width]
            each = steps[..., row, part, None] * second[..., part, :]
            each += np.copysign(np.float32(0.5), each)
            np.trunc(each, out=each)
            if some_lost:
                each *= left[..., row, part, None] * right[..., part, :] > _LOST
            total[..., row, :] += each.sum(axis=-2, dtype=np.float64)
    return total


def _powers(halves: _Floats) -> _Floats:
    """The power of two of each number, 2^-14 for subnormal numbers and zero."""
    _, exponents = np.frexp(halves)
    return np.ldexp(np.float32(1), np.where(halves == 0, -14, np.maximum(exponents - 1, -14)))


def _linear(_: u.LinearParams, weight: _Floats, x: _Floats) -> _Steps:
    return products(x, weight.T)


def _matmul(params: u.MatMulParams, a: _Floats, b: _Floats) -> _Steps:
    return products(a.swapaxes(3, 4) if params.transpose_a else a, b.swapaxes(3, 4) if params.transpose_b else b)


def _convolution(params: u.ConvParams, kernel: _Floats, x: _Floats) -> _Steps:
    """Every tap of the kernel is a product of matrices; padding adds products of zero, which are nothing."""
    batch, depth, channels, height, width = x.shape
    result = params.infer([TensorShape.of(x.shape)])
    groups, (right_step, down_step), (right, down) = params.groups, params.step, params.dilation
    images = x.reshape(batch * depth, groups, channels // groups, height, width)
    kernel = kernel.reshape(groups, -1, *kernel.shape[1:])
    top, left = params.pads.top, params.pads.left
    total = np.zeros((batch * depth, groups, kernel.shape[1], result.height, result.width))
    for row, column in np.ndindex(*kernel.shape[3:]):
        # output (i, j) meets input (i * step + shift), or input (i, j) meets output (i * step + shift) if transposed
        down_shift, right_shift = row * down - top, column * right - left
        extents = (height, width, result.height, result.width)
        inner, outer = _meeting(params.transposed, (down_shift, right_shift), (down_step, right_step), extents)
        source, target = (outer, inner) if params.transposed else (inner, outer)
        window = images[(..., *source)]
        flat = window.reshape(*window.shape[:3], -1)
        found = products(kernel[None, :, :, :, row, column], flat)
        total[(..., *target)] += found.reshape(*found.shape[:3], *window.shape[3:])
    return total.reshape(result.ndchw)


def _meeting(
    transposed: bool, shifts: tuple[int, int], steps: tuple[int, int], extents: tuple[int, int, int, int]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Rows and columns that meet under a tap: those at a distance of `steps`, and those that count one by one."""
    wide, narrow = [], []
    sizes = zip(extents[:2], extents[2:], strict=True)
    for shift, step, (source, target) in zip(shifts, steps, sizes, strict=True):
        many, few = (target, source) if transposed else (source, target)
        first = max(-(shift // step), 0)
        last = min((many - 1 - shift) // step, few - 1)
        stop = max(last + 1, first)
        narrow.append(slice(first, stop))
        wide.append(slice(first * step + shift, max(last * step + shift + 1, 0), step) if stop > first else slice(0, 0))
    return (wide[0], wide[1]), (narrow[0], narrow[1])
