"""Functions of one element as units: Apple's table of each, or the most accurate form that its other tables allow.

A table of 33 knots over the argument is off by up to 1e-2, by any factor near zero, and gelu and silu are not even 0
at 0. The tables of exp2, log2, reciprocal and sqrt reduce their argument to one octave first, so their relative error
stays below 5e-4 everywhere. The accurate forms are put together from those, products and sums of the planar engine, and
limits; Apple's compiler writes each of these encodings. Where a function passes through 0 the argument itself is a
factor, so the relative error stays bounded and f(0) is 0.

Constants are rounded to fp16, as the engine holds them. `fit` in a comment names the largest relative error of a
formula in exact arithmetic; `docs/tables.md` has the errors that are left after every rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

from openane.artifact.options import Functions
from openane.compiler.lowering.context import GraphLowering, Handle
from openane.net import ElementWiseKind, ElementWiseParams, GOCParams, NeuronKind, NeuronParams, UnitParams
from openane.net.units.neuron import SELU_ALPHA, SELU_GAMMA
from openane.numerics.fp16 import rounded_number

K = NeuronKind
_ADD, _SUB, _MULT = ElementWiseKind.ADD, ElementWiseKind.SUB, ElementWiseKind.MULT


def emit_function(ctx: GraphLowering, params: UnitParams, x: Handle) -> Handle:
    """Adds the units of a function of x.

    Args:
        ctx: the net under construction; its options choose the form.
        params: a Neuron takes the chosen form; any other unit is added as it is.
        x: the argument.

    Returns:
        The unit of the result.
    """
    form = None
    if isinstance(params, NeuronParams) and ctx.options.functions is Functions.ACCURATE:
        form = _FORMS.get(params.kind)
    return ctx.emit(params, x) if form is None or not isinstance(params, NeuronParams) else form(ctx, x, params)


# Building blocks -----------------------------------------------------------------------------------------------------


def _line(ctx: GraphLowering, x: Handle, scale: float, bias: float = 0.0) -> Handle:
    return ctx.emit(GOCParams(rounded_number(scale), rounded_number(bias)), x)


def _multiply(ctx: GraphLowering, x: Handle, y: Handle, scale: float = 1.0) -> Handle:
    return ctx.emit(ElementWiseParams(_MULT, rounded_number(scale)), x, y)


def _reciprocal(ctx: GraphLowering, x: Handle, plus: float) -> Handle:
    """1 / (x + plus)."""
    return ctx.emit(NeuronParams(K.RECIPROCAL, rounded_number(plus)), x)


def _clip(ctx: GraphLowering, x: Handle, low: float, high: float) -> Handle:
    return ctx.emit(NeuronParams(K.CLAMP, rounded_number(low), rounded_number(high)), x)


def _odd_cubic(ctx: GraphLowering, x: Handle, linear: float, cubic: float) -> Handle:
    """linear * x + cubic * x^3, as a product with x."""
    return _multiply(ctx, x, _line(ctx, _multiply(ctx, x, x, cubic), 1.0, linear))


def _logistic(ctx: GraphLowering, x: Handle) -> Handle:
    """1 / (1 + e^-x); an overflow of the power gives 0, an underflow 1."""
    return _reciprocal(ctx, ctx.emit(NeuronParams(K.EXP), _line(ctx, x, -1.0)), 1.0)


# Functions -----------------------------------------------------------------------------------------------------------

_LOG2_E_LOST = math.log2(math.e) - rounded_number(math.log2(math.e))
"""What log2(e) loses as an fp16 factor before the exp2 table."""


def _exp(ctx: GraphLowering, x: Handle, _: NeuronParams) -> Handle:
    """2^(c x), times 1 + x ln(2) (log2(e) - c): the factor c before the table is an fp16 number."""
    limited = _clip(ctx, x, -18.0, 12.0)  # beyond, e^x is 0 or infinity in fp16; 0 * infinity must not come up
    power = ctx.emit(NeuronParams(K.EXP), limited)
    return ctx.emit(ElementWiseParams(_ADD), power, _multiply(ctx, power, limited, _LOG2_E_LOST * math.log(2)))


def _sigmoid(ctx: GraphLowering, x: Handle, _: NeuronParams) -> Handle:
    return _logistic(ctx, x)


def _silu(ctx: GraphLowering, x: Handle, _: NeuronParams) -> Handle:
    return _multiply(ctx, x, _logistic(ctx, x))


def _gelu(ctx: GraphLowering, x: Handle, _: NeuronParams) -> Handle:
    """x times the normal distribution function, whose logit is nearly an odd cubic: off by at most 1.4e-4."""
    return _multiply(ctx, x, _logistic(ctx, _odd_cubic(ctx, x, 1.5976, 0.07056)))


def tanh(ctx: GraphLowering, x: Handle) -> Handle:
    """x (C + 1 / (p x^2 + a) + 1 / (q x^2 + b)) within +-4.5, where tanh reaches 1 in fp16 (fit: 1.7e-4).

    The constants are chosen after rounding: the factor is exactly 1 near 0 and keeps the result within 1 at the end.
    """
    limited = _clip(ctx, x, -4.5, 4.5)
    terms = [
        _reciprocal(ctx, _multiply(ctx, limited, limited, scale), shift)
        for scale, shift in ((0.49609375, 1.228515625), (0.2476806640625, 7.58984375))
    ]
    factor = _line(ctx, ctx.emit(ElementWiseParams(_ADD), *terms), 1.0, 0.054168701171875)
    return _multiply(ctx, limited, factor)


def _tanh(ctx: GraphLowering, x: Handle, _: NeuronParams) -> Handle:
    return tanh(ctx, x)


def _erf(ctx: GraphLowering, x: Handle, _: NeuronParams) -> Handle:
    """tanh of an odd cubic (fit: 3.6e-4)."""
    return tanh(ctx, _odd_cubic(ctx, x, 1.128756, 0.100769))


def _softplus(ctx: GraphLowering, x: Handle, _: NeuronParams) -> Handle:
    """max(x, 0) + log(1 + u) with u = e^-|x|, and log(1 + u) = u (C + A / (u + a)) (fit: 3.3e-4)."""
    power = ctx.emit(NeuronParams(K.EXP), _line(ctx, ctx.emit(NeuronParams(K.ABS), x), -1.0))
    factor = _line(ctx, _reciprocal(ctx, power, 1.64589851), 1.33393194, 0.18921343)
    return ctx.emit(ElementWiseParams(_ADD), ctx.emit(NeuronParams(K.RELU), x), _multiply(ctx, power, factor))


def _mish(ctx: GraphLowering, x: Handle, _: NeuronParams) -> Handle:
    """x tanh(log(1 + e^x)) = x / (1 + 2 / n) with n = e^x (e^x + 2)."""
    power = ctx.emit(NeuronParams(K.EXP), x)
    inverse = ctx.emit(NeuronParams(K.RECIPROCAL), _multiply(ctx, power, _line(ctx, power, 1.0, 2.0)))
    return _multiply(ctx, x, _reciprocal(ctx, inverse, 0.5), 0.5)


def _expm1(ctx: GraphLowering, x: Handle, scale: float) -> Handle:
    """scale * (e^min(x, 0) - 1): x / (1 - x / 2 + x^2 / 12) down to -1 (fit: 9e-5), less 1/e - e^x beyond."""
    near = _clip(ctx, x, -1.0, 0.0)
    divisor = _multiply(ctx, near, _line(ctx, near, 0.08131734, -0.50079637))
    near = _multiply(ctx, near, _reciprocal(ctx, divisor, 1.0))
    beyond = ctx.emit(NeuronParams(K.RELU), _line(ctx, ctx.emit(NeuronParams(K.EXP), x), -1.0, math.exp(-1)))
    return ctx.emit(ElementWiseParams(_SUB, scale), near, beyond)


def _elu(ctx: GraphLowering, x: Handle, params: NeuronParams) -> Handle:
    return ctx.emit(ElementWiseParams(_ADD), ctx.emit(NeuronParams(K.RELU), x), _expm1(ctx, x, params.alpha))


def _selu(ctx: GraphLowering, x: Handle, _: NeuronParams) -> Handle:
    positive = ctx.emit(NeuronParams(K.RELU), _line(ctx, x, SELU_GAMMA))
    return ctx.emit(ElementWiseParams(_ADD), positive, _expm1(ctx, x, SELU_GAMMA * SELU_ALPHA))


_Form = Callable[["GraphLowering", "Handle", NeuronParams], "Handle"]

_FORMS: Mapping[NeuronKind, _Form] = MappingProxyType(
    {
        K.EXP: _exp,
        K.SIGMOID: _sigmoid,
        K.SILU: _silu,
        K.GELU: _gelu,
        K.TANH: _tanh,
        K.ERF: _erf,
        K.SOFTPLUS: _softplus,
        K.MISH: _mish,
        K.ELU: _elu,
        K.SELU: _selu,
    }
)
