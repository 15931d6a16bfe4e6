"""Inputs that are not given: valid indices for every table they reach, and said so when something fails."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import numpy_helper, parser

from openane.cli.compare import command as compare
from openane.cli.convert import command as convert
from openane.cli.explain import command as explain
from openane.cli.run import command as run
from openane.compiler.driver import build
from openane.compiler.generated_inputs import complete, host_graphs, index_spans, made_up_input
from openane.core.types import DType
from openane.frontends.onnx import load_model
from openane.graph import TensorType

#: Statements that look rows up with the input `ids` (int64[2, 6]), rows of each table, and the largest valid index.
LOOKUPS = {
    "plain": ("y = Gather(t, ids)", {"t": 2}, 1),
    "one row": ("y = Gather(t, ids)", {"t": 1}, 0),
    "many rows": ("y = Gather(t, ids)", {"t": 3000}, 2999),
    "two tables": ("a = Gather(t, ids) b = Gather(u, ids) y = Add(a, b)", {"t": 50, "u": 7}, 6),
    "cast": ("f = Cast<to = 1>(ids) i = Cast<to = 6>(f) y = Gather(t, i)", {"t": 3}, 2),
    "reshaped": ("r = Reshape(ids, flat) s = Unsqueeze(r, one) y = Gather(t, s)", {"t": 4}, 3),
    "a column": ("c = Gather<axis = 1>(ids, one) y = Gather(t, c)", {"t": 5}, 4),
    "joined": ("c = Concat<axis = 1>(ids, ids) y = Gather(t, c)", {"t": 5}, 4),
    "offset": ("i = Add(ids, two) y = Gather(t, i)", {"t": 9}, 6),
    "from one": ("i = Sub(ids, two) y = Gather(t, i)", {"t": 9}, 10),
    "scaled": ("i = Mul(ids, two) y = Gather(t, i)", {"t": 9}, 4),
    "wrapped": ("i = Mod(ids, two) y = Gather(t, i)", {"t": 2}, None),
    "by element": ("y = GatherElements<axis = 0>(t, ids)", {"t": 3}, 2),
    "last axis": ("y = Gather<axis = 1>(t, ids)", {"t": 50}, 7),
}


def model_of(text: str, rows: dict[str, int], kind: str = "int64") -> onnx.ModelProto:
    model = parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 18]> g ({kind}[2, 6] ids) => (float y) {{ {text} }}'
    )
    arrays = {name: np.random.default_rng(count).standard_normal((count, 8)) for name, count in rows.items()}
    arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    arrays |= {"flat": np.array([12]), "one": np.array([1]), "two": np.array([2])}
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays.items())
    model.graph.output[0].type.tensor_type.ClearField("shape")
    return model


@pytest.mark.parametrize("case", LOOKUPS)
def test_indices_fit_every_table(case: str, tmp_path: Path) -> None:
    text, rows, largest = LOOKUPS[case]
    model = model_of(text, rows)
    graph = load_model(model)
    span = index_spans(graph.inputs, [graph]).get("ids")
    assert (None if span is None else span[1]) == largest
    artifact = build(graph)
    arrays, made = complete({}, artifact.plan.inputs, host_graphs(artifact.plan))
    assert made == ["ids"]
    assert arrays["ids"].min() >= (2 if case == "from one" else 0)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    for command, more in (
        (run, ["--no-cache"]),
        (compare, []),
        (compare, ["--with", "onnxruntime"]),
        (explain, []),
        (convert, ["-o", str(tmp_path / "out.onnx")]),
    ):
        done = CliRunner().invoke(command, [str(path), *more])
        assert done.exit_code == 0, (command, done.output, done.exception)


def test_float_indices_are_whole() -> None:
    graph = load_model(model_of("i = Cast<to = 7>(ids) y = Gather(t, i)", {"t": 4}, "float"))
    (ids,) = complete({}, graph.inputs, [graph])[0].values()
    assert set(ids.reshape(-1).tolist()) <= {0, 1, 2, 3} and ids.dtype == np.float32


def test_several_inputs_share_the_rows_of_their_sum() -> None:
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 18]> g (int64[4] a, int64[4] b) => (float[4, 2] y)'
        "<float[8, 2] t> { i = Add(a, b) y = Gather(t, i) }"
    )
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((8, 2), np.float32), "t"))
    graph = load_model(model)
    assert index_spans(graph.inputs, [graph]) == {"a": (0, 3), "b": (0, 3)}


def test_other_inputs_are_as_before() -> None:
    kind = TensorType((40,))
    ids = TensorType((40,), DType.INT64)
    np.testing.assert_array_equal(made_up_input("ids", ids), made_up_input("ids", ids, (0, 30000)))
    assert made_up_input("attention_mask", ids).max() == 1
    assert made_up_input("x", kind).dtype == np.float32 and len(set(made_up_input("x", kind).tolist())) == 40


def test_a_failure_says_that_the_data_was_generated(tmp_path: Path) -> None:
    """An index that no rule follows: the sum of all ids."""
    model = model_of("s = ReduceSum(ids) y = Gather(t, s)", {"t": 2})
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    hint = "The data of ids was generated: pass real arrays with --input NAME=FILE.npy."
    for command, more in ((run, ["--no-cache"]), (compare, []), (convert, ["-o", str(tmp_path / "out.onnx")])):
        done = CliRunner().invoke(command, [str(path), *more])
        assert done.exit_code and hint in str(done.exception), (command, done.exception)
    np.save(tmp_path / "ids.npy", np.full((2, 6), 1))
    done = CliRunner().invoke(run, [str(path), "--no-cache", "--input", f"ids={tmp_path / 'ids.npy'}"])
    assert "out of range" in str(done.exception) and "generated" not in str(done.exception)


def test_convert_takes_inputs_and_constants(tmp_path: Path) -> None:
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 18]> g (int64[2] ids, int64[2] shape) => (float[a, b] y)'
        "<float[2, 3] t = {1, 2, 3, 4, 5, 6}> { s = ReduceSum(ids) i = Unsqueeze(s, zero) g = Gather(t, i)"
        " z = Squeeze(g) y = Reshape(z, shape) }"
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array([0]), "zero"))
    path, ids = tmp_path / "model.onnx", tmp_path / "ids.npy"
    path.write_bytes(model.SerializeToString())
    np.save(ids, np.array([[1], [0]])[:, 0])
    options = [str(path), "-o", str(tmp_path / "out.onnx"), "--constant", "shape=3,1", "--json"]
    assert "generated" in str(CliRunner().invoke(convert, options).exception)
    done = CliRunner().invoke(convert, [*options, "--input", f"ids={ids}"])
    assert done.exit_code == 0, done.exception
    assert json.loads(done.stdout)["made_up_inputs"] == []
    assert [value.name for value in onnx.load(str(tmp_path / "out.onnx")).graph.input] == ["ids"]
    done = CliRunner().invoke(convert, [*options, "--input", f"nothing={ids}"])
    assert "there is no input 'nothing'" in str(done.exception)
