"""Copies before and after a block that fills L2 have L2 for themselves: long attention is one program."""

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


def attention(heads: int, tokens: int, size: int) -> Graph:
    """Heads are views of the caller's rows (tokens, heads * size), which the matmuls copy first."""
    nodes = []
    for name in "qkv":
        nodes.append(Node(f"{name}r", g.Reshape((1, tokens, heads, size)), (name,), (f"{name}r",)))
        nodes.append(Node(f"{name}t", g.Transpose((0, 2, 1, 3)), (f"{name}r",), (f"{name}t",)))
    nodes += [
        Node("s", g.MatMul(transpose_b=True), ("qt", "kt"), ("s",)),
        Node("p", g.Softmax(3), ("s",), ("p",)),
        Node("m", g.MatMul(), ("p", "vt"), ("m",)),
        Node("mt", g.Transpose((0, 2, 1, 3)), ("m",), ("mt",)),
        Node("y", g.Reshape((1, tokens, heads * size)), ("mt",), ("y",)),
    ]
    inputs = {name: TensorType((1, tokens, heads * size), DType.FLOAT32) for name in "qkv"}
    return Graph("attention", inputs, ("y",), tuple(nodes), {})


@pytest.mark.parametrize("dialect", ["macos-26", "macos-11"])
@pytest.mark.parametrize(
    ("heads", "tokens", "size"),
    [(2, 1500, 64), (4, 1024, 16), (3, 1201, 40), (1, 2000, 24), (1, 3001, 8), (2, 2050, 16)],
)
def test_long_attention_is_one_program(heads: int, tokens: int, size: int, dialect: str) -> None:
    graph = attention(heads, tokens, size)
    artifact = build(graph, Options(dialect=dialect))
    assert [type(step) for step in artifact.plan.steps] == [EngineStep]
    random = np.random.default_rng(tokens)
    x = {name: random.standard_normal((1, tokens, heads * size)).astype(np.float32) for name in "qkv"}
    q, k, v = (x[name].reshape(tokens, heads, size).transpose(1, 0, 2) for name in "qkv")
    scores = q @ k.transpose(0, 2, 1)
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    expected = (powers / powers.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(1, tokens, -1)
    np.testing.assert_allclose(openane.run(artifact, x)["y"], expected, atol=0.06)
