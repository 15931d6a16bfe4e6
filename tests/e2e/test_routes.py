"""The same network by different roads gives one answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import openane
from openane.convert import convert
from openane.frontends.torch import load_module


def test_digits_in_three_formats(shared: Path) -> None:
    with np.load(shared / "models/digits_test.npz") as data:
        pixels = data[data.files[0]][0].reshape(8, 8)
    image = np.zeros((1, 1, 28, 28), np.float32)
    image[0, 0, 2:26, 2:26] = np.kron(pixels / 16.0, np.ones((3, 3)))
    answers = []
    for ending in ("onnx", "mlmodel", "mlpackage"):
        artifact = openane.compile(shared / f"models/digits_cnn.{ending}")
        (name,) = artifact.plan.inputs
        (scores,) = openane.run(artifact, {name: image}).values()
        answers.append(scores.reshape(-1))
    np.testing.assert_allclose(answers[1], answers[0], atol=1e-6)
    np.testing.assert_allclose(answers[2], answers[0], atol=2e-3)
    assert len({int(answer.argmax()) for answer in answers}) == 1


@pytest.mark.filterwarnings("ignore")
def test_torch_directly_through_onnx_and_through_core_ml(tmp_path: Path) -> None:
    """An inverted residual with squeeze-and-excite and hard swish, the block that MobileNetV3 is made of."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("coremltools")
    nn = torch.nn

    class Block(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.expand = nn.Sequential(nn.Conv2d(8, 16, 1, bias=False), nn.BatchNorm2d(16), nn.Hardswish())
            self.depth = nn.Sequential(nn.Conv2d(16, 16, 5, padding=2, groups=16), nn.Hardswish())
            self.squeeze = nn.Sequential(
                nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 8, 1), nn.ReLU(), nn.Conv2d(8, 16, 1), nn.Hardsigmoid()
            )
            self.project = nn.Conv2d(16, 8, 1)

        def forward(self, x):  # type: ignore[no-untyped-def]
            y = self.depth(self.expand(x))
            return x + self.project(y * self.squeeze(y))

    torch.manual_seed(0)
    module, x = Block().eval(), torch.randn(1, 8, 14, 14)
    expected = module(x).detach().numpy()
    graph = load_module(module, (x,))
    answers = []
    for source in (graph, *(convert(graph, tmp_path / f"m.{ending}").path for ending in ("onnx", "mlpackage"))):
        artifact = openane.compile(source)
        (name,) = artifact.plan.inputs
        (answer,) = openane.run(artifact, {name: x.numpy()}).values()
        np.testing.assert_allclose(answer, expected, atol=6e-3)
        answers.append(answer)
    np.testing.assert_array_equal(answers[0], answers[1])
    np.testing.assert_allclose(answers[2], answers[0], atol=4e-3)
