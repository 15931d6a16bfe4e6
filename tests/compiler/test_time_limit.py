"""Untrusted models that ask for more work than they seem to: limits of wall-clock time and of the number of tasks."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from openane.artifact.plan import HostStep
from openane.cli import root
from openane.compiler.driver import Options, build, load
from openane.core.deadline import check_deadline, deadline, in_time
from openane.core.errors import InputError, UnsupportedError
from openane.core.types import DType
from openane.graph import Graph, Node, Operation, TensorType, ops
from openane.targets.h13.engine import H13
from openane.targets.h13.spec import MACHINE

DIGITS = Path(__file__).parents[2] / "src" / "openane" / "data" / "digits.onnx"
CONV = ops.Conv(strides=(1, 1), pads=(1, 1, 1, 1), dilations=(1, 1), groups=1)


def one(operation: Operation, batch: int, *more: str, **constants: np.ndarray) -> Graph:
    """A graph of one node from x to y."""
    kind = TensorType((batch, 3, 4, 4), DType.FLOAT32)
    return Graph("one", {"x": kind}, ("y",), (Node("n", operation, ("x", *more), ("y",)),), constants)


@pytest.mark.parametrize("operation", [ops.Relu(), ops.Softmax(1), ops.Sigmoid()])
def test_no_time_at_all(operation: Operation) -> None:
    with pytest.raises(InputError, match=r"takes longer than it may.*Raise the time limit"):
        build(one(operation, 2), Options(time_limit_seconds=0.0))


def test_tasks_without_end_are_stopped_while_they_are_made() -> None:
    """A convolution of 60,000 batches is as many tasks; they would take most of a minute."""
    weights = np.ones((3, 3, 3, 3), np.float32)
    with pytest.raises(InputError, match="takes longer than it may"):
        build(one(CONV, 60_000, "w", w=weights), Options(time_limit_seconds=0.05))


def test_loops_of_a_file(tmp_path: Path) -> None:
    """A few hundred bytes whose loops spell out many nodes: the clock is looked at while they are read."""
    helper = pytest.importorskip("onnx.helper", reason="the package onnx is missing")
    proto = importlib.import_module("onnx").TensorProto
    value = helper.make_tensor_value_info
    inside = helper.make_graph(
        [helper.make_node("Add", ["v", "v"], ["o"]), helper.make_node("Identity", ["c"], ["d"])],
        "body",
        [value("i", proto.INT64, ()), value("c", proto.BOOL, ()), value("v", proto.FLOAT, (1, 4))],
        [value("d", proto.BOOL, ()), value("o", proto.FLOAT, (1, 4))],
    )
    constants = [helper.make_tensor("t", proto.INT64, (), [1_000]), helper.make_tensor("on", proto.BOOL, (), [True])]
    loop = helper.make_node("Loop", ["t", "on", "x"], ["y"], body=inside)
    ends = [[value(name, proto.FLOAT, (1, 4))] for name in "xy"]
    model = helper.make_model(helper.make_graph([loop], "g", *ends, constants), ir_version=8)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with deadline(0.0), pytest.raises(InputError, match="takes longer than it may"):
        load(tmp_path / "m.onnx")


def test_no_limit() -> None:
    assert build(one(ops.Relu(), 2), Options(time_limit_seconds=None)).program.tasks


def test_the_earlier_end_holds() -> None:
    with deadline(0.0), deadline(100.0), pytest.raises(InputError, match="allowed: 0 s"):
        check_deadline()
    with deadline(100.0), deadline(None):
        assert list(in_time([1, 2])) == [1, 2]
    with deadline(100.0), pytest.raises(InputError), deadline(0.0):
        check_deadline()
    check_deadline()


def test_too_many_tasks_are_refused_before_they_are_placed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(H13, "spec", property(lambda self: replace(MACHINE, max_tasks=3)))
    monkeypatch.setattr("openane.backend.alloc.allocate.place", None)
    with pytest.raises(UnsupportedError, match=r"more tasks than task numbers .*h13.task-count"):
        build(one(ops.Softmax(1), 9), Options(host=False))


def test_more_than_a_field_can_say_goes_to_the_host() -> None:
    """13 bits count the groups of a task: a batch beyond them runs on the host."""
    graph = one(ops.Relu(), 1 << 13)
    with pytest.raises(UnsupportedError, match=r"NumGroups .*allowed: 0..8191; rule h13.field"):
        build(graph, Options(host=False))
    artifact = build(graph)
    assert [type(step) for step in artifact.plan.steps] == [HostStep]


@pytest.mark.parametrize(
    "operation",
    [
        ops.LocalResponseNorm(size=5, alpha=1e-4, beta=0.75, bias=1.0),
        ops.DepthToSpace(2, ops.BlockOrder.DEPTH_COLUMN_ROW),
        ops.SpaceToDepth(2, ops.BlockOrder.DEPTH_COLUMN_ROW),
    ],
    ids=lambda operation: type(operation).__name__,
)
def test_no_huge_weights_out_of_nothing(operation: Operation) -> None:
    """Each would be a kernel of channels by channels."""
    shape = TensorType((1, 65_532, 2, 2), DType.FLOAT32)
    graph = Graph("one", {"x": shape}, ("y",), (Node("n", operation, ("x",), ("y",)),), {})
    with pytest.raises(UnsupportedError, match=r"rule axis-matrix"):
        build(graph, Options(host=False))


def test_limit_on_the_command_line(tmp_path: Path) -> None:
    words = ["compile", str(DIGITS), "-o", str(tmp_path / "d.hwx"), "--no-cache", "--time-limit"]
    found = CliRunner().invoke(root, [*words, "1e-9"])
    assert isinstance(found.exception, InputError)
    assert CliRunner().invoke(root, [*words, "0"]).exit_code == 0
    assert CliRunner().invoke(root, [*words, "-1"]).exit_code == 2
