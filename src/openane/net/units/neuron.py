"""Neuron: every function of one element."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Annotated, ClassVar

import numpy as np

from openane.core.errors import ModelError
from openane.net.net import TensorShape, UnitParams
from openane.net.schema.parameters import ArrayKeys, ChoiceKey, NumberKey, ReadContext
from openane.net.units.dimensions import check_per_channel, compute_dtype, one, per_channel, storage_dtype

__all__ = ["NeuronKind", "NeuronParams"]

#: The constants of self-normalizing networks as ONNX states them, in single precision.
SELU_ALPHA = 1.67326319217681884765625
SELU_GAMMA = 1.05070102214813232421875


class NeuronKind(Enum):
    """A function of one element. The value is the `Type` of the plist's `Params`.

    ReLU, Sigmoid, Tanh, Exp2, Log2 and Sign were seen in files; the other names follow the enumeration of
    formats.md section 10 or, where that has none, are openane's own.
    """

    IDENTITY = "None"
    RELU = "ReLU"
    LEAKY_RELU = "LeakyReLU"
    PRELU = "PReLU"
    CLAMP = "ClampedReLU"
    THRESHOLDED_RELU = "Threshold"
    SIGMOID = "Sigmoid"
    TANH = "Tanh"
    ELU = "ELU"
    SELU = "SELU"
    GELU = "GELU"
    GELU_TANH = "GELUTanh"
    GELU_SIGMOID = "GELUSigmoid"
    SILU = "Swish"
    HARD_SIGMOID = "HardSigmoid"
    HARD_SWISH = "HardSwish"
    SOFTPLUS = "SoftPlus"
    SOFTSIGN = "SoftSign"
    MISH = "Mish"
    EXP = "Exp"
    EXP2 = "Exp2"
    LOG = "Log"
    LOG2 = "Log2"
    SQRT = "Sqrt"
    RSQRT = "RSqrt"
    RECIPROCAL = "Inv"
    SQUARE = "Sqr"
    ABS = "Abs"
    NEGATE = "Negate"
    SIGN = "Sign"
    FLOOR = "Floor"
    CEIL = "Ceil"
    ROUND = "Round"
    TRUNC = "Trunc"
    FRAC = "Frac"
    ERF = "Erf"
    SIN = "Sin"
    COS = "Cos"
    TAN = "Tan"
    ASIN = "ASin"
    ACOS = "ACos"
    ATAN = "ATan"
    SINH = "SinH"
    COSH = "CosH"
    ASINH = "ASinH"
    ACOSH = "ACosH"
    ATANH = "ATanH"


def _slope_shape(context: ReadContext) -> tuple[int] | None:
    return (context.bottom.channels,) if context.values["kind"] is NeuronKind.PRELU else None


@dataclass(frozen=True, eq=False)
class NeuronParams(UnitParams):
    """y = f(x), element by element.

    Attributes:
        kind: the function.
        alpha, beta: its constants:
            LEAKY_RELU: slope alpha below 0. CLAMP: min(max(x, alpha), beta), either bound may be infinite.
            THRESHOLDED_RELU: x where x > alpha, else 0. ELU: alpha (exp(x) - 1) below 0.
            HARD_SIGMOID: min(max(alpha x + beta, 0), 1). HARD_SWISH: x * min(max(x / 6 + 1 / 2, 0), 1).
            SOFTPLUS: log(1 + exp(x)). RSQRT: 1 / sqrt(x + alpha). RECIPROCAL: 1 / (x + alpha).
            ROUND: to the nearest, ties to even. FRAC: x - floor(x). Others take none.
        slopes: PRELU only: one slope per channel (C,).
    """

    kind: Annotated[NeuronKind, ChoiceKey("Type", NeuronKind)]
    alpha: Annotated[float, NumberKey("Alpha", optional=True)] = 0.0
    beta: Annotated[float, NumberKey("Beta", optional=True)] = 0.0
    slopes: Annotated[np.ndarray | None, ArrayKeys("Slope", _slope_shape)] = None
    plist_type: ClassVar[str] = "Neuron"

    def infer(self, bottoms: Sequence[TensorShape]) -> TensorShape:
        """The shape stays; PRELU needs one slope per channel."""
        shape = one(bottoms)
        if (self.slopes is not None) != (self.kind is NeuronKind.PRELU):
            raise ModelError("slopes belong to PReLU, and PReLU needs them")
        if self.slopes is not None:
            check_per_channel(self.slopes, shape, "PReLU")
        return shape

    def evaluate(self, bottoms: Sequence[np.ndarray]) -> np.ndarray:
        """Computed in float32 for half precision, and rounded once."""
        (x,) = bottoms
        with np.errstate(all="ignore"):
            y: np.ndarray = _FUNCTIONS[self.kind](x.astype(compute_dtype(x), copy=False), self)
            return y.astype(storage_dtype(x), copy=False)


Function = Callable[[np.ndarray, NeuronParams], np.ndarray]


def _plain(function: Callable[[np.ndarray], np.ndarray]) -> Function:
    return lambda x, _: function(x)


def erf(x: np.ndarray) -> np.ndarray:
    """The error function, correct to the last bits of float64."""
    flat = np.fromiter(map(math.erf, x.ravel().tolist()), np.float64, x.size)
    return flat.reshape(x.shape).astype(x.dtype)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    # Written with exp of negative numbers only, so that large |x| neither overflow nor lose digits.
    small = np.exp(-np.abs(x))
    y: np.ndarray = np.where(x >= 0, 1 / (1 + small), small / (1 + small))
    return y


def _softplus(x: np.ndarray) -> np.ndarray:
    y: np.ndarray = np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
    return y


def _elu(x: np.ndarray, alpha: float) -> np.ndarray:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _prelu(x: np.ndarray, n: NeuronParams) -> np.ndarray:
    if n.slopes is None:
        raise ModelError("PReLU needs slopes")
    return np.where(x < 0, x * per_channel(n.slopes, x.dtype), x)


def _gelu_tanh(x: np.ndarray) -> np.ndarray:
    y: np.ndarray = 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
    return y


_FUNCTIONS: Mapping[NeuronKind, Function] = MappingProxyType(
    {
        NeuronKind.IDENTITY: _plain(np.array),
        NeuronKind.RELU: _plain(lambda x: np.maximum(x, 0)),
        NeuronKind.LEAKY_RELU: lambda x, n: np.where(x < 0, x * n.alpha, x),
        NeuronKind.PRELU: _prelu,
        NeuronKind.CLAMP: lambda x, n: np.minimum(np.maximum(x, n.alpha), n.beta),
        NeuronKind.THRESHOLDED_RELU: lambda x, n: np.where(x > n.alpha, x, 0),
        NeuronKind.SIGMOID: _plain(_sigmoid),
        NeuronKind.TANH: _plain(np.tanh),
        NeuronKind.ELU: lambda x, n: _elu(x, n.alpha),
        NeuronKind.SELU: _plain(lambda x: SELU_GAMMA * _elu(x, SELU_ALPHA)),
        NeuronKind.GELU: _plain(lambda x: 0.5 * x * (1 + erf(x * math.sqrt(0.5)))),
        NeuronKind.GELU_TANH: _plain(_gelu_tanh),
        NeuronKind.GELU_SIGMOID: _plain(lambda x: x * _sigmoid(1.702 * x)),
        NeuronKind.SILU: _plain(lambda x: x * _sigmoid(x)),
        NeuronKind.HARD_SIGMOID: lambda x, n: np.clip(n.alpha * x + n.beta, 0, 1),
        NeuronKind.HARD_SWISH: _plain(lambda x: x * np.clip(x / 6 + 0.5, 0, 1)),
        NeuronKind.SOFTPLUS: _plain(_softplus),
        NeuronKind.SOFTSIGN: _plain(lambda x: x / (1 + np.abs(x))),
        NeuronKind.MISH: _plain(lambda x: x * np.tanh(_softplus(x))),
        NeuronKind.EXP: _plain(np.exp),
        NeuronKind.EXP2: _plain(np.exp2),
        NeuronKind.LOG: _plain(np.log),
        NeuronKind.LOG2: _plain(np.log2),
        NeuronKind.SQRT: _plain(np.sqrt),
        NeuronKind.RSQRT: lambda x, n: 1 / np.sqrt(x + n.alpha),
        NeuronKind.RECIPROCAL: lambda x, n: 1 / (x + n.alpha),
        NeuronKind.SQUARE: _plain(np.square),
        NeuronKind.ABS: _plain(np.abs),
        NeuronKind.NEGATE: _plain(np.negative),
        NeuronKind.SIGN: _plain(np.sign),
        NeuronKind.FLOOR: _plain(np.floor),
        NeuronKind.CEIL: _plain(np.ceil),
        NeuronKind.ROUND: _plain(np.rint),
        NeuronKind.TRUNC: _plain(np.trunc),
        NeuronKind.FRAC: _plain(lambda x: x - np.floor(x)),
        NeuronKind.ERF: _plain(erf),
        NeuronKind.SIN: _plain(np.sin),
        NeuronKind.COS: _plain(np.cos),
        NeuronKind.TAN: _plain(np.tan),
        NeuronKind.ASIN: _plain(np.arcsin),
        NeuronKind.ACOS: _plain(np.arccos),
        NeuronKind.ATAN: _plain(np.arctan),
        NeuronKind.SINH: _plain(np.sinh),
        NeuronKind.COSH: _plain(np.cosh),
        NeuronKind.ASINH: _plain(np.arcsinh),
        NeuronKind.ACOSH: _plain(np.arccosh),
        NeuronKind.ATANH: _plain(np.arctanh),
    }
)
