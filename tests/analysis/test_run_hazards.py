"""`openane run` and `openane.run` report what half precision does to the outputs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper
from tests.support.hazard_networks import NETWORKS

import openane
from openane.analysis.hazards import HazardKind
from openane.cli.run import command
from openane.compiler.driver import Options, build, load, save
from openane.runtimes.runtime import SessionOptions
from openane.targets.target import RunOptions


def log_softmax(path: Path) -> Path:
    kinds = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 8]) for name in ("x", "y")]
    nodes = [
        helper.make_node("Softmax", ["x"], ["s"], name="attention", axis=-1),
        helper.make_node("Log", ["s"], ["y"], name="logarithm"),
    ]
    graph = helper.make_graph(nodes, "m", kinds[:1], kinds[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def peaked(folder: Path) -> Path:
    np.save(folder / "x.npy", np.array([[0, 0, 0, 50, 0, 0, 0, 0]], np.float32))
    return folder / "x.npy"


@pytest.mark.parametrize("cached", [False, True])
def test_the_command_reports_hazards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cached: bool) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    arguments = [str(log_softmax(tmp_path / "m.onnx")), "--input", str(peaked(tmp_path)), "--json"]
    if cached:
        CliRunner().invoke(command, arguments, catch_exceptions=False)
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("hazard: ")]
    assert "'logarithm'" in line and "--keep-on-host 'attention' --keep-on-host 'logarithm'" in line
    (hazard,) = json.loads(done.stdout)["hazards"]
    assert (hazard["layer"], hazard["found_by"], hazard["outputs"]) == ("logarithm", "run", ["y"])
    helped = CliRunner().invoke(
        command, [*arguments, "--keep-on-host", "attention", "--keep-on-host", "logarithm"], catch_exceptions=False
    )
    assert json.loads(helped.stdout)["hazards"] == [] and "hazard" not in helped.stderr
    assert json.loads(helped.stdout)["outputs"]["y"]["minimum"] == pytest.approx(-50, rel=1e-3)


def test_the_search_can_be_left_out(tmp_path: Path) -> None:
    arguments = [str(log_softmax(tmp_path / "m.onnx")), "--input", str(peaked(tmp_path)), "--no-cache", "--json"]
    done = CliRunner().invoke(command, [*arguments, "--no-hazards"], catch_exceptions=False)
    assert json.loads(done.stdout)["hazards"] == [] and "hazard" not in done.stderr


def test_the_library_returns_outputs_with_hazards(tmp_path: Path) -> None:
    model, x = log_softmax(tmp_path / "m.onnx"), np.load(peaked(tmp_path))
    outputs = openane.run(model, {"x": x})
    assert isinstance(outputs, dict) and list(outputs) == ["y"] and outputs["y"].shape == (1, 8)
    assert [(hazard.kind, hazard.layers) for hazard in outputs.hazards] == [(HazardKind.ZERO, ("logarithm",))]
    quiet = SessionOptions(simulation=RunOptions(hazards=False))
    assert openane.run(model, {"x": x}, options=quiet).hazards == ()
    assert openane.run(model, {"x": x / 50}).hazards == ()


def test_programs_without_a_model_report_their_tasks(tmp_path: Path) -> None:
    made = NETWORKS["product_beyond_half"](np.random.default_rng(0))
    save(build(made.graph), tmp_path / "p.hwx")
    program = build(tmp_path / "p.hwx")
    (surface,) = program.plan.inputs
    shape = program.plan.inputs[surface].shape
    assert made.spoiled is not None
    outputs = openane.run(program, {surface: made.spoiled["x"].reshape(shape)})
    (hazard,) = outputs.hazards
    assert hazard.kind is HazardKind.OVERFLOW and hazard.operation == "task" and hazard.outputs == tuple(outputs)
    assert openane.run(program, {surface: made.right["x"].reshape(shape)}).hazards == ()


def test_an_epsilon_is_kept_together_with_its_logarithm(tmp_path: Path) -> None:
    """Keeping the addition alone changes nothing: its result must reach the logarithm in single precision."""
    random = np.random.default_rng(0)
    weight = [numpy_helper.from_array((random.standard_normal((8, 8, 3, 3)) / 9).astype(np.float32), n) for n in "wv"]
    small = [numpy_helper.from_array(np.float32(value), name) for name, value in (("e", 1e-10), ("t", 0.1))]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="before", pads=[1] * 4),
        helper.make_node("Mul", ["a", "a"], ["q"], name="square"),
        helper.make_node("Add", ["q", "e"], ["p"], name="plus"),
        helper.make_node("Log", ["p"], ["l"], name="log"),
        helper.make_node("Mul", ["l", "t"], ["s"], name="scale"),
        helper.make_node("Conv", ["s", "v"], ["y"], name="after", pads=[1] * 4),
    ]
    kinds = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 8, 16, 16]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "m", kinds[:1], kinds[1:], [*weight, *small])
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    x = random.standard_normal((1, 8, 16, 16)).astype(np.float32)
    x[..., 4:12, :] = 0
    (hazard,) = openane.run(path, {"x": x}).hazards
    assert (hazard.kind, hazard.keep) == (HazardKind.EPSILON, ("plus", "log"))
    half_way = openane.run(openane.compile(path, keep_on_host=frozenset({"plus"})), {"x": x})
    assert half_way.hazards, "the addition alone does not help, and the report says so"
    assert openane.run(openane.compile(path, keep_on_host=frozenset(hazard.keep)), {"x": x}).hazards == ()


@pytest.mark.parametrize(
    ("name", "layers"),
    [("k4_log_softmax", {"s", "y"}), ("k4_normalize", None), ("k4_timestep", set()), ("k3_causal", set())],
)
def test_public_reports(shared: Path, name: str, layers: set[str] | None) -> None:
    folder = shared / "cases" / "reports"
    artifact = build(load(folder / f"{name}.onnx"), Options())
    (x,) = artifact.plan.inputs
    array = folder / f"{name}.npy"
    values = np.load(array) if array.exists() else np.ones(artifact.plan.inputs[x].shape, np.float32)
    outputs = openane.run(artifact, {x: values})
    if layers is not None:
        assert {node for hazard in outputs.hazards for node in hazard.keep} == layers
