"""How large the values of a network get whatever its inputs are, from units whose results are bounded.

A softmax gives weights that add up to 1; a normalization over N elements gives N elements with a root of the sum of
squares of at most sqrt(N); sigmoids and clamps have ends. The rules follow these bounds through the units after them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from openane.backend.ir.fused import Fused, FusedElementWise
from openane.backend.sums import Sums, sums_of
from openane.core.types import DType
from openane.net.net import Net, TensorShape, UnitParams
from openane.net.units import (
    BroadcastParams,
    ConcatParams,
    ConstantParams,
    Dimension,
    ElementWiseKind,
    ElementWiseParams,
    GOCParams,
    InputViewParams,
    LayerNormParams,
    MatMulParams,
    NeuronKind,
    NeuronParams,
    PadParams,
    PoolingParams,
    ReductionKind,
    ReductionParams,
    ReshapeParams,
    SelectParams,
    SoftmaxParams,
    TransposeParams,
)


@dataclass(frozen=True, slots=True)
class Bound:
    """What holds for a value; infinite where nothing is known.

    Attributes:
        peak: no element is larger in magnitude.
        norm: no root of a sum of squares along `dimension` is larger.
        total: no sum of magnitudes along `dimension` is larger.
        dimension: of `norm` and `total`.
    """

    peak: float = math.inf
    norm: float = math.inf
    total: float = math.inf
    dimension: Dimension | None = None

    def scaled(self, factor: float) -> Bound:
        """Of the values times a factor of at most this magnitude."""
        return replace(self, peak=self.peak * factor, norm=self.norm * factor, total=self.total * factor)


UNKNOWN = Bound()


def bounds(net: Net) -> dict[str, Bound]:
    """The bound of every input and unit of a network.

    They hold for exact arithmetic; whoever relies on them leaves room for the rounding of the engine.
    """
    found = {name: _of_input(net.input_dtypes.get(name, DType.FLOAT16)) for name in net.inputs}
    for unit in net.units:
        shapes = [net.shapes[name] for name in unit.bottoms]
        found[unit.name] = _of_unit(unit.params, [found[name] for name in unit.bottoms], shapes, net.shapes[unit.name])
    return found


def sum_bound(sums: Sums, operands: Sequence[Bound], shapes: Sequence[TensorShape]) -> float:
    """The largest magnitude of a running total, for operands with bounds."""
    if sums.kernel is None:
        assert isinstance(sums.main, MatMulParams)
        return _matmul(sums.main, operands, shapes).peak
    (operand,) = operands
    weights = np.abs(sums.kernel.astype(np.float64)).reshape(len(sums.kernel), -1)
    taps = sums.kernel.shape[2] * sums.kernel.shape[3]
    found = _times(operand.peak, weights.sum(1))
    if operand.dimension is sums.summed:
        found = np.minimum(found, _times(operand.norm * math.sqrt(taps), np.sqrt(np.square(weights).sum(1))))
        found = np.minimum(found, _times(operand.total * taps, weights.max(1)))
    return float((found if sums.bias is None else found + np.abs(sums.bias)).max())


def _times(bound: float, weights: np.ndarray) -> np.ndarray:
    """The products, where infinity times zero is zero."""
    with np.errstate(invalid="ignore"):
        return np.where(weights == 0, 0.0, bound * weights)


def _of_input(dtype: DType) -> Bound:
    if dtype.numpy.kind not in "iu":
        return UNKNOWN
    limits: np.iinfo[Any] = np.iinfo(dtype.numpy.str)
    return Bound(float(max(abs(limits.min), limits.max)))


def _of_unit(params: UnitParams, bottoms: Sequence[Bound], shapes: Sequence[TensorShape], shape: TensorShape) -> Bound:
    rule = _RULES.get(type(params))
    if rule is not None:
        return rule(params, bottoms, shapes, shape)
    sums = sums_of(params)
    if sums is None:
        return UNKNOWN
    if isinstance(sums.main, MatMulParams):
        plain = not isinstance(params, Fused) or params.function is None
        return _matmul(sums.main, bottoms, shapes).scaled(abs(sums.post_scale)) if plain else UNKNOWN
    result = Bound(sum_bound(sums, bottoms, shapes)).scaled(abs(sums.post_scale))
    function = params.function if isinstance(params, Fused) else None
    return result if function is None else _neuron(function, [result], shapes, shape)


def _matmul(params: MatMulParams, bottoms: Sequence[Bound], shapes: Sequence[TensorShape]) -> Bound:
    """Rows times columns; weights that add up to 1 give averages of rows."""
    a, b = bottoms
    summed_a = Dimension.HEIGHT if params.transpose_a else Dimension.WIDTH
    summed_b = Dimension.WIDTH if params.transpose_b else Dimension.HEIGHT
    total = a.total if a.dimension is summed_a else a.peak * summed_a.extent(shapes[0])
    peak = total * b.peak if total and b.peak else 0.0
    if a.dimension is summed_a and b.dimension is summed_b:
        peak = min(peak, a.norm * b.norm)
    rows_stay = b.dimension is Dimension.WIDTH and not params.transpose_b
    return Bound(peak, total * b.norm, total * b.total, Dimension.WIDTH) if rows_stay else Bound(peak)


def _softmax(params: SoftmaxParams, bottoms: Sequence[Bound], shapes: Any, shape: Any) -> Bound:
    return UNKNOWN if params.log else Bound(1.0, 1.0, 1.0, params.dimension)


def _norm(params: LayerNormParams, bottoms: Sequence[Bound], shapes: Any, shape: TensorShape) -> Bound:
    count = math.prod(dimension.extent(shape) for dimension in params.dimensions)
    (dimension,) = params.dimensions if len(params.dimensions) == 1 else (None,)
    return Bound(math.sqrt(count), math.sqrt(count), dimension=dimension)


_WITHIN_ONE = frozenset(
    {NeuronKind.SIGMOID, NeuronKind.TANH, NeuronKind.HARD_SIGMOID, NeuronKind.SOFTSIGN, NeuronKind.SIGN}
    | {NeuronKind.ERF, NeuronKind.SIN, NeuronKind.COS, NeuronKind.FRAC}
)
_SHRINKING = frozenset(
    {NeuronKind.IDENTITY, NeuronKind.RELU, NeuronKind.THRESHOLDED_RELU, NeuronKind.GELU, NeuronKind.GELU_TANH}
    | {NeuronKind.GELU_SIGMOID, NeuronKind.SILU, NeuronKind.HARD_SWISH, NeuronKind.MISH, NeuronKind.ABS}
    | {NeuronKind.NEGATE, NeuronKind.TRUNC, NeuronKind.ATAN, NeuronKind.ASINH}
)
"""Functions with |f(x)| <= |x|."""


def _neuron(params: NeuronParams, bottoms: Sequence[Bound], shapes: Any, shape: Any) -> Bound:
    (x,) = bottoms
    if params.kind in _WITHIN_ONE:
        return Bound(1.0)
    if params.kind in _SHRINKING:
        return x
    if params.kind is NeuronKind.LEAKY_RELU:
        return x.scaled(max(1.0, abs(params.alpha)))
    if params.kind is NeuronKind.CLAMP:
        ends = max(abs(params.alpha), abs(params.beta))
        contains_zero = params.alpha <= 0 <= params.beta
        return replace(x, peak=min(x.peak, ends)) if contains_zero else Bound(min(max(x.peak, ends), ends))
    return UNKNOWN


def _goc(params: GOCParams, bottoms: Sequence[Bound], shapes: Any, shape: Any) -> Bound:
    scaled = bottoms[0].scaled(float(np.abs(params.scale).max()))
    added = float(np.abs(params.bias).max())
    return scaled if added == 0 else Bound(scaled.peak + added)


def _elementwise(params: ElementWiseParams, bottoms: Sequence[Bound], shapes: Any, shape: Any) -> Bound:
    a, b = bottoms
    kind = params.kind
    if kind is ElementWiseKind.MULT:
        whole, factor = (a, b) if a.dimension is not None else (b, a)
        return whole.scaled(factor.peak).scaled(abs(params.scale)) if math.isfinite(factor.peak) else UNKNOWN
    if kind in (ElementWiseKind.ADD, ElementWiseKind.SUB):
        same = a.dimension is b.dimension
        norm, total = (a.norm + b.norm, a.total + b.total) if same else (math.inf, math.inf)
        return Bound(a.peak + b.peak, norm, total, a.dimension if same else None).scaled(abs(params.scale))
    if kind in (ElementWiseKind.MAX, ElementWiseKind.MIN):
        return Bound(max(a.peak, b.peak)).scaled(abs(params.scale))
    return Bound(1.0) if kind.is_comparison else UNKNOWN


def _fused_elementwise(params: FusedElementWise, bottoms: Sequence[Bound], shapes: Any, shape: TensorShape) -> Bound:
    repeated = [
        bound if each == shape else Bound(bound.peak) for bound, each in zip(bottoms, shapes, strict=True)
    ]  # a repeated operand adds up to more along its dimension
    found = _elementwise(params.main, repeated, shapes, shape)
    return found if params.bias == 0 else Bound(found.peak + abs(params.bias))


def _constant(params: ConstantParams, bottoms: Any, shapes: Any, shape: Any) -> Bound:
    sizes = np.abs(params.array.astype(np.float64)).reshape(shape.ndchw)
    norm, total = np.sqrt(np.square(sizes).sum(4)).max(), sizes.sum(4).max()
    return Bound(float(sizes.max()), float(norm), float(total), Dimension.WIDTH)


def _reshape(
    params: ReshapeParams, bottoms: Sequence[Bound], shapes: Sequence[TensorShape], shape: TensorShape
) -> Bound:
    """Elements stay in row-major order: rows are cut into parts, or several are joined."""
    (x,), (before,) = bottoms, shapes
    if x.dimension is not Dimension.WIDTH:
        return x if before == shape else Bound(x.peak)
    joined = shape.width / before.width if shape.width % before.width == 0 else 1.0
    whole = joined > 1 or before.width % shape.width == 0
    return replace(x, norm=x.norm * math.sqrt(joined), total=x.total * joined) if whole else Bound(x.peak)


def _transpose(params: TransposeParams, bottoms: Sequence[Bound], shapes: Any, shape: Any) -> Bound:
    (x,) = bottoms
    if x.dimension is None:
        return x
    return replace(x, dimension=tuple(Dimension)[params.permutation.index(x.dimension.axis)])


def _concat(params: ConcatParams, bottoms: Sequence[Bound], shapes: Any, shape: Any) -> Bound:
    peak = max(x.peak for x in bottoms)
    if len({x.dimension for x in bottoms}) > 1:
        return Bound(peak)
    dimension = bottoms[0].dimension
    if dimension is params.dimension:
        return Bound(peak, math.hypot(*(x.norm for x in bottoms)), sum(x.total for x in bottoms), dimension)
    return Bound(peak, max(x.norm for x in bottoms), max(x.total for x in bottoms), dimension)


def _pad(params: PadParams, bottoms: Sequence[Bound], shapes: Any, shape: Any) -> Bound:
    return Bound(max(bottoms[0].peak, abs(params.value)))


def _reduction(params: ReductionParams, bottoms: Sequence[Bound], shapes: Sequence[TensorShape], shape: Any) -> Bound:
    count = math.prod(dimension.extent(shapes[0]) for dimension in params.dimensions)
    return Bound(bottoms[0].peak * (count if params.kind is ReductionKind.SUM else 1))


def _picked(params: UnitParams, bottoms: Sequence[Bound], shapes: Any, shape: Any) -> Bound:
    """Single values of the operands, or averages of them."""
    return Bound(max(x.peak for x in bottoms))


Rule = Callable[[Any, Sequence[Bound], Sequence[TensorShape], TensorShape], Bound]
_RULES: Mapping[type[UnitParams], Rule] = MappingProxyType(
    {
        SoftmaxParams: _softmax,
        LayerNormParams: _norm,
        NeuronParams: _neuron,
        GOCParams: _goc,
        ElementWiseParams: _elementwise,
        FusedElementWise: _fused_elementwise,
        ConstantParams: _constant,
        ReshapeParams: _reshape,
        TransposeParams: _transpose,
        InputViewParams: lambda params, bottoms, shapes, shape: bottoms[0],
        ConcatParams: _concat,
        PadParams: _pad,
        ReductionParams: _reduction,
        PoolingParams: _picked,
        BroadcastParams: _picked,
        SelectParams: lambda params, bottoms, shapes, shape: _picked(params, bottoms[1:], shapes, shape),
    }
)
