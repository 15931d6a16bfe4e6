"""Attention with padding, in every style of mask that exporters write, against onnxruntime on the original model."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper, parser

import openane
from openane.analysis.compare import compare_layers
from openane.compiler.driver import Options, build
from openane.core.errors import InputError
from openane.frontends.onnx import load_model
from openane.numerics.fp16 import saturated
from openane.runtimes.execution import Execution

LENGTH, HEADS, WIDTH = 12, 2, 8
LOWEST = float(np.finfo(np.float32).min)
LOWS = (-1e4, -1e5, -1e9, LOWEST, -np.inf)
TOLERANCE = 0.01
"""Of the largest result: rounding to fp16 in two products and a softmax; an ignored mask is off by more than 0.3."""

#: Statements that make the masked scores `a` of the scores `s` and the integer mask `m` (1 keeps a token).
STYLES = {
    "product": "f = Cast<to = 1>(m4) inv = Sub(one, f) bias = Mul(inv, low) a = Add(s, bias)",
    "integer product": "f = Sub(one_i, m4) g = Cast<to = 1>(f) bias = Mul(g, low) a = Add(s, bias)",
    "where": "b = Cast<to = 9>(m4) bias = Where(b, zero, low) a = Add(s, bias)",
    "fill": "b = Cast<to = 9>(m4) a = Where(b, s, low)",
    "fill where equal": "b = Equal(m4, zero_i) a = Where(b, low, s)",
    "fill of scaled": "b = Cast<to = 9>(m4) bias = Where(b, zero, low) t = Add(s, bias) a = Div(t, four)",
    "maximum": "b = Cast<to = 9>(m4) bias = Where(b, zero, low) t = Add(s, bias) a = Max(t, low)",
    "keep and sink": "f = Cast<to = 1>(m4) inv = Sub(one, f) kept = Mul(s, f) d = Mul(inv, low) a = Add(kept, d)",
    "causal": "a = Add(s, causal)",
    "causal where": "a = Where(lower, s, low)",
    "causal and padding": "b = Cast<to = 9>(m4) both = And(b, lower) a = Where(both, s, low)",
    "sum of masks": "b = Cast<to = 9>(m4) pad = Where(b, zero, low) bias = Add(causal, pad) a = Add(s, bias)",
    "minimum of masks": "b = Cast<to = 9>(m4) pad = Where(b, zero, low) bias = Min(causal, pad) a = Add(s, bias)",
    "input": "a = Add(s, bias)",
}
SOFTMAX = {
    "operation": "p = Softmax<axis = -1>(a)",
    "written out": "top = ReduceMax<keepdims = 1>(a, last) u = Sub(a, top) e = Exp(u)"
    " z = ReduceSum<keepdims = 1>(e, last) p = Div(e, z)",
}


def block(style: str, softmax: str, low: float) -> onnx.ModelProto:
    """One attention with a residual sum."""
    size = HEADS * WIDTH
    extra = f", float[1, 1, 1, {LENGTH}] bias" if style == "input" else f", int64[1, {LENGTH}] m"
    model = parser.parse_model(f"""
        <ir_version: 8, opset_import: ["": 18]>
        block (float[1, {LENGTH}, {size}] x{extra}) => (float[1, {LENGTH}, {size}] y)
        {{
            {"" if style == "input" else "m4 = Unsqueeze(m, axes)"}
            q0 = MatMul(x, wq) q1 = Reshape(q0, heads) q = Transpose<perm = [0, 2, 1, 3]>(q1)
            k0 = MatMul(x, wk) k1 = Reshape(k0, heads) k = Transpose<perm = [0, 2, 3, 1]>(k1)
            s0 = MatMul(q, k) s = Mul(s0, scale)
            {STYLES[style]}
            {SOFTMAX[softmax]}
            o = MatMul(p, q) o1 = Transpose<perm = [0, 2, 1, 3]>(o) o2 = Reshape(o1, rows) y = Add(o2, x)
        }}""")
    random = np.random.default_rng(5)
    lower = np.tril(np.ones((LENGTH, LENGTH), bool))
    weights = {
        "wq": random.standard_normal((size, size)) / np.sqrt(size),
        "wk": random.standard_normal((size, size)) / np.sqrt(size),
        "scale": np.sqrt(1 / WIDTH),
        "one": 1.0,
        "zero": 0.0,
        "four": 4.0,
        "low": low,
        "causal": np.where(lower, 0, low),
    }
    integers = {"one_i": 1, "zero_i": 0, "axes": [1, 2], "last": [-1]}
    integers |= {"heads": [1, LENGTH, HEADS, WIDTH], "rows": [1, LENGTH, size]}
    arrays = {name: np.asarray(value, np.float32) for name, value in weights.items()} | {"lower": lower}
    arrays |= {name: np.asarray(value, np.int64) for name, value in integers.items()}
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays.items())
    return model


def inputs_of(model: onnx.ModelProto, low: float, kept: int) -> dict[str, np.ndarray]:
    """Tokens, the last ones of them padding."""
    mask = np.where(np.arange(LENGTH) < kept, 1, 0)[None]
    x = np.random.default_rng(6).standard_normal((1, LENGTH, HEADS * WIDTH)).astype(np.float32)
    given = {"x": x, "m": mask, "bias": np.where(mask, 0, low).astype(np.float32)[:, None, None]}
    return {value.name: given[value.name] for value in model.graph.input}


#: A product with an infinite sentinel is not a number in the model itself.
CASES = [
    (style, low, "written out" if low == LOWEST else "operation")
    for style, text in STYLES.items()
    for low in LOWS
    if np.isfinite(low) or "Mul" not in text
]


@pytest.mark.parametrize(("style", "low", "softmax"), CASES)
def test_padded_attention_is_right(style: str, low: float, softmax: str) -> None:
    model = block(style, softmax, low)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    artifact = build(load_model(model), Options())
    # The mask is made in one piece, on one side; the scores of "keep and sink" read two parts of it.
    assert len(artifact.programs) == 1 or style == "keep and sink"
    for kept in (1, 7, LENGTH):
        inputs = inputs_of(model, low, kept)
        (expected,) = session.run(None, inputs)
        found = openane.run(artifact, inputs)["y"]
        np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())


def test_only_finite_values_beyond_fp16_move() -> None:
    values = np.array([0, 65504, -65504, 65519, 7e4, -3e38, np.inf, -np.inf, np.nan], np.float32)
    wanted = np.array([0, 65504, -65504, 65504, 65504, -65504, np.inf, -np.inf, np.nan], np.float32)
    np.testing.assert_array_equal(saturated(values), wanted)
    for kept in (values[:3], np.array([7e4]).astype(np.int32), np.array([1, np.inf], np.float16), np.zeros(0)):
        assert saturated(kept) is kept


def test_a_program_by_itself_still_refuses_what_its_surface_cannot_hold() -> None:
    model = parser.parse_model('<ir_version: 8, opset_import: ["": 18]> g (float[4] x) => (float[4] y) {y = Relu(x)}')
    artifact = build(load_model(model), Options())
    x = np.full(4, 1e6, np.float32)
    assert openane.run(artifact, {"x": x})["y"].tolist() == [65504] * 4
    with Execution(artifact) as execution:
        (session,) = execution.sessions
        with pytest.raises(InputError, match="do not fit the element type"):
            session.run({"x": x.reshape(session.inputs[0].shape)})


@pytest.mark.parametrize("low", [-1e9, -np.inf])
@pytest.mark.parametrize("style", ["where", "fill", "causal", "causal where"])
def test_masks_are_no_fault_for_compare(style: str, low: float) -> None:
    model = block(style, "operation", low)
    found = compare_layers(build(load_model(model)), inputs_of(model, low, 7))
    assert found.first_wrong is None


def test_compare_reports_saturation_that_an_output_shows() -> None:
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 18]> g (float[4] x) => (float[4] y) { t = Exp(x) y = Log(t) }'
    )
    found = compare_layers(build(load_model(model)), {"x": np.array([1, 5, 10, 20], np.float32)})
    assert found.first_wrong == 0
