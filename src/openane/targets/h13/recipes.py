"""How each function of one element runs on H13: lookup tables, and the planar steps around them.

A recipe is a short straight line of steps. A table step is one task of the neural engine (or the last stage of a
convolution), a planar step one task of the planar engine; each rounds its result to fp16. What Apple's compiler does
is taken over where it is known; the other tables are fitted here, and the text of each recipe says which.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from openane.core.errors import UnsupportedError
from openane.net.units.neuron import SELU_ALPHA, SELU_GAMMA, Neuron, NeuronKind
from openane.numerics.fitting import Array, Function, Tail, fit_table, half
from openane.numerics.tables import LookupTable, SignRule, TableMode
from openane.targets.h13 import tables

LN_2 = tables.to_half(math.log(2))
"""Scale behind the log2 table to make it the natural logarithm, as in Apple's program: 0x398C."""

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

    def evaluate(self, values: list[Array]) -> Array:
        """Before the rounding of the result."""
        return self.table.evaluate((values[self.operand] + self.bias) * self.scale)


class PlanarOperation(Enum):
    """What a planar task does with its operands."""

    ONE = "one operand"
    ADD = "add"
    MULTIPLY = "multiply"
    MAXIMUM = "maximum"
    MINIMUM = "minimum"


_OPERATIONS: Mapping[PlanarOperation, Callable[[Array, Array], Array]] = MappingProxyType(
    {
        PlanarOperation.ONE: lambda first, _: first,
        PlanarOperation.ADD: np.add,
        PlanarOperation.MULTIPLY: np.multiply,
        PlanarOperation.MAXIMUM: np.maximum,
        PlanarOperation.MINIMUM: np.minimum,
    }
)


@dataclass(frozen=True, slots=True)
class PlanarStep:
    """scale * operation(pre_scale * first, second) + bias; |...| before the scale when `magnitude` is set, then ReLU.

    Attributes:
        first, second: operands, numbered as in TableStep; `second` counts for two-operand operations only.
        pre_scale, scale, bias: fp16 numbers.
    """

    operation: PlanarOperation = PlanarOperation.ONE
    first: int = INPUT
    second: int = INPUT
    pre_scale: float = 1.0
    scale: float = 1.0
    bias: float = 0.0
    magnitude: bool = False
    relu: bool = False

    def evaluate(self, values: list[Array]) -> Array:
        """Before the rounding of the result."""
        result = _OPERATIONS[self.operation](self.pre_scale * values[self.first], values[self.second])
        if self.magnitude:
            result = np.abs(result)
        result = result * self.scale + self.bias
        return np.maximum(result, 0) if self.relu else result


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

    def evaluate(self, x: npt.ArrayLike) -> npt.NDArray[np.float16]:
        """The function as the engine computes it: every step in double precision, rounded once to fp16."""
        values = [np.asarray(x, dtype=np.float64)]
        with np.errstate(all="ignore"):
            for step in self.steps:
                values.append(half(step.evaluate(values)))
            return values[-1].astype(np.float16)


