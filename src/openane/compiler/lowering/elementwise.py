"""Functions of one element and of two: activations, arithmetic, comparisons, logic, casts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from openane.artifact.options import Functions
from openane.compiler.lowering.context import GraphLowering, Handle
from openane.compiler.lowering.functions import emit_function
from openane.compiler.lowering.layout import Layout, engine_shape
from openane.compiler.lowering.operand_rules import finite_factor
from openane.compiler.passes.activations import RECOGNIZED
from openane.core.errors import require
from openane.core.rules import RuleKind, rule
from openane.graph import Node, Operation
from openane.graph import ops as g
from openane.net import (
    Dimension,
    ElementWiseKind,
    ElementWiseParams,
    GOCParams,
    NeuronKind,
    NeuronParams,
    TensorShape,
)
from openane.net.units.neuron import SELU_ALPHA, SELU_GAMMA
from openane.numerics.fp16 import saturated

K = NeuronKind
Handler = Callable[[GraphLowering, Node], None]

#: Half precision rounds what is below to 0: such an epsilon (MIL's usual 1e-45) adds nothing.
_VANISHES = 2.0**-25

#: Operations that are one neuron kind without constants.
PLAIN_NEURONS: Mapping[type[Operation], NeuronKind] = MappingProxyType(
    {
        g.Relu: K.RELU,
        g.Sigmoid: K.SIGMOID,
        g.HardSwish: K.HARD_SWISH,
        g.Tanh: K.TANH,
        g.Softplus: K.SOFTPLUS,
        g.Softsign: K.SOFTSIGN,
        g.Mish: K.MISH,
        g.Exp: K.EXP,
        g.Exp2: K.EXP2,
        g.Sqrt: K.SQRT,
        g.Square: K.SQUARE,
        g.Abs: K.ABS,
        g.Sign: K.SIGN,
        g.Floor: K.FLOOR,
        g.Ceil: K.CEIL,
        g.Round: K.ROUND,
        g.Trunc: K.TRUNC,
        g.Erf: K.ERF,
        g.Sin: K.SIN,
        g.Cos: K.COS,
        g.Tan: K.TAN,
        g.Asin: K.ASIN,
        g.Acos: K.ACOS,
        g.Atan: K.ATAN,
        g.Sinh: K.SINH,
        g.Cosh: K.COSH,
        g.Asinh: K.ASINH,
        g.Acosh: K.ACOSH,
        g.Atanh: K.ATANH,
    }
)


@rule(
    "clip-limits",
    family="clip",
    kind=RuleKind.ENGINE,
    limit="a lower limit below infinity, and an upper limit above minus infinity",
    hint="Drop the layer, or clip to finite limits.",
    evidence="formats.md#element-types: constants are fp16; arithmetic.md#mac: infinity counts as 65536",
)
def finite_clip(minimum: float, maximum: float) -> object | None:
    """Every result of the clip is infinite."""
    return f"limits {minimum:g} and {maximum:g}" if minimum == math.inf or maximum == -math.inf else None


def _clip(minimum: float, maximum: float) -> NeuronParams:
    if minimum == 0 and maximum == math.inf:
        return NeuronParams(K.RELU)
    require(finite_clip, minimum, maximum)
    low, high = saturated(np.array([minimum, maximum])).tolist()
    return NeuronParams(K.CLAMP, low, high)


#: Operations that are a chain of one-bottom units.
CHAINS: Mapping[type[Operation], Callable[[Any], tuple[NeuronParams | GOCParams, ...]]] = MappingProxyType(
    {
        g.LeakyRelu: lambda o: (NeuronParams(K.LEAKY_RELU, o.alpha),),
        g.ThresholdedRelu: lambda o: (NeuronParams(K.THRESHOLDED_RELU, o.alpha),),
        g.Elu: lambda o: (NeuronParams(K.ELU, o.alpha),),
        g.Selu: lambda o: (
            (NeuronParams(K.SELU),)
            if (o.alpha, o.gamma) == (SELU_ALPHA, SELU_GAMMA)
            else (NeuronParams(K.ELU, o.alpha), GOCParams(o.gamma))
        ),
        g.Celu: lambda o: (
            (NeuronParams(K.ELU, 1.0),)
            if o.alpha == 1
            else (GOCParams(1 / o.alpha), NeuronParams(K.ELU, 1.0), GOCParams(o.alpha))
        ),
        g.HardSigmoid: lambda o: (NeuronParams(K.HARD_SIGMOID, o.alpha, o.beta),),
        g.ScaledTanh: lambda o: (GOCParams(o.beta), NeuronParams(K.TANH), GOCParams(o.alpha)),
        g.Gelu: lambda o: (NeuronParams(K.GELU_TANH if o.approximate else K.GELU),),
        g.Clip: lambda o: (_clip(o.minimum, o.maximum),),
        g.Log: lambda o: (
            (NeuronParams(K.LOG),) if o.epsilon < _VANISHES else (GOCParams(1.0, o.epsilon), NeuronParams(K.LOG))
        ),
        g.Rsqrt: lambda o: (NeuronParams(K.RSQRT, o.epsilon),),
        g.Reciprocal: lambda o: (NeuronParams(K.RECIPROCAL, o.epsilon),),
        g.Neg: lambda o: (GOCParams(-1.0),),
        g.Affine: lambda o: (GOCParams(o.alpha, o.beta),),
        g.Not: lambda o: (GOCParams(-1.0, 1.0),),
    }
)


def _lower_plain(ctx: GraphLowering, node: Node) -> None:
    # A function of one element works wherever the value is.
    value = ctx.values[node.inputs[0]]
    unit = emit_function(ctx, NeuronParams(PLAIN_NEURONS[type(node.operation)]), value.handle)
    ctx.define(node.outputs[0], unit, value.layout)


def _lower_chain(ctx: GraphLowering, node: Node) -> None:
    value = ctx.values[node.inputs[0]]
    unit = value.handle
    for params in CHAINS[type(node.operation)](node.operation):
        unit = emit_function(ctx, params, unit)
    ctx.define(node.outputs[0], unit, value.layout)


def _lower_alias(ctx: GraphLowering, node: Node) -> None:
    value = ctx.values[node.inputs[0]]
    ctx.define(node.outputs[0], value.handle, value.layout)


def _lower_silu(ctx: GraphLowering, node: Node) -> None:
    operation = node.operation
    assert isinstance(operation, g.Silu)
    value = ctx.values[node.inputs[0]]
    x = value.handle
    # Apple's table of SiLU is coarser than its table of the sigmoid, which a model asks for that writes it out.
    written_out = node.origin.step == RECOGNIZED and ctx.options.functions is Functions.APPLE
    if operation.alpha == 1 and not written_out:
        unit = emit_function(ctx, NeuronParams(K.SILU), x)
    else:
        scaled = x if operation.alpha == 1 else ctx.emit(GOCParams(operation.alpha), x)
        gate = emit_function(ctx, NeuronParams(K.SIGMOID), scaled)
        unit = ctx.emit(ElementWiseParams(ElementWiseKind.MULT), x, gate)
    ctx.define(node.outputs[0], unit, value.layout)


def common_layout(ctx: GraphLowering, node: Node) -> Layout:
    """The layout for an element by element operation: that of the first operand of the result's shape."""
    result = node.outputs[0]
    shape = ctx.shape(result)
    for name in node.inputs:
        value = ctx.values.get(name)
        if value is not None and value.layout is not None and ctx.shape(name) == shape:
            return value.layout
    for name in node.inputs:
        value = ctx.values.get(name)
        # A value that was only reshaped can stay in an image's channels, which spares its elements a move.
        if value is not None and ctx.shape(name) == shape and len(shape) in (1, 2):
            layout = (Dimension.BATCH, Dimension.CHANNEL)[2 - len(shape) :]
            if engine_shape(shape, layout) == ctx.extents(value.handle):
                return layout
    return ctx.free_layout(result)


