"""Layers that take far more tasks than their work justifies are reported, by name, in every report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import openane.cli
from openane.compiler.driver import Options, build
from openane.graph import Graph, Node, TensorType, ops


def batched(batch: int, rows: int, inner: int) -> Graph:
    inputs = {"a": TensorType((batch, rows, inner)), "b": TensorType((batch, inner, rows))}
    return Graph("batched", inputs, ("y",), (Node("scores", ops.MatMul(), ("a", "b"), ("y",)),), {})


def test_a_task_per_small_matrix_is_reported() -> None:
    (warning,) = build(batched(128, 9, 5), Options()).warnings
    assert "layer 'scores' takes 128 tasks of about 576" in warning
    assert "--keep-on-host scores" in warning


@pytest.mark.parametrize(("batch", "rows", "inner"), [(4, 9, 5), (32, 128, 64), (12, 197, 64), (4096, 33, 1)])
def test_tasks_with_enough_to_do_are_not(batch: int, rows: int, inner: int) -> None:
    assert not build(batched(batch, rows, inner), Options()).warnings


def test_convolutions_over_depth_are_not() -> None:
    weights = np.ones((8, 3, 3, 3, 3), np.float32)
    node = Node("n", ops.Conv((1, 1, 1), (1,) * 6, (1, 1, 1), 1), ("x", "w"), ("y",))
    graph = Graph("deep", {"x": TensorType((1, 3, 64, 24, 24))}, ("y",), (node,), {"w": weights})
    assert not build(graph, Options()).warnings


@pytest.mark.parametrize("verb", ["compile", "explain"])
def test_the_command_line_shows_it(verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shapes = {"a": [128, 9, 5], "b": [128, 5, 9], "y": [128, 9, 9]}
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    node = helper.make_node("MatMul", ["a", "b"], ["y"], name="scores")
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(helper.make_graph([node], "g", values[:2], values[2:]), ir_version=8), path)
    options = ["-o", str(tmp_path / "model.hwx")] if verb == "compile" else []
    openane.cli.main([verb, str(path), *options])
    assert "warning: layer 'scores' takes 128 tasks" in capsys.readouterr().err
    openane.cli.main([verb, str(path), *options, "--json"])
    (warning,) = json.loads(capsys.readouterr().out)["warnings"]
    assert "128 tasks" in warning
