"""The steps that a function of one element is made of.

A table step is one task of the neural engine (or the last stage of a convolution), a planar step one task of the planar
engine. Each rounds its result to fp16.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from openane.numerics.fp16 import rounded_number
from openane.numerics.tables import LookupTable

LN_2 = rounded_number(math.log(2))
"""Scale after the log2 table to make it the natural logarithm, as in Apple's program: 0x398C."""

INPUT = 0
"""The operand that is the function's argument."""


@dataclass(frozen=True, slots=True)
class TableStep:
    """table(scale * (operand + bias)); scale is the engine's PostScale, bias its AccBias.

    No recipe uses both, because their order on the hardware is not known.

    Attributes:
        operand: INPUT, or n for the result of the n-th step, from 1.
    """

    table: LookupTable
    operand: int = INPUT
    scale: float = 1.0
    bias: float = 0.0


class PlanarStepOperation(Enum):
    """What a planar task does with its operands."""

    ONE = "one operand"
    ADD = "add"
    MULTIPLY = "multiply"
    MAXIMUM = "maximum"
    MINIMUM = "minimum"


@dataclass(frozen=True, slots=True)
class PlanarStep:
    """scale * operation(pre_scale * first, second) + bias; |...| before the scale when `magnitude` is set, then ReLU.

    Attributes:
        first, second: operands, numbered as in TableStep; `second` counts for two-operand operations only.
        pre_scale, scale, bias: fp16 numbers.
    """

    operation: PlanarStepOperation = PlanarStepOperation.ONE
    first: int = INPUT
    second: int = INPUT
    pre_scale: float = 1.0
    scale: float = 1.0
    bias: float = 0.0
    magnitude: bool = False
    relu: bool = False


Step = TableStep | PlanarStep


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one function is computed.

    Attributes:
        steps: in order of execution; the last one gives the result.
        source: where the choice comes from.
        domain: arguments for which the recipe is meant; outside it the result is not the function's.
    """

    steps: tuple[Step, ...]
    source: str
    domain: tuple[float, float] = (-math.inf, math.inf)

    @property
    def table(self) -> LookupTable | None:
        """The table, when the recipe is a single one without AccBias and can follow a convolution."""
        (first, *others) = self.steps
        alone = isinstance(first, TableStep) and not others and not first.bias
        return first.table if isinstance(first, TableStep) and alone else None


class Composer:
    """Puts steps together; each method adds one and returns the operand that means its result."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def _added(self, step: Step) -> int:
        self.steps.append(step)
        return len(self.steps)

    def look_up(self, table: LookupTable, operand: int, *, scale: float = 1.0, bias: float = 0.0) -> int:
        """table(scale * (operand + bias))."""
        return self._added(TableStep(table, operand, scale, bias))

    def line(self, operand: int, *, scale: float = 1.0, bias: float = 0.0) -> int:
        """scale * operand + bias."""
        return self._added(PlanarStep(first=operand, scale=scale, bias=bias))

    def magnitude(self, operand: int, *, scale: float = 1.0, bias: float = 0.0) -> int:
        """scale * |operand| + bias."""
        return self._added(PlanarStep(first=operand, magnitude=True, scale=scale, bias=bias))

    def add(self, first: int, second: int, *, pre_scale: float = 1.0, scale: float = 1.0, bias: float = 0.0) -> int:
        """scale * (pre_scale * first + second) + bias."""
        return self._added(PlanarStep(PlanarStepOperation.ADD, first, second, pre_scale, scale, bias))

    def multiply(self, first: int, second: int, *, scale: float = 1.0, bias: float = 0.0) -> int:
        """scale * first * second + bias."""
        return self._added(PlanarStep(PlanarStepOperation.MULTIPLY, first, second, 1.0, scale, bias))

    def recipe(self, source: str, domain: tuple[float, float] = (-math.inf, math.inf)) -> Recipe:
        """What was put together; the last step gives the result."""
        return Recipe(tuple(self.steps), source, domain)
