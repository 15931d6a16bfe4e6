"""Functions of one element on the simulator, in both forms, against the standard library's double precision."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import openane
from openane.artifact.options import LIKE_APPLE, Options
from openane.compiler.cached_build import key_of
from openane.compiler.driver import build, save
from openane.compiler.lowering import Functions
from openane.core.errors import InputError
from openane.core.types import DType
from openane.formats.hwx import read_hwx, write_hwx
from openane.graph import Graph, Node, Operation, TensorType, ops
from openane.targets import load_program

SHAPE = (1, 64, 32, 32)
COUNT = math.prod(SHAPE)
APPLE = Options(functions=Functions.APPLE)


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def _expm1(x: float) -> float:
    return math.expm1(min(x, 0.0))


GAMMA, ALPHA = 1.0507009873554805, 1.6732632423543772
FUNCTIONS: dict[str, tuple[Operation, Callable[[float], float]]] = {
    "sigmoid": (ops.Sigmoid(), _logistic),
    "silu": (ops.Silu(), lambda x: x * _logistic(x)),
    "quick gelu": (ops.Silu(1.702), lambda x: x * _logistic(1.702 * x)),
    "gelu": (ops.Gelu(), lambda x: x * math.erfc(-x * math.sqrt(0.5)) / 2),
    "tanh gelu": (
        ops.Gelu(approximate=True),
        lambda x: x / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    ),
    "mish": (ops.Mish(), lambda x: x * math.tanh(math.log1p(math.exp(x)))),
    "softplus": (ops.Softplus(), lambda x: math.log1p(math.exp(x))),
    "tanh": (ops.Tanh(), math.tanh),
    "erf": (ops.Erf(), math.erf),
    "exp": (ops.Exp(), math.exp),
    "elu": (ops.Elu(), lambda x: max(x, 0.0) + _expm1(x)),
    "elu of alpha": (ops.Elu(0.3), lambda x: max(x, 0.0) + 0.3 * _expm1(x)),
    "elu of negative alpha": (ops.Elu(-0.5), lambda x: max(x, 0.0) - 0.5 * _expm1(x)),
    "selu": (ops.Selu(), lambda x: GAMMA * (max(x, 0.0) + ALPHA * _expm1(x))),
    "celu": (ops.Celu(2.0), lambda x: max(x, 0.0) + 2 * _expm1(x / 2)),
    "hard swish": (ops.HardSwish(), lambda x: x * min(max(x / 6 + 0.5, 0.0), 1.0)),
    "softsign": (ops.Softsign(), lambda x: x / (1 + abs(x))),
}
ZERO_AT_ZERO = sorted(set(FUNCTIONS) - {"sigmoid", "softplus", "exp"})


def graph_of(operation: Operation) -> Graph:
    kind = TensorType(SHAPE, DType.FLOAT32)
    return Graph("function", {"x": kind}, ("y",), (Node("f", operation, ("x",), ("y",)),), {})


def computed(operation: Operation, x: np.ndarray, options: Options | None = None) -> np.ndarray:
    """f(x) of up to COUNT values on the simulator."""
    padded = np.zeros(COUNT, np.float32)
    padded[: x.size] = x.reshape(-1)
    (y,) = openane.run(build(graph_of(operation), options), {"x": padded.reshape(SHAPE)}).values()
    return y.reshape(-1)[: x.size].astype(np.float64)


def relative_rms(error: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.sqrt(np.mean(error**2) / np.mean(wanted**2)))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_within_three_times_the_error_of_correct_rounding(name: str) -> None:
    """Of normally distributed arguments, narrow and wide ones."""
    operation, function = FUNCTIONS[name]
    random = np.random.default_rng(0)
    x = np.concatenate([random.standard_normal(20_000) * sigma for sigma in (0.3, 1.0, 3.0)])
    x = np.clip(x, -10, 10).astype(np.float16).astype(np.float64)
    wanted = np.array([function(value) for value in x.tolist()])
    found = computed(operation, x)
    for part in np.split(np.arange(x.size), 3):
        rounded = relative_rms(wanted[part].astype(np.float16) - wanted[part], wanted[part])
        assert relative_rms(found[part] - wanted[part], wanted[part]) <= 3 * rounded


@pytest.mark.parametrize("name", ZERO_AT_ZERO)
def test_zero_stays_zero(name: str) -> None:
    assert np.all(computed(FUNCTIONS[name][0], np.array([0.0, -0.0])) == 0)


@pytest.mark.parametrize("name", ZERO_AT_ZERO)
def test_the_relative_error_is_bounded_near_zero(name: str) -> None:
    """Down to where fp16 itself has no more than a few digits."""
    operation, function = FUNCTIONS[name]
    x = np.array([sign * m * 2.0**-e for sign in (1, -1) for m in (1, 1.25, 1.75) for e in range(2, 14)])
    wanted = np.array([function(value) for value in x.tolist()])
    assert np.max(np.abs(computed(operation, x) / wanted - 1)) < 3e-3


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_number_of_half_precision_gives_a_result(name: str) -> None:
    """Far arguments end at the function's limit, never at a meeting of zero and infinity."""
    operation, function = FUNCTIONS[name]
    x = np.array([-65504, -3000, -300, -40, -20, 20, 40, 300, 3000, 65504], np.float64)
    if name in ("exp", "softplus", "mish"):
        x = x[x < 40]
    wanted = np.array([function(value) for value in x.tolist()])
    with np.errstate(over="ignore"):
        wanted = wanted.astype(np.float16).astype(np.float64)
    found = computed(operation, x)
    infinite = np.isinf(wanted)
    np.testing.assert_array_equal(found[infinite], wanted[infinite])
    np.testing.assert_allclose(found[~infinite], wanted[~infinite], rtol=4e-3, atol=1e-4)


