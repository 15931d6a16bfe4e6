"""PyTorch modules and exported programs give what PyTorch gives; archives with code are refused."""

from __future__ import annotations

import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import openane
from openane.core.errors import FormatError, InputError, UnsupportedError

torch = pytest.importorskip("torch", reason="the package torch is missing")
pytest.importorskip("onnxscript", reason="the package onnxscript is missing")


@pytest.fixture
def network() -> Any:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(8 * 4 * 4, 5),
    ).eval()


@pytest.fixture
def exported(network: Any, tmp_path: Path) -> Path:
    path = tmp_path / "network.pt2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(network, (torch.zeros(1, 3, 8, 8),)), path)
    return path


def expected(network: Any, image: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return network(torch.from_numpy(image)).numpy()


def test_module(network: Any) -> None:
    image = np.random.default_rng(0).standard_normal((1, 3, 8, 8)).astype(np.float32)
    artifact = openane.compile(network, example_inputs=(torch.zeros(1, 3, 8, 8),))
    (name,) = artifact.plan.inputs
    (found,) = openane.run(artifact, {name: image}).values()
    np.testing.assert_allclose(found, expected(network, image), atol=4e-3)


def test_exported_program(network: Any, exported: Path) -> None:
    image = np.random.default_rng(1).standard_normal((1, 3, 8, 8)).astype(np.float32)
    artifact = openane.compile(exported)
    (name,) = artifact.plan.inputs
    (found,) = openane.run(artifact, {name: image}).values()
    np.testing.assert_allclose(found, expected(network, image), atol=4e-3)


def test_sizes_are_fixed(exported: Path) -> None:
    with pytest.raises(InputError, match="sizes of an exported program are fixed"):
        openane.load(exported, shapes={"input": (2, 3, 8, 8)})


def test_pickled_constant_is_refused(exported: Path, tmp_path: Path) -> None:
    def pickle_it(table: dict[str, Any]) -> None:
        next(iter(table["config"].values()))["use_pickle"] = True

    with pytest.raises(UnsupportedError, match="pickled object"):
        openane.load(rewritten(exported, tmp_path / "bad.pt2", "model_weights_config.json", pickle_it))


def test_object_constant_is_refused(exported: Path, tmp_path: Path) -> None:
    def name_it(table: dict[str, Any]) -> None:
        next(iter(table["config"].values()))["path_name"] = "opaque_obj_0"

    with pytest.raises(UnsupportedError, match="pickled object"):
        openane.load(rewritten(exported, tmp_path / "bad.pt2", "model_weights_config.json", name_it))


def rewritten(source: Path, target: Path, member: str, change: Any) -> Path:
    """A copy of an archive with one JSON member changed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            data = old.read(info)
            if info.filename.endswith(member):
                table = json.loads(data)
                change(table)
                data = json.dumps(table).encode()
            new.writestr(info, data)
    return target


def test_truncated_archive(exported: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.pt2"
    path.write_bytes(exported.read_bytes()[:-100])
    with pytest.raises((FormatError, InputError), match=r"cut\.pt2"):
        openane.load(path)
