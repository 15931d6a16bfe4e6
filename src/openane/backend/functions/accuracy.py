"""How far each function of one element is from its definition, over every fp16 argument."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from openane.backend.functions.recipes import recipe, reference
from openane.backend.functions.steps import PlanarStep, PlanarStepOperation, Recipe, TableStep
from openane.net.units.neuron import NeuronKind
from openane.numerics.fitting import Array
from openane.numerics.fp16 import to_fp16
from openane.numerics.lookup import CompiledTable, from_fp16_words, to_fp16_words

Floats = npt.NDArray[np.float32]

SMALLEST_NORMAL = 2.0**-14
"""The smallest normal fp16 number."""

_OPERATIONS: Mapping[PlanarStepOperation, Callable[[Floats, Floats], Floats]] = MappingProxyType(
    {
        PlanarStepOperation.ONE: lambda first, _: first,
        PlanarStepOperation.ADD: np.add,
        PlanarStepOperation.MULTIPLY: np.multiply,
        PlanarStepOperation.MAXIMUM: np.maximum,
        PlanarStepOperation.MINIMUM: np.minimum,
    }
)


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How far a recipe is from its function, over every finite fp16 argument of a range.

    Arguments where the function itself is not finite in fp16 are left out.

    Attributes:
        largest: largest absolute error; at: the argument where it occurs.
        largest_relative: largest relative error where |f| is a normal fp16 number; relative_at: the argument. Below,
            fp16 itself holds few digits.
    """

    largest: float
    at: float
    largest_relative: float
    relative_at: float


def half_numbers(low: float = -math.inf, high: float = math.inf) -> Array:
    """Every finite fp16 number from low to high, ascending, zero once."""
    numbers = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite = np.unique(numbers[np.isfinite(numbers)]).astype(np.float64)
    return finite[(finite >= low) & (finite <= high)]


def values(kind: NeuronKind, alpha: float, beta: float, *, within: float) -> tuple[Array, Array, Array]:
    """Arguments with |x| <= within in the domain of a recipe, the function there, and what the recipe gives.

    Arguments where the function is not finite in fp16 are left out.

    Raises:
        UnsupportedError: the function has no recipe.
        InputError: a constant is not a finite fp16 number.
    """
    found = recipe(kind, alpha, beta)
    x = half_numbers(max(found.domain[0], -within), min(found.domain[1], within))
    with np.errstate(all="ignore"):
        wanted = reference(kind, alpha, beta)(x)
        kept = np.isfinite(to_fp16(wanted))
    x, wanted = x[kept], wanted[kept]
    return x, wanted, evaluate(found, to_fp16(x)).astype(np.float64)


def measure(kind: NeuronKind, alpha: float = 0.0, beta: float = 0.0, *, within: float = math.inf) -> Accuracy:
    """The error of a recipe over its domain, or over the part of it with |x| <= within.

    Raises:
        UnsupportedError: the function has no recipe.
        InputError: a constant is not a finite fp16 number.
    """
    x, wanted, result = values(kind, alpha, beta, within=within)
    error = np.abs(result - wanted)
    large = np.abs(wanted) >= SMALLEST_NORMAL
    relative = np.where(large, error / np.where(large, np.abs(wanted), 1), 0)
    worst, worst_relative = int(error.argmax()), int(relative.argmax())
    return Accuracy(float(error[worst]), float(x[worst]), float(relative[worst_relative]), float(x[worst_relative]))


def evaluate(steps: Recipe, x: npt.NDArray[np.float16]) -> npt.NDArray[np.float16]:
    """The function as the engine computes it: single precision within a step, each result stored as fp16."""
    values = [from_fp16_words(x.view(np.uint16))]
    stored = x.view(np.uint16)
    with np.errstate(all="ignore"):
        for step in steps.steps:
            result = _table(step, values) if isinstance(step, TableStep) else _planar(step, values)
            stored = to_fp16_words(result)
            values.append(from_fp16_words(stored))
    return stored.view(np.float16)


def _table(step: TableStep, values: list[Floats]) -> Floats:
    argument = (values[step.operand] + np.float32(step.bias)) * np.float32(step.scale)
    return CompiledTable.of(step.table.encode()).evaluate(argument)


def _planar(step: PlanarStep, values: list[Floats]) -> Floats:
    result = _OPERATIONS[step.operation](np.float32(step.pre_scale) * values[step.first], values[step.second])
    if step.magnitude:
        result = np.abs(result)
    result = result * np.float32(step.scale) + np.float32(step.bias)
    return np.maximum(result, np.float32(0)) if step.relu else result
