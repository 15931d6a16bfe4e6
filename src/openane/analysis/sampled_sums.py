"""Some sums of the MAC array with all their products: pixels and weights of random results of a unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from openane.backend.ir.fused import ColumnProduct
from openane.backend.sums import Sums
from openane.net.net import TensorShape
from openane.net.units import ConvParams, LinearParams, MatMulParams

MOST_PRODUCTS = 1 << 20
FEWEST, MOST = 128, 1024
"""Sums that are taken: with 128 the root mean square of an error is known to 6 %."""

SEED = 0x4D4143
"""Not one that weights and inputs of tests are made from: equal streams would be correlated."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class SampledSums:
    """Sums of one unit.

    Attributes:
        x, weight: (sums, products), before rounding to fp16.
        bias: (sums,).
    """

    x: Array
    weight: Array
    bias: Array


def sample(sums: Sums, bottoms: Sequence[np.ndarray] | None, shapes: Sequence[TensorShape]) -> SampledSums:
    """Random sums of a unit; the same ones in every call.

    Args:
        sums: of the unit.
        bottoms: (N, D, C, H, W) arrays that it reads; None for normal values of variance 1.
        shapes: of the bottoms.
    """
    random = np.random.default_rng(SEED)
    if bottoms is None:
        bottoms = [random.standard_normal(shape.ndchw) for shape in shapes]
    main = sums.main
    if isinstance(main, ConvParams):
        x, weight, channel = _of_convolution(main, bottoms[0], random)
    elif isinstance(main, LinearParams | ColumnProduct):
        rows = bottoms[0] if isinstance(main, LinearParams) else bottoms[0].swapaxes(3, 4)
        rows = rows.reshape(-1, rows.shape[-1])
        count = _count(rows.shape[1])
        channel = random.integers(0, len(main.weight), count)
        x, weight = rows[random.integers(0, len(rows), count)], main.weight[channel]
    else:
        assert isinstance(main, MatMulParams)
        x, weight = _of_tensors(main, bottoms, random)
        channel = np.zeros(len(x), np.int64)
    bias = np.zeros(len(x)) if sums.bias is None else sums.bias[channel]
    return SampledSums(x.astype(np.float64), weight.astype(np.float64), bias.astype(np.float64))


def _count(products: int) -> int:
    return int(np.clip(MOST_PRODUCTS // max(products, 1), FEWEST, MOST))


def _of_tensors(
    main: MatMulParams, bottoms: Sequence[np.ndarray], random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    a, b = bottoms
    rows = a.swapaxes(3, 4) if main.transpose_a else a
    columns = b if main.transpose_b else b.swapaxes(3, 4)
    rows, columns = (each.reshape(-1, *each.shape[3:]) for each in (rows, columns))
    count = _count(rows.shape[2])
    image = random.integers(0, len(rows), count)
    row, column = (random.integers(0, each.shape[1], count) for each in (rows, columns))
    return rows[image, row], columns[image, column]


def _of_convolution(
    main: ConvParams, x: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, npt.NDArray[np.int64]]:
    outputs, inputs, taps_y, taps_x = main.kernel.shape
    result = main.infer([TensorShape.of(x.shape)])
    images = x.reshape(-1, *x.shape[2:])
    count = _count(inputs * taps_y * taps_x)
    image = random.integers(0, len(images), count)
    channel = random.integers(0, outputs, count)
    rows, row_valid = _positions(main, 1, random.integers(0, result.height, count), images.shape[2])
    columns, column_valid = _positions(main, 0, random.integers(0, result.width, count), images.shape[3])
    first = channel // (outputs // main.groups) * inputs
    pixels = images[
        image[:, None, None, None],
        (first[:, None] + np.arange(inputs))[:, :, None, None],
        rows[:, None, :, None],
        columns[:, None, None, :],
    ]
    valid = row_valid[:, None, :, None] & column_valid[:, None, None, :]
    return np.where(valid, pixels, 0).reshape(count, -1), main.kernel[channel].reshape(count, -1), channel


def _positions(
    main: ConvParams, axis: int, result: npt.NDArray[np.int64], extent: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Rows or columns of the source that the taps of some results read, and whether they are in the image."""
    taps, step, dilation = main.kernel_size[axis], main.step[axis], main.dilation[axis]
    before = main.pads.left if axis == 0 else main.pads.top
    offsets = np.arange(taps) * dilation
    if main.transposed:
        places, rest = np.divmod(result[:, None] + before - offsets, step)
        valid = rest == 0
    else:
        places = result[:, None] * step + offsets - before
        valid = np.ones_like(places, np.bool_)
    return np.clip(places, 0, extent - 1), valid & (places >= 0) & (places < extent)
