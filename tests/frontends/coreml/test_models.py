"""Whole Core ML models: the seed, the digits in three formats, and what others publish."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from openane.compiler.lowering import lower
from openane.frontends.coreml import load, sniff
from openane.graph.ops import Conv
from openane.net.plist import read_net, write_net


def test_the_seed_becomes_the_published_network(shared: Path, tmp_path: Path) -> None:
    folder = shared / "goldens" / "pairs" / "seed-inner-product"
    published = read_net(folder / "net.plist")
    net = lower(load(folder / "test.mlmodel"))
    write_net(net, tmp_path / "net.plist")
    for ours in (net, read_net(tmp_path / "net.plist")):
        assert ours.name == published.name
        assert ours.inputs == published.inputs
        assert ours.outputs == published.outputs
        for a, b in zip(ours.units, published.units, strict=True):
            assert (a.name, a.bottoms, a.dtype, type(a.params)) == (b.name, b.bottoms, b.dtype, type(b.params))
            for field, value in vars(a.params).items():
                np.testing.assert_array_equal(np.asarray(value), np.asarray(getattr(b.params, field)), field)
    assert net.bindings["probs"][0] == (2,)
    assert net.evaluate({"image": np.array([1337.0, 0, 0])})["probs"].ravel().tolist() == [4012, 4012]


@pytest.mark.parametrize(("file", "tolerance"), [("digits_cnn.mlmodel", 1e-6), ("digits_cnn.mlpackage", 2e-3)])
def test_digits_in_three_formats_give_one_answer(shared: Path, file: str, tolerance: float) -> None:
    onnx = pytest.importorskip("openane.frontends.onnx")
    wanted = onnx.load(shared / "models" / "digits_cnn.onnx")
    found = load(shared / "models" / file)
    assert list(found.inputs) == list(wanted.inputs)
    assert found.outputs == wanted.outputs
    pictures = np.load(shared / "models" / "digits_test.npz")["pictures"][:8]
    for picture in pictures:
        image = np.kron(picture, np.ones((3, 3)))[None, None] / 16
        values = {"image": np.pad(image, [(0, 0), (0, 0), (2, 2), (2, 2)]).astype(np.float32)}
        answers = [graph.evaluate(values)["probabilities"] for graph in (wanted, found)]
        np.testing.assert_allclose(*answers, rtol=0, atol=tolerance)
        nets = [lower(graph).evaluate(values)["probabilities"].reshape(1, 10) for graph in (wanted, found)]
        np.testing.assert_allclose(nets[0], answers[0], rtol=0, atol=1e-6)
        np.testing.assert_allclose(nets[1], answers[0], rtol=0, atol=tolerance)


def test_a_pitch_estimator_hears_the_four_tones(shared: Path) -> None:
    folder = Path(os.environ.get("OPENANE_MODELS", shared.parent / "models"))
    path = folder / "crepe_tiny.mlpackage"
    if not path.is_dir():
        pytest.skip("crepe_tiny.mlpackage is missing; put the development models where OPENANE_MODELS says")
    references = np.load(shared / "models" / "refs.npz")
    frames = next(references[name] for name in references if "crepe" in name and references[name].shape[-1] == 1024)
    graph = load(path, {"frames": (1, 1024)} if "frames" in load(path).inputs else {})
    (name,) = graph.inputs
    bins = []
    for frame in frames:
        (answer,) = graph.evaluate({name: frame.reshape(graph.inputs[name].shape)}).values()
        bins.append(int(answer.argmax()))
    assert bins == [108, 168, 228, 288]


def test_models_are_known_by_their_content(shared: Path, tmp_path: Path) -> None:
    models = shared / "models"
    assert sniff(models / "digits_cnn.mlmodel")
    assert sniff(models / "digits_cnn.mlpackage")
    assert sniff(shared / "goldens" / "pairs" / "seed-inner-product" / "test.mlmodel")
    assert not sniff(models / "digits_cnn.onnx")
    assert not sniff(shared / "goldens" / "pairs" / "seed-inner-product" / "net.plist")
    assert not sniff(tmp_path)
    (tmp_path / "empty").write_bytes(b"")
    assert not sniff(tmp_path / "empty")
    assert not sniff(tmp_path / "nothing")


def test_origins_are_the_user_s_layers(shared: Path) -> None:
    graph = load(shared / "models" / "digits_cnn.mlmodel")
    first = next(node for node in graph.nodes if isinstance(node.operation, Conv))
    assert first.origin.layers == ("input.1",)
