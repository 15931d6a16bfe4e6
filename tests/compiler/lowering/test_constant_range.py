"""Constants beyond fp16: summands are clamped, factors keep the layer off the engine, products stay apart."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import numpy_helper, parser

import openane
from openane.artifact.plan import EngineStep, HostStep
from openane.compiler.driver import build
from openane.frontends.onnx import load_model

SHAPES = {"number": (), "channels": (4, 1, 1), "tensor": (1, 4, 8, 8)}
BEYOND = (7e4, -1e9, 3.4e38)
ON_HOST = {
    "factor": "y = Mul(x, c)",
    "dividend": "y = Div(c, x)",
    "slope": "y = PRelu(x, c)",
}
FUNCTIONS = (
    "LeakyRelu<alpha = 7e4>",
    "ThresholdedRelu<alpha = 7e4>",
    "Elu<alpha = 7e4>",
    "HardSigmoid<alpha = 7e4>",
    "HardSigmoid<alpha = -0.5>",
    "LayerNormalization<epsilon = 1e9>",
)
LIMITS = ("y = Max(x, c)", "y = Min(x, c)", "y = Clip(x, c)", "y = Clip(x, , c)")


def compiled(body: str, weights: dict[str, np.ndarray]) -> tuple[openane.Artifact, onnxruntime.InferenceSession]:
    model = parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 18]> g (float[1, 4, 8, 8] x) => (float[1, 4, 8, 8] y) {{ {body} }}'
    )
    for name, array in weights.items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(array, np.float32), name))
    return build(load_model(model)), onnxruntime.InferenceSession(model.SerializeToString())


def in_range(values: np.ndarray) -> np.ndarray:
    return np.clip(values, -65504, 65504)


X = np.random.default_rng(3).standard_normal((1, 4, 8, 8)).astype(np.float32)


@pytest.mark.parametrize("beyond", BEYOND)
@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("body", ON_HOST)
def test_factors_beyond_fp16_stay_on_the_host(body: str, kind: str, beyond: float) -> None:
    artifact, session = compiled(ON_HOST[body], {"c": np.full(SHAPES[kind] or (1,), beyond)})
    assert all(isinstance(step, HostStep) for step in artifact.plan.steps)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(openane.run(artifact, {"x": X})["y"], session.run(None, {"x": X})[0], rtol=1e-5)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_whose_constants_have_no_table_stay_on_the_host(function: str) -> None:
    more = ", c" if function.startswith("Layer") else ""
    artifact, session = compiled(f"y = {function}(x{more})", {"c": np.ones(8)} if more else {})
    assert any(isinstance(step, HostStep) for step in artifact.plan.steps)
    np.testing.assert_allclose(openane.run(artifact, {"x": X})["y"], session.run(None, {"x": X})[0], rtol=1e-4)


@pytest.mark.parametrize("beyond", [*BEYOND, np.inf, -np.inf])
@pytest.mark.parametrize("body", [*LIMITS, "y = Add(x, c)", "y = Sub(x, c)", "b = Less(x, z) y = Where(b, x, c)"])
@pytest.mark.parametrize("kind", ["number", "tensor"])
def test_limits_summands_and_choices_beyond_fp16_are_clamped(body: str, kind: str, beyond: float) -> None:
    if "Clip" in body and kind == "tensor":
        kind = "number"
    artifact, session = compiled(body, {"c": np.full(SHAPES[kind], beyond), "z": np.float32(0)})
    found, expected = openane.run(artifact, {"x": X})["y"], session.run(None, {"x": X})[0]
    np.testing.assert_allclose(in_range(found), in_range(expected), rtol=2e-3)


@pytest.mark.parametrize(
    "body",
    [
        "t = Conv(x, w) y = Mul(t, s)",
        "t = Conv(x, w) r = Relu(t) y = Mul(r, s)",
        "t = Mul(x, s) u = Add(t, v) y = Mul(u, s)",
        "t = MatMul(x, m) y = Mul(t, s)",
        "t = Mul(x, s) y = MatMul(t, m)",
        "t = Mul(x, s) y = Mul(t, s)",
    ],
)
@pytest.mark.parametrize("kind", ["number", "channels"])
def test_scales_that_together_leave_fp16_stay_apart_on_the_engine(body: str, kind: str) -> None:
    weights = {"w": np.full((4, 4, 1, 1), 500), "m": np.full((8, 8), 500), "v": np.full((4, 1, 1), 0.5)}
    artifact, session = compiled(body, weights | {"s": np.full(SHAPES[kind], 500)})
    assert all(isinstance(step, EngineStep) for step in artifact.plan.steps)
    x = X * 1e-3
    expected = session.run(None, {"x": x})[0]
    np.testing.assert_allclose(
        openane.run(artifact, {"x": x})["y"], expected, rtol=0, atol=4e-3 * np.abs(expected).max()
    )
