"""Normalizations and softmax."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from openane.core.types import DType
from openane.frontends.onnx.call import Handler, NodeCall
from openane.frontends.onnx.tensors import DTYPES
from openane.graph import Operation
from openane.graph.ops import (
    BatchNorm,
    Expand,
    GroupNorm,
    Hardmax,
    InstanceNorm,
    LayerNorm,
    LocalResponseNorm,
    LogSoftmax,
    LpNorm,
    ReduceMean,
    Reshape,
    RmsNorm,
    Rsqrt,
    Softmax,
    Square,
    Sub,
)
from openane.graph.ops.support import product_of, require


def _batch_normalization(call: NodeCall) -> Sequence[str]:
    if call.flag("training_mode") or any(call.wants(i) for i in range(1, 5)):
        call.refuse("training is not supported", value="training_mode = 1")
    if call.version < 9 and not call.flag("spatial", True):
        call.refuse("one mean per element is not supported", value="spatial = 0")
    inputs = [call.name(0), *(call.cast(call.name(i), call.operand(0).dtype) for i in range(1, 5))]
    return [call.emit(BatchNorm(call.attr_float("epsilon", 1e-5)), *inputs)]


def _instance_normalization(call: NodeCall) -> Sequence[str]:
    return [call.emit(InstanceNorm(call.attr_float("epsilon", 1e-5)), *call.inputs)]


def _group_normalization(call: NodeCall) -> Sequence[str]:
    groups = call.attr_int("num_groups", 0)
    x = call.operand(0)
    require(len(x.shape) >= 2, "the input has no channel axis", value=x)
    require(groups > 0 and x.shape[1] % groups == 0, "num_groups must divide the channels", value=groups, limit=x)
    affine = [call.name(1), call.name(2)]
    if call.version < 21:
        # One value per group, where later operator sets have one per channel.
        per_group = x.shape[1] // groups
        affine = [_repeated(call, name, groups, per_group) for name in affine]
    return [call.emit(GroupNorm(groups, call.attr_float("epsilon", 1e-5)), call.name(0), *affine)]


def _repeated(call: NodeCall, value: str, count: int, times: int) -> str:
    """Every element of a vector of `count`, `times` times."""
    require(call.type_of(value).shape == (count,), "one value is needed per group", value=call.type_of(value))
    column = call.emit(Reshape((count, 1)), value)
    return call.emit(Reshape((count * times,)), call.emit(Expand((count, times)), column))


def _trailing(call: NodeCall) -> tuple[int, ...]:
    """The axes from attribute `axis` on."""
    rank = call.rank()
    return tuple(range(call.axis(-1, rank), rank))


def _stash(call: NodeCall) -> DType:
    """The element type in which a normalization computes."""
    number = call.attr_int("stash_type", 1)
    require(number in DTYPES, "stash_type is unknown", value=number)
    return DTYPES[number]


def _layer_normalization(call: NodeCall) -> Sequence[str]:
    axes, epsilon = _trailing(call), call.attr_float("epsilon", 1e-5)
    x = call.name(0)
    y = call.emit(LayerNorm(axes, epsilon), x, call.name(1), call.name(2))
    if not (call.wants(1) or call.wants(2)):
        return [y]
    wide = call.cast(x, _stash(call))
    mean = call.emit(ReduceMean(axes), wide)
    squares = call.emit(Square(), call.emit(Sub(), wide, mean))
    return [y, mean, call.emit(Rsqrt(epsilon), call.emit(ReduceMean(axes), squares))]


def _rms_normalization(call: NodeCall) -> Sequence[str]:
    return [call.emit(RmsNorm(_trailing(call), call.attr_float("epsilon", 1e-5)), call.name(0), call.name(1))]


def _mean_variance_normalization(call: NodeCall) -> Sequence[str]:
    rank = call.rank()
    axes = call.attr_ints("axes")
    axes = (0, 2, 3) if axes is None else tuple(sorted(a % rank for a in axes if -rank <= a < rank))
    # The definition adds 1e-9 to the standard deviation; to the variance that is 1e-18.
    return [call.emit(LayerNorm(axes, 1e-18), call.name(0))]


def _lp_normalization(call: NodeCall) -> Sequence[str]:
    operation = LpNorm((call.axis(-1, call.rank()),), call.attr_int("p", 2))
    return [call.emit(operation, call.name(0))]


def _local_response_normalization(call: NodeCall) -> Sequence[str]:
    operation = LocalResponseNorm(
        call.attr_int("size", 0),
        call.attr_float("alpha", 1e-4),
        call.attr_float("beta", 0.75),
        call.attr_float("bias", 1.0),
    )
    return [call.emit(operation, call.name(0))]


def _softmax(kind: Callable[[int], Operation]) -> Handler:
    """Softmax and its kin: along one axis; before opset 13, over all axes from one on."""

    def handler(call: NodeCall) -> Sequence[str]:
        shape = call.operand(0).shape
        if call.version >= 13:
            return [call.emit(kind(call.axis(-1, len(shape))), call.name(0))]
        axis = call.attr_int("axis", 1)
        if axis == len(shape) and not shape[axis:]:
            axis = len(shape)
        else:
            axis = call.axis(1, len(shape))
        past = [extent for extent in shape[axis + 1 :] if extent != 1]
        if axis < len(shape) and not past:
            return [call.emit(kind(axis), call.name(0))]
        matrix = call.emit(Reshape((product_of(shape[:axis]), product_of(shape[axis:]))), call.name(0))
        return [call.emit(Reshape(shape), call.emit(kind(1), matrix))]

    return handler


HANDLERS: Mapping[str, Handler] = {
    "BatchNormalization": _batch_normalization,
    "GroupNormalization": _group_normalization,
    "Hardmax": _softmax(Hardmax),
    "InstanceNormalization": _instance_normalization,
    "LRN": _local_response_normalization,
    "LayerNormalization": _layer_normalization,
    "LogSoftmax": _softmax(LogSoftmax),
    "LpNormalization": _lp_normalization,
    "MeanVarianceNormalization": _mean_variance_normalization,
    "RMSNormalization": _rms_normalization,
    "Softmax": _softmax(Softmax),
}
