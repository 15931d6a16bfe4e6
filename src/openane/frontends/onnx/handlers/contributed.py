"""Operations of the com.microsoft domain that exporters and optimizers put into ordinary models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from openane.frontends.onnx.call import Handler, NodeCall
from openane.frontends.onnx.handlers.convolution import scaled
from openane.graph.ops import Add, Gelu, LayerNorm, MatMul, RmsNorm, Silu

DOMAIN = "com.microsoft"


def _gelu(call: NodeCall) -> Sequence[str]:
    return [call.emit(Gelu(), call.name(0))]


def _bias_gelu(call: NodeCall) -> Sequence[str]:
    return [call.emit(Gelu(), call.emit(Add(), call.name(0), call.name(1)))]


def _fast_gelu(call: NodeCall) -> Sequence[str]:
    x = call.emit(Add(), call.name(0), call.name(1)) if call.has(1) else call.name(0)
    return [call.emit(Gelu(approximate=True), x)]


def _quick_gelu(call: NodeCall) -> Sequence[str]:
    return [call.emit(Silu(call.attr_float("alpha", 1.702)), call.name(0))]


def _fused_matmul(call: NodeCall) -> Sequence[str]:
    if call.flag("transBatchA") or call.flag("transBatchB"):
        call.refuse("transposed batch axes are not supported")
    product = call.emit(MatMul(call.flag("transA"), call.flag("transB")), call.name(0), call.name(1))
    return [scaled(call, product, call.attr_float("alpha", 1.0))]


def _skip_layer_normalization(call: NodeCall) -> Sequence[str]:
    if call.wants(1) or call.wants(2):
        call.refuse("mean and variance as outputs are not supported")
    total = call.emit(Add(), call.name(0), call.name(1))
    if call.has(4):
        total = call.emit(Add(), total, call.name(4))
    norm = LayerNorm((call.rank() - 1,), call.attr_float("epsilon", 1e-12))
    return [call.emit(norm, total, call.name(2), call.name(3)), "", "", total]


def _skip_rms_normalization(call: NodeCall) -> Sequence[str]:
    if call.wants(1) or call.wants(2):
        call.refuse("mean and variance as outputs are not supported")
    total = call.emit(Add(), call.name(0), call.name(1))
    if call.has(3):
        total = call.emit(Add(), total, call.name(3))
    norm = RmsNorm((call.rank() - 1,), call.attr_float("epsilon", 1e-12))
    return [call.emit(norm, total, call.name(2)), "", "", total]


CONTRIBUTED: Mapping[str, Handler] = {
    "BiasGelu": _bias_gelu,
    "FastGelu": _fast_gelu,
    "FusedMatMul": _fused_matmul,
    "Gelu": _gelu,
    "QuickGelu": _quick_gelu,
    "SkipLayerNormalization": _skip_layer_normalization,
    "SkipSimplifiedLayerNormalization": _skip_rms_normalization,
}
