"""`openane explain` reports can, will and openane per layer: JSON, formats, policies, plans, and bad inputs."""

from __future__ import annotations

import ast
import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from openane.analysis.placement_policy import parse_policy
from openane.cli.explain import command
from openane.core.errors import FormatError, InputError
from openane.coreml_placement.compute_plan import compare, read_plan
from openane.coreml_placement.platforms import PLATFORMS, platform
from openane.coreml_placement.prediction import predict
from openane.coreml_placement.read import read_text

IMAGE = "tensor<fp16, [1, 64, 32, 32]>"
WEIGHT = 'tensor<fp16, [64, 64, 3, 3]>(BLOBFILE(path = string("@model_path/weights/none.bin"), offset = uint64(64)))'


def mil(*kinds: str) -> str:
    """MIL text of a chain; the weights of its convolutions are not there."""
    lines = [f"program(1.0)\n{{\nfunc main<ios17>({IMAGE} v0) {{"]
    for place, kind in enumerate(kinds):
        weights = f"weight = {WEIGHT}, " if kind == "conv" else ""
        axis = ", axis = int32(1)" if kind == "cumsum" else ""
        lines.append(f'{IMAGE} v{place + 1} = {kind}({weights}x = v{place}{axis})[name = string("{kind}_{place}")];')
    return "\n".join([*lines, f"}} -> (v{len(kinds)});\n}}\n"])


FOUR = ("conv", "relu", "conv", "relu", "conv", "relu", "conv", "relu")
CUT = ("conv", "relu", "conv", "relu", "acos", "conv", "relu", "conv", "relu")


@pytest.fixture
def network(tmp_path: Path) -> Path:
    path = tmp_path / "cut.mil"
    path.write_text(mil(*CUT))
    return path


def run(*arguments: object, status: int = 0) -> str:
    result = CliRunner().invoke(command, [*map(str, arguments), "--no-hazards"])
    assert result.exit_code == status, result.output
    return result.stdout


def explained(*arguments: object) -> Any:
    return json.loads(run(*arguments, "--json"))


def layer(report: Any, name: str) -> Any:
    return next(each for each in report["layers"] if each["name"] == name)


def test_three_answers_per_layer(network: Path) -> None:
    report = explained(network, "--platform", "M4")
    assert [each["core_ml"]["backend"] for each in report["layers"]] == ["CPU"] * 9
    middle = layer(report, "acos_4")
    assert middle["engine"]["can"] is False and "acos" in middle["engine"]["reason"]
    assert "M4" in middle["engine"]["evidence"]
    first = layer(report, "conv_0")
    assert first["engine"]["can"] is True
    assert first["core_ml"]["reason"].startswith("pulled along by 'acos_4'")
    assert first["core_ml"]["times_ms"]["ANE"] == pytest.approx(0.004674, rel=1e-3)
    assert first["core_ml"]["times_ms"]["CPU"] == pytest.approx(0.100064, rel=1e-3)
    assert first["core_ml"]["times_ms"]["GPU"] is None
    assert first["core_ml"]["margin_ms"] > 0
    assert set(first["openane"]) == {"where", "tasks", "reason"}


def test_a_model_without_its_weights_is_still_placed(network: Path) -> None:
    report = explained(network, "--platform", "M4")
    assert report["target"] is None
    assert {each["openane"]["where"] for each in report["layers"]} == {"unknown"}
    assert "weights" in report["layers"][0]["openane"]["reason"]


def test_other_chips_are_unknown_and_say_why(network: Path) -> None:
    for name in ("M3", "iPhone 12", "M5", "m1 pro"):
        report = explained(network, "--platform", name, "--units", "cpu-and-ne")
        assert layer(report, "acos_4")["core_ml"]["backend"] == "CPU"
        reported = layer(report, "conv_0")["core_ml"]
        assert reported["backend"] == "unknown" and "constants" in reported["reason"]
        assert reported["times_ms"]["CPU"] is None or name == "M5"


def test_other_systems_and_the_gpu_are_unknown(network: Path) -> None:
    old = explained(network, "--platform", "M4", "--os", "15")
    assert layer(old, "conv_0")["core_ml"]["backend"] == "unknown"
    gpu = explained(network, "--platform", "M4", "--units", "cpu-and-gpu")
    assert "GPU" in layer(gpu, "conv_0")["core_ml"]["reason"]


def test_what_if(network: Path) -> None:
    tried = explained(network, "--platform", "M4", "--what-if")["core_ml"]["what_if"]
    helped = {each["change"]: each for each in tried if each["helps"]}
    rewritten = helped["rewrite acos in operations that the engine has"]
    assert rewritten["layers"] == ["acos_4"] and rewritten["ane_after"] == 9
    assert helped["move it to the end of the model"]["ane_after"] == 8
    assert "helps" in run(network, "--platform", "M4", "--what-if")


def onnx_model(path: Path, node: Any, x: tuple[int, ...], constants: dict[str, np.ndarray] | None = None) -> Path:
    tensors = [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()]
    kind = TensorProto.INT32 if node.op_type == "Add" else TensorProto.FLOAT
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", kind, x)],
        [helper.make_empty_tensor_value_info("y")],
        tensors,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), path)
    return path