def test_apple_s_functions_are_one_table_each() -> None:
    for name in ("sigmoid", "silu", "gelu", "tanh", "exp"):
        assert len(build(graph_of(FUNCTIONS[name][0]), APPLE).program.tasks) == 1, name
    assert computed(ops.Gelu(), np.zeros(1), APPLE)[0] != 0, "Apple's table, as it is"
    like_apple = openane.compile(graph_of(ops.Gelu()), like_apple=True)
    assert write_hwx(like_apple.program) == write_hwx(build(graph_of(ops.Gelu()), APPLE).program)
    assert Options(**LIKE_APPLE) == APPLE


def test_a_sigmoid_and_a_product_lose_nothing_by_being_recognized() -> None:
    kind = TensorType(SHAPE, DType.FLOAT32)
    nodes = (Node("s", ops.Sigmoid(), ("x",), ("g",)), Node("m", ops.Mul(), ("x", "g"), ("y",)))
    x = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)
    (found,) = openane.run(Graph("gate", {"x": kind}, ("y",), nodes, {}), {"x": x}).values()
    (whole,) = openane.run(graph_of(ops.Silu()), {"x": x}).values()
    np.testing.assert_array_equal(found, whole)


def test_a_sigmoid_and_a_product_do_not_become_apple_s_coarser_table() -> None:
    kind = TensorType(SHAPE, DType.FLOAT32)
    nodes = (Node("s", ops.Sigmoid(), ("x",), ("g",)), Node("m", ops.Mul(), ("x", "g"), ("y",)))
    x = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float16).astype(np.float32)
    (gate,) = openane.run(build(graph_of(ops.Sigmoid()), APPLE), {"x": x}).values()
    (found,) = openane.run(build(Graph("gate", {"x": kind}, ("y",), nodes, {}), APPLE), {"x": x}).values()
    np.testing.assert_allclose(found, x * gate, rtol=1e-3, atol=1e-6)


def test_the_choice_acts_once_and_is_kept(tmp_path: Path) -> None:
    """A net.plist keeps its units whatever the choice; programs and files say which one it was."""
    for choice in Functions:
        artifact = build(graph_of(ops.Silu()), Options(functions=choice))
        assert artifact.program.notes["functions"] == choice.value
        assert load_program(read_hwx(write_hwx(artifact.program))).notes["functions"] == choice.value
        save(artifact, tmp_path / f"{choice.value}.plist")
        for other in Functions:
            again = build(tmp_path / f"{choice.value}.plist", Options(functions=other))
            assert write_hwx(again.program) == write_hwx(artifact.program)


def test_the_cache_tells_the_choices_apart(tmp_path: Path) -> None:
    source = tmp_path / "model.plist"
    save(build(graph_of(ops.Relu())), source)
    assert key_of(source, Options()) != key_of(source, APPLE)


def test_an_unknown_choice_is_refused() -> None:
    with pytest.raises(InputError, match="no such form of functions"):
        openane.compile(graph_of(ops.Relu()), functions="quick")
