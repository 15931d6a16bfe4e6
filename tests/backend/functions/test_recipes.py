"""Each function's recipe against the function itself, over every fp16 argument."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from openane.backend.functions import tables
from openane.backend.functions.accuracy import evaluate, half_numbers, measure
from openane.backend.functions.recipes import kinds, recipe
from openane.backend.functions.steps import INPUT, PlanarStep, Recipe, TableStep
from openane.core.errors import InputError, UnsupportedError
from openane.net.units.neuron import NeuronKind
from openane.numerics.fitting import Tail, fit_table
from openane.numerics.tables import SignRule, TableMode

CONSTANTS = {
    NeuronKind.LEAKY_RELU: (0.01, 0.0),
    NeuronKind.CLAMP: (0.0, 6.0),
    NeuronKind.THRESHOLDED_RELU: (1.1, 0.0),
    NeuronKind.ELU: (1.0, 0.0),
    NeuronKind.HARD_SIGMOID: (1 / 6, 0.5),
}

EXACT = (
    NeuronKind.IDENTITY,
    NeuronKind.RELU,
    NeuronKind.CLAMP,
    NeuronKind.THRESHOLDED_RELU,
    NeuronKind.ABS,
    NeuronKind.NEGATE,
    NeuronKind.SIGN,
    NeuronKind.FLOOR,
    NeuronKind.CEIL,
    NeuronKind.ROUND,
    NeuronKind.TRUNC,
)

LARGEST = {
    NeuronKind.SIGMOID: 3.4e-3,
    NeuronKind.TANH: 1.7e-3,
    NeuronKind.GELU: 6.2e-3,
    NeuronKind.SILU: 1.5e-2,
    NeuronKind.LOG: 1.3e-2,
    NeuronKind.LOG2: 8.1e-3,
    NeuronKind.ELU: 2.3e-3,
    NeuronKind.GELU_TANH: 3.2e-3,
    NeuronKind.GELU_SIGMOID: 4.5e-3,
    NeuronKind.HARD_SWISH: 3e-3,
    NeuronKind.HARD_SIGMOID: 4e-4,
    NeuronKind.SOFTPLUS: 4.3e-3,
    NeuronKind.MISH: 8.3e-3,
    NeuronKind.ERF: 9e-4,
    NeuronKind.SOFTSIGN: 3e-3,
    NeuronKind.FRAC: 2.5e-4,
    NeuronKind.SIN: 1.6e-3,
    NeuronKind.COS: 4.3e-3,
    NeuronKind.ASIN: 2.1e-3,
    NeuronKind.ACOS: 3e-3,
    NeuronKind.ATAN: 3.4e-3,
    NeuronKind.ASINH: 6.5e-3,
    NeuronKind.ACOSH: 6.5e-3,
    NeuronKind.ATANH: 3e-3,
}
"""Absolute error; a change that makes one worse fails."""

JUDGED_WITHIN = {NeuronKind.ASINH: 255.0, NeuronKind.ACOSH: 255.0}
"""Beyond, steps of fp16 are larger than that; the relative error is judged everywhere."""

PASSES_THROUGH_ZERO = {
    NeuronKind.TANH: math.tanh,
    NeuronKind.ERF: math.erf,
    NeuronKind.SIN: math.sin,
    NeuronKind.TAN: math.tan,
    NeuronKind.ASIN: math.asin,
    NeuronKind.ATAN: math.atan,
    NeuronKind.SINH: math.sinh,
    NeuronKind.ASINH: math.asinh,
    NeuronKind.ATANH: math.atanh,
    NeuronKind.SOFTSIGN: lambda x: x / (1 + abs(x)),
}

LARGEST_RELATIVE = {
    NeuronKind.EXP: 3e-3,
    NeuronKind.EXP2: 9e-4,
    NeuronKind.SQRT: 1e-3,
    NeuronKind.RSQRT: 1.5e-3,
    NeuronKind.RECIPROCAL: 9e-4,
    NeuronKind.LEAKY_RELU: 7e-4,
    NeuronKind.SQUARE: 5e-4,
    NeuronKind.COSH: 3e-3,
}


@pytest.mark.parametrize("kind", EXACT)
def test_exact(kind: NeuronKind) -> None:
    assert measure(kind, *CONSTANTS.get(kind, (0.0, 0.0))).largest == 0


@pytest.mark.parametrize("kind", LARGEST)
def test_absolute_error(kind: NeuronKind) -> None:
    within = JUDGED_WITHIN.get(kind, math.inf)
    assert measure(kind, *CONSTANTS.get(kind, (0.0, 0.0)), within=within).largest <= LARGEST[kind]


@pytest.mark.parametrize("kind", PASSES_THROUGH_ZERO)
def test_the_relative_error_of_odd_functions_is_bounded_near_zero(kind: NeuronKind) -> None:
    x = half_numbers(-1.0, 1.0)
    x = x[(np.abs(x) >= 2.0**-14) & (np.abs(x) < 0.99)]
    wanted = np.array([PASSES_THROUGH_ZERO[kind](value) for value in x.tolist()])
    found = evaluate(recipe(kind), x.astype(np.float16)).astype(np.float64)
    assert np.max(np.abs(found / wanted - 1)) < (6e-3 if kind is NeuronKind.TANH else 3e-3)
    assert not np.any(evaluate(recipe(kind), np.zeros(1, np.float16)))


@pytest.mark.parametrize(
    ("kind", "function"), [(NeuronKind.ASINH, math.asinh), (NeuronKind.ACOSH, math.acosh), (NeuronKind.ATAN, math.atan)]
)
def test_every_number_of_half_precision_is_an_argument(kind: NeuronKind, function: Callable[[float], float]) -> None:
    x = half_numbers(1.0 if kind is NeuronKind.ACOSH else -math.inf)
    x = x[np.abs(x) >= 2.0**-14]
    wanted = np.array([function(value) for value in x.tolist()])
    found = evaluate(recipe(kind), x.astype(np.float16)).astype(np.float64)
    assert np.max(np.abs(found - wanted) / np.maximum(np.abs(wanted), 2.0**-14)) < 2e-3


@pytest.mark.parametrize(
    "kind",
    [NeuronKind.ELU, NeuronKind.SELU, NeuronKind.MISH, NeuronKind.GELU_TANH, NeuronKind.GELU_SIGMOID],
)
def test_a_fitted_table_keeps_the_zero_of_its_function(kind: NeuronKind) -> None:
    assert not np.any(evaluate(recipe(kind, *CONSTANTS.get(kind, (0.0, 0.0))), np.zeros(1, np.float16)))


@pytest.mark.parametrize("kind", LARGEST_RELATIVE)
def test_relative_error(kind: NeuronKind) -> None:
    assert measure(kind, *CONSTANTS.get(kind, (0.0, 0.0))).largest_relative <= LARGEST_RELATIVE[kind]


def test_every_function_is_judged_here_or_known_to_be_rough() -> None:
    rough = {NeuronKind.SELU, NeuronKind.TAN, NeuronKind.SINH}
    assert set(kinds()) == {*EXACT, *LARGEST, *LARGEST_RELATIVE, *rough}
    assert set(NeuronKind) - set(kinds()) == {NeuronKind.PRELU}


def test_prelu_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="no recipe for PReLU"):
        recipe(NeuronKind.PRELU)


@pytest.mark.parametrize(
    "kind", [kind for kind in kinds() if len(recipe(kind, *CONSTANTS.get(kind, (0, 0))).steps) > 1]
)
def test_operands_come_from_earlier_steps(kind: NeuronKind) -> None:
    for number, step in enumerate(recipe(kind).steps):
        operands = (step.operand,) if isinstance(step, TableStep) else (step.first, step.second)
        assert all(INPUT <= operand <= number for operand in operands)
        assert isinstance(step, PlanarStep) or step.scale == 1.0 or step.bias == 0.0


def test_single_tables_can_follow_a_convolution() -> None:
    assert recipe(NeuronKind.GELU).table == tables.gelu()
    assert recipe(NeuronKind.RSQRT, 1e-4).table is None
    assert recipe(NeuronKind.LOG).table is None


@pytest.mark.parametrize("alpha", [-2.0, -0.3, 0.0, 0.1, 1.0, 1e-9, 60000.0])
def test_thresholds_of_any_value(alpha: float) -> None:
    assert measure(NeuronKind.THRESHOLDED_RELU, alpha).largest == 0


@pytest.mark.parametrize(
    ("low", "high"), [(-1.0, 1.0), (-math.inf, 2.0), (0.5, math.inf), (-math.inf, math.inf), (2, 2)]
)
def test_limits(low: float, high: float) -> None:
    assert measure(NeuronKind.CLAMP, low, high).largest == 0


@pytest.mark.parametrize("alpha", [0.1, 0.5, 2.0, 30.0])
def test_elu_scales_with_alpha(alpha: float) -> None:
    assert measure(NeuronKind.ELU, alpha).largest <= 2.6e-3 * max(1, alpha)


@pytest.mark.parametrize(
    "table", [lambda: tables.leaky_relu(1e6), lambda: tables.clip(2, 1), lambda: tables.ramp(0, 0)]
)
def test_bad_constants_are_refused(table: object) -> None:
    assert callable(table)
    with pytest.raises(InputError):
        table()


@pytest.mark.parametrize(
    ("apple", "function", "mode", "sign", "left", "right"),
    [
        (tables.tanh, np.tanh, TableMode.DIRECT, SignRule.ODD, None, Tail(0.0, 1.0)),
        (
            tables.sigmoid,
            lambda x: 1 / (1 + np.exp(-x)),
            TableMode.CENTERED,
            SignRule.NONE,
            Tail(),
            Tail(0.0, 1.0),
        ),
        (tables.silu, lambda x: x / (1 + np.exp(-x)), TableMode.CENTERED, SignRule.NONE, Tail(), Tail(1.0)),
    ],
    ids=["tanh", "sigmoid", "silu"],
)
def test_the_fit_is_better_than_apples_table(
    apple: object, function: object, mode: TableMode, sign: SignRule, left: Tail | None, right: Tail
) -> None:
    assert callable(apple) and callable(function)
    x = np.linspace(-12, 12, 20001).astype(np.float16)

    def error(recipe: Recipe) -> float:
        return float(np.abs(evaluate(recipe, x).astype(np.float64) - function(x.astype(np.float64))).max())

    with np.errstate(over="ignore"):
        ours = fit_table(function, mode=mode, sign=sign, left=left, right=right)
        again = fit_table(function, mode=mode, sign=sign, left=left, right=right)
        assert error(Recipe((TableStep(ours.table),), "")) < 0.8 * error(Recipe((TableStep(apple()),), ""))
    assert ours.table.encode() == again.table.encode()


def test_only_direct_tables_are_fitted() -> None:
    with pytest.raises(InputError, match="EXP2"):
        fit_table(np.exp2, mode=TableMode.EXP2)
    with pytest.raises(InputError, match="not finite"), np.errstate(all="ignore"):
        fit_table(np.log, mode=TableMode.CENTERED)
