"""Rules about operands, whatever operation reads them: element types, axes, constants."""

from __future__ import annotations

from collections.abc import Container, Sequence

import numpy as np

from openane.core.rules import RuleKind, rule
from openane.core.types import DType
from openane.graph import TensorType
from openane.numerics.limits import HALF_LARGEST

FEWER_AXES = "Reshape {operand} ({type}) so that fewer axes are longer than 1."
MERGE_AXES = "Merge neighboring axes by a Reshape, so that fewer are left."
INTEGERS_HINT = "Compute {operand} before the model, or in floating point where its values stay below 2048."

LOOK_UP_HINT = (
    "Do the look-up of {operand} before the model and make its result an input, or multiply by a one-hot matrix."
)

FLOATING = tuple(each for each in DType if each.is_float)
ENGINE_AXES = 5
"""Dimensions of the engine's tensors."""


@rule(
    "element-types",
    family="every operation",
    kind=RuleKind.ENGINE,
    limit="floating point and booleans; 8-bit integers as inputs of the model",
    hint=INTEGERS_HINT,
    evidence="limits.md#sizes: integer arithmetic and int32 casts are refused",
)
def element_type(name: str, found: DType, allowed: Container[DType]) -> object | None:
    """The engine computes in half precision and has no integers."""
    return None if found in allowed else f"{name!r} is {found.value}"


@rule(
    "empty",
    family="every operation",
    kind=RuleKind.ENGINE,
    limit="at least one element",
    hint="Remove the branch that makes a tensor without elements.",
    evidence="execution.md#hangs: sizes of 0 stop a chip",
)
def not_empty(name: str, found: TensorType) -> object | None:
    """The engine has no empty tensors."""
    return None if found.size else f"{name!r} is {found}"


@rule(
    "five-dimensions",
    family="every operation",
    kind=RuleKind.ENGINE,
    limit=f"{ENGINE_AXES} axes longer than 1; for a transpose, {ENGINE_AXES} groups of axes that stay together",
    hint="Merge neighboring axes by a Reshape first, so that at most five are left.",
    evidence="limits.md#sizes: rank 5",
)
def five_dimensions(axes: int, shape: Sequence[int]) -> object | None:
    """The tensor has more axes than the engine's five dimensions."""
    return f"shape {list(shape)}" if axes > ENGINE_AXES else None


@rule(
    "channel-axes",
    family="operation on channels",
    kind=RuleKind.COMPILER,
    limit="two to four axes",
    hint=FEWER_AXES,
    evidence="openane.compiler.lowering.layout: images have a batch, channels and at most two more axes",
)
def channel_axes(shape: Sequence[int]) -> object | None:
    """The tensor has too few or too many axes for an operation on channels."""
    return None if 2 <= len(shape) <= 4 else f"shape {list(shape)}"


@rule(
    "constant-weights",
    family="every operation",
    kind=RuleKind.COMPILER,
    limit="a constant of the model",
    hint="Make the operand a constant of the model, or write the layer as MatMul of two tensors.",
    evidence="encoding.md#kernel-registers: kernels are packed into the constant section",
)
def known_weights(name: str, array: np.ndarray | None) -> object | None:
    """The operand must be constant."""
    return f"{name!r} is computed at run time" if array is None else None


@rule(
    "constant-factors",
    family="every operation",
    kind=RuleKind.ENGINE,
    limit=f"at most {HALF_LARGEST:g} in size",
    hint="Scale the layer down, for example by a factor that the next layer takes back.",
    evidence="arithmetic.md#mac: an infinite factor counts as 65536; a clamped one would change every product",
)
def finite_factor(array: np.ndarray) -> object | None:
    """The layer multiplies by a constant that fp16 does not hold."""
    fits = array.dtype.kind != "f" or bool(np.all(np.abs(array) <= HALF_LARGEST))
    return None if fits else f"{float(np.abs(array).max()):g}"


@rule(
    "constant-nan",
    family="every operation",
    kind=RuleKind.ENGINE,
    limit="numbers",
    hint="Replace the NaN in the constant by a number.",
    evidence="arithmetic.md#mac: a NaN is a number between 65536 and 131008",
)
def no_nan(array: np.ndarray) -> object | None:
    """A constant is NaN, which the engine does not have."""
    return "a constant that is not a number" if np.isnan(array).any() else None


@rule(
    "unit-operands",
    family="every operation",
    kind=RuleKind.COMPILER,
    limit="operands that the unit takes",
    hint="Reshape the operands, or keep this layer on the host with --keep-on-host.",
    evidence="openane.net.units: the shape rule of the unit",
)
def unit_operands(finding: str) -> object | None:
    """The unit of the engine does not take these operands."""
    return finding or None
