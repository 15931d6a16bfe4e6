"""The estimated time of an operation on a backend, as Core ML's segmenter counts it (placement.md#estimates).

A measured rate of the platform's decision trees where one is known, otherwise max(FLOPs / peak, bytes / bandwidth) with
the constants of the platform's file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from openane.coreml_placement.program import PlacedOperation
from openane.targets.core_ml import Backend, Leaf, Platform

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class BackendEstimate:
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


def _kernel_flops(operation: PlacedOperation) -> float:
    """Convolutions: 2 per multiply-add; the transposed one counts every output pixel with the whole kernel."""
    weight = operation.input("weight")
    if weight is None or weight.shape is None or len(weight.shape) < 3:
        return 0.0
    channels = weight.shape[0] if operation.kind == "conv_transpose" else weight.shape[1]
    return 2.0 * operation.result.size * channels * math.prod(weight.shape[2:])


def _matmul_flops(operation: PlacedOperation) -> float:
    return 2.0 * operation.result.size * _inner(operation)


def _inner(operation: PlacedOperation) -> int:
    x, transposed = operation.input("x"), operation.input("transpose_x")
    if x is None or not x.shape:
        return 0
    turned = bool(transposed is not None and transposed.values and transposed.values[0] and len(x.shape) > 1)
    return x.shape[-2] if turned else x.shape[-1]


def _linear_flops(operation: PlacedOperation) -> float:
    """Rows times the inner dimension twice, and the bias: the estimator takes the inner dimension for the outer one."""
    x, weight = operation.input("x"), operation.input("weight")
    if x is None or weight is None or not x.shape or not weight.shape:
        return 0.0
    return 2.0 * x.size * x.shape[-1] + weight.shape[0]


def _operand_elements(operation: PlacedOperation) -> float:
    """Elements of all numeric operands, constants included."""
    return float(sum(tensor.size for tensor in operation.operands if tensor.dtype not in ("string", "bool")))


def _data_elements(operation: PlacedOperation) -> float:
    """Elements of the operands that make the result: x and y, or the values of a concat."""
    names = ("x", "y", "values")
    return float(sum(tensor.size for name in names for tensor in operation.inputs.get(name, ())))


def _gather_elements(operation: PlacedOperation) -> float:
    return float(sum(tensor.size for tensor in operation.operands if tensor.dtype != "string"))


def _per_element(count: float) -> Callable[[PlacedOperation], float]:
    return lambda operation: count * operation.result.size


FLOPS: Mapping[str, Callable[[PlacedOperation], float]] = MappingProxyType(
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


def flops(operation: PlacedOperation) -> float:
    """Floating-point operations as the estimator counts them."""
    return FLOPS.get(operation.kind, _per_element(1))(operation)


_ARGUMENTS_FREE = frozenset({"layer_norm", "instance_norm", "batch_norm"})
"""Kinds whose constant operands are not part of the counted bytes."""


def moved_bytes(operation: PlacedOperation) -> float:
    """Bytes that the estimator counts: operands, numeric constants included, and the first result.

    Of a list of values it counts the first one.
    """
    free = operation.kind in _ARGUMENTS_FREE
    firsts = (tensors[0] for tensors in operation.inputs.values() if tensors)
    return sum(tensor.bytes for tensor in firsts if not (free and tensor.constant)) + operation.result.bytes


# Decision trees --------------------------------------------------------------------------------------------------


def _intensity(operation: PlacedOperation) -> float:
    """FLOPs per byte of data, result and weights."""
    moved = moved_bytes(operation)
    return flops(operation) / moved if moved else 0.0


def _weight_bytes(operation: PlacedOperation) -> float:
    weight = operation.input("weight")
    return weight.bytes if weight is not None else 0.0


FEATURES: Mapping[str, Callable[[PlacedOperation], float]] = MappingProxyType(
    {"conv": _intensity, "conv_transpose": flops, "linear": _weight_bytes, "transpose": flops}
)
"""What the leaves of a decision tree differ in, by kind; trees of other kinds have one known leaf."""


def _leaf(operation: PlacedOperation, platform: Platform) -> Leaf | None:
    """The leaf of an operation in the tree of its kind; None where none was seen."""
    leaves = platform.leaves.get(operation.kind)
    if leaves is None:
        return None
    feature = FEATURES.get(operation.kind)
    value = feature(operation) if feature is not None else 0.0
    return next((leaf for leaf in leaves if value >= leaf.least), None)


_SEEN_BY_FORMULA = frozenset({"softmax", "layer_norm", "reduce_sum"})
"""Kinds that were seen to follow the formula on H13 too; on H16 and H18 every measured kind without a tree was."""


def _narrowing(operation: PlacedOperation) -> bool:
    """Whether a linear layer has fewer outputs than inputs: how those are counted was never seen."""
    weight = operation.input("weight") if operation.kind == "linear" else None
    shape = weight.shape if weight is not None and weight.shape is not None else ()
    return len(shape) == 2 and shape[0] < shape[1]


def estimate(operation: PlacedOperation, platform: Platform, backend: Backend) -> BackendEstimate:
    """The time that the segmenter expects of an operation on a backend.

    Args:
        operation: with static shapes.
        platform: whose file is used.
        backend: whether it supports the operation at all is not asked here.
    """
    if any(tensor.shape is None for tensor in (*operation.data, *operation.results)):
        return BackendEstimate(None, "a dimension is not known before run time")
    if operation.kind in ("identity", "squeeze", "expand_dims") and not operation.result.size:
        return BackendEstimate(0.0, "formula")
    leaf = _leaf(operation, platform)
    rate = leaf.rate(backend) if leaf is not None else None
    if rate is not None:
        evidence = "assumed" if _narrowing(operation) else "measured"
        return BackendEstimate(flops(operation) / rate / 1e6, evidence)
    peak = platform.throughput.get(backend)
    if peak is None:
        return BackendEstimate(None, f"no constants are known for {platform.name}")
    ms = max(flops(operation) / peak.gflops / 1e6, moved_bytes(operation) / _MIB / (1.024 * peak.gbytes))
    confirmed = platform.measured or operation.kind in _SEEN_BY_FORMULA
    return BackendEstimate(ms, "formula" if confirmed else "assumed")
