"""Bundles: what is written is what runs later, for every kind of host step and for several shapes."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto
from tests.runtimes.host.test_host import graph_of
from tests.support.onnx_models import model, node, value

import openane
from openane.artifact.bundle import Bundle, Variant, read_bundle
from openane.artifact.bundle.manifest import manifest_schema
from openane.artifact.plan import Artifact, HostStep, Plan
from openane.cli import root
from openane.core.errors import InputError, UnsupportedError
from openane.core.types import DType
from openane.formats.bundle import ALIGNMENT_BYTES, MANIFEST, open_bundle
from openane.graph import OperationCase
from openane.graph.ops import OPERATIONS
from openane.runtimes.host import open_host

CASES = [(name, index, case) for name, kind in OPERATIONS.items() for index, case in enumerate(kind.cases())]


@pytest.fixture(scope="module")
def embedding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tokens to scores: a lookup on the host, a matrix product and a softmax on the engine, any length."""
    rng = np.random.default_rng(0)
    weights = {
        "table": rng.standard_normal((300, 32)).astype(np.float32),
        "kernel": rng.standard_normal((32, 64)).astype(np.float32) / 6,
        "level": np.arange(3, dtype=np.float32),
    }
    nodes = [
        node("Gather", ["table", "tokens"], ["hidden"]),
        node("MatMul", ["hidden", "kernel"], ["product"]),
        node("Softmax", ["product"], ["scores"]),
        node("Identity", ["level"], ["levels"]),
    ]
    inputs = [value("tokens", (1, "length"), TensorProto.INT64)]
    outputs = [value("scores", (1, "length", 64)), value("levels", (3,))]
    path = tmp_path_factory.mktemp("models") / "embedding.onnx"
    onnx.save(model(nodes, inputs, outputs, weights), path)
    return path


def tokens(length: int) -> dict[str, np.ndarray]:
    return {"tokens": np.random.default_rng(length).integers(0, 300, (1, length))}


def same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> bool:
    return found.keys() == expected.keys() and all(
        found[name].dtype == array.dtype and found[name].tobytes() == array.tobytes()
        for name, array in expected.items()
    )


def test_a_saved_model_gives_the_same_bits(embedding: Path, tmp_path: Path) -> None:
    artifact = openane.compile(embedding, shapes={"tokens": (1, 16)})
    assert {type(step).__name__ for step in artifact.plan.steps} == {"HostStep", "EngineStep"}
    path = tmp_path / "m.openane"
    artifact.save(path)
    loaded = openane.load(path)
    assert isinstance(loaded, Bundle)
    again = loaded.select()
    assert same(openane.run(again, tokens(16)), openane.run(artifact, tokens(16)))
    assert again.plan.inputs == artifact.plan.inputs
    assert again.plan.outputs == artifact.plan.outputs
    assert [task.origin.layers for p in again.programs for task in p.tasks] == [
        task.origin.layers for p in artifact.programs for task in p.tasks
    ]
    reasons = [[str(why) for why in step.reasons.values()] for step in again.plan.steps if isinstance(step, HostStep)]
    assert reasons[0]


def test_the_same_model_makes_the_same_bytes(embedding: Path, tmp_path: Path) -> None:
    for name in ("a.openane", "b.openane"):
        openane.compile(embedding, shapes={"tokens": (1, 8)}).save(tmp_path / name)
    assert (tmp_path / "a.openane").read_bytes() == (tmp_path / "b.openane").read_bytes()


