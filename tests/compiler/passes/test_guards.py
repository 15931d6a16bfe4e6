"""The guard of torch's softmax leaves no host step, and rows without a value are 0 as in onnxruntime."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import numpy_helper, parser

import openane
from openane.artifact.plan import EngineStep
from openane.compiler.driver import build
from openane.frontends.onnx import load_model

HEADS, ROWS, KEYS, SIZE = 2, 5, 7, 16
GUARD = "p = Softmax<axis = -1>(t) n = IsNaN(p) g = Where(n, zero, p) y = MatMul(g, v)"


def masks() -> dict[str, np.ndarray]:
    """Which keys a row may see; the last mask has an empty row."""
    causal = np.tril(np.ones((ROWS, KEYS), bool), 1)
    empty = causal.copy()
    empty[2] = False
    return {"all": np.ones((ROWS, KEYS), bool), "causal": causal, "empty": empty}


@pytest.mark.parametrize("name", list(masks()))
@pytest.mark.parametrize("given", ["constant", "input", "none"])
def test_guarded_softmax(given: str, name: str) -> None:
    mask = masks()[name]
    bias = np.where(mask, 0, -np.inf).astype(np.float32)
    shapes = (
        f"float[1, {HEADS}, {ROWS}, {SIZE}] q, float[1, {HEADS}, {SIZE}, {KEYS}] k, float[1, {HEADS}, {KEYS}, {SIZE}] v"
    )
    before = {
        "constant": "t = Add(s, bias)",
        "input": "m = Where(mask, zero, low) t = Add(s, m)",
        "none": "t = Mul(s, half)",
    }[given]
    inputs = shapes + (f", bool[1, 1, {ROWS}, {KEYS}] mask" if given == "input" else "")
    text = f"g ({inputs}) => (float[1, {HEADS}, {ROWS}, {SIZE}] y) {{ s = MatMul(q, k) {before} {GUARD} }}"
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["": 20]> {text}')
    constants = {"zero": np.float32(0), "bias": bias, "low": np.float32(-np.inf), "half": np.float32(0.5)}
    for key, array in constants.items():
        if key in text:
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(array), key))
    random = np.random.default_rng(1)
    feed = {
        key: random.standard_normal(shape).astype(np.float32)
        for key, shape in (
            ("q", (1, HEADS, ROWS, SIZE)),
            ("k", (1, HEADS, SIZE, KEYS)),
            ("v", (1, HEADS, KEYS, SIZE)),
        )
    }
    if given == "input":
        feed["mask"] = mask[None, None]
    artifact = build(load_model(model))
    assert [type(step) for step in artifact.plan.steps] == [EngineStep]
    (expected,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, feed)
    np.testing.assert_allclose(openane.run(artifact, feed)["y"], expected, atol=0.01)
