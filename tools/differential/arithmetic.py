"""Moves that compute: convolutions, pools, functions, pairs, products, sums, norms, and blocks of several of them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from differential.network import Values
from differential.sketch import RejectError, Sketch
from openane.core.types import DType
from openane.graph import Operation, ops

#: Functions that take any argument, with the constants that change their tables.
SMOOTH: tuple[Callable[[Sketch], Operation], ...] = (
    lambda s: ops.Relu(),
    lambda s: ops.LeakyRelu(s.choose((0.1, 0.01, 0.5, 0.0, 1.5, -0.25))),
    lambda s: ops.Sigmoid(),
    lambda s: ops.Tanh(),
    lambda s: ops.HardSwish(),
    lambda s: ops.HardSigmoid(s.choose((0.2, 1 / 6, 0.5)), s.choose((0.5, 0.25, 0.0))),
    lambda s: ops.Gelu(s.flag()),
    lambda s: ops.Silu(s.choose((1.0, 1.0, 1.702, 0.5))),
    lambda s: ops.Elu(s.choose((1.0, 0.5, 2.0))),
    lambda s: ops.Celu(s.choose((1.0, 2.0, 0.5))),
    lambda s: ops.Selu(),
    lambda s: ops.Softplus(),
    lambda s: ops.Softsign(),
    lambda s: ops.Mish(),
    lambda s: ops.Erf(),
    lambda s: ops.ScaledTanh(s.choose((1.0, 1.7159, 0.5)), s.choose((1.0, 2 / 3, 2.0))),
    lambda s: ops.Abs(),
    lambda s: ops.Neg(),
    lambda s: ops.Square(),
    lambda s: ops.Identity(),
    lambda s: ops.Clip(s.choose((-0.5, 0.0, -1.0, -0.1, -math.inf)), s.choose((0.75, 6.0, 1.0, 0.3, math.inf))),
    lambda s: ops.Affine(s.choose((0.5, -1.25, 3.0, 1.0)), s.choose((0.0, 0.5, -2.0))),
    lambda s: ops.Shrink(s.choose((0.5, 0.25)), 0.0) if s.flag() else ops.Shrink(0.5, 0.5),
)
#: Functions with a domain: arguments are brought between two bounds first.
BOUNDED: tuple[tuple[Callable[[Sketch], Operation], float, float], ...] = (
    (lambda s: ops.Sin(), -12.0, 12.0),
    (lambda s: ops.Cos(), -12.0, 12.0),
    (lambda s: ops.Tan(), -1.25, 1.25),
    (lambda s: ops.Asin(), -0.875, 0.875),
    (lambda s: ops.Acos(), -0.875, 0.875),
    (lambda s: ops.Atan(), -30.0, 30.0),
    (lambda s: ops.Sinh(), -4.0, 4.0),
    (lambda s: ops.Cosh(), -4.0, 4.0),
    (lambda s: ops.Asinh(), -30.0, 30.0),
    (lambda s: ops.Acosh(), 1.25, 30.0),
    (lambda s: ops.Atanh(), -0.875, 0.875),
    (lambda s: ops.Exp(), -8.0, 4.0),
    (lambda s: ops.Exp2(), -8.0, 6.0),
    (lambda s: ops.Log(s.choose((0.0, 0.0, 0.125))), 0.125, 60.0),
    (lambda s: ops.Sqrt(), 0.125, 60.0),
    (lambda s: ops.Rsqrt(s.choose((0.0, 0.125))), 0.125, 60.0),
    (lambda s: ops.Reciprocal(s.choose((0.0, 0.25))), 0.125, 60.0),
)
#: Functions that jump: only of values that have no rounding error, else both sides of a jump are right.
JUMPS: tuple[Operation, ...] = (
    *(
        ops.Sign(),
        ops.Floor(),
        ops.Ceil(),
        ops.Round(),
        ops.Trunc(),
        ops.ThresholdedRelu(0.5),
        ops.ThresholdedRelu(1.0),
    ),
    *(ops.Shrink(0.5, 0.0), ops.Shrink(0.5, 0.25)),
)
SPACES = (1, 2, 2, 2, 2, 2, 3)


def function(s: Sketch) -> None:
    """A function of one element that takes any argument."""
    operation = s.choose(SMOOTH)(s)
    jumps = isinstance(operation, ops.Shrink) and operation.bias != operation.threshold
    s.add(operation, s.value(*range(6), where=lambda name: not jumps or name in s.exact))


def bounded(s: Sketch) -> None:
    """A function with a domain, after a limiter where the values need one."""
    make, low, high = s.choose(BOUNDED)
    name = s.value()
    if s.values[name].min() < low or s.values[name].max() > high:
        name = s.add(ops.Clip(low, high), name)
    s.add(make(s), name)


def jump(s: Sketch) -> None:
    """A function that jumps, of an exact value."""
    s.add(s.choose(JUMPS), s.value(where=lambda name: name in s.exact))


def _spatial(s: Sketch, extents: tuple[int, ...], largest: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """A window and its padding for extents of space."""
    kernel = tuple(s.pick(1, min(largest, extent + 2)) for extent in extents)
    if s.flag(3):
        return kernel, tuple((k - 1) // 2 for k in kernel) + tuple(k // 2 for k in kernel)
    return kernel, tuple(s.pick(0, max(0, k - 1)) for k in (*kernel, *kernel))


def convolution(s: Sketch) -> None:
    """Any convolution over one to three axes: groups, depthwise with multiplier, stride, dilation, uneven padding."""
    space = s.choose(SPACES)
    x = s.value(space + 2)
    channels, extents = s.shape(x)[1], s.shape(x)[2:]
    kernel, pads = _spatial(s, extents, s.choose((3, 1, 5, 3, 7, 13)))
    strides = (1,) * space
    if s.flag(3):
        strides = tuple(s.choose((1, 2, 3, 2, 4)) for _ in extents) if s.flag() else (2,) * space
    dilations = tuple(s.pick(1, 3) for _ in extents) if s.flag(6) else (1,) * space
    groups = s.choose([g for g in (1, 1, 1, 2, 3, 4, channels) if channels % g == 0])
    outputs = groups * (s.pick(1, 3) if groups == channels else s.pick(1, max(1, s.choose((8, 24, 70)) // groups)))
    fan_in = channels // groups * math.prod(kernel)
    shape = (outputs, channels // groups, *kernel)
    weight = _bytes(s, shape, fan_in**-0.5) if s.flag(4) else s.constant(*shape, scale=fan_in**-0.5)
    operands = (x, weight, s.constant(outputs, fill="normal", scale=0.3)) if s.flag() else (x, weight)
    y = s.add(ops.Conv(strides, pads, dilations, groups), *operands)
    if s.flag():
        s.add(s.choose(SMOOTH[:16])(s), y)


def _bytes(s: Sketch, shape: tuple[int, ...], scale: float) -> str:
    """Weights of 8 bits with one scale, or one an output."""
    numbers = s.known(Values(shape, "bytes", 1.0, s.pick(0, 99), DType.INT8))
    factors = Values((shape[0],) if s.flag() else (), "positive", float(np.float16(scale / 64)), s.pick(0, 99))
    return s.add(ops.DequantizeLinear(DType.FLOAT32, 0), numbers, s.known(factors))


def transposed(s: Sketch) -> None:
    """A transposed convolution over one or two axes."""
    space = s.choose((2, 2, 1))
    x = s.value(space + 2)
    channels, extents = s.shape(x)[1], s.shape(x)[2:]
    kernel = tuple(s.pick(1, 4) for _ in extents)
    strides = tuple(s.pick(1, 3) for _ in extents)
    dilations = tuple(s.pick(1, 2) for _ in extents) if s.flag(6) else (1,) * space
    pads = tuple(s.pick(0, k - 1) for k in (*kernel, *kernel))
    extra = tuple(s.pick(0, step - 1) for step in strides) if s.flag() else ()
    groups = s.choose([g for g in (1, 1, 2, channels) if channels % g == 0])
    outputs = s.pick(1, max(1, 16 // groups))
    weight = s.constant(channels, outputs, *kernel, scale=(channels // groups * math.prod(kernel)) ** -0.5)
    operands = (x, weight, s.constant(outputs * groups, fill="normal", scale=0.3)) if s.flag() else (x, weight)
    s.add(ops.ConvTranspose(strides, pads, dilations, groups, extra), *operands)


def pool(s: Sketch) -> None:
    """Maximum, average or norm of windows, over one to three axes."""
    space = s.choose(SPACES)
    x = s.value(space + 2)
    kernel, pads = _spatial(s, s.shape(x)[2:], s.choose((2, 3, 5, 8)))
    strides = tuple(s.choose((1, 2, 2, 3, 4)) for _ in kernel)
    ceil = s.flag(3)
    kind = s.pick(0, 6)
    if kind < 3:
        dilations = tuple(s.pick(1, 2) for _ in kernel) if s.flag(4) else ()
        s.add(ops.MaxPool(kernel, strides, pads, dilations, ceil), x)
    elif kind < 6:
        s.add(ops.AveragePool(kernel, strides, pads, (), ceil, s.flag()), x)
    else:
        s.add(ops.LpPool(kernel, strides, pads, (), ceil, s.pick(1, 2)), x)


PAIRS: tuple[Operation, ...] = (ops.Add(), ops.Mul(), ops.Sub(), ops.Max(), ops.Min())


def partner(s: Sketch, x: str) -> str:
    """A value or constant that broadcasts with `x`."""
    shape = s.shape(x)
    if s.flag():
        return s.value(where=lambda name: _broadcasts(s.shape(name), shape))
    rank = s.choose((len(shape), len(shape), s.pick(0, len(shape))))
    own = tuple(extent if s.flag() else 1 for extent in shape[len(shape) - rank :])
    return s.constant(*own)


def _broadcasts(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    return all(a == b or 1 in (a, b) for a, b in zip(reversed(first), reversed(second), strict=False))


def pair(s: Sketch) -> None:
    """Two operands element by element, broadcast against each other, in either order."""
    x = s.value()
    other = partner(s, x)
    s.add(s.choose(PAIRS), *((other, x) if s.flag() else (x, other)))


def quotient(s: Sketch) -> None:
    """A division or power with an operand that is kept away from zero."""
    x = s.value()
    if s.flag(3):
        base = s.add(ops.Clip(0.25, 4.0), x)
        s.add(ops.Pow(), base, s.constant(fill="uniform", scale=s.choose((1.0, 3.0))))
        return
    other = partner(s, x)
    if other in s.values:
        other = s.add(ops.Clip(0.25, math.inf), s.add(ops.Abs(), other))
    elif not np.abs(s.constants[other].array()).min() >= 0.1:
        other = s.constant(*s.constants[other].shape, fill="positive")
    s.add(ops.Div(), x, other)


def parametric(s: Sketch) -> None:
    """PReLU with one slope per channel, or one for all."""
    x = s.value(2, 3, 4)
    shape = (s.shape(x)[1], *(1,) * (len(s.shape(x)) - 2)) if s.flag() else (1,)
    s.add(ops.PRelu(), x, s.constant(*shape, fill="uniform"))


COMPARISONS: tuple[Operation, ...] = (
    *(ops.Greater(), ops.Less(), ops.GreaterOrEqual(), ops.LessOrEqual(), ops.Equal(), ops.NotEqual()),
)


def logic(s: Sketch) -> None:
    """A comparison of exact values, and what is done with its booleans."""
    x = s.value(where=lambda name: name in s.exact)
    if s.flag():
        other = s.value(where=lambda name: name in s.exact and _broadcasts(s.shape(name), s.shape(x)))
    else:
        other = s.constant(*(() if s.flag() else s.shape(x)), fill="whole", scale=0.5)
    truth = s.add(s.choose(COMPARISONS), x, other)
    if s.flag(4):
        truth = s.add(ops.Not(), truth)
    others = [n for n, a in s.values.items() if a.dtype == bool and n != truth and a.shape == s.values[truth].shape]
    if others and s.flag():
        truth = s.add(s.choose((ops.And(), ops.Or(), ops.Xor())), truth, s.choose(others))
    if s.flag(3):
        return
    if s.flag():
        s.add(ops.Cast(DType.FLOAT32), truth)
        return
    fits = [n for n, a in s.values.items() if a.dtype.kind == "f" and _broadcasts(a.shape, s.shape(truth))]
    s.add(ops.Where(), truth, s.choose(fits), s.constant(fill="whole") if s.flag() else s.choose(fits))


def product(s: Sketch) -> None:
    """A product with a constant matrix, from either side."""
    x = s.value(2, 3, 4, 5)
    if s.flag(4):
        rows = s.shape(x)[-2]
        s.add(ops.MatMul(), s.constant(s.pick(1, 20), rows, scale=rows**-0.5), x)
        return
    inner, columns = s.shape(x)[-1], s.pick(1, s.choose((8, 40, 130)))
    turned = s.flag(4)
    weight = s.constant(*((columns, inner) if turned else (inner, columns)), scale=inner**-0.5)
    y = s.add(ops.MatMul(transpose_b=turned), x, weight)
    if s.flag(3):
        s.add(ops.Add(), y, s.constant(columns, fill="normal", scale=0.3))


def products(s: Sketch) -> None:
    """A product of two values, one of them made to fit."""
    x = s.value(2, 3, 4, 5)
    shape = s.shape(x)
    y = s.value(where=lambda name: s.shape(name)[:-2] == shape[:-2] and len(s.shape(name)) == len(shape))
    if len(shape) > 2 and s.flag(4):
        y = s.add(ops.ReduceMax((len(shape) - 3,), True), y)  # one matrix for several others
    ways = [
        ops.MatMul(a, b)
        for a in (False, True)
        for b in (True, False)
        if s.shape(x)[-2 if a else -1] == s.shape(y)[-1 if b else -2]
    ]
    z = s.add(s.choose(ways), x, y)
    s.add(ops.Affine(float(np.float16(shape[-1] ** -0.5))), z)


#: Equations of two values of one shape.
EQUATIONS = ("bhqd,bhkd->bhqk", "bchw,bkhw->bck", "bcq,bck->bqk", "bij,bkj->bik", "ij,kj->ik", "bqhd,bkhd->bhqk")


def einsum(s: Sketch) -> None:
    """A sum of products by letters."""
    x = s.value(2, 3, 4)
    fits = [equation for equation in EQUATIONS if equation.index(",") == len(s.shape(x))]
    y = s.value(where=lambda name: s.shape(name) == s.shape(x))
    s.add(ops.Einsum(s.choose(fits)), x, y)


REDUCTIONS: tuple[Callable[[tuple[int, ...], bool], Operation], ...] = (
    *(ops.ReduceMean, ops.ReduceSum, ops.ReduceMax, ops.ReduceMin, ops.ReduceSumSquare, ops.ReduceL1),
    *(ops.ReduceL2, ops.ReduceLogSumExp),
)


def _axes(s: Sketch, rank: int) -> tuple[int, ...]:
    kind = s.pick(0, 3)
    if kind == 0:
        return (rank - 1,)
    if kind == 1 and rank > 2:
        return tuple(range(2, rank))
    return tuple(axis for axis in range(rank) if s.flag()) or (s.pick(0, rank - 1),)


def reduction(s: Sketch) -> None:
    """A reduction over some axes."""
    x = s.value()
    rank = len(s.shape(x))
    axes, keep = _axes(s, rank), s.flag() or rank == 1
    if s.flag(12):
        s.add(ops.ReduceLogSum(axes, keep), s.add(ops.Clip(0.125, 8.0), x))
        return
    operation = s.choose(REDUCTIONS)(axes, keep)
    if isinstance(operation, ops.ReduceLogSumExp) and s.magnitude(x) > 8:
        x = s.add(ops.Clip(-8.0, 8.0), x)
    s.add(operation, x)


def running_sum(s: Sketch) -> None:
    """A cumulative sum."""
    x = s.value()
    s.add(ops.CumSum(s.pick(0, len(s.shape(x)) - 1), s.flag(3), s.flag(3)), x)


def softmax(s: Sketch) -> None:
    """Softmax or its logarithm along any axis."""
    x = s.value()
    if s.magnitude(x) > 30:
        x = s.add(ops.Affine(float(np.float16(8 / s.magnitude(x)))), x)
    axis = s.pick(0, len(s.shape(x)) - 1)
    s.add(ops.LogSoftmax(axis) if s.flag(4) else ops.Softmax(axis), x)


def norm(s: Sketch) -> None:
    """One of the normalizations; values whose squares fit half precision."""
    x = s.value(where=lambda name: s.magnitude(name) < 60)
    shape, kind = s.shape(x), s.pick(0, 6)
    rank, epsilon = len(shape), s.choose((1e-2, 1e-3, 0.5, 1e-5))
    last = tuple(range(s.pick(max(0, rank - 3), rank - 1), rank))
    extents = tuple(shape[axis] for axis in last)
    gains = [s.constant(*extents, fill="uniform"), s.constant(*extents, fill="normal")] if s.flag() else []
    if kind == 0:
        s.add(ops.LayerNorm(last, epsilon), x, *gains)
        return
    if kind == 1:
        s.add(ops.RmsNorm(last, epsilon), x, *gains[:1])
        return
    if kind == 2:
        s.add(ops.LpNorm(_axes(s, rank), s.pick(1, 2), epsilon), x)
        return
    if rank < 3:
        raise RejectError
    channels = shape[1]
    gains = [s.constant(channels, fill="uniform"), s.constant(channels, fill="normal")] if s.flag() else []
    if kind == 3:
        s.add(ops.InstanceNorm(epsilon), x, *gains)
    elif kind == 4:
        groups = s.choose([g for g in (1, 2, 3, 4) if channels % g == 0])
        s.add(ops.GroupNorm(groups, epsilon), x, *gains)
    elif kind == 5:
        each = [s.constant(channels, fill=fill) for fill in ("uniform", "normal", "uniform", "positive")]
        s.add(ops.BatchNorm(epsilon), x, *each)
    else:
        s.add(ops.LocalResponseNorm(s.pick(1, 5), s.choose((1e-2, 1.0)), s.choose((0.75, 0.5)), 1.0), x)


def attention(s: Sketch) -> None:
    """Scaled dot products of queries and keys, softmax, and the mean of values; sometimes with a mask."""
    x = s.value(3, 4, where=lambda name: s.magnitude(name) < 30)
    inner = s.shape(x)[-1]
    size = s.pick(1, 24)
    q, k, v = (s.add(ops.MatMul(), x, s.constant(inner, size, fill="normal", scale=inner**-0.5)) for _ in range(3))
    scores = s.add(ops.MatMul(transpose_b=True), q, k)
    scores = s.add(ops.Affine(float(np.float16(size**-0.5))), scores)
    rows, columns = s.shape(scores)[-2:]
    if s.flag(3):
        mask = np.where(np.tri(rows, columns, dtype=bool), 0.0, -1000.0) if rows * columns <= 400 else None
        if mask is not None:
            scores = s.add(ops.Add(), scores, s.known(Values(mask.shape, literal=tuple(mask.ravel().tolist()))))
    weights = s.add(ops.Softmax(len(s.shape(scores)) - 1), scores)
    s.add(ops.MatMul(), weights, v)


def residual(s: Sketch) -> None:
    """A branch of one or two convolutions, added to where it began."""
    x = s.value(4)
    channels = s.shape(x)[1]
    y = x
    for _ in range(s.pick(1, 2)):
        side = s.choose((3, 1))
        weight = s.constant(channels, channels, side, side, fill="normal", scale=(channels * side * side) ** -0.5)
        y = s.add(ops.Conv((1, 1), (side // 2,) * 4), y, weight, s.constant(channels, fill="normal", scale=0.3))
        y = s.add(s.choose(SMOOTH[:12])(s), y)
    s.add(ops.Relu(), s.add(ops.Add(), y, x))


def gate(s: Sketch) -> None:
    """Squeeze and excite: a factor per channel from the mean of the image."""
    x = s.value(4)
    channels = s.shape(x)[1]
    middle = s.pick(1, max(1, channels // 2))
    y = s.add(ops.ReduceMean((2, 3), True), x)
    y = s.add(ops.Conv(), y, s.constant(middle, channels, 1, 1, fill="normal", scale=channels**-0.5))
    y = s.add(ops.Conv(), s.add(ops.Relu(), y), s.constant(channels, middle, 1, 1, fill="normal", scale=middle**-0.5))
    s.add(ops.Mul(), x, s.add(s.choose((ops.Sigmoid(), ops.HardSigmoid())), y))
