"""Keras models and SavedModels give what Keras gives; models with code are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import openane
from openane.core.errors import OpenaneError, UnsupportedError

pytestmark = pytest.mark.filterwarnings("ignore")
keras = pytest.importorskip("keras", reason="the package keras is missing")
pytest.importorskip("tf2onnx", reason="the package tf2onnx is missing")


@pytest.fixture(scope="module")
def network() -> Any:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 3), name="image"),
            layers.Conv2D(8, 3, activation="relu", padding="same"),
            layers.BatchNormalization(),
            layers.DepthwiseConv2D(3),
            layers.GlobalAveragePooling2D(),
            layers.Dense(5, activation="softmax", name="scores"),
        ]
    )


@pytest.mark.parametrize("form", ["model.keras", "model.h5", "folder"])
def test_every_form(network: Any, tmp_path: Path, form: str) -> None:
    image = np.random.default_rng(0).standard_normal((1, 8, 8, 3)).astype(np.float32)
    path = tmp_path / form
    if path.suffix:
        network.save(path)
    else:
        network.export(path, verbose=False)
    artifact = openane.compile(path)
    (name,) = artifact.plan.inputs
    (found,) = openane.run(artifact, {name: image}).values()
    np.testing.assert_allclose(found, network(image).numpy(), atol=2e-3)


def test_lambda_layers_are_refused(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda x: x + 1)])
    model.save(tmp_path / "m.keras")
    with pytest.raises(UnsupportedError, match="holds code"):
        openane.load(tmp_path / "m.keras")


def test_truncated_file(network: Any, tmp_path: Path) -> None:
    network.save(tmp_path / "m.h5")
    path = tmp_path / "cut.h5"
    path.write_bytes((tmp_path / "m.h5").read_bytes()[:5000])
    with pytest.raises(OpenaneError, match=r"cut\.h5"):
        openane.load(path)
