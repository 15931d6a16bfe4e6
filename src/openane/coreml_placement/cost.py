"""The estimated time of an operation on a backend, as Core ML's segmenter counts it (placement.md#estimates).

A measured rate of the platform's decision trees where one is known, otherwise max(FLOPs / peak, bytes / bandwidth) with
the constants of the platform's file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from openane.coreml_placement.platforms import Backend, Platform
from openane.coreml_placement.program import Operation

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimated time.

    Attributes:
        ms: milliseconds; None where nothing is known.
        evidence: "measured" (a rate that was read out on this platform), "formula" (the platform's constants, for a
            kind of operation that was seen to follow them) or "assumed" (the platform's constants, unconfirmed for this
            kind on this platform); the reason where `ms` is None.
    """

    ms: float | None
    evidence: str


# What the estimator counts ---------------------------------------------------------------------------------------


def _kernel_flops(operation: Operation) -> float:
    """Convolutions: 2 per multiply-add; the transposed one counts every output pixel with the whole kernel."""
    weight = operation.input("weight")
    if weight is None or weight.shape is None or len(weight.shape) < 3:
        return 0.0
    channels = weight.shape[0] if operation.kind == "conv_transpose" else weight.shape[1]
    return 2.0 * operation.result.size * channels * math.prod(weight.shape[2:])


def _matmul_flops(operation: Operation) -> float:
    return 2.0 * operation.result.size * _inner(operation)


def _inner(operation: Operation) -> int:
    x, transposed = operation.input("x"), operation.input("transpose_x")
    if x is None or not x.shape:
        return 0
    turned = bool(transposed is not None and transposed.values and transposed.values[0] and len(x.shape) > 1)
    return x.shape[-2] if turned else x.shape[-1]


def _linear_flops(operation: Operation) -> float:
    """Rows times the inner dimension twice, and the bias: the estimator takes the inner dimension for the outer one."""
    x, weight = operation.input("x"), operation.input("weight")
    if x is None or weight is None or not x.shape or not weight.shape:
        return 0.0
    return 2.0 * x.size * x.shape[-1] + weight.shape[0]


def _operand_elements(operation: Operation) -> float:
    """Elements of all numeric operands, constants included."""
    return float(sum(tensor.size for tensor in operation.operands if tensor.dtype not in ("string", "bool")))


def _data_elements(operation: Operation) -> float:
    """Elements of the operands that make the result: x and y, or the values of a concat."""
    names = ("x", "y", "values")
    return float(sum(tensor.size for name in names for tensor in operation.inputs.get(name, ())))


def _gather_elements(operation: Operation) -> float:
    return float(sum(tensor.size for tensor in operation.operands if tensor.dtype != "string"))


def _per_element(count: float) -> Callable[[Operation], float]:
    return lambda operation: count * operation.result.size


FLOPS: Mapping[str, Callable[[Operation], float]] = MappingProxyType(
    {
        "conv": _kernel_flops,
        "conv_transpose": _kernel_flops,
        "matmul": _matmul_flops,
        "linear": _linear_flops,
        "add": _data_elements,
        "sub": _data_elements,
        "mul": _data_elements,
        "concat": _data_elements,
        "transpose": _operand_elements,
        "gather": _gather_elements,
        "softmax": _per_element(17.5),
        "layer_norm": _per_element(18.5),
        "scaled_dot_product_attention": _per_element(0),
    }
)
"""Floating-point operations by kind; 1 per element of the result for every other."""


def flops(operation: Operation) -> float:
    """Floating-point operations as the estimator counts them."""
    return FLOPS.get(operation.kind, _per_element(1))(operation)


_ARGUMENTS_FREE = frozenset({"layer_norm", "instance_norm", "batch_norm"})
"""Kinds whose constant operands are not part of the counted bytes."""


def moved_bytes(operation: Operation) -> float:
    """Bytes that the estimator counts: operands, numeric constants included, and the first result."""
    free = operation.kind in _ARGUMENTS_FREE
    operands = operation.data if free else operation.operands
    return sum(tensor.bytes for tensor in operands) + operation.result.bytes


# Decision trees --------------------------------------------------------------------------------------------------


def _intensity(operation: Operation) -> float:
    """FLOPs per byte of data, result and weights."""
    moved = moved_bytes(operation)
    return flops(operation) / moved if moved else 0.0


def _weight_bytes(operation: Operation) -> float:
    weight = operation.input("weight")
    return weight.bytes if weight is not None else 0.0


def _rank3(operation: Operation) -> float:
    return float(operation.result.shape is not None and len(operation.result.shape) == 5)


@dataclass(frozen=True, slots=True)
class Leaf:
    """Rates of one leaf of a decision tree, in billions of counted FLOPs per second.

    Attributes:
        least: the leaf holds for features from here on.
        ane, bnns, classic: rates by backend; None where nothing was read out.
    """

    least: float
    ane: float | None
    bnns: float | None
    classic: float | None

    def rate(self, backend: Backend) -> float | None:
        """The rate on a backend."""
        return {Backend.ANE: self.ane, Backend.BNNS: self.bnns, Backend.CLASSIC_CPU: self.classic}[backend]