@dataclass(frozen=True, slots=True)
class TableError:
    """How far a recipe is from its function, over every finite fp16 argument of a range.

    Arguments where the function itself is not finite in fp16 are left out.

    Attributes:
        largest: largest absolute error; at: the argument where it occurs.
        largest_relative: largest relative error where |f| >= 2^-10; relative_at: the argument.
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


def measure(kind: NeuronKind, alpha: float = 0.0, beta: float = 0.0, *, within: float = math.inf) -> TableError:
    """The error of a recipe over its domain, or over the part of it with |x| <= within."""
    found = recipe(kind, alpha, beta)
    x = half_numbers(max(found.domain[0], -within), min(found.domain[1], within))
    wanted = reference(kind, alpha, beta)(x)
    kept = np.isfinite(half(wanted))
    x, wanted = x[kept], wanted[kept]
    error = np.abs(found.evaluate(x).astype(np.float64) - wanted)
    large = np.abs(wanted) >= 2.0**-10
    relative = np.where(large, error / np.where(large, np.abs(wanted), 1), 0)
    worst, worst_relative = int(error.argmax()), int(relative.argmax())
    return TableError(float(error[worst]), float(x[worst]), float(relative[worst_relative]), float(x[worst_relative]))


def reference(kind: NeuronKind, alpha: float = 0.0, beta: float = 0.0) -> Function:
    """The function itself, in double precision."""
    neuron = Neuron(kind, alpha, beta)
    return lambda x: np.asarray(neuron.evaluate((x,)), dtype=np.float64)


def recipe(kind: NeuronKind, alpha: float = 0.0, beta: float = 0.0) -> Recipe:
    """How a function runs on the engine.

    Args:
        kind, alpha, beta: as in :class:`openane.net.units.neuron.Neuron`.

    Raises:
        UnsupportedError: the function has no recipe (PReLU has one slope a channel and is not a table).
        InputError: a constant is not a finite fp16 number.
    """
    make = _RECIPES.get(kind)
    if make is None:
        raise UnsupportedError(f"no recipe for {kind.value}", rule="unary function", hint="Decompose it first.")
    return make(alpha, beta)


_Make = Callable[[float, float], Recipe]
_APPLE = "as Apple's compiler writes it"
_EXACT = "exact in fp16"
_FITTED = "fitted here"
_COMPOSED = "composed of Apple's tables here"


def _table(make: Callable[[], LookupTable], source: str = _APPLE, *, scale: float = 1.0) -> _Make:
    return lambda alpha, beta: Recipe((TableStep(make(), scale=scale),), source)


def _always(*steps: Step, source: str = _EXACT) -> _Make:
    return lambda alpha, beta: Recipe(steps, source)


@functools.lru_cache(maxsize=256)
def _fitted(
    kind: NeuronKind,
    alpha: float,
    beta: float,
    mode: TableMode,
    sign: SignRule,
    left: Tail | None,
    right: Tail | None,
    exponents: tuple[int, ...],
) -> LookupTable:
    function = reference(kind, alpha, beta)
    return fit_table(function, mode=mode, left=left, right=right, sign=sign, exponents=exponents).table


def _curve(kind: NeuronKind, exponents: tuple[int, ...], left: Tail, right: Tail = Tail(1.0)) -> _Make:
    """One fitted table around 0."""
    return lambda alpha, beta: Recipe(
        (TableStep(_fitted(kind, alpha, beta, TableMode.CENTRED, SignRule.NONE, left, right, exponents)),), _FITTED
    )


def _odd(kind: NeuronKind, exponents: tuple[int, ...], right: Tail) -> _Make:
    """One fitted table of an odd function."""
    return lambda alpha, beta: Recipe(
        (TableStep(_fitted(kind, alpha, beta, TableMode.DIRECT, SignRule.ODD, None, right, exponents)),), _FITTED
    )


def _elu(alpha: float, beta: float) -> Recipe:
    tail = Tail(0.0, -alpha)
    table = _fitted(NeuronKind.ELU, alpha, 0.0, TableMode.ENDING_AT_ZERO, SignRule.NONE, tail, Tail(1.0), (1, 2, 3, 4))
    return Recipe((TableStep(table),), _FITTED)


def _selu(alpha: float, beta: float) -> Recipe:
    left, right = Tail(0.0, -SELU_GAMMA * SELU_ALPHA), Tail(SELU_GAMMA)
    table = _fitted(NeuronKind.SELU, 0.0, 0.0, TableMode.ENDING_AT_ZERO, SignRule.NONE, left, right, (1, 2, 3, 4))
    return Recipe((TableStep(table),), _FITTED)


def _clamp(alpha: float, beta: float) -> Recipe:
    if math.isinf(alpha) and math.isinf(beta):
        return Recipe((PlanarStep(),), _EXACT)
    if math.isinf(beta):
        return Recipe((TableStep(tables.maximum(alpha)),), _APPLE)
    if math.isinf(alpha):
        return Recipe((TableStep(tables.minimum(beta)),), _APPLE)
    return Recipe((TableStep(tables.clip(alpha, beta)),), _APPLE)


def _thresholded_relu(alpha: float, beta: float) -> Recipe:
    return Recipe((TableStep(tables.thresholded(alpha)),), _EXACT)


def _hard_sigmoid(alpha: float, beta: float) -> Recipe:
    return Recipe((TableStep(tables.ramp(alpha, beta)),), "one line between limits; the constants are fp16")


def _rsqrt(alpha: float, beta: float) -> Recipe:
    return Recipe((TableStep(tables.rsqrt(), bias=tables.to_half(alpha)),), _APPLE)


def _reciprocal(alpha: float, beta: float) -> Recipe:
    return Recipe((TableStep(tables.reciprocal(), bias=tables.to_half(alpha)),), _APPLE)


def _add(first: int, second: int, **scales: float) -> PlanarStep:
    return PlanarStep(PlanarOperation.ADD, first, second, **scales)


_RECIPES: Mapping[NeuronKind, _Make] = MappingProxyType(
    {
        NeuronKind.IDENTITY: _always(PlanarStep()),
        NeuronKind.RELU: _always(PlanarStep(relu=True)),
        NeuronKind.LEAKY_RELU: lambda alpha, beta: Recipe((TableStep(tables.leaky_relu(alpha)),), _APPLE),
        NeuronKind.CLAMP: _clamp,
        NeuronKind.THRESHOLDED_RELU: _thresholded_relu,
        NeuronKind.SIGMOID: _table(tables.sigmoid),
        NeuronKind.TANH: _table(tables.tanh),
        NeuronKind.GELU: _table(tables.gelu),
        NeuronKind.SILU: _table(tables.silu),
        NeuronKind.EXP: _table(tables.exp2, scale=tables.LOG2_E),
        NeuronKind.EXP2: _table(tables.exp2),
        NeuronKind.LOG: _always(TableStep(tables.log2()), PlanarStep(first=1, scale=LN_2), source=_APPLE),
        NeuronKind.LOG2: _table(tables.log2),
        NeuronKind.SQRT: _table(tables.sqrt),
        NeuronKind.RSQRT: _rsqrt,
        NeuronKind.RECIPROCAL: _reciprocal,
        NeuronKind.ELU: _elu,
        NeuronKind.SELU: _selu,
        NeuronKind.GELU_TANH: _curve(NeuronKind.GELU_TANH, (1, 2, 3), Tail()),
        NeuronKind.GELU_SIGMOID: _curve(NeuronKind.GELU_SIGMOID, (1, 2, 3), Tail()),
        NeuronKind.HARD_SWISH: _curve(NeuronKind.HARD_SWISH, (1, 2, 3), Tail()),
        NeuronKind.SOFTPLUS: _curve(NeuronKind.SOFTPLUS, (0, 1, 2), Tail()),
        NeuronKind.MISH: _curve(NeuronKind.MISH, (0, 1, 2), Tail()),
        NeuronKind.ERF: _odd(NeuronKind.ERF, (3, 4, 5), Tail(0.0, 1.0)),
        NeuronKind.HARD_SIGMOID: _hard_sigmoid,
        NeuronKind.SQUARE: _always(PlanarStep(PlanarOperation.MULTIPLY)),
        NeuronKind.ABS: _always(PlanarStep(magnitude=True)),
        NeuronKind.NEGATE: _always(PlanarStep(scale=-1.0)),
        NeuronKind.SIGN: _table(tables.sign),
        NeuronKind.TRUNC: _table(tables.integer),
        # Apple's ceil: trunc(x), and 1 more where the fraction is positive.
        NeuronKind.CEIL: _always(
            TableStep(tables.fraction()),
            TableStep(tables.step(), 1),
            TableStep(tables.integer()),
            _add(2, 3),
            source=_APPLE,
        ),
        NeuronKind.FLOOR: _always(
            TableStep(tables.fraction()),
            TableStep(tables.step(), 1, scale=-1.0),
            TableStep(tables.integer()),
            _add(2, 3, pre_scale=-1.0),
        ),
        NeuronKind.FRAC: _always(TableStep(tables.fraction()), TableStep(tables.step(), 1, scale=-1.0), _add(1, 2)),
    }
)
