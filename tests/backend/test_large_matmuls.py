"""Matmuls whose operands exceed L2 many times are split by rows, and compute what numpy does."""

from __future__ import annotations

import numpy as np
import pytest

import openane
from openane.artifact.options import Options
from openane.artifact.plan import EngineStep
from openane.compiler.driver import build
from openane.core.types import DType
from openane.graph import Graph, Node, TensorType
from openane.graph import ops as g

SIZES = [(300, 4096, 4096), (1100, 2048, 3000), (513, 5000, 2600), (260, 9000, 512), (2049, 1537, 1025)]


@pytest.mark.parametrize("dialect", ["macos-26", "macos-11"])
@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize(("rows", "inner", "columns"), SIZES)
def test_large_matmuls(rows: int, inner: int, columns: int, constant: bool, dialect: str) -> None:
    random = np.random.default_rng(rows)
    x = random.standard_normal((rows, inner)).astype(np.float32)
    w = (random.standard_normal((inner, columns)) / np.sqrt(inner)).astype(np.float32)
    inputs = {"x": TensorType(x.shape, DType.FLOAT32)}
    if not constant:
        inputs["w"] = TensorType(w.shape, DType.FLOAT32)
    node = Node("m", g.MatMul(), ("x", "w"), ("y",))
    artifact = build(Graph("matmul", inputs, ("y",), (node,), {"w": w} if constant else {}), Options(dialect=dialect))
    assert [type(step) for step in artifact.plan.steps] == [EngineStep]
    got = openane.run(artifact, {"x": x} if constant else {"x": x, "w": w})["y"]
    half = x.astype(np.float16).astype(np.float32) @ w.astype(np.float16).astype(np.float32)
    np.testing.assert_allclose(got, half, atol=0.02)