def test_shapes_are_selected_by_the_inputs(embedding: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.openane"
    bundle = openane.bundle(embedding, shape_sets=[{"tokens": (1, 16)}, {"tokens": (1, 8)}])
    bundle.save(path)
    for length in (16, 8):
        expected = openane.run(embedding, tokens(length), shapes={"tokens": (1, length)})
        assert same(openane.run(path, tokens(length)), expected)
        assert same(openane.run(bundle, tokens(length)), expected)
    assert openane.compile(path).plan.inputs["tokens"].shape == (1, 16)
    assert openane.compile(path, shapes={"tokens": (1, 8)}).plan.inputs["tokens"].shape == (1, 8)
    with pytest.raises(InputError, match="tokens 1x9; allowed: tokens 1x16 or tokens 1x8"):
        openane.run(path, tokens(9))
    with zipfile.ZipFile(path) as archive:
        sizes = sorted(entry.file_size for entry in archive.infolist())
    assert sum(size >= 300 * 32 * 4 for size in sizes) == 1, "the table is stored once for both shapes"


def test_functions(embedding: Path, tmp_path: Path) -> None:
    parts = {name: openane.compile(embedding, shapes={"tokens": (1, n)}) for name, n in (("prefill", 8), ("step", 1))}
    openane.bundle(parts).save(tmp_path / "m.openane")
    bundle = read_bundle(tmp_path / "m.openane")
    assert bundle.functions == ("prefill", "step")
    assert bundle.select(function="step").plan.inputs["tokens"].shape == (1, 1)
    assert bundle.select().plan.inputs["tokens"].shape == (1, 8)
    with pytest.raises(InputError, match="found decode; allowed: prefill, step"):
        bundle.select(function="decode")


def test_variants_that_cannot_be_told_apart(embedding: Path) -> None:
    artifact = openane.compile(embedding, shapes={"tokens": (1, 8)})
    with pytest.raises(InputError, match="the same function and input shapes"):
        Bundle("m", (Variant(artifact), Variant(artifact)))
    with pytest.raises(InputError, match="at least one"):
        Bundle("m", ())


def test_an_unpacked_bundle(embedding: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.openane"
    artifact = openane.compile(embedding, shapes={"tokens": (1, 8)})
    artifact.save(path)
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "folder")
    assert same(openane.run(tmp_path / "folder", tokens(8)), openane.run(artifact, tokens(8)))
    host = next((tmp_path / "folder" / "host").glob("*.onnx"))
    onnx.checker.check_model(host)  # other tools read the graph with its weights in place


def test_members_are_aligned(embedding: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.openane"
    openane.compile(embedding, shapes={"tokens": (1, 8)}).save(path)
    data = path.read_bytes()
    for name, content in open_bundle(path).members.items():
        assert data.index(bytes(content)) % ALIGNMENT_BYTES == 0, name


def test_the_schema_has_every_type() -> None:
    assert manifest_schema()["$defs"]["type"]["enum"] == [d.value for d in DType if d is not DType.OBJECT]


@pytest.mark.parametrize(("name", "index", "case"), CASES, ids=[f"{n}-{i}" for n, i, _ in CASES])
def test_every_host_operation(name: str, index: int, case: OperationCase, tmp_path: Path) -> None:
    graph, inputs = graph_of(case)
    types = {**graph.inputs, **{output: graph.types[output] for output in graph.outputs}}
    outputs = {output: graph.types[output] for output in graph.outputs}
    artifact = Artifact(Plan("case", graph.inputs, outputs, (HostStep(graph, {}),), types), "h13")
    path = tmp_path / "case.openane"
    if open_host(graph).reason:
        with pytest.raises(UnsupportedError):
            artifact.save(path)
        assert not path.exists()
        return
    artifact.save(path)
    found, expected = openane.run(read_bundle(path), inputs), openane.run(artifact, inputs)
    for output, array in expected.items():
        assert found[output].dtype == array.dtype
        np.testing.assert_allclose(found[output], array, rtol=1e-6, atol=1e-6, equal_nan=True, err_msg=output)


def test_the_commands(embedding: Path, tmp_path: Path) -> None:
    path = str(tmp_path / "m.openane")

    def command(*arguments: str) -> str:
        result = CliRunner().invoke(root, arguments)
        assert result.exit_code == 0, result.output
        return result.output

    shapes = ("--shape", "tokens=1,16", "--shape", "tokens=1,8")
    assert "2 variants" in command("compile", str(embedding), "-o", path, "--no-cache", *shapes)
    facts = json.loads(command("info", path, "--json"))
    assert [variant["inputs"]["tokens"] for variant in facts["variants"]] == ["int64[1,16]", "int64[1,8]"]
    steps = [step for variant in facts["variants"] for step in variant["steps"] if step["where"] == "engine"]
    assert steps and all(f"of {step['tasks']} tasks" in step["evidence"] for step in steps)
    assert "steps of main" in command("explain", path)
    assert "One call" in command("estimate", path, "--shape", "tokens=1,8")
    np.save(tmp_path / "tokens.npy", tokens(8)["tokens"])
    command("run", path, "--input", f"tokens={tmp_path / 'tokens.npy'}", "--output-dir", str(tmp_path))
    expected = openane.run(embedding, tokens(8), shapes={"tokens": (1, 8)})
    assert np.load(tmp_path / "scores.npy").tobytes() == expected["scores"].tobytes()
    assert "1x64x64" not in command("run", path, "--shape", "tokens=1,8")
    assert MANIFEST in zipfile.ZipFile(path).namelist()
    refused = CliRunner().invoke(root, ["explain", path, "--require", "50"])
    assert isinstance(refused.exception, InputError)
    refused = CliRunner().invoke(root, ["compile", str(embedding), "-o", str(tmp_path / "m.hwx"), *shapes[:2]])
    assert isinstance(refused.exception, UnsupportedError)


def test_shapes_that_a_core_ml_model_enumerates(tmp_path: Path) -> None:
    pytest.importorskip("coremltools", exc_type=ImportError)
    path = tmp_path / "m.mlmodel"
    path.write_bytes(flexible_model())
    output = tmp_path / "m.openane"
    result = CliRunner().invoke(root, ["compile", str(path), "-o", str(output), "--no-cache"])
    assert result.exit_code == 0, result.output
    shapes = [variant.shapes["x"] for variant in read_bundle(output).variants]
    assert shapes == [(3, 8, 8), (3, 16, 16), (3, 8, 24)]
    image = np.random.default_rng(0).standard_normal((3, 8, 24)).astype(np.float32)
    assert same(openane.run(output, {"x": image}), openane.run(path, {"x": image}, shapes={"x": (3, 8, 24)}))


def flexible_model() -> bytes:
    """A ReLU of three sizes of image."""
    from coremltools.proto import Model_pb2

    description = Model_pb2.Model(specificationVersion=4)
    given = description.description.input.add(name="x")
    given.type.multiArrayType.dataType = 65568
    given.type.multiArrayType.shape.extend((3, 8, 8))
    for shape in ((3, 16, 16), (3, 8, 8), (3, 8, 24)):
        given.type.multiArrayType.enumeratedShapes.shapes.add(shape=shape)
    made = description.description.output.add(name="y")
    made.type.multiArrayType.dataType = 65568
    layer = description.neuralNetwork.layers.add(name="relu", input=["x"], output=["y"])
    layer.activation.ReLU.SetInParent()
    data: bytes = description.SerializeToString()
    return data
