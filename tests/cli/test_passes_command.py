"""`openane passes` lists what the compiler runs, and `openane compile --stop-after` shows what one pass made."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from openane.backend import pipeline
from openane.backend.compilation import Compilation
from openane.backend.ir.plan import ProgramPlan, TensorPlace
from openane.backend.pipeline import PASSES
from openane.cli import root
from openane.compiler.driver import Options, build
from openane.compiler.pipeline import FOLDINGS, PIPELINE
from openane.core.errors import InternalError, OpenaneError
from openane.core.passes import Pass
from openane.net import Net


@pytest.fixture
def model(tmp_path: Path) -> Path:
    weights = numpy_helper.from_array(np.ones((4, 3, 1, 1), np.float32), "w")
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, c, 8, 8]) for n, c in (("x", 3), ("y", 4))]
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Relu", ["c"], ["y"])]
    made = helper.make_model(helper.make_graph(nodes, "g", values[:1], values[1:], [weights]), ir_version=8)
    path = tmp_path / "model.onnx"
    onnx.save(made, path)
    return path


def steps() -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(CliRunner().invoke(root, ["passes", "--json"]).stdout)["passes"]
    return found


def test_the_list_is_what_runs(model: Path) -> None:
    seen: list[str] = []
    build(model, Options(host=False, observe=lambda stage: seen.append(stage.name)))
    assert seen == [step["name"] for step in steps()]
    assert len(seen) == 1 + len(PIPELINE) + len(FOLDINGS) + len(PASSES)
    assert all(step["reason"] for step in steps())
    assert list(dict.fromkeys(step["level"] for step in steps())) == ["graph", "net", "plan", "program"]


@pytest.mark.parametrize(
    ("wanted", "first", "holds"),
    [
        ("graph", "; graph: ", "graph"),
        ("fold-constants", "; fold-constants: ", "graph"),
        ("fuse-epilogues", "; fuse-epilogues: ", "function=Neuron[kind=relu"),
        ("lower", "; lower: ", "output surface"),
        ("place", "; place: ", "staged at 0x180"),
    ],
)
def test_stop_after_writes_what_the_pass_made(model: Path, wanted: str, first: str, holds: str) -> None:
    output = model.with_name("stage.txt")
    number = str([step["name"] for step in steps()].index(wanted))
    for name in (wanted, number):
        result = CliRunner().invoke(root, ["compile", str(model), "--stop-after", name, "-o", str(output)])
        assert result.exit_code == 0, result.output
        text = output.read_text()
        assert text.startswith(first) and holds in text
        output.unlink()


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("plac", r"unknown pass \(found plac; .*0 to 41\). Did you mean place"),
        ("99", "unknown pass"),
        ("-1", "unknown pass"),
    ],
)
def test_an_unknown_pass_is_refused(model: Path, wanted: str, message: str) -> None:
    arguments = ["compile", str(model), f"--stop-after={wanted}", "-o", str(model.with_name("out.txt"))]
    with pytest.raises(OpenaneError, match=message):
        CliRunner().invoke(root, arguments, catch_exceptions=False)
    assert not model.with_name("out.txt").exists()


def test_a_program_has_no_passes(model: Path) -> None:
    program = model.with_suffix(".hwx")
    assert CliRunner().invoke(root, ["compile", str(model), "-o", str(program)]).exit_code == 0
    with pytest.raises(OpenaneError, match="does not run this pass"):
        CliRunner().invoke(
            root, ["compile", str(program), "--stop-after", "place", "-o", "x.txt"], catch_exceptions=False
        )


def _without_outputs(state: Compilation) -> Compilation:
    return replace(state, net=Net(state.net.name, state.net.inputs, {}, state.net.units))


def _without_first_task(state: Compilation) -> Compilation:
    assert state.plan is not None
    blocks = tuple(replace(block, tasks=block.tasks[1:]) for block in state.plan.blocks)
    return replace(state, plan=replace(state.plan, blocks=blocks))


def _unknown_tensor(state: Compilation) -> Compilation:
    plan = state.plan
    assert isinstance(plan, ProgramPlan)
    return replace(
        state, plan=replace(plan, tensors={n: t for n, t in plan.tensors.items() if t.place is TensorPlace.INPUT})
    )


def _outside(state: Compilation) -> Compilation:
    assert state.placement is not None
    tasks = tuple(replace(task, result=replace(task.result, l2_base=1 << 30)) for task in state.placement.tasks)
    return replace(state, placement=replace(state.placement, tasks=tasks))


@pytest.mark.parametrize(
    ("broken", "after", "finding"),
    [
        (_without_outputs, "attention", "outputs differ"),
        (_without_first_task, "split-channels", "no task writes output 'y'"),
        (_unknown_tensor, "lower", "is not a tensor of the plan"),
        (_outside, "place", "outside of L2"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_pass_that_breaks_something_is_found_by_name(
    model: Path, monkeypatch: pytest.MonkeyPatch, broken, after: str, finding: str
) -> None:
    position = [step.name for step in PASSES].index(after) + 1
    passes = (*PASSES[:position], Pass("broken", broken, "to be found"), *PASSES[position:])
    monkeypatch.setattr(pipeline, "PASSES", passes)
    with pytest.raises(InternalError, match=f"the pass 'broken' made something that is not valid: .*{finding}"):
        build(model, Options(host=False))