def _aligned(shape: tuple[int, ...], layout: Layout) -> Layout:
    """The layout of an operand of lower rank, whose axes are the last ones of the result."""
    return layout[len(layout) - len(shape) :]


def operand(ctx: GraphLowering, name: str, layout: Layout, engine: TensorShape) -> Handle:
    """An operand of an element by element operation, repeated to the engine shape of the result."""
    return ctx.broadcast(ctx.read(name, _aligned(ctx.shape(name), layout)), engine)


def spread(array: np.ndarray, layout: Layout) -> np.ndarray:
    """A constant operand as an (N, D, C, H, W) array that broadcasts against a result in `layout`."""
    return array.reshape(engine_shape(array.shape, _aligned(array.shape, layout)).ndchw)


def affine(ctx: GraphLowering, x: Handle, *, scale: np.ndarray | None = None, bias: np.ndarray | None = None) -> Handle:
    """x * scale + bias with (N, D, C, H, W) constants that broadcast against x.

    Numbers and channel vectors are one GOC unit; other shapes are constants that meet x element by element.
    """
    engine = ctx.extents(x)
    vectors: list[np.ndarray | float] = []
    for array, neutral in ((scale, 1.0), (bias, 0.0)):
        if array is None:
            vectors.append(neutral)
        elif array.size == 1:
            vectors.append(float(array.reshape(())))
        elif array.size == array.shape[2] == engine.channels:
            vectors.append(array.reshape(-1))
    if len(vectors) == 2:
        return ctx.emit(GOCParams(vectors[0], vectors[1]), x)
    if scale is not None:
        require(finite_factor, scale)
    for array, kind in ((scale, ElementWiseKind.MULT), (bias, ElementWiseKind.ADD)):
        if array is not None:
            x = ctx.emit(ElementWiseParams(kind), x, ctx.broadcast(ctx.hold(array), engine))
    return x