def _weights(*shape: int) -> dict[str, np.ndarray]:
    return {"w": np.full(shape, 0.01, np.float32)}


@pytest.mark.parametrize(
    ("node", "shape", "constants", "can", "words"),
    [
        (
            helper.make_node("Conv", ["x", "w"], ["y"], pads=[25] * 4),
            (1, 1, 60, 60),
            _weights(1, 1, 51, 51),
            False,
            "51",
        ),
        (
            helper.make_node("Conv", ["x", "w"], ["y"], pads=[16] * 4, dilations=[16, 16]),
            (1, 2, 40, 40),
            _weights(2, 2, 3, 3),
            None,
            "33",
        ),
        (helper.make_node("Relu", ["x"], ["y"]), (1, 2, 2, 2, 2, 2), None, False, "rank 6"),
        (
            helper.make_node("Conv", ["x", "w"], ["y"], pads=[1] * 6),
            (1, 2, 4, 6, 6),
            _weights(2, 2, 3, 3, 3),
            True,
            "",
        ),
        (helper.make_node("CumSum", ["x", "w"], ["y"]), (1, 8), {"w": np.array(1, np.int64)}, False, ""),
        (helper.make_node("Add", ["x", "x"], ["y"]), (1, 8), None, False, "int32"),
    ],
    ids=["51x51", "dilation", "rank6", "3d", "cumsum", "int32"],
)
def test_what_only_openane_runs_is_no_longer_called_engine_work(
    tmp_path: Path,
    node: Any,
    shape: tuple[int, ...],
    constants: dict[str, np.ndarray] | None,
    can: bool | None,
    words: str,
) -> None:
    path = onnx_model(tmp_path / "one.onnx", node, shape, constants)
    (found,) = explained(path, "--platform", "M4")["layers"]
    assert found["engine"]["can"] is can
    assert words in found["engine"]["value"]
    assert found["core_ml"]["backend"] == "CPU"


def test_single_precision_models_have_casts(tmp_path: Path) -> None:
    path = onnx_model(tmp_path / "relu.onnx", helper.make_node("Relu", ["x"], ["y"], name="r"), (1, 4, 8, 8))
    report = explained(path, "--platform", "M1")
    assert [each["operation"] for each in report["core_ml"]["inserted"]] == ["cast", "cast"]
    assert report["core_ml"]["operations"] == 3
    assert "openane convert" in report["core_ml"]["program"]


# Formats ---------------------------------------------------------------------------------------------------------


def test_csv_and_markdown(network: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(run(network, "--platform", "M4", "--format", "csv"))))
    assert [row["core ml"] for row in rows] == ["CPU"] * 9
    assert "| acos_4 | acos | no | CPU |" in run(network, "--platform", "M4", "--format", "markdown")


def test_several_files(network: Path, tmp_path: Path) -> None:
    other = tmp_path / "four.mil"
    other.write_text(mil(*FOUR))
    assert run(network, other, "--platform", "M4", "--format", "markdown").count("under Core ML on h16g") == 2
    run(other, network, "--platform", "M4", "--policy", "core_ml.ane == 100%", status=1)
    result = CliRunner().invoke(command, [str(network), str(other), "--json"])
    assert isinstance(result.exception, InputError) and "json holds one model" in str(result.exception)


def test_sarif_and_github(network: Path) -> None:
    arguments = (network, "--platform", "M4", "--policy", "engine.can acos_4")
    log = json.loads(run(*arguments, "--format", "sarif", status=1))
    assert log["version"] == "2.1.0"
    results = log["runs"][0]["results"]
    declared = {rule["id"] for rule in log["runs"][0]["tool"]["driver"]["rules"]}
    assert {result["ruleId"] for result in results} <= declared
    assert [result["level"] for result in results].count("error") == 1
    lines = run(*arguments, "--format", "github", status=1).splitlines()
    assert lines[0].startswith("::error file=") and all(line.startswith("::") for line in lines)


# Policies --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "status"),
    [
        ("core_ml.ane >= 95%", 1),
        ("core_ml.ane>=0", 0),
        ("core_ml.cpu == 100 %", 0),
        ("engine.can conv_0", 0),
        ("engine.can 'acos_4'", 1),
        ("engine.can > 80%", 0),
        ("core_ml.ane conv_0", 1),
    ],
)
def test_policies(network: Path, policy: str, status: int) -> None:
    run(network, "--platform", "M4", "--policy", policy, status=status)


