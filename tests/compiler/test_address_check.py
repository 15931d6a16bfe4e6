"""A program that the simulator would refuse is never returned or written: that is a bug of openane and says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import openane.cli
from openane.backend.alloc import allocate
from openane.compiler.driver import Options, build
from openane.compiler.lowering import LoweringOptions, lower
from openane.core.errors import InternalError
from openane.graph import Graph, Node, TensorType, ops
from openane.targets.h13.engine import TARGET
from openane.targets.h13.spec import DIALECTS
from openane.targets.target import CompileOptions


def graph() -> Graph:
    nodes = Node("n", ops.Sub(), ("a", "b"), ("c",)), Node("m", ops.Tanh(), ("c",), ("y",))
    return Graph("broken", {name: TensorType((1, 8, 16, 16)) for name in "ab"}, ("y",), nodes, {})


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """An allocator that stages every result at address 0."""
    stage: Callable = allocate._Placer._stage
    monkeypatch.setattr(allocate._Placer, "_stage", lambda *arguments: (stage(*arguments)[0], 0x20))


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
def test_conflicts_of_the_allocator_never_leave_the_compiler(broken: None, dialect: str) -> None:
    with pytest.raises(InternalError, match=r"overlap in L2 .*bug in openane: please report it"):
        build(graph(), Options(dialect=dialect))


def test_the_check_cannot_be_turned_off(broken: None) -> None:
    with pytest.raises(InternalError):
        TARGET.lower(lower(graph(), LoweringOptions()), CompileOptions(check=False))


def test_the_command_line_reports_a_bug_and_writes_nothing(
    broken: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import onnx
    from onnx import TensorProto, helper

    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 8, 16, 16]) for name in "aby"]
    nodes = [helper.make_node("Sub", ["a", "b"], ["c"]), helper.make_node("Tanh", ["c"], ["y"])]
    model = helper.make_model(helper.make_graph(nodes, "g", values[:2], values[2:]), ir_version=8)
    path, output = tmp_path / "model.onnx", tmp_path / "model.hwx"
    onnx.save(model, path)
    with pytest.raises(SystemExit) as stop:
        openane.cli.main(["compile", str(path), "-o", str(output)])
    assert stop.value.code == openane.cli.BUG_STATUS
    assert "This is a bug in openane" in capsys.readouterr().err
    assert not output.exists()