@dataclass(frozen=True, slots=True)
class Tree:
    """What is known of one decision tree: a feature, and the leaves that were seen, the highest first."""

    feature: Callable[[Operation], float]
    leaves: tuple[Leaf, ...]

    def leaf(self, operation: Operation) -> Leaf | None:
        """The leaf of an operation, None where none was seen."""
        value = self.feature(operation)
        return next((leaf for leaf in self.leaves if value >= leaf.least), None)


def _always(operation: Operation) -> float:
    return 0.0


# Bounds between leaves lie at the geometric mean of the nearest operations seen on either side: convolutions of 8.8,
# 12.8, 42.7 and 67 FLOPs per byte; linear layers of 128 and 256 KiB; transposes of 65,540 and 131,076 elements.
_CONV_HIGH, _CONV_MIDDLE = 53.6, 10.6
_RELU = Tree(_always, (Leaf(0, 25, 25, 25),))
_H16_ADD = Tree(_always, (Leaf(0, 17.9902, 10.56110, 9.18182),))
_H16_TREES: Mapping[str, Tree] = MappingProxyType(
    {
        "conv": Tree(
            _intensity,
            (
                Leaf(_CONV_HIGH, 16151.67, 754.4927, 655.9559),
                Leaf(_CONV_MIDDLE, 7160.83, 388.0614, 337.3806),
                Leaf(0, 471.181, 27.08522, 23.54789),
            ),
        ),
        "conv_transpose": Tree(_rank3, (Leaf(1, 37832.0, 211.6604, 184.0177), Leaf(0, 15205.03, 63.14248, 54.89607))),
        "linear": Tree(
            _weight_bytes, (Leaf(185_364, 5290.790, 167.7583, 145.8492), Leaf(0, 580.4503, 22.54379, 19.59956))
        ),
        "relu": _RELU,
        "add": _H16_ADD,
        "sub": _H16_ADD,
        "mul": Tree(_always, (Leaf(0, 21.5, 5.751092, 5),)),
        "concat": Tree(_always, (Leaf(0, 50, 5.751092, 5),)),
        "transpose": Tree(flops, (Leaf(92_687, 11.42828, 0.937736, 0.815268), Leaf(0, 17.21867, 21.87158, 19.01515))),
        "upsample_bilinear": Tree(_always, (Leaf(0, 79.31417, 0.524671, 0.456149),)),
        "gather": Tree(_always, (Leaf(0, None, 11.50218, 10),)),
    }
)
_H13_ADD = Tree(_always, (Leaf(0, 16.4746, 7.27774, 6.32709),))
_TREES: Mapping[str, Mapping[str, Tree]] = MappingProxyType(
    {
        "h13g": MappingProxyType(
            {
                "conv": Tree(
                    _intensity,
                    (Leaf(_CONV_HIGH, 11582.92, 729.2046, 633.9690), Leaf(_CONV_MIDDLE, 5979.05, 298.1026, 259.1716)),
                ),
                "relu": _RELU,
                "add": _H13_ADD,
                "transpose": Tree(_always, (Leaf(0, 15.51243, 14.58389, 12.67943),)),
                "upsample_bilinear": Tree(_always, (Leaf(0, 66.36557, 0.445750, 0.387535),)),
                "gather": Tree(_always, (Leaf(0, None, 11.50218, 10),)),
            }
        ),
        "h14g": MappingProxyType({"conv": Tree(_intensity, (Leaf(_CONV_HIGH, 16151.67, 754.4927, 655.9559),))}),
        "h16g": _H16_TREES,
        "h17g": MappingProxyType(
            {
                "conv": Tree(_intensity, (Leaf(_CONV_HIGH, 8609.6, 1192.750, None),)),
                "matmul": Tree(_always, (Leaf(0, 11244.8, 359.2552, None),)),
            }
        ),
        "h18g": _H16_TREES,
    }
)
"""By platform and kind: what was read out. h16g and h18g give equal estimates for all models that were measured."""

_SEEN_BY_FORMULA = frozenset({"softmax", "layer_norm", "reduce_sum"})
"""Kinds that were seen to follow the formula on h13g; on h16g and h18g every kind without a tree was."""


def estimate(operation: Operation, platform: Platform, backend: Backend) -> Estimate:
    """The time that the segmenter expects of an operation on a backend.

    Args:
        operation: with static shapes.
        platform: whose file is used.
        backend: whether it supports the operation at all is not asked here.
    """
    if any(tensor.shape is None for tensor in (*operation.data, *operation.results)):
        return Estimate(None, "a dimension is not known before run time")
    if operation.kind in ("identity", "squeeze", "expand_dims") and not operation.result.size:
        return Estimate(0.0, "formula")
    tree = _TREES.get(platform.name, {}).get(operation.kind)
    leaf = tree.leaf(operation) if tree is not None else None
    rate = leaf.rate(backend) if leaf is not None else None
    if rate is not None:
        return Estimate(flops(operation) / rate / 1e6, "measured")
    peak = platform.throughput.get(backend)
    if peak is None:
        return Estimate(None, f"no constants are known for {platform.name}")
    ms = max(flops(operation) / peak.gflops / 1e6, moved_bytes(operation) / _MIB / (1.024 * peak.gbytes))
    confirmed = platform.measured or operation.kind in _SEEN_BY_FORMULA
    return Estimate(ms, "formula" if confirmed else "assumed")