def test_the_unknown_meets_no_policy(network: Path) -> None:
    run(network, "--platform", "M3", "--policy", "core_ml.ane >= 0.5%", status=1)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("core_ml.anne >= 95%", "unknown subject 'core_ml.anne'.*core_ml.ane"),
        ("core_ml.ane", "compares with nothing"),
        ("core_ml.ane >= many", "no relation and percentage"),
        ("core_ml.ane >= 101%", "0 to 100"),
        ("core_ml.ane = 5", "no relation and percentage|compares"),
        ("__import__('os').system('true') >= 1", "unknown subject"),
        ("", "unknown subject"),
        ("core_ml.ane " + "x" * 2000, "too long"),
    ],
)
def test_bad_policies(policy: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_policy(policy)


def test_a_policy_on_a_layer_that_is_not_there(network: Path) -> None:
    result = CliRunner().invoke(command, [str(network), "--no-hazards", "--policy", "engine.can conv_1"])
    assert isinstance(result.exception, InputError) and "no layer 'conv_1'" in str(result.exception)


# Platforms and plans ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("M1", "h13g"),
        ("h18g", "h18g"),
        ("iPhone 12", "a14"),
        ("MacBook Air M2", "h14g"),
        ("Mac mini (M4 Pro)", "m4pro"),
    ],
)
def test_names_that_people_use(name: str, found: str) -> None:
    assert platform(name).name == found


@pytest.mark.parametrize("name", ["M9", "", "h13", "x" * 500])
def test_unknown_platforms(name: str) -> None:
    with pytest.raises(InputError, match="unknown platform"):
        platform(name)


def plan(*devices: tuple[str, str, str]) -> str:
    operations = [{"name": name, "operator": f"ios17.{kind}", "preferred": device} for name, kind, device in devices]
    return json.dumps({"operations": operations})


def test_a_measured_plan(network: Path, tmp_path: Path) -> None:
    measured = [(f"v{place + 1}", kind, "MLCPUComputeDevice") for place, kind in enumerate(CUT)]
    measured[0] = ("v1", "conv", "MLNeuralEngineComputeDevice")
    file = tmp_path / "plan.json"
    file.write_text(plan(*measured, ("c", "const", "CPU")))
    report = explained(network, "--platform", "M4", "--compute-plan", file)
    compared = report["core_ml"]["compute_plan"]
    assert (compared["compared"], compared["agreed"], compared["ties"]) == (9, 8, 0)
    assert compared["differ"][0]["name"] == "conv_0"
    assert layer(report, "conv_0")["measured"] == {"backend": "ANE"}
    assert "8 of 9 operations agree" in run(network, "--platform", "M4", "--compute-plan", file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[" * 100000, "not JSON"),
        ("{}", "no list of operations"),
        ("[]", "no list of operations"),
        ("[1]", "not an object"),
        ('[{"name": "a", "operator": "relu"}]', "no preferred device"),
        ('[{"name": "a", "operator": "relu", "preferred": "TPU"}]', "unknown device"),
        (plan(("other", "softmax", "CPU"), ("more", "softmax", "CPU")), "of another model"),
    ],
)
def test_bad_plans(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "plan.json"
    file.write_text(text)
    prediction = predict(read_text(mil(*FOUR)), platform("M4"))
    with pytest.raises(FormatError, match=message):
        compare(prediction, read_plan(file))


def test_plans_of_other_spellings(tmp_path: Path) -> None:
    """The list itself, outputs in place of a name, short device names, and operations that Core ML says nothing of."""
    devices: list[Any] = ["NE", {"type": "neuralEngine"}, "gpu", None]
    items = [
        {"outputs": [{"name": f"v{place + 1}"}], "op": kind, "device": device}
        for place, (kind, device) in enumerate(zip(FOUR, devices, strict=False))
    ]
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(items))
    prediction = predict(read_text(mil(*FOUR)), platform("M4"))
    found = compare(prediction, read_plan(file))
    assert [match.agrees for match in found.matches[:4]] == [True, True, False, None]
    assert found.compared == 3


def test_what_depends_on_an_unknown_operation_is_unknown() -> None:
    kinds = [*CUT]
    kinds[4] = "grid_sample"
    found = predict(read_text(mil(*kinds)), platform("M4"))
    assert {each.device.value for each in found.placements} == {"unknown"}
    assert found.placements[4].verdict.can is None and found.ane_share is None
    sure = predict(read_text(mil("grid_sample", *FOUR * 3)), platform("M4"))
    assert {each.device.value for each in sure.placements[1:]} == {"ANE"}


def test_a_plan_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the plan"):
        read_plan(tmp_path / "none.json")


def test_every_platform_predicts_something() -> None:
    program = read_text(mil(*CUT))
    for name in PLATFORMS:
        assert len(predict(program, platform(name)).placements) == len(CUT)


@pytest.mark.slow
def test_the_snippet_for_coremltools_is_python() -> None:
    page = (Path(__file__).parents[2] / "docs" / "placement.md").read_text()
    (snippet,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names = {node.attr for node in ast.walk(ast.parse(snippet)) if isinstance(node, ast.Attribute)}
    assert "get_compute_device_usage_for_mlprogram_operation" in names
    coremltools = pytest.importorskip("coremltools.models.compute_plan")
    assert names >= {"load_from_path", "model_structure"}
    for name in ("load_from_path", "model_structure", "get_compute_device_usage_for_mlprogram_operation"):
        assert hasattr(coremltools.MLComputePlan, name)