E_ = ElementWiseKind
BINARIES: Mapping[type[Operation], ElementWiseKind] = MappingProxyType(
    {
        g.Add: E_.ADD,
        g.Sub: E_.SUB,
        g.Mul: E_.MULT,
        g.Div: E_.DIV,
        g.Max: E_.MAX,
        g.Min: E_.MIN,
        g.Pow: E_.POW,
        # Booleans are 1 and 0.
        g.And: E_.MULT,
        g.Or: E_.MAX,
    }
)


def _lower_binary(ctx: GraphLowering, node: Node) -> None:
    a, b = node.inputs
    kind = BINARIES[type(node.operation)]
    if kind in (E_.MULT, E_.POW):
        ctx.check_factors(a, b)
    elif kind is E_.DIV:
        ctx.check_factors(a)
    if _lower_in_place(ctx, node, kind):
        return
    layout = common_layout(ctx, node)
    engine = engine_shape(ctx.shape(node.outputs[0]), layout)
    first, second = ctx.constant(a), ctx.constant(b)
    unit = None
    if (second is not None and second.dtype.kind == "f") or (first is None and second is not None and kind is E_.POW):
        unit = _right_constant(ctx, kind, operand(ctx, a, layout, engine), spread(second, layout))
    elif first is not None and first.dtype.kind == "f":
        unit = _left_constant(ctx, kind, spread(first, layout), operand(ctx, b, layout, engine))
    if unit is None:
        left, right = operand(ctx, a, layout, engine), operand(ctx, b, layout, engine)
        unit = ctx.emit(ElementWiseParams(kind), left, right)
    ctx.define(node.outputs[0], unit, layout)


def _lower_in_place(ctx: GraphLowering, node: Node, kind: ElementWiseKind) -> bool:
    """Two values that stand alike, or one and a number: nothing has to be moved for them."""
    a, b = node.inputs
    left, right = ctx.values.get(a), ctx.values.get(b)
    if left is not None and right is not None:
        alike = ctx.shape(a) == ctx.shape(b) and ctx.extents(left.handle) == ctx.extents(right.handle)
        if not alike or None not in (left.layout, right.layout):
            return False
        unit = ctx.emit(ElementWiseParams(kind), left.handle, right.handle)
        ctx.define(node.outputs[0], unit, left.layout or right.layout)
        return True
    name, value, number = (a, left, ctx.constants[b]) if left is not None else (b, right, ctx.constants[a])
    if value is None or value.layout is not None or number.size != 1 or number.dtype.kind != "f":
        return False
    if ctx.shape(name) != ctx.shape(node.outputs[0]):
        return False
    array = number.reshape((1,) * 5)
    if left is not None:
        found = _right_constant(ctx, kind, value.handle, array)
    else:
        found = _left_constant(ctx, kind, array, value.handle)
    if found is not None:
        ctx.define(node.outputs[0], found, None)
    return found is not None


