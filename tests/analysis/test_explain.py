"""`openane explain`: where layers run, by which rule, what would move them, and the totals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from openane.analysis.explain import Location, explain
from openane.cli import main
from openane.cli.explain import command
from openane.compiler.driver import Options, build, load
from openane.compiler.eligibility import ineligible_nodes
from openane.compiler.hints import at_node
from openane.compiler.lowering import LoweringOptions
from openane.core.errors import Diagnostic
from openane.core.types import DType
from openane.graph import Graph, Node, OperationCase, TensorType
from openane.graph.ops import OPERATIONS
from openane.targets import get


def mixed(path: Path) -> Path:
    """conv -> relu -> top-k -> float -> conv: the two in the middle cannot go to the engine."""
    weight = numpy_helper.from_array(np.linspace(-1, 1, 64, dtype=np.float32).reshape(4, 4, 2, 2), "w")
    count = numpy_helper.from_array(np.array([2], np.int64), "k")
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="first", pads=[0, 0, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("TopK", ["b", "k"], ["v", "i"], name="best", axis=3),
        helper.make_node("Cast", ["i"], ["f"], name="places", to=TensorProto.FLOAT),
        helper.make_node("Conv", ["f", "w"], ["y"], name="second", pads=[0, 0, 1, 1]),
    ]
    graph = helper.make_graph(
        nodes,
        "mixed",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 6, 8])],
        [helper.make_empty_tensor_value_info("y"), helper.make_empty_tensor_value_info("v")],
        [weight, count],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), path)
    return path


def test_layers_and_totals(tmp_path: Path) -> None:
    source = load(mixed(tmp_path / "m.onnx"))
    assert isinstance(source, Graph)
    found = explain(build(source, Options()), source)
    where = {layer.name: layer.where for layer in found.layers}
    assert where["best"] is where["places"] is Location.HOST
    assert where["first"] in (Location.NE, Location.BOTH) and where["second"] in (Location.NE, Location.BOTH)
    assert found.engine_share == 1
    assert found.programs == 2
    assert [each.value for each in found.crossings] == ["b", "f"]
    assert found.crossing_bytes > 0
    assert found.engine_us is not None and found.engine_us > 0
    best = next(layer for layer in found.layers if layer.name == "best")
    assert best.reason is not None
    assert best.reason.rule == "operations"
    assert "'b' (float32[1,4,6,8])" in best.reason.hint


def test_layers_have_the_evidence_of_their_weakest_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = mixed(tmp_path / "m.onnx")
    main(["explain", str(path), "--json", "--no-hazards"])
    report = json.loads(capsys.readouterr().out)
    encodings = {layer["name"]: layer["evidence"] for layer in report["layers"]}
    assert encodings["best"] is None  # on the host
    assert encodings["first"] == "extrapolated"  # kernels of 2x2 are on no record
    assert "Common.ConvCfg.Kw" in {each["field"] for each in report["evidence"]["findings"]}
    assert sum(report["evidence"]["tasks"].values()) == 2
    assert sum(report["evidence"]["time_shares"].values()) == pytest.approx(1)
    main(["explain", str(path), "--no-hazards"])
    assert "what no program of Apple's compiler shows" in capsys.readouterr().out


def test_json_and_require(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = mixed(tmp_path / "m.onnx")
    main(["explain", str(path), "--json", "--require", "100"])
    report = json.loads(capsys.readouterr().out)
    assert report["crossings"] == len(report["crossing_values"]) == 2
    assert {layer["where"] for layer in report["layers"]} >= {"host"}
    with pytest.raises(SystemExit) as stop:
        main(["explain", str(path), "--require", "100", "--keep-on-host", "second"])
    assert stop.value.code == 1
    assert "layer 'second': kept on the host" in capsys.readouterr().err


def test_calibration_arrays_are_used(tmp_path: Path) -> None:
    path = mixed(tmp_path / "m.onnx")
    np.save(tmp_path / "x.npy", np.full((1, 4, 6, 8), 60000, np.float32))
    runner = CliRunner()
    result = runner.invoke(command, [str(path), "--calibrate", f"x={tmp_path / 'x.npy'}", "--json"])
    hazards = json.loads(result.output)["hazards"]
    assert ("first", "overflow", "calibration") in {(h["layers"][0], h["kind"], h["found_by"]) for h in hazards}
    result = runner.invoke(command, [str(path), "--no-hazards", "--json"])
    assert json.loads(result.output)["hazards"] == []


def test_unknown_wide_layer_has_a_suggestion(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", str(mixed(tmp_path / "m.onnx")), "--keep-on-host", "secnd", "--no-cache"])
    assert "Did you mean second?" in capsys.readouterr().err


def test_forbidden_host_steps_are_all_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = mixed(tmp_path / "m.onnx")
    for arguments in (["run", str(path), "--host", "forbid", "--no-cache"], ["compile", str(path), "-o", "m.hwx"]):
        with pytest.raises(SystemExit):
            main(arguments)
        errors = capsys.readouterr().err.strip().splitlines()
        assert len(errors) == 2
        assert "'best'" in errors[0] and "'places'" in errors[1]


def single(case: OperationCase) -> Graph:
    names = tuple(f"x{i}" if a is not None else "" for i, a in enumerate(case.inputs))
    given = {n: a for n, a in zip(names, case.inputs, strict=True) if a is not None}
    kinds = [TensorType(a.shape, DType.of(a)) if a is not None else None for a in case.inputs]
    outputs = tuple(f"y{i}" for i in range(len(case.operation.infer(kinds))))
    inputs = {n: TensorType(a.shape, DType.of(a)) for n, a in given.items()}
    return Graph("g", inputs, outputs, (Node("layer", case.operation, names, outputs),), {})


def test_every_refusal_of_every_operation_has_a_hint_and_a_place() -> None:
    target = get("h13")
    for kind in OPERATIONS.values():
        for case in kind.cases():
            for reason in ineligible_nodes(single(case), LoweringOptions(), target).values():
                assert reason.hint, (kind.__name__, reason)
                assert "'layer'" in reason.where, (kind.__name__, reason)


def test_a_hint_of_the_rule_is_kept() -> None:
    case = next(OPERATIONS["TopK"].cases())
    model = single(case)
    kept = Diagnostic("no", hint="Do this.")
    assert at_node(kept, model.nodes[0], model).hint == kept.hint
