"""openane as an ONNX backend: the interface, and a sample of ONNX's own cases, none of which may be wrong."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from openane import onnx_backend
from openane.core.errors import InputError, UnsupportedError
from openane.onnx_suite import Verdict, cases, judge

EVERY = 16
"""One case in so many runs here; `tools/onnx_suite.py` runs all."""


@pytest.mark.filterwarnings("ignore")
def test_no_sampled_case_is_wrong() -> None:
    outcomes = [judge(case) for index, case in enumerate(cases()) if index % EVERY == 5]
    assert [outcome for outcome in outcomes if outcome.verdict is Verdict.WRONG] == []
    passed = [outcome for outcome in outcomes if outcome.verdict is not Verdict.REFUSED]
    assert len(passed) >= 0.7 * len(outcomes)


def model() -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "twice",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def test_open_shapes_follow_the_inputs() -> None:
    prepared = onnx_backend.prepare(model())
    for rows in (1, 3):
        x = np.arange(rows * 4, dtype=np.float32).reshape(rows, 4)
        (y,) = prepared.run([x])
        np.testing.assert_array_equal(y, 2 * x)
    (by_name,) = onnx_backend.run_model(model(), {"x": np.ones((2, 4), np.float32)})
    np.testing.assert_array_equal(by_name, np.full((2, 4), 2, np.float32))


def test_single_nodes() -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    (y,) = onnx_backend.run_node(node, [np.array([-1.0, 2.0], np.float32)])
    assert y.tolist() == [0, 2]


def test_other_devices_and_other_values_are_refused() -> None:
    assert onnx_backend.supports_device("CPU") and not onnx_backend.supports_device("CUDA")
    with pytest.raises(InputError, match="no such device"):
        onnx_backend.prepare(model(), "CUDA:1")
    with pytest.raises(UnsupportedError, match="sequences"):
        onnx_backend.run_model(model(), [[np.ones(4)]])
    with pytest.raises(InputError, match="more arrays"):
        onnx_backend.run_model(model(), [np.ones((1, 4), np.float32)] * 2)