def _right_constant(ctx: GraphLowering, kind: ElementWiseKind, x: Handle, array: np.ndarray) -> Handle | None:
    """x op constant without a constant tensor, where there is such a form."""
    match kind:
        case E_.ADD:
            return affine(ctx, x, bias=array)
        case E_.SUB:
            return affine(ctx, x, bias=-array)
        case E_.MULT:
            return affine(ctx, x, scale=array)
        case E_.DIV if np.all(array):
            return affine(ctx, x, scale=1 / array.astype(np.float64))
    if array.size != 1:
        return None
    value = float(array.reshape(()))
    match kind:
        case E_.MAX:
            return ctx.emit(_clip(value, math.inf), x)
        case E_.MIN:
            return ctx.emit(_clip(-math.inf, value), x)
        case E_.POW:
            return power(ctx, x, value)
    return None


def _left_constant(ctx: GraphLowering, kind: ElementWiseKind, array: np.ndarray, x: Handle) -> Handle | None:
    """constant op x, likewise."""
    if kind in (E_.ADD, E_.MULT, E_.MAX, E_.MIN):
        return _right_constant(ctx, kind, x, array)
    if kind is E_.SUB:
        return affine(ctx, x, scale=np.full((1,) * 5, -1.0), bias=array)
    if kind is E_.DIV:
        inverse = ctx.emit(NeuronParams(K.RECIPROCAL), x)
        return inverse if array.size == 1 and array.item() == 1 else affine(ctx, inverse, scale=array)
    return None


_POWERS: Mapping[float, tuple[NeuronKind, ...]] = MappingProxyType(
    {
        1.0: (),
        2.0: (K.SQUARE,),
        4.0: (K.SQUARE, K.SQUARE),
        0.5: (K.SQRT,),
        0.25: (K.SQRT, K.SQRT),
        -0.5: (K.RSQRT,),
        -1.0: (K.RECIPROCAL,),
        -2.0: (K.SQUARE, K.RECIPROCAL),
        -0.25: (K.SQRT, K.RSQRT),
    }
)


def power(ctx: GraphLowering, x: Handle, exponent: float) -> Handle:
    """x to a constant power: squares, roots and products where they do it."""
    if exponent in _POWERS:
        for kind in _POWERS[exponent]:
            x = ctx.emit(NeuronParams(kind), x)
        return x
    mult = ElementWiseParams(E_.MULT)
    if exponent == 3:
        return ctx.emit(mult, x, ctx.emit(NeuronParams(K.SQUARE), x))
    if exponent in (0.75, -0.75):
        half = ctx.emit(NeuronParams(K.SQRT if exponent > 0 else K.RSQRT), x)
        return ctx.emit(mult, half, ctx.emit(NeuronParams(K.SQRT), half))
    constant = ctx.broadcast(ctx.hold(np.full((1,) * 5, exponent)), ctx.extents(x))
    return ctx.emit(ElementWiseParams(E_.POW), x, constant)


def _lower_prelu(ctx: GraphLowering, node: Node) -> None:
    name, slope_name = node.inputs
    layout = ctx.layout(name)
    rank = len(layout)
    if len(ctx.shape(name)) in (2, 3) and rank > 1 and layout[1] is not Dimension.CHANNEL:
        layout = ctx.free_layout(name)
    x = ctx.read(name, layout)
    engine = ctx.extents(x)
    slope = ctx.constant(slope_name)
    spread_slope = None if slope is None else spread(slope, layout)
    if spread_slope is not None and spread_slope.size == 1:
        unit = ctx.emit(NeuronParams(K.LEAKY_RELU, float(spread_slope.reshape(()))), x)
    elif spread_slope is not None and spread_slope.size == spread_slope.shape[2] == engine.channels:
        unit = ctx.emit(NeuronParams(K.PRELU, slopes=spread_slope.reshape(-1)), x)
    else:
        below = ctx.emit(NeuronParams(K.CLAMP, -math.inf, 0.0), x)
        if spread_slope is not None:
            below = affine(ctx, below, scale=spread_slope)
        else:
            below = ctx.emit(ElementWiseParams(E_.MULT), below, operand(ctx, slope_name, layout, engine))
        unit = ctx.emit(ElementWiseParams(E_.ADD), ctx.emit(NeuronParams(K.RELU), x), below)
    ctx.define(node.outputs[0], unit, layout)


LOWERINGS: Mapping[type[Operation], Handler] = MappingProxyType(
    dict.fromkeys(PLAIN_NEURONS, _lower_plain)
    | dict.fromkeys(CHAINS, _lower_chain)
    | dict.fromkeys(BINARIES, _lower_binary)
    | {
        g.Identity: _lower_alias,
        g.Silu: _lower_silu,
        g.PRelu: _lower_prelu,
    }
)
