"""openane as an ONNX backend: the interface, and a sample of ONNX's own cases, none of which may be wrong."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from openane import onnx_backend
from openane.analysis.hazards import Hazard, HazardKind, HazardSource
from openane.core.errors import FaultError, InputError, UnsupportedError
from openane.onnx_backend import CompiledModel
from openane.onnx_suite import SuiteOutcome, SuiteVerdict, cases, judge

ROOT = Path(__file__).parents[1]
TOOL, PAGE = ROOT / "tools" / "onnx_suite.py", ROOT / "docs" / "onnx.md"

EVERY = 16
"""One case in so many runs here; `tools/onnx_suite.py` runs all."""


@pytest.fixture(scope="module")
def stored() -> dict[str, SuiteOutcome]:
    """The outcomes that the page counts; the test skips with another onnx, whose cases differ."""
    with (Path(__file__).parent / "onnx_outcomes.tsv").open(newline="") as file:
        stored, *rows = csv.reader(file, delimiter="\t")
    here = [onnx.__version__, onnxruntime.__version__]
    if stored != here:
        pytest.skip(f"the stored outcomes are of onnx and onnxruntime {stored}, these are {here}")
    return {row[0]: SuiteOutcome(row[0], row[1], SuiteVerdict(row[2]), row[3]) for row in rows}


@pytest.mark.filterwarnings("ignore")
def test_no_sampled_case_is_wrong(stored: dict[str, SuiteOutcome]) -> None:
    found = list(cases())
    assert [case.name for case in found] == list(stored)
    outcomes = [judge(case) for index, case in enumerate(found) if index % EVERY == 5]
    assert [outcome for outcome in outcomes if outcome.verdict is SuiteVerdict.WRONG] == []
    assert outcomes == [stored[outcome.name] for outcome in outcomes]
    passed = [outcome for outcome in outcomes if outcome.verdict is not SuiteVerdict.REFUSED]
    assert len(passed) >= 0.9 * len(outcomes)


@pytest.mark.filterwarnings("ignore")
def test_every_hazard_is_as_stored(stored: dict[str, SuiteOutcome]) -> None:
    """All of them: few, and the ones that are easily filed under the wrong cause."""
    known = [outcome for outcome in stored.values() if outcome.verdict is SuiteVerdict.HAZARD]
    names = {outcome.name for outcome in known}
    assert [judge(case) for case in cases() if case.name in names] == known


def test_the_page_counts_the_stored_outcomes(stored: dict[str, SuiteOutcome]) -> None:
    done = subprocess.run([sys.executable, str(TOOL), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.read_text().splitlines()]
    (total,) = [row for row in rows if row[:1] == ["all"]]
    counts = Counter(outcome.verdict.value for outcome in stored.values())
    columns = ("engine", "host steps", "folded", "hazard", "refused", "wrong")
    assert total == ["all", *(str(counts[column]) for column in columns), str(len(stored))]
    assert counts["wrong"] == 0


def test_faults_and_unexplained_errors_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    case = next(case for case in cases(["node"]) if case.name == "test_relu")

    def fault(*_: object) -> None:
        raise FaultError("source 1 reads what nobody has written")

    with monkeypatch.context() as patch:
        patch.setattr("openane.onnx_backend.CompiledModel.run", fault)
        assert judge(case) == SuiteOutcome(
            "test_relu", "Relu", SuiteVerdict.WRONG, "source 1 reads what nobody has written"
        )
    hazard = Hazard(
        "n", ("n",), "Relu", HazardKind.OVERFLOW, HazardSource.CALIBRATION, "it is", "1", "0", "", outputs=("z",)
    )
    shifted = CompiledModel.run
    monkeypatch.setattr("openane.onnx_backend.CompiledModel.run", lambda *a: tuple(y + 1 for y in shifted(*a)))
    for names, verdict in ((("z",), SuiteVerdict.WRONG), (("y",), SuiteVerdict.HAZARD)):
        explained = replace(hazard, outputs=names)
        monkeypatch.setattr("openane.onnx_suite.hazards_of_run", lambda *_, found=explained: (found,))
        assert judge(case).verdict is verdict


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
    with pytest.raises(InputError, match="open dimensions"):
        onnx_backend.run_model(model(), [[np.ones(4, np.float32)]])
    with pytest.raises(UnsupportedError, match="element type"):
        onnx_backend.run_model(model(), [np.ones((1, 4), complex)])
    with pytest.raises(InputError, match="more arrays"):
        onnx_backend.run_model(model(), [np.ones((1, 4), np.float32)] * 2)
