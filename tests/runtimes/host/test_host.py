"""Host steps: onnxruntime and the reference give the same answers, and a clear error either way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from openane.cli.run import command
from openane.compiler.driver import build
from openane.core.types import DType
from openane.graph import Graph, Node, OperationCase, TensorType
from openane.graph.ops import OPERATIONS, OnnxNode
from openane.runtimes.execution import Execution
from openane.runtimes.host import HostSession, open_host
from openane.runtimes.host.export import export_model

CASES = [(name, index, case) for name, kind in OPERATIONS.items() for index, case in enumerate(kind.cases())]
LIBRARY_SHARE = 0.85
"""Of the sample cases at least; the others are left to the reference, with a reason."""


def graph_of(case: OperationCase) -> tuple[Graph, dict[str, np.ndarray]]:
    """The graph of one operation; integer operands beyond the first are constants, as models have them."""
    names = [f"x{i}" if array is not None else "" for i, array in enumerate(case.inputs)]
    given = {name: array for name, array in zip(names, case.inputs, strict=True) if array is not None}
    types = [TensorType(a.shape, DType.of(a)) if a is not None else None for a in case.inputs]
    outputs = tuple(f"y{i}" for i in range(len(case.operation.infer(types))))
    node = Node("node", case.operation, tuple(names), outputs)
    constants = {n: a for n, a in given.items() if n != "x0" and a.dtype.kind in "iu"}
    inputs = {n: TensorType(a.shape, DType.of(a)) for n, a in given.items() if n not in constants}
    return Graph("case", inputs, outputs, (node,), constants), {n: given[n] for n in inputs}


@pytest.mark.parametrize(("name", "index", "case"), CASES, ids=[f"{n}-{i}" for n, i, _ in CASES])
def test_onnxruntime_agrees_with_the_reference(name: str, index: int, case: OperationCase) -> None:
    graph, inputs = graph_of(case)
    session = open_host(graph)
    if session.session is None:
        assert session.reason or isinstance(case.operation, OnnxNode)  # which keeps a session of its own
        return
    found, expected = session.session.run(None, inputs), graph.evaluate(inputs)
    for array, (value, reference) in zip(found, expected.items(), strict=True):
        assert array.dtype == reference.dtype, value
        rtol = 2e-3 if reference.dtype == np.float16 else 2e-5
        np.testing.assert_allclose(array, reference, rtol=rtol, atol=rtol, err_msg=value)


def test_most_operations_run_in_onnxruntime() -> None:
    reasons = {f"{name}-{i}": open_host(graph_of(case)[0]).reason for name, i, case in CASES}
    left = {name: reason for name, reason in reasons.items() if reason}
    assert len(left) <= (1 - LIBRARY_SHARE) * len(CASES), left


class FailingLibrary:
    """onnxruntime on a bad day."""

    def run(self, names: object, inputs: object) -> list[np.ndarray]:
        raise RuntimeError("[ONNXRuntimeError] : 1 : FAIL :\n  out of luck")


def failing_host(graph: Graph) -> HostSession:
    return HostSession(graph, "onnxruntime", session=FailingLibrary())


def test_a_failure_of_onnxruntime_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    graph, inputs = graph_of(next(OPERATIONS["TopK"].cases()))
    result = failing_host(graph).run(inputs)
    assert (result.library, result.failure) == ("reference", "[ONNXRuntimeError] : 1 : FAIL : out of luck")
    for name, array in graph.evaluate(inputs).items():
        np.testing.assert_array_equal(result.outputs[name], array)
    assert open_host(graph).run(inputs).failure == ""

    monkeypatch.setattr("openane.runtimes.execution.open_host", failing_host)
    with Execution(build(graph)) as execution:
        (step,) = execution.run(inputs).steps
    assert step.where == "host (reference)"
    assert "numpy computed it, because onnxruntime failed: [ONNXRuntimeError]" in step.substitution

    model = tmp_path / "model.onnx"
    model.write_bytes(export_model(graph).SerializeToString())
    done = CliRunner().invoke(command, [str(model), "--no-cache"])
    assert done.exit_code == 0, done.output
    assert "warning: step 1: numpy computed it, because onnxruntime failed" in done.stderr
    assert "host (onnxruntime)" not in done.stdout
