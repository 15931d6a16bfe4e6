"""How each function of one element runs: lookup tables, and the planar steps around them.

A recipe is a short straight line of steps. A table step is one task of the neural engine (or the last stage of a
convolution), a planar step one task of the planar engine; each rounds its result to fp16. What Apple's compiler does
is taken over where it is known; the other tables are fitted here, and the text of each recipe says which.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from openane.backend.functions import compositions, hyperbolic, tables
from openane.backend.functions.steps import LN_2, PlanarStep, PlanarStepOperation, Recipe, Step, TableStep
from openane.backend.rules import Query, RuleKind, rule
from openane.core.errors import InputError, UnsupportedError
from openane.net.units.neuron import SELU_ALPHA, SELU_GAMMA, NeuronKind, NeuronParams
from openane.numerics.fitting import Function, Tail, fit_table
from openane.numerics.tables import LookupTable, SignRule, TableMode


def reference(kind: NeuronKind, alpha: float = 0.0, beta: float = 0.0) -> Function:
    """The function itself, in double precision."""
    neuron = NeuronParams(kind, alpha, beta)
    return lambda x: np.asarray(neuron.evaluate((x,)), dtype=np.float64)


def kinds() -> tuple[NeuronKind, ...]:
    """Every function that has a recipe."""
    return (*_RECIPES, *_COMPOSITIONS)


def recipe(kind: NeuronKind, alpha: float = 0.0, beta: float = 0.0) -> Recipe:
    """How a function runs on the engine.

    Args:
        kind, alpha, beta: as in :class:`openane.net.units.neuron.NeuronParams`.

    Raises:
        UnsupportedError: the function has no recipe (PReLU has one slope per channel and is not a table).
        InputError: a constant is not a finite fp16 number.
    """
    composed = _COMPOSITIONS.get(kind)
    if composed is not None:
        return composed()
    make = _RECIPES.get(kind)
    if make is None:
        raise UnsupportedError.of(known_function, kind.value, detail=f"no recipe for {kind.value}")
    return make(alpha, beta)


def find_recipe(neuron: NeuronParams) -> Recipe | None:
    """The steps of a function; None when the engine has none, or none for these constants."""
    try:
        return recipe(neuron.kind, neuron.alpha, neuron.beta)
    except (UnsupportedError, InputError):
        return None


@rule(
    "function",
    family="unary function",
    kind=RuleKind.COMPILER,
    limit=lambda machine: ", ".join(sorted(kind.value for kind in (*kinds(), NeuronKind.PRELU))),
    hint="Compose it of functions that have tables, where the precision allows, or compute it on the host.",
    evidence="execution.md#tables; docs/tables.md: the functions that have a table or a composition",
)
def known_function(query: Query) -> object | None:
    """The engine has no table or operation for this function."""
    neuron = query.params
    assert isinstance(neuron, NeuronParams)
    if neuron.kind is NeuronKind.PRELU or find_recipe(neuron):
        return None
    constants = f" with constants {neuron.alpha:g} and {neuron.beta:g}" if neuron.kind in kinds() else ""
    return f"{neuron.kind.value}{constants}"


_Make = Callable[[float, float], Recipe]
_APPLE = "as Apple's compiler writes it"
_EXACT = "only the rounding to fp16"
_FITTED = "fitted here"
_IDENTITY = Tail(1.0)


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


def _curve(kind: NeuronKind, exponents: tuple[int, ...], left: Tail) -> _Make:
    """One fitted table around 0."""
    return lambda alpha, beta: Recipe(
        (TableStep(_fitted(kind, alpha, beta, TableMode.CENTERED, SignRule.NONE, left, _IDENTITY, exponents)),), _FITTED
    )


def _odd(kind: NeuronKind, exponents: tuple[int, ...], right: Tail) -> _Make:
    """One fitted table of an odd function."""
    return lambda alpha, beta: Recipe(
        (TableStep(_fitted(kind, alpha, beta, TableMode.DIRECT, SignRule.ODD, None, right, exponents)),), _FITTED
    )


def _elu(alpha: float, beta: float) -> Recipe:
    tail = Tail(0.0, -tables.finite_half(alpha, "alpha"))
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
    return Recipe((TableStep(tables.rsqrt(), bias=tables.finite_half(alpha, "epsilon")),), _APPLE)


def _reciprocal(alpha: float, beta: float) -> Recipe:
    return Recipe((TableStep(tables.reciprocal(), bias=tables.finite_half(alpha, "epsilon")),), _APPLE)


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
        NeuronKind.HARD_SWISH: _always(
            TableStep(tables.ramp(1 / 6, 0.5)),
            PlanarStep(PlanarStepOperation.MULTIPLY, second=1),
            source="a ramp and a product; one table of the curve would be off by up to 0.003",
        ),
        NeuronKind.SOFTPLUS: _curve(NeuronKind.SOFTPLUS, (0, 1, 2), Tail()),
        NeuronKind.MISH: _curve(NeuronKind.MISH, (0, 1, 2), Tail()),
        NeuronKind.ERF: _odd(NeuronKind.ERF, (3, 4, 5), Tail(0.0, 1.0)),
        NeuronKind.HARD_SIGMOID: _hard_sigmoid,
        NeuronKind.SQUARE: _always(PlanarStep(PlanarStepOperation.MULTIPLY)),
        NeuronKind.ABS: _always(PlanarStep(magnitude=True)),
        NeuronKind.NEGATE: _always(PlanarStep(scale=-1.0)),
        NeuronKind.SIGN: _table(tables.sign),
        NeuronKind.TRUNC: _table(tables.integer),
    }
)

_COMPOSITIONS: Mapping[NeuronKind, Callable[[], Recipe]] = MappingProxyType(
    {
        NeuronKind.CEIL: compositions.ceil,
        NeuronKind.FLOOR: compositions.floor,
        NeuronKind.FRAC: compositions.fraction,
        NeuronKind.ROUND: compositions.round_to_even,
        NeuronKind.GELU_TANH: compositions.gelu_by_tanh,
        NeuronKind.GELU_SIGMOID: compositions.gelu_by_sigmoid,
        NeuronKind.SOFTSIGN: compositions.softsign,
        NeuronKind.SIN: compositions.sine,
        NeuronKind.COS: compositions.cosine,
        NeuronKind.TAN: compositions.tangent,
        NeuronKind.ASIN: compositions.arc_sine,
        NeuronKind.ACOS: compositions.arc_cosine,
        NeuronKind.ATAN: compositions.arc_tangent,
        NeuronKind.SINH: hyperbolic.sine,
        NeuronKind.COSH: hyperbolic.cosine,
        NeuronKind.ASINH: hyperbolic.inverse_sine,
        NeuronKind.ACOSH: hyperbolic.inverse_cosine,
        NeuronKind.ATANH: hyperbolic.inverse_tangent,
    }
)
