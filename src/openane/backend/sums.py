"""What the MAC array adds up for a unit: the numbers that its lowering packs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from openane.backend.ir.fused import ColumnProduct, Fused
from openane.backend.units.conv import job
from openane.backend.units.linear import product_of
from openane.net.net import TensorShape, UnitParams
from openane.net.units import ConvParams, Dimension, LinearParams, MatMulParams
from openane.numerics.limits import HALF_LARGEST, HALF_SMALLEST_NORMAL, SUM_LIMIT


@dataclass(frozen=True, eq=False, slots=True)
class Sums:
    """The sums of a unit, main(x) + bias, before PostScale.

    Attributes:
        main: a convolution or product with the weights that the lowering packs, or a product of two tensors.
        kernel: (Cout, Cin / groups, Kh, Kw) of the weights, float32; None for two tensors.
        bias: (Cout,), or None.
        post_scale: what the epilogue multiplies the sum by.
        dimension: of the result, along which the bias runs.
        summed: the dimension of x that is added up.
    """

    main: UnitParams
    kernel: np.ndarray | None
    bias: np.ndarray | None
    post_scale: float
    dimension: Dimension
    summed: Dimension

    def products(self, shapes: Sequence[TensorShape]) -> int:
        """The largest number of products in one sum, for bottoms of these shapes."""
        if self.kernel is not None:
            return int(self.kernel[0].size)
        assert isinstance(self.main, MatMulParams)
        return shapes[0].height if self.main.transpose_a else shapes[0].width

    def magnitudes(self, bottoms: Sequence[np.ndarray]) -> np.ndarray:
        """The sum of the magnitudes of products and bias, for each result: no running total is larger.

        Args:
            bottoms: (N, D, C, H, W) arrays, as the unit reads them.
        """
        total = _of_magnitudes(self.main).evaluate([np.abs(x).astype(np.float32) for x in bottoms])
        if self.bias is not None:
            shape = [1] * 5
            shape[self.dimension.axis] = -1
            total = total + np.abs(self.bias).reshape(shape)
        return total


def sums_of(params: UnitParams) -> Sums | None:
    """The sums of a unit; None when it is not a convolution or product."""
    fused = params if isinstance(params, Fused) else Fused(params)
    main = fused.main
    if isinstance(main, MatMulParams):
        return Sums(main, None, None, float(fused.scale), Dimension.WIDTH, Dimension.WIDTH)
    if isinstance(main, ConvParams):
        task = job(main, fused)
        whole: UnitParams = replace(main, kernel=task.kernel)
        dimension, summed = Dimension.CHANNEL, Dimension.CHANNEL
    elif isinstance(main, LinearParams | ColumnProduct):
        task = product_of(fused)
        whole = replace(main, weight=task.kernel[:, :, 0, 0])
        dimension = Dimension.WIDTH
        summed = Dimension.WIDTH if isinstance(main, LinearParams) else Dimension.HEIGHT
    else:
        return None
    return Sums(whole, task.kernel, task.bias, task.function.post_scale, dimension, summed)


def doublings(sums: Sums, largest: float) -> int:
    """How often the kernel can be doubled; 0 for two tensors.

    Then no sum reaches the limit of the accumulator, fp16 holds weights and bias, and PostScale stays a normal number,
    so that a power of two in it does not round.

    Args:
        sums: of a unit.
        largest: a bound on the magnitude of every running total.
    """
    if sums.kernel is None or not sums.kernel.any() or not sums.post_scale or not 0 < largest < SUM_LIMIT:
        return 0
    below_limit = math.ceil(math.log2(SUM_LIMIT / largest)) - 1
    weights = math.floor(math.log2(HALF_LARGEST / float(np.abs(sums.kernel).max())))
    return max(min(below_limit, weights, _halvings(sums.post_scale)), 0)


def operand_doublings(sums: Sums, largest: float, operand: float) -> int:
    """How often one operand of a product of two tensors can be doubled.

    Then no sum reaches the limit of the accumulator, fp16 holds the operand, and PostScale stays a normal number.

    Args:
        sums: of the product.
        largest: a bound on the magnitude of every running total.
        operand: a bound on the magnitude of the operand.
    """
    if not sums.post_scale or not 0 < largest < SUM_LIMIT or not 0 < operand < HALF_LARGEST:
        return 0
    below_limit = math.ceil(math.log2(SUM_LIMIT / largest)) - 1
    held = math.floor(math.log2(HALF_LARGEST / operand))
    return max(min(below_limit, held, _halvings(sums.post_scale)), 0)


def _halvings(post_scale: float) -> int:
    """How often PostScale can be halved until it is not a normal number of fp16."""
    return math.floor(math.log2(abs(post_scale) / HALF_SMALLEST_NORMAL))


def _of_magnitudes(main: UnitParams) -> UnitParams:
    if isinstance(main, ConvParams):
        return replace(main, kernel=np.abs(main.kernel))
    if isinstance(main, LinearParams | ColumnProduct):
        return replace(main, weight=np.abs(main.weight))
    return main
