"""Comparisons, logic and choices: booleans are the numbers 1 and 0, and the engine gets them from signs.

a - b is 0 in half precision exactly where a = b, so the sign of the difference decides every comparison. A choice is
condition * a + (1 - condition) * b, which is exact because 0 * x is 0 on the engine even for infinite x.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from openane.compiler.lowering.context import GraphLowering, Handle
from openane.compiler.lowering.elementwise import (
    affine,
    common_layout,
    operand,
    spread,
)
from openane.compiler.lowering.layout import Layout, engine_shape
from openane.compiler.lowering.operand_rules import FLOATING, element_type, no_nan
from openane.core.errors import require
from openane.core.types import DType
from openane.graph import Node, Operation
from openane.graph import ops as g
from openane.net import ElementWiseKind, ElementWiseParams, GOCParams, NeuronKind, NeuronParams, TensorShape
from openane.numerics.fp16 import saturated
from openane.numerics.limits import HALF_LARGEST

_NOT = GOCParams(-1.0, 1.0)
_ABS, _RELU = NeuronParams(NeuronKind.ABS), NeuronParams(NeuronKind.RELU)

#: After the sign of (a - b): units that make the boolean of it.
_FROM_SIGN: Mapping[type[Operation], tuple[GOCParams | NeuronParams, ...]] = MappingProxyType(
    {
        g.NotEqual: (_ABS,),
        g.Equal: (_ABS, _NOT),
        g.Greater: (_RELU,),
        g.LessOrEqual: (_RELU, _NOT),
        g.Less: (GOCParams(-1.0), _RELU),
        g.GreaterOrEqual: (GOCParams(-1.0), _RELU, _NOT),
        g.Xor: (_ABS,),
    }
)


def compare(ctx: GraphLowering, kind: type[Operation], difference: Handle) -> Handle:
    """The boolean of a comparison from the difference of its operands."""
    unit = ctx.emit(NeuronParams(NeuronKind.SIGN), difference)
    for params in _FROM_SIGN[kind]:
        unit = ctx.emit(params, unit)
    return unit


def _finite(array: np.ndarray) -> np.ndarray:
    """The constant in float64, with the largest fp16 value for infinity: the engine has no infinite factor."""
    wide = array.astype(np.float64)
    require(no_nan, wide)
    return np.clip(wide, -HALF_LARGEST, HALF_LARGEST) if np.isinf(wide).any() else wide


def _lower_comparison(ctx: GraphLowering, node: Node) -> None:
    a, b = node.inputs
    layout = common_layout(ctx, node)
    engine = engine_shape(ctx.shape(node.outputs[0]), layout)
    first, second = ctx.constant(a), ctx.constant(b)
    if second is not None:
        x = operand(ctx, a, layout, engine)
        difference = affine(ctx, x, bias=-spread(_finite(second), layout)) if np.any(second) else x
    elif first is not None:
        x = operand(ctx, b, layout, engine)
        difference = affine(ctx, x, scale=np.full((1,) * 5, -1.0), bias=spread(_finite(first), layout))
    else:
        operands = (operand(ctx, a, layout, engine), operand(ctx, b, layout, engine))
        difference = ctx.emit(ElementWiseParams(ElementWiseKind.SUB), *operands)
    ctx.define(node.outputs[0], compare(ctx, type(node.operation), difference), layout)


def _lower_to_truth(ctx: GraphLowering, node: Node) -> None:
    """Anything but 0 is true."""
    value = ctx.values[node.inputs[0]]
    ctx.define(node.outputs[0], compare(ctx, g.NotEqual, value.handle), value.layout)


def _lower_where(ctx: GraphLowering, node: Node) -> None:
    condition, a, b = node.inputs
    layout = common_layout(ctx, node)
    engine = engine_shape(ctx.shape(node.outputs[0]), layout)
    known = ctx.constant(condition)
    terms: list[Handle | None]
    if known is not None:
        mask = spread(known.astype(np.float64), layout)
        unit = _known_choice(ctx, mask, a, b, layout, engine)
    else:
        chosen = operand(ctx, condition, layout, engine)
        terms = [_term(ctx, chosen, a, layout, engine)]
        other = ctx.constant(b)
        if other is None or np.any(other):
            terms.append(_term(ctx, ctx.emit(_NOT, chosen), b, layout, engine))
        present = [term for term in terms if term is not None]
        if not present:
            unit = ctx.emit(GOCParams(0.0), chosen)
        elif len(present) == 1:
            unit = present[0]
        else:
            unit = ctx.emit(ElementWiseParams(ElementWiseKind.ADD), *present)
    ctx.define(node.outputs[0], unit, layout)


def _term(ctx: GraphLowering, mask: Handle, name: str, layout: Layout, engine: TensorShape) -> Handle | None:
    """mask * value; None where the value is 0 everywhere."""
    array = ctx.constant(name)
    if array is None:
        return ctx.emit(ElementWiseParams(ElementWiseKind.MULT), operand(ctx, name, layout, engine), mask)
    if not np.any(array):
        return None
    return affine(ctx, mask, scale=spread(saturated(_finite(array)), layout))


def _known_choice(ctx: GraphLowering, mask: np.ndarray, a: str, b: str, layout: Layout, engine: TensorShape) -> Handle:
    """A choice by a constant condition: each side is multiplied by its mask, and the sides are added."""
    total: Handle | None = None
    bias: np.ndarray | None = None
    for name, share in ((a, mask), (b, 1 - mask)):
        array = ctx.constant(name)
        if array is not None:
            constant = share * spread(saturated(_finite(array)), layout)
            bias = constant if bias is None else bias + constant
            continue
        part = affine(ctx, operand(ctx, name, layout, engine), scale=share)
        total = part if total is None else ctx.emit(ElementWiseParams(ElementWiseKind.ADD), total, part)
    assert total is not None, "a node whose inputs are all known is computed at once"
    return total if bias is None or not np.any(bias) else affine(ctx, total, bias=bias)


def _lower_cast(ctx: GraphLowering, node: Node) -> None:
    operation = node.operation
    assert isinstance(operation, g.Cast)
    name = node.inputs[0]
    source = ctx.types[name].dtype
    if operation.dtype is DType.BOOL and source is not DType.BOOL:
        _lower_to_truth(ctx, node)
        return
    require(element_type, node.outputs[0], operation.dtype, FLOATING if source.is_float else tuple(DType))
    value = ctx.values[name]
    ctx.define(node.outputs[0], value.handle, value.layout)


def _lower_shrink(ctx: GraphLowering, node: Node) -> None:
    """y = (|x| > threshold) * (x - bias * sign(x)); x - clamp(x) where bias = threshold."""
    operation = node.operation
    assert isinstance(operation, g.Shrink)
    layout = ctx.layout(node.inputs[0])
    x = ctx.read(node.inputs[0], layout)
    threshold, bias = operation.threshold, operation.bias
    if bias == threshold:
        middle = ctx.emit(NeuronParams(NeuronKind.CLAMP, -threshold, threshold), x)
        unit = ctx.emit(ElementWiseParams(ElementWiseKind.SUB), x, middle)
    else:
        outside = compare(ctx, g.Greater, ctx.emit(GOCParams(1.0, -threshold), ctx.emit(_ABS, x)))
        moved = x
        if bias:
            step = ctx.emit(GOCParams(-bias), ctx.emit(NeuronParams(NeuronKind.SIGN), x))
            moved = ctx.emit(ElementWiseParams(ElementWiseKind.ADD), x, step)
        unit = ctx.emit(ElementWiseParams(ElementWiseKind.MULT), moved, outside)
    ctx.define(node.outputs[0], unit, layout)


LOWERINGS: Mapping[type[Operation], Callable[[GraphLowering, Node], None]] = MappingProxyType(
    dict.fromkeys(_FROM_SIGN, _lower_comparison) | {g.Where: _lower_where, g.Cast: _lower_cast, g.Shrink: _lower_shrink}
)
