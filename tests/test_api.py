"""The public functions: what they take, what they return, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import openane
from openane.analysis.comparison import ModelComparison
from openane.core.errors import InputError
from openane.sources import KINDS

DIGITS = Path(openane.__file__).parent / "data" / "digits.onnx"
RANDOM = np.random.default_rng(5)
IMAGE = {"image": RANDOM.random((1, 1, 28, 28)).astype(np.float32)}


@pytest.fixture(scope="module")
def artifact():  # type: ignore[no-untyped-def]
    return openane.compile(DIGITS)


def test_everything_public_is_listed() -> None:
    names = {"Session", "compare", "compile", "estimate", "explain", "load", "run", "view"}
    assert names <= set(dir(openane))
    assert all(getattr(openane, name).__doc__ for name in names)


def test_the_representation_of_an_artifact_is_one_line(artifact) -> None:  # type: ignore[no-untyped-def]
    assert repr(artifact) == (
        "<Artifact 'digits' for h13: tasks: 10, programs: 1; image float32[1,1,28,28], probabilities float32[1,10]>"
    )
    assert "\n" not in repr(artifact)
    assert len(repr(artifact)) < 200


def test_a_session_runs_many_times(artifact) -> None:  # type: ignore[no-untyped-def]
    wanted = openane.run(artifact, IMAGE)["probabilities"]
    with openane.Session(DIGITS) as session:
        for _ in range(3):
            np.testing.assert_array_equal(session.run(IMAGE)["probabilities"], wanted)
        (listed,) = session.run(["probabilities"], IMAGE)
        np.testing.assert_array_equal(listed, wanted)
        np.testing.assert_array_equal(session.run(None, IMAGE)[0], wanted)
        np.testing.assert_array_equal(session.predict({"image": IMAGE["image"].tolist()})["probabilities"], wanted)
        (described,) = session.get_inputs()
        assert (described.name, described.shape, described.type) == ("image", [1, 1, 28, 28], "tensor(float)")
        assert [each.name for each in session.get_outputs()] == ["probabilities"]
        assert "\n" not in repr(session)
    with pytest.raises(InputError, match="closed"):
        session.run(IMAGE)
    session.close()


def test_a_session_refuses_names_it_does_not_have() -> None:
    with openane.Session(DIGITS) as session:
        with pytest.raises(InputError, match=r"no output 'scores'.*probabilities"):
            session.run(["scores"], IMAGE)
        with pytest.raises(InputError, match="inputs are missing"):
            session.run(None)  # type: ignore[call-overload]
        with pytest.raises(InputError, match="mapping"):
            session.predict([1, 2])  # type: ignore[arg-type]


def test_explain_estimate_compare_and_view(tmp_path: Path, artifact) -> None:  # type: ignore[no-untyped-def]
    assert len(openane.explain(DIGITS).layers) > 5
    assert openane.estimate(artifact).time_us == openane.estimate(DIGITS, "M1").time_us > 0
    found = openane.compare(DIGITS)
    assert isinstance(found, ModelComparison) and found.right
    assert openane.compare(artifact, IMAGE).right
    page = tmp_path / "page.html"
    text = openane.view(DIGITS, page)
    assert page.read_text() == text and text.lower().startswith("<!doctype html>")
    with pytest.raises(InputError, match="only models have layers"):
        openane.explain(artifact)


def test_bytes_and_objects_of_onnx_are_sources(artifact) -> None:  # type: ignore[no-untyped-def]
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    data = DIGITS.read_bytes()
    for source in (data, bytearray(data), onnx.load_from_string(data)):
        assert bytes(openane.compile(source).constants) == bytes(artifact.constants)
    assert openane.explain(data).layers


def test_a_net_plist_is_a_source(tmp_path: Path, artifact) -> None:  # type: ignore[no-untyped-def]
    from openane.compiler.driver import save

    save(artifact, tmp_path / "net.plist")
    with openane.Session(tmp_path / "net.plist") as session:
        assert list(session.outputs) == ["probabilities"]
    save(artifact, tmp_path / "digits.hwx")
    program = openane.compile((tmp_path / "digits.hwx").read_bytes())
    assert bytes(program.constants) == bytes(artifact.constants)


def test_models_of_keras_are_sources() -> None:
    keras = pytest.importorskip("keras", reason="keras is not installed")
    pytest.importorskip("tf2onnx", reason="tf2onnx is not installed")
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3), keras.layers.ReLU()])
    x = RANDOM.standard_normal((1, 8, 8, 3)).astype(np.float32)
    with openane.Session(model) as session:
        (found,) = session.run(None, {next(iter(session.inputs)): x})
    np.testing.assert_allclose(found, np.asarray(model(x)), atol=5e-3)


def test_models_of_core_ml_are_sources(shared: Path) -> None:
    tools = pytest.importorskip("coremltools", reason="coremltools is not installed")
    model = tools.models.MLModel(str(shared / "models" / "digits_cnn.mlmodel"), skip_model_load=True)
    with openane.Session(model) as session:
        found = session.predict(IMAGE)
    assert found["probabilities"].size == 10


def test_modules_and_exported_programs_are_sources() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU()).eval()
    x = torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        wanted = module(x).numpy()
    exported = torch.export.export(module, (x,))
    for source, more in ((module, {"example_inputs": (x,)}), (exported, {})):
        with openane.Session(source, **more) as session:
            (found,) = session.run(None, {next(iter(session.inputs)): x.numpy()})
        np.testing.assert_allclose(found, wanted, atol=5e-3)
    with pytest.raises(InputError, match="needs example inputs"):
        openane.compile(module)


@pytest.mark.parametrize("source", [3, {"a": 1}, np.zeros(3), None, object()])
def test_anything_else_is_refused_with_the_list(source: object) -> None:
    with pytest.raises(InputError, match="this is not a model") as error:
        openane.compile(source)
    assert all(kind in error.value.diagnostic.limit for kind in KINDS)
