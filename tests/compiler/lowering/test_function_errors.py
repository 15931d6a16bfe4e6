"""Networks of one function: at most three times the error of the same network with correctly rounded functions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import openane
from openane.graph import Graph, Node, Operation, TensorType, ops
from openane.numerics.fp16 import rounded

LIMIT = 3.0
SHAPE = (1, 8, 30, 50)
DEVIATIONS = (0.01, 0.1, 0.3, 1.0, 3.0)
Domain = Callable[[np.ndarray], np.ndarray]


def positive(x: np.ndarray) -> np.ndarray:
    return np.abs(x) + 1e-3


def unit(x: np.ndarray) -> np.ndarray:
    return np.clip(x, -1, 1)


def from_one(x: np.ndarray) -> np.ndarray:
    return 1 + np.abs(x)


FUNCTIONS: tuple[tuple[Operation, Domain | None], ...] = (
    *((operation, None) for operation in (ops.Sinh(), ops.Cosh(), ops.Asinh(), ops.Atan(), ops.Sin(), ops.Cos())),
    *((operation, None) for operation in (ops.Tan(), ops.Erf(), ops.Gelu(), ops.Gelu(approximate=True), ops.Silu())),
    *((operation, None) for operation in (ops.Mish(), ops.Selu(), ops.Elu(), ops.Celu(), ops.Celu(0.5))),
    *((operation, None) for operation in (ops.Softplus(), ops.Softsign(), ops.Exp(), ops.Sigmoid(), ops.Tanh())),
    *((operation, None) for operation in (ops.HardSigmoid(), ops.HardSwish(), ops.Square(), ops.Exp2())),
    *((operation, positive) for operation in (ops.Log(), ops.Sqrt(), ops.Rsqrt(), ops.Reciprocal())),
    *((operation, unit) for operation in (ops.Asin(), ops.Acos(), ops.Atanh())),
    (ops.Acosh(), from_one),
)
BEYOND = {("Cos", 0.01): 6.0, ("Tan", 0.01): 4.5, ("Tan", 3.0): 12.0}
"""What the forms on record do not reach: a cosine that rounds to 1 almost everywhere, and the poles of the tangent,
which are as exact as the angle that is left after whole turns."""


def times_correct_rounding(operation: Operation, domain: Domain | None, deviation: float) -> float:
    """The rms error of the network on the simulator, divided by that of the rounded function."""
    x = np.random.default_rng(7).normal(size=SHAPE) * deviation
    x = rounded(x if domain is None else domain(x))
    node = Node("f", operation, ("x",), ("y",))
    artifact = openane.compile(Graph("function", {"x": TensorType(SHAPE)}, ("y",), (node,), {}))
    found = openane.run(artifact, {"x": x.astype(np.float32)})["y"].astype(np.float64)
    with np.errstate(all="ignore"):
        (wanted,) = operation.evaluate([x])
    kept = np.isfinite(rounded(wanted))
    error = np.sqrt(np.mean((found[kept] - wanted[kept]) ** 2))
    least = np.sqrt(np.mean((rounded(wanted[kept]) - wanted[kept]) ** 2))
    return float(error / least) if error else 0.0


@pytest.mark.parametrize(("operation", "domain"), FUNCTIONS, ids=lambda each: type(each).__name__)
def test_error_of_a_network(operation: Operation, domain: Domain | None) -> None:
    for deviation in DEVIATIONS:
        limit = BEYOND.get((type(operation).__name__, deviation), LIMIT)
        assert times_correct_rounding(operation, domain, deviation) <= limit, deviation


@pytest.mark.parametrize(("operation", "limit"), [(ops.Sinh(), -np.inf), (ops.Cosh(), np.inf)])
def test_hyperbolic_functions_end_in_infinity(operation: Operation, limit: float) -> None:
    x = np.array([-11.78125, -11.8, -12.0, -12.5, -100.0, -65504.0, -np.inf], np.float32).reshape(1, 1, 1, 7)
    node = Node("f", operation, ("x",), ("y",))
    artifact = openane.compile(Graph("function", {"x": TensorType(x.shape)}, ("y",), (node,), {}))
    found = openane.run(artifact, {"x": x})["y"].reshape(-1)
    assert abs(found[0]) == pytest.approx(np.cosh(11.78125), rel=1e-3)
    assert (found[1:] == limit).all()
