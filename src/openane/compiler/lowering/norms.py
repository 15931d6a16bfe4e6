"""L1 and L2 norms that neither overflow nor vanish where their result does not.

The squares of 256 and of 2^-13 are beyond fp16. x is divided by its largest magnitude first, so that squares are at
most 1 and their sum is at least 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from openane.compiler.lowering.context import GraphLowering, Handle
from openane.net import (
    Dimension,
    ElementWiseKind,
    ElementWiseParams,
    GOCParams,
    NeuronKind,
    NeuronParams,
    ReductionKind,
    ReductionParams,
)

_LEAST_DIVISOR = 2.0**-15
"""Its reciprocal is the largest power of 2 in fp16; smaller numbers are divided by it as well."""

_LARGEST_SUM = 2.0**14
"""Sums of squares stay below; the engine ends at 2^15."""

_LEAST_NORM = 2.0**-14
"""Of a scaled x; a norm below is that of zeros, and 0 divided by it is 0."""


@dataclass(frozen=True, slots=True)
class ScaledNorm:
    """A norm and what it was computed from.

    Attributes:
        scaled: x divided by `divisor / factor`.
        divisor: the largest magnitude of x along the reduced dimensions, held above 0.
        factor: a power of 2, below 1 where the squares of very many elements are added.
        norm: of `scaled`.
    """

    scaled: Handle
    divisor: Handle
    factor: float
    norm: Handle


def scaled_norm(
    ctx: GraphLowering, x: Handle, dimensions: frozenset[Dimension], order: int, epsilon: float = 0.0
) -> ScaledNorm:
    """The norm of x after scaling.

    Args:
        ctx: the net under construction.
        x: of any magnitude.
        dimensions: that are reduced; none are reduced where each has one element.
        order: 1 or 2.
        epsilon: is added to the sum.
    """
    engine = ctx.extents(x)
    root = epsilon if order == 1 else math.sqrt(epsilon)
    magnitude = _reduced(ctx, ctx.emit(NeuronParams(NeuronKind.ABS), x), ReductionKind.MAX, dimensions)
    divisor = ctx.emit(NeuronParams(NeuronKind.CLAMP, max(_LEAST_DIVISOR, root), math.inf), magnitude)
    inverse = ctx.emit(NeuronParams(NeuronKind.RECIPROCAL), divisor)
    count = math.prod(dimension.extent(engine) for dimension in dimensions)
    factor = 2.0 ** -max(0, math.ceil(math.log2(count / _LARGEST_SUM) / order))
    product = ElementWiseParams(ElementWiseKind.MULT, factor)
    scaled = ctx.emit(product, x, ctx.broadcast(inverse, engine))
    term = NeuronKind.ABS if order == 1 else NeuronKind.SQUARE
    total = _reduced(ctx, ctx.emit(NeuronParams(term), scaled), ReductionKind.SUM, dimensions)
    if epsilon:
        added = ctx.emit(GOCParams(root * factor), inverse)
        added = added if order == 1 else ctx.emit(NeuronParams(NeuronKind.SQUARE), added)
        total = ctx.emit(ElementWiseParams(ElementWiseKind.ADD), total, added)
    norm = total if order == 1 else ctx.emit(NeuronParams(NeuronKind.SQRT), total)
    return ScaledNorm(scaled, divisor, factor, norm)


def _reduced(ctx: GraphLowering, x: Handle, kind: ReductionKind, dimensions: frozenset[Dimension]) -> Handle:
    return ctx.emit(ReductionParams(kind, dimensions), x) if dimensions else x


def norm(ctx: GraphLowering, x: Handle, dimensions: frozenset[Dimension]) -> Handle:
    """The L2 norm of x."""
    found = scaled_norm(ctx, x, dimensions, 2)
    return ctx.emit(ElementWiseParams(ElementWiseKind.MULT, 1 / found.factor), found.norm, found.divisor)


def normalized(
    ctx: GraphLowering, x: Handle, dimensions: frozenset[Dimension], order: int, epsilon: float = 0.0
) -> Handle:
    """x divided by its norm; 0 where x is 0."""
    found = scaled_norm(ctx, x, dimensions, order, epsilon)
    divisor = ctx.emit(NeuronParams(NeuronKind.CLAMP, _LEAST_NORM, math.inf), found.norm)
    return ctx.emit(ElementWiseParams(ElementWiseKind.DIV), found.scaled, ctx.broadcast(divisor, ctx.extents(x)))
