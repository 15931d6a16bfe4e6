"""Running ONNX's own test cases: what passes where, what is refused, and what would be wrong."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from openane.analysis.hazards import Hazard, hazards_of_run
from openane.artifact.plan import Artifact, EngineStep, HostStep
from openane.core.errors import FaultError, OpenaneError
from openane.frontends.onnx.tensors import held
from openane.graph.ops import OnnxNode
from openane.numerics.limits import HALF_LARGEST
from openane.onnx_backend import prepare

KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")
"""Cases whose data come with the package onnx."""
HALF_ERROR = 2.0**-6
"""Allowed error of results of the engine, relative to the largest magnitude of the tensor: eight steps of half
precision, for tables and sums."""
SINGLE_ERROR = 1e-3
"""The same for results of host steps alone, next to the case's own tolerance."""


ROUNDED_STEPS = 1
"""Bytes that are rounded from a result of the engine may be a step off."""


class SuiteVerdict(Enum):
    """What happened to a case."""

    ENGINE = "engine"
    HOST = "host steps"
    FOLDED = "folded"
    HAZARD = "hazard"
    REFUSED = "refused"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class SuiteOutcome:
    """One case.

    Attributes:
        name: of the case.
        operation: the ONNX operation it is about.
        verdict: what happened.
        reason: why it was refused, what spoils it, or what is wrong.
    """

    name: str
    operation: str
    verdict: SuiteVerdict
    reason: str = ""


def cases(kinds: Sequence[str] = KINDS) -> Iterator[Any]:
    """The test cases of the package onnx, with their models loaded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.loader import load_model_tests

        found = [case for kind in kinds for case in load_model_tests(kind=kind)]
    for case in found:
        yield (
            case if case.model is not None else replace(case, model=onnx.load(str(Path(case.model_dir) / "model.onnx")))
        )


def judge(case: Any) -> SuiteOutcome:
    """Runs the first data set of a case.

    A fault of the simulator counts as wrong: the program came from our compiler.
    """
    operation = _operation(case)
    compiled = prepare(case.model)
    try:
        inputs, expected = _data(case)
        found = compiled.run([_plain(value) for value in inputs])
    except FaultError as error:
        return SuiteOutcome(case.name, operation, SuiteVerdict.WRONG, str(error))
    except OpenaneError as error:
        return SuiteOutcome(case.name, operation, SuiteVerdict.REFUSED, error.diagnostic.what)
    artifact = compiled.artifact
    assert artifact is not None
    outputs = dict(zip(artifact.plan.outputs, found, strict=True))
    problems = {
        name: problem
        for (name, value), wanted in zip(outputs.items(), expected, strict=True)
        if (problem := _problem(case, artifact, value, _plain(wanted)))
    }
    if not problems:
        return SuiteOutcome(case.name, operation, _place(artifact))
    hazards = _hazards(artifact, case, inputs, outputs)
    unexplained = problems.keys() - {name for hazard in hazards for name in hazard.outputs}
    if unexplained:
        listed = "; ".join(f"output {name!r}: {problems[name]}" for name in sorted(unexplained))
        return SuiteOutcome(case.name, operation, SuiteVerdict.WRONG, listed)
    causes = dict.fromkeys(f"{h.operation}: {h.what}" for h in hazards if problems.keys() & set(h.outputs))
    return SuiteOutcome(case.name, operation, SuiteVerdict.HAZARD, "; ".join(causes))


def _hazards(
    artifact: Artifact, case: Any, inputs: Sequence[Any], outputs: Mapping[str, np.ndarray]
) -> tuple[Hazard, ...]:
    """What `openane run` reports for these inputs and outputs."""
    graph = artifact.graph
    assert graph is not None
    names = [value.name for value in case.model.graph.input]
    arrays = {name: _plain(value) for name, value in zip(names, inputs, strict=False) if name in graph.inputs}
    return hazards_of_run(artifact, arrays, outputs)


def _place(artifact: Artifact) -> SuiteVerdict:
    steps = artifact.plan.steps
    if not steps:
        return SuiteVerdict.FOLDED
    return SuiteVerdict.ENGINE if all(isinstance(step, EngineStep) for step in steps) else SuiteVerdict.HOST


def _is_random(artifact: Artifact) -> bool:
    """Whether a step of the plan draws random numbers."""
    nodes = (node for step in artifact.plan.steps if isinstance(step, HostStep) for node in step.graph.nodes)
    return any(isinstance(node.operation, OnnxNode) and node.operation.random for node in nodes)


def _operation(case: Any) -> str:
    kinds = [node.op_type for node in case.model.graph.node if node.op_type != "Constant"]
    if len(set(kinds)) == 1:
        return str(kinds[0])
    return "functions, expanded" if "expanded" in case.name else "several operations"


def _data(case: Any) -> tuple[list[Any], list[Any]]:
    if case.data_sets:
        inputs, outputs = case.data_sets[0]
        return list(inputs), list(outputs)
    folder = Path(case.model_dir) / "test_data_set_0"
    sides = []
    for side, values in (("input", case.model.graph.input), ("output", case.model.graph.output)):
        arrays: list[Any] = []
        for path in sorted(folder.glob(f"{side}_*.pb"), key=lambda each: int(each.stem.split("_")[1])):
            kind = values[len(arrays)].type.WhichOneof("value") if len(arrays) < len(values) else "tensor_type"
            tensor = onnx.TensorProto()
            if kind == "tensor_type":
                tensor.ParseFromString(path.read_bytes())
            arrays.append(numpy_helper.to_array(tensor) if kind == "tensor_type" else [])
        sides.append(arrays)
    return sides[0], sides[1]


def _plain(value: Any) -> Any:
    """An array in an element type that a Graph holds: narrow types in the wider type that has all their values."""
    if isinstance(value, onnx.TensorProto):
        value = numpy_helper.to_array(value)
    return held(value) if isinstance(value, np.ndarray) else value


def _steps_off(found: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference of integers or booleans."""
    if wanted.dtype.kind == "b":
        return 0.0 if np.array_equal(found, wanted) else float("inf")
    return float(np.abs(found.astype(np.float64) - wanted.astype(np.float64)).max(initial=0))


