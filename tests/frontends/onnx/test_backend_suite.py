"""ONNX's own single-operator cases on the reference, before and after the graph passes: none may be wrong."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from openane.compiler.pipeline import run_pipeline
from openane.core.errors import OpenaneError
from openane.frontends.onnx.tensors import held
from openane.graph.ops import OnnxNode
from openane.onnx_backend import freeze

#: What must pass at least, of 1884 cases in onnx 1.23; older versions of the package have fewer.
PASSING_SHARE = 0.9

#: Error of single precision in what onnxruntime computes, relative to the largest value.
SINGLE_ERROR = 2.0**-21


def _cases() -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.loader import load_model_tests

        return list(load_model_tests(kind="node"))


def _array(given: Any) -> Any:
    if isinstance(given, (list, tuple, type(None))):
        return given
    return held(numpy_helper.to_array(given) if isinstance(given, onnx.TensorProto) else np.asarray(given))


def _tolerance(case: Any, expected: Any) -> float:
    """That of the case, and two units of the last place of half precision, or of bfloat16."""
    name = getattr(expected, "dtype", np.dtype(np.float32)).name
    return max(float(case.rtol), {"bfloat16": 1e-2, "float16": 2e-3}.get(name, 0.0))


def _verdict(case: Any) -> str:
    inputs, outputs = case.data_sets[0]
    names = [value.name for value in case.model.graph.input]
    arrays = {n: _array(a) for n, a in zip(names, inputs, strict=False)}
    try:
        graph, constants = freeze(case.model, arrays)
    except OpenaneError as error:
        assert "\n" not in str(error)
        assert error.diagnostic.where, f"{case.name}: a refusal must say where"
        return "refused"
    nodes = [node.operation for node in graph.nodes if isinstance(node.operation, OnnxNode)]
    if any(operation.problem or operation.random for operation in nodes):
        return "random" if any(operation.random for operation in nodes) else "refused"
    feeds = {name: array for name, array in arrays.items() if name not in constants}
    for candidate in (graph, run_pipeline(graph)):
        assert set(candidate.types) >= set(candidate.outputs)
        for (name, found), given in zip(candidate.evaluate(feeds).items(), outputs, strict=True):
            _compare(found, given, case, name, SINGLE_ERROR if nodes else 0.0)
    return "frozen" if constants else "pass"


def _compare(found: Any, given: Any, case: Any, name: str, error: float) -> None:
    expected = _array(given)
    if expected is None or isinstance(expected, list):
        assert type(found) is type(expected) and len(found or ()) == len(expected or ())
        for part, wanted in zip(found or (), expected or (), strict=True):
            _compare(part, wanted, case, name, error)
    elif expected.dtype.kind in "OU":
        assert found.astype(object).tolist() == expected.astype(object).tolist(), (case.name, name)
    else:
        assert found.dtype == expected.dtype, (case.name, name)
        largest = np.abs(expected[np.isfinite(expected)]).max(initial=0) if expected.dtype.kind == "f" else 0
        atol = max(case.atol, error * float(largest))
        rtol = _tolerance(case, given)
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol, err_msg=f"{case.name}: {name}")


@pytest.mark.filterwarnings("ignore")
def test_no_case_is_wrong() -> None:
    cases = _cases()
    verdicts = Counter(_verdict(case) for case in cases)
    assert verdicts["pass"] + verdicts["frozen"] >= PASSING_SHARE * len(cases), verdicts
