"""A result in tiles of columns is staged where nothing else is, up to the end of L2."""

from __future__ import annotations

import numpy as np
import pytest

import openane
from openane.artifact.options import Options
from openane.compiler.driver import build
from openane.core.types import DType
from openane.graph import Graph, Node, TensorType
from openane.graph import ops as g


@pytest.mark.parametrize("dialect", ["macos-26", "macos-11", "linux"])
@pytest.mark.parametrize(
    ("length", "outputs", "kernel", "stride"),
    [(16000, 512, 10, 5), (16384, 300, 10, 5), (12000, 1024, 3, 2), (9000, 700, 4, 4), (5000, 500, 7, 1)],
)
def test_a_strided_convolution_of_long_audio(length: int, outputs: int, kernel: int, stride: int, dialect: str) -> None:
    """The single steps before the convolution leave its source in the middle of L2 (wav2vec 2.0)."""
    random = np.random.default_rng(length)
    weight = random.standard_normal((outputs, 1, kernel)).astype(np.float32)
    convolution = g.Conv((stride,), (0, 0), (1,))
    graph = Graph(
        "audio",
        {"x": TensorType((1, 1, length), DType.FLOAT32)},
        ("y",),
        (Node("c", convolution, ("x", "w"), ("y",)),),
        {"w": weight},
    )
    x = random.standard_normal((1, 1, length)).astype(np.float32)
    artifact = build(graph, Options(dialect=dialect))  # proves that no address is used twice
    (expected,) = convolution.evaluate((x, weight, None))
    np.testing.assert_allclose(openane.run(artifact, {"x": x})["y"], expected, atol=0.02)
