"""Matrix products of more rows than an image may have."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import numpy_helper, parser

import openane
from openane.artifact.plan import EngineStep
from openane.compiler.driver import build
from openane.frontends.onnx import load_model


@pytest.mark.parametrize("shape", [(33, 512, 4), (2, 33, 300, 4), (5, 4100, 4), (3, 3, 2, 1000, 4)])
def test_rows_beyond_the_tallest_image_are_cut(shape: tuple[int, ...]) -> None:
    """What the hint of a tensor that is too high asks for: the long axis split into two."""
    sizes, result = ", ".join(map(str, shape)), ", ".join(map(str, (*shape[:-1], 3)))
    model = parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 18]> g (float[{sizes}] x) => (float[{result}] y) {{ y = MatMul(x, w) }}'
    )
    random = np.random.default_rng(1)
    model.graph.initializer.append(numpy_helper.from_array(random.standard_normal((4, 3)).astype(np.float32), "w"))
    x = random.standard_normal(shape).astype(np.float32)
    artifact = build(load_model(model))
    assert [type(step) for step in artifact.plan.steps] == [EngineStep]
    (expected,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    np.testing.assert_allclose(openane.run(artifact, {"x": x})["y"], expected, atol=0.01)
