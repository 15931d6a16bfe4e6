"""Operations that ONNX's checker refuses though their operator set defines them and runtimes run them."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import parser

from openane.core.errors import ModelError
from openane.frontends.onnx import load_model

CALL = "GroupNormalization<num_groups = 2, epsilon = 0.01>(x, s, b)"
FUNCTION = f"""
<domain: "own", opset_import: ["": %d]>
norm (x, s, b) => (y) {{ y = {CALL} }}
"""
BODIES = {
    "plain": f"y = {CALL}",
    "branch": "f = Constant<value = bool {1}>() "
    f"y = If(f) <then_branch = t () => (float[2, 6, 4, 5] p) {{ p = {CALL} }}, "
    "else_branch = e () => (float[2, 6, 4, 5] q) { q = Identity(x) }>",
    "function": "y = own.norm(x, s, b)",
}


def model(opset: int, body: str, size: int) -> onnx.ModelProto:
    return parser.parse_model(
        f'<ir_version: 8, opset_import: ["": {opset}, "own": 1]>'
        f"g (float[2, 6, 4, 5] x, float[{size}] s, float[{size}] b) => (float[2, 6, 4, 5] y) {{ {BODIES[body]} }}"
        + (FUNCTION % opset if body == "function" else "")
    )


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize(("opset", "size"), [(18, 2), (19, 2), (20, 2), (21, 6), (23, 6)])
def test_group_normalization_of_all_operator_sets(opset: int, size: int, body: str) -> None:
    proto = model(opset, body, size)
    random = np.random.default_rng(2)
    inputs = {"x": random.standard_normal((2, 6, 4, 5)), "s": np.arange(1, size + 1), "b": np.arange(size) - 1}
    inputs = {name: array.astype(np.float32) for name, array in inputs.items()}
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    found = load_model(proto).evaluate(inputs)["y"]
    np.testing.assert_allclose(found, session.run(None, inputs)[0], rtol=1e-4, atol=1e-4)


def test_the_model_is_not_changed() -> None:
    proto = model(18, "function", 2)
    before = proto.SerializeToString()
    load_model(proto)
    assert proto.SerializeToString() == before


def test_withdrawn_operations_stay_refused() -> None:
    upsample = "<float[4] s = {1., 1., 2., 2.}> { y = Upsample<mode = 'nearest'>(x, s) }".replace("'", '"')
    old = f'<ir_version: 8, opset_import: ["": %d]> g (float[1, 2, 4, 5] x) => (float[1, 2, 8, 10] y) {upsample}'
    load_model(parser.parse_model(old % 9))
    with pytest.raises(ModelError, match="deprecated"):
        load_model(parser.parse_model(old % 10))