def _problem(case: Any, artifact: Artifact, found: Any, wanted: Any) -> str:
    """What is wrong with a result; empty when nothing is. Random numbers are right in their shape and type."""
    if isinstance(wanted, list) and isinstance(found, list):
        if len(found) != len(wanted):
            return f"{len(found)} elements instead of {len(wanted)}"
        pairs = zip(found, wanted, strict=True)
        return next(filter(None, (_problem(case, artifact, a, _plain(b)) for a, b in pairs)), "")
    if found is None or wanted is None:
        return "" if found is wanted else "a value instead of none" if wanted is None else "none instead of a value"
    wanted = np.asarray(wanted)
    if not isinstance(found, np.ndarray):
        return f"{type(found).__name__} instead of an array"
    if wanted.dtype.kind in "OU":
        return "" if np.array_equal(found.astype(object), wanted.astype(object)) else "other texts"
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        return f"{found.dtype}{list(found.shape)} instead of {wanted.dtype}{list(wanted.shape)}"
    if _is_random(artifact):
        return ""
    on_engine = any(isinstance(step, EngineStep) for step in artifact.plan.steps)
    if wanted.dtype.kind != "f" or not wanted.size:
        off = _steps_off(found, wanted)
        return "" if off <= (ROUNDED_STEPS if on_engine and wanted.dtype.itemsize == 1 else 0) else "other values"
    a, b = found.astype(np.float64), wanted.astype(np.float64)
    if on_engine:  # half precision has no numbers beyond `HALF_LARGEST`, and the engine no NaN of its own
        b = np.where(np.abs(b) > HALF_LARGEST, np.copysign(np.inf, b), b)
    finite = np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return "other infinities"
    largest = float(np.abs(b[finite]).max(initial=0))
    allowed = max(case.atol, case.rtol * largest, (HALF_ERROR if on_engine else SINGLE_ERROR) * largest)
    worst = float(np.abs(a[finite] - b[finite]).max(initial=0))
    return "" if worst <= allowed else f"off by {worst:.3g}, {allowed:.3g} allowed"
