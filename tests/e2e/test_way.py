"""The whole way: a model file in, a result of the simulated engine out, against other programs."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import openane
from openane.cli.demo import enlarge, reference
from openane.compiler.driver import save
from openane.runtimes.execution import Execution

DATA = Path(__file__).parents[2] / "src" / "openane" / "data"


def test_seed_example_is_exact(shared: Path) -> None:
    """The Core ML model that started the mission: inner product 3 -> 2, every weight 3, bias 1."""
    outputs = openane.run(
        shared / "goldens/pairs/seed-inner-product/test.mlmodel", {"image": np.array([1337, 0, 0], np.float32)}
    )
    (probs,) = outputs.values()
    assert probs.reshape(-1).tolist() == [4012, 4012]


def test_seed_net_plist_is_exact(shared: Path) -> None:
    plist = shared / "goldens/pairs/seed-inner-product/net.plist"
    image = np.array([1337, 0, 0], np.float16).reshape(1, 3, 1, 1)
    (probs,) = openane.run(plist, {"image": image}).values()
    assert probs.reshape(-1).tolist() == [4012, 4012]


def test_digits_agree_with_onnxruntime() -> None:
    with np.load(DATA / "digits.npz") as digits:
        pictures, labels = enlarge(digits["pictures"]), digits["labels"]
    expected = reference(DATA / "digits.onnx", pictures)
    with Execution(openane.compile(DATA / "digits.onnx")) as execution:
        scores = np.concatenate([execution.run({"image": x[None]}).outputs["probabilities"] for x in pictures])
    assert (scores.argmax(1) == expected.argmax(1)).all()
    assert np.abs(scores - expected).max() < 5e-3
    assert (scores.argmax(1) == labels).mean() > 0.95


@pytest.mark.parametrize("ending", ["hwx", "anec", "plist"])
def test_every_level_gives_the_same_answer(tmp_path: Path, ending: str) -> None:
    """From the model, from net.plist, from .hwx and from .anec."""
    with np.load(DATA / "digits.npz") as digits:
        image = enlarge(digits["pictures"][:1])
    artifact = openane.compile(DATA / "digits.onnx")
    direct = openane.run(artifact, {"image": image})["probabilities"]
    path = tmp_path / f"digits.{ending}"
    save(artifact, path)
    reread = openane.compile(path)
    assert [task.registers() for task in reread.program.tasks] == [t.registers() for t in artifact.program.tasks]
    assert bytes(reread.program.constants) == bytes(artifact.program.constants)
    (name,) = reread.plan.inputs
    (again,) = openane.run(reread, {name: image.astype(np.float16)}).values()
    assert again.reshape(-1).tolist() == direct.astype(np.float16).reshape(-1).tolist()


@pytest.mark.parametrize("ending", ["hwx", "anec"])
def test_same_bytes_in_two_processes(tmp_path: Path, ending: str) -> None:
    written = []
    for seed in ("1", "2"):
        path = tmp_path / f"{seed}.{ending}"
        subprocess.run(
            [sys.executable, "-m", "openane", "compile", str(DATA / "digits.onnx"), "-o", str(path)],
            check=True,
            capture_output=True,
            env={"PYTHONHASHSEED": seed, "PATH": "/usr/bin:/bin"},
            cwd=tmp_path,
        )
        written.append(path.read_bytes())
    assert written[0] == written[1]


def test_squeezenet(shared: Path, tmp_path: Path) -> None:
    """The graph of the onnx package with seeded weights, 1x3x224x224."""
    import onnx

    light = Path(onnx.__file__).parent / "backend/test/data/light/light_squeezenet.onnx"
    spec = importlib.util.spec_from_file_location("seeded_light", shared / "models" / "seeded_light.py")
    assert spec is not None and spec.loader is not None
    seeded_light = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(seeded_light)
    path = tmp_path / "squeezenet.onnx"
    onnx.save(seeded_light.seeded(onnx.load(light)), path)
    picture = seeded_light.picture(1)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    expected = session.run(None, {name: picture})[0].reshape(-1).astype(np.float64)
    (scores,) = openane.run(path, {name: picture}).values()
    scores = scores.reshape(-1).astype(np.float64)
    assert scores.argmax() == expected.argmax()
    cosine = scores @ expected / np.linalg.norm(scores) / np.linalg.norm(expected)
    assert cosine >= 0.9995
