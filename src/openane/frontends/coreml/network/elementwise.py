"""Layers that work element by element, and sums over axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from openane.core.types import DType
from openane.frontends.coreml.network.builder import NetworkLayer
from openane.graph import Operation
from openane.graph import ops as g


def _activation(layer: NetworkLayer) -> str:
    kind = layer.params.WhichOneof("NonlinearityType")
    if kind is None:
        layer.wrong("an activation without a function")
    p, x = getattr(layer.params, kind), layer.x()
    if kind == "linear":
        scaled = x if p.alpha == 1 else layer.add(g.Mul(), x, layer.number(p.alpha, "alpha"))
        return layer.last(g.Add(), scaled, layer.number(p.beta, "beta"))
    if kind in ("PReLU", "parametricSoftplus"):
        return _parametric(layer, kind)
    plain: dict[str, Operation] = {
        "ReLU": g.Relu(),
        "tanh": g.Tanh(),
        "sigmoid": g.Sigmoid(),
        "softsign": g.Softsign(),
        "softplus": g.Softplus(),
    }
    made: dict[str, Callable[[], Operation]] = {
        "leakyReLU": lambda: g.LeakyRelu(p.alpha),
        "thresholdedReLU": lambda: g.ThresholdedRelu(p.alpha),
        "scaledTanh": lambda: g.ScaledTanh(p.alpha, p.beta),
        "sigmoidHard": lambda: g.HardSigmoid(p.alpha, p.beta),
        "ELU": lambda: g.Elu(p.alpha),
    }
    if kind not in plain and kind not in made:
        layer.refuse("this activation is not supported", value=kind)
    return layer.last(plain[kind] if kind in plain else made[kind](), x)


def _parametric(layer: NetworkLayer, kind: str) -> str:
    """PReLU, and alpha * log(1 + exp(beta * x)), with one constant per channel or one for all."""
    message, x = getattr(layer.params, kind), layer.x()
    shape = layer.shape(x)
    channels = shape[-3] if len(shape) >= 3 else shape[-1]

    def constant(field: str) -> str:
        part = NetworkLayer(layer.builder, layer.kind, message, layer.name, layer.inputs, layer.outputs, layer.where)
        count = 1 if len(getattr(message, field).floatValue) == 1 else channels
        array = part.weights(field, (count,))
        return layer.constant(array.reshape(-1, 1, 1) if len(shape) >= 3 else array, field)

    if kind == "PReLU":
        return layer.last(g.PRelu(), x, constant("alpha"))
    inner = layer.add(g.Softplus(), layer.add(g.Mul(), x, constant("beta")))
    return layer.last(g.Mul(), inner, constant("alpha"))


def _unary(layer: NetworkLayer) -> str:
    """f(scale * x + shift)."""
    p, x = layer.params, layer.x()
    scale = p.scale or 1.0
    if scale != 1:
        x = layer.add(g.Mul(), x, layer.number(scale, "scale"))
    if p.shift:
        x = layer.add(g.Add(), x, layer.number(p.shift, "shift"))
    match layer.enum("type"):
        case "SQRT":
            return layer.last(g.Sqrt(), x)
        case "RSQRT":
            return layer.last(g.Rsqrt(p.epsilon), x)
        case "INVERSE":
            return layer.last(g.Reciprocal(p.epsilon), x)
        case "POWER":
            return layer.last(g.Pow(), x, layer.number(p.alpha, "exponent"))
        case "EXP":
            return layer.last(g.Exp(), x)
        case "LOG":
            # log(max(x, epsilon)); the usual 1e-45 says "none".
            bounded = layer.add(g.Clip(p.epsilon), x) if p.epsilon > 1e-30 else x
            return layer.last(g.Log(), bounded)
        case "ABS":
            return layer.last(g.Abs(), x)
        case "THRESHOLD":
            return layer.last(g.Max(), x, layer.number(p.alpha, "threshold"))
    return layer.refuse("this function is not supported", value=layer.enum("type"))


def _chain(operation: Operation, layer: NetworkLayer) -> str:
    """Any number of inputs; one input meets the constant alpha."""
    if len(layer.inputs) == 1:
        if not hasattr(layer.params, "alpha"):
            return layer.last(g.Identity(), layer.x())
        return layer.last(operation, layer.x(), layer.number(layer.params.alpha, "alpha"))
    total = layer.x()
    for value in layer.inputs[1:-1]:
        total = layer.add(operation, total, value)
    return layer.last(operation, total, layer.inputs[-1])


def _average(layer: NetworkLayer) -> str:
    total = layer.x()
    for value in layer.inputs[1:]:
        total = layer.add(g.Add(), total, value)
    return layer.last(g.Mul(), total, layer.number(1 / len(layer.inputs), "share"))


def _pairwise(operation: Operation, layer: NetworkLayer) -> str:
    return layer.last(operation, layer.x(), layer.x(1))


def _shaped(layer: NetworkLayer, field: str, shape: list[int]) -> str:
    """A constant of shape [1], [C], [1, H, W] or [C, H, W], in a form that meets (..., C, H, W)."""
    rank = len(layer.shape(layer.x()))
    array = layer.weights(field, tuple(shape))
    if len(shape) == 1 and rank >= 3:
        array = array.reshape(-1, 1, 1)
    return layer.constant(array, field)


def _bias(layer: NetworkLayer) -> str:
    return layer.last(g.Add(), layer.x(), _shaped(layer, "bias", list(layer.params.shape)))


def _scale(layer: NetworkLayer) -> str:
    p = layer.params
    scale = _shaped(layer, "scale", list(p.shapeScale))
    if not p.hasBias:
        return layer.last(g.Mul(), layer.x(), scale)
    scaled = layer.add(g.Mul(), layer.x(), scale)
    return layer.last(g.Add(), scaled, _shaped(layer, "bias", list(p.shapeBias)))


def _comparison(operation: Operation, layer: NetworkLayer) -> str:
    """Booleans are the numbers 1 and 0."""
    other = layer.x(1) if len(layer.inputs) > 1 else layer.number(layer.params.alpha, "alpha")
    return layer.last(g.Cast(DType.FLOAT32), layer.add(operation, layer.x(), other))


def _logical(operation: Operation, layer: NetworkLayer) -> str:
    truths = [layer.as_truth(value) for value in layer.inputs]
    return layer.last(g.Cast(DType.FLOAT32), layer.add(operation, *truths))


def _where(layer: NetworkLayer) -> str:
    return layer.last(g.Where(), layer.as_truth(layer.x()), layer.x(1), layer.x(2))


def _gelu(layer: NetworkLayer) -> str:
    match layer.enum("mode"):
        case "EXACT":
            return layer.last(g.Gelu(), layer.x())
        case "TANH_APPROXIMATION":
            return layer.last(g.Gelu(True), layer.x())
    return layer.last(g.Silu(1.702), layer.x())


def _clamped_relu(layer: NetworkLayer) -> str:
    p = layer.params
    positive = layer.add(g.LeakyRelu(p.alpha) if p.alpha else g.Relu(), layer.x())
    return layer.last(g.Clip(maximum=p.beta), positive)


def _softmax(layer: NetworkLayer) -> str:
    shape = layer.shape(layer.x())
    axis = layer.params.axis if layer.kind == "softmaxND" else -3
    return layer.last(g.Softmax(layer.axis(axis, len(shape))), layer.x())


_REDUCTIONS: Mapping[str, type[g.Reduction]] = MappingProxyType(
    {
        "SUM": g.ReduceSum,
        "AVG": g.ReduceMean,
        "PROD": g.ReduceProd,
        "LOGSUM": g.ReduceLogSum,
        "SUMSQUARE": g.ReduceSumSquare,
        "L1": g.ReduceL1,
        "L2": g.ReduceL2,
        "MAX": g.ReduceMax,
        "MIN": g.ReduceMin,
    }
)


def _reduce(layer: NetworkLayer) -> str:
    """The older reduction: over some of the last three axes, which stay."""
    mode = layer.enum("mode")
    axes = {"CHW": (1, 2, 3), "HW": (2, 3), "C": (1,), "H": (2,), "W": (3,)}[layer.enum("axis")]
    if mode == "ARGMAX":
        if len(axes) != 1:
            layer.refuse("a position is found along one axis only", value=layer.enum("axis"))
        x, lead = layer.image(layer.x())
        return layer.back(layer.add(g.Cast(DType.FLOAT32), layer.add(g.ArgMax(axes[0]), x)), lead)
    if mode not in _REDUCTIONS:
        layer.refuse("this reduction is not supported", value=mode)
    if mode == "LOGSUM" and layer.params.epsilon:
        x, lead = layer.image(layer.x())
        total = layer.add(g.ReduceSum(axes), x)
        return layer.back(layer.add(g.Log(layer.params.epsilon), total), lead)
    return layer.image_layer(_REDUCTIONS[mode](axes))


def _reduce_nd(reduction: type[g.Reduction], layer: NetworkLayer) -> str:
    p, rank = layer.params, len(layer.shape(layer.x()))
    everything = p.reduceAll or not p.axes
    axes = tuple(range(rank)) if everything else tuple(sorted({layer.axis(a, rank) for a in p.axes}))
    y = reduction(axes, p.keepDims or len(axes) == rank)
    if p.keepDims or len(axes) < rank:
        return layer.last(y, layer.x())
    # Core ML has no tensors without axes: a full reduction is one number in one axis.
    return layer.reshape(layer.add(y, layer.x()), (1,), last=True)


def _layer_norm(layer: NetworkLayer) -> str:
    p = layer.params
    shape = tuple(p.normalizedShape)
    rank = len(layer.shape(layer.x()))
    if not shape or len(shape) > rank:
        layer.wrong("the normalized shape does not fit", value=list(shape))
    gamma = layer.constant(layer.weights("gamma", shape), "gamma")
    beta = layer.constant(layer.weights("beta", shape), "beta")
    axes = tuple(range(rank - len(shape), rank))
    return layer.last(g.LayerNorm(axes, p.eps or 1e-5), layer.x(), gamma, beta)


def _position(operation: type[g.ArgMax] | type[g.ArgMin], layer: NetworkLayer) -> str:
    p, rank = layer.params, len(layer.shape(layer.x()))
    found = layer.add(operation(layer.axis(p.axis, rank), not p.removeDim), layer.x())
    return layer.last(g.Cast(DType.FLOAT32), found)


def _cumulative_sum(layer: NetworkLayer) -> str:
    p, rank = layer.params, len(layer.shape(layer.x()))
    return layer.last(g.CumSum(layer.axis(p.axis, rank), p.excludeFinalSum, p.reverse), layer.x())


def _matmul(layer: NetworkLayer) -> str:
    p = layer.params
    if p.int8DynamicQuantize:
        layer.refuse("dynamically quantized weights are not supported")
    if len(layer.inputs) > 1:
        return layer.last(g.MatMul(p.transposeA, p.transposeB), layer.x(), layer.x(1))
    rows, columns = p.weightMatrixFirstDimension, p.weightMatrixSecondDimension
    weight = layer.constant(layer.weights("weights", (columns, rows)), "weight")
    if not p.hasBias:
        return layer.last(g.MatMul(p.transposeA, True), layer.x(), weight)
    product = layer.add(g.MatMul(p.transposeA, True), layer.x(), weight)
    return layer.last(g.Add(), product, layer.constant(layer.weights("bias", (columns,)), "bias"))


def _dot(layer: NetworkLayer) -> str:
    """The sum over channels of the product."""
    x, lead = layer.image(layer.x())
    y, _ = layer.image(layer.x(1))
    if layer.params.cosineSimilarity:
        x, y = layer.add(g.LpNorm((1,)), x), layer.add(g.LpNorm((1,)), y)
    return layer.back(layer.add(g.ReduceSum((1,)), layer.add(g.Mul(), x, y)), lead)


def _plain(operation: Operation, layer: NetworkLayer) -> str:
    return layer.last(operation, layer.x())


_PLAIN: Mapping[str, Operation] = MappingProxyType(
    {
        "copy": g.Identity(),
        "ceil": g.Ceil(),
        "floor": g.Floor(),
        "sign": g.Sign(),
        "round": g.Round(),
        "exp2": g.Exp2(),
        "sin": g.Sin(),
        "cos": g.Cos(),
        "tan": g.Tan(),
        "asin": g.Asin(),
        "acos": g.Acos(),
        "atan": g.Atan(),
        "sinh": g.Sinh(),
        "cosh": g.Cosh(),
        "tanh": g.Tanh(),
        "asinh": g.Asinh(),
        "acosh": g.Acosh(),
        "atanh": g.Atanh(),
        "erf": g.Erf(),
    }
)
_PAIRS: Mapping[str, Operation] = MappingProxyType(
    {
        "modBroadcastable": g.Mod(),
        "minBroadcastable": g.Min(),
        "maxBroadcastable": g.Max(),
        "addBroadcastable": g.Add(),
        "powBroadcastable": g.Pow(),
        "divideBroadcastable": g.Div(),
        "floorDivBroadcastable": g.FloorDiv(),
        "multiplyBroadcastable": g.Mul(),
        "subtractBroadcastable": g.Sub(),
    }
)
_COMPARISONS: Mapping[str, Operation] = MappingProxyType(
    {
        "equal": g.Equal(),
        "notEqual": g.NotEqual(),
        "lessThan": g.Less(),
        "lessEqual": g.LessOrEqual(),
        "greaterThan": g.Greater(),
        "greaterEqual": g.GreaterOrEqual(),
    }
)
_LOGIC: Mapping[str, Operation] = MappingProxyType(
    {"logicalOr": g.Or(), "logicalXor": g.Xor(), "logicalNot": g.Not(), "logicalAnd": g.And()}
)
_REDUCTIONS_ND: Mapping[str, type[g.Reduction]] = MappingProxyType(
    {
        "reduceL1": g.ReduceL1,
        "reduceL2": g.ReduceL2,
        "reduceMax": g.ReduceMax,
        "reduceMin": g.ReduceMin,
        "reduceSum": g.ReduceSum,
        "reduceProd": g.ReduceProd,
        "reduceMean": g.ReduceMean,
        "reduceLogSum": g.ReduceLogSum,
        "reduceSumSquare": g.ReduceSumSquare,
        "reduceLogSumExp": g.ReduceLogSumExp,
    }
)

LAYERS: Mapping[str, Callable[[NetworkLayer], str]] = MappingProxyType(
    {name: partial(_plain, operation) for name, operation in _PLAIN.items()}
    | {name: partial(_pairwise, operation) for name, operation in _PAIRS.items()}
    | {name: partial(_comparison, operation) for name, operation in _COMPARISONS.items()}
    | {name: partial(_logical, operation) for name, operation in _LOGIC.items()}
    | {name: partial(_reduce_nd, reduction) for name, reduction in _REDUCTIONS_ND.items()}
    | {
        "activation": _activation,
        "unary": _unary,
        "add": partial(_chain, g.Add()),
        "multiply": partial(_chain, g.Mul()),
        "max": partial(_chain, g.Max()),
        "min": partial(_chain, g.Min()),
        "average": _average,
        "bias": _bias,
        "scale": _scale,
        "whereBroadcastable": _where,
        "clip": lambda layer: layer.last(g.Clip(layer.params.minVal, layer.params.maxVal), layer.x()),
        "gelu": _gelu,
        "clampedReLU": _clamped_relu,
        "softmax": _softmax,
        "softmaxND": _softmax,
        "reduce": _reduce,
        "layerNormalization": _layer_norm,
        "argMax": partial(_position, g.ArgMax),
        "argMin": partial(_position, g.ArgMin),
        "cumSum": _cumulative_sum,
        "batchedMatmul": _matmul,
        "dot": _dot,
    }
)
