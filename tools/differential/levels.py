"""One network on every level: what each gives, and whether neighbors agree."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from differential.coverage import Reached, reached
from differential.half import (
    LIMIT,
    SECOND_LOOK_RUNS,
    SUM_ROUNDING,
    Expectation,
    expect,
    has_products,
    longest_sum,
    precise,
)
from differential.network import Network
from openane.artifact.plan import Artifact
from openane.compiler.driver import Options, build
from openane.compiler.lowering import LoweringOptions, lower
from openane.compiler.pipeline import run_pipeline
from openane.core.errors import UnsupportedError
from openane.graph import Graph, ops
from openane.runtimes.execution import Execution
from openane.runtimes.runtime import SessionOptions
from openane.targets.target import RunOptions

Arrays = Mapping[str, np.ndarray]

REFERENCE_TOLERANCE = 1e-9
"""Two evaluations in double precision, relative to the largest value."""
PLAN_TOLERANCE = 1e-4
"""The nets that were compiled, whose folded constants are single precision."""
COMPOSED = (
    ops.Celu,
    ops.Elu,
    ops.Erf,
    ops.Exp,
    ops.Gelu,
    ops.Mish,
    ops.ScaledTanh,
    ops.Selu,
    ops.Sigmoid,
    ops.Silu,
    ops.Softplus,
    ops.Tanh,
)
"""Functions that a compiled net composes: nets are lowered with one exact unit each as well, and compared tightly."""
COMPOSED_TOLERANCE = 0.01
"""Of networks with such functions: each is off by up to 4e-4, which later layers may make larger."""
IMPORT_TOLERANCE = 1e-4
"""The model written as ONNX and read again: attributes, constants and what is cast are single precision there."""
SINGLE_FACTOR = 32.0
"""How many times the error of the reference in single precision onnxruntime may be off."""
SINGLE = 1e-4
"""The least tolerance for onnxruntime, relative to the largest value."""
DEFINITION_TOLERANCE = 0.05
"""The simulator against the definition in double precision; a last look, the tight one is `half.expect`."""
TABLE_FACTOR = 2.0
"""How many times what tables change, as `half.expect` measures it, the distance from the definition may be."""
TASK_LIMIT = 1500
"""Programs of more tasks are compiled and not run."""


class DisagreeError(Exception):
    """Two levels give different results.

    Attributes:
        result: which levels; the kind of the failure.
    """

    def __init__(self, result: str, detail: str) -> None:
        super().__init__(detail)
        self.result = result


FINE = ("ok", "beyond half precision", "too many tasks")


@dataclass
class Verdict:
    """What became of a case.

    Attributes:
        result: "ok", "beyond half precision" (ran, not judged), "too many tasks" (compiled, not run), or how it failed.
        detail: of a failure.
        refusals: rules by which the engine refused steps; they ran on the host then.
        onnxruntime: "ok", or why it could not judge.
        error: largest error on the simulator relative to the largest value of an output, from the definition.
        margin: the same error relative to the tolerance; at most 1.
        reached: what the programs cover.
    """

    result: str = "ok"
    detail: str = ""
    refusals: list[str] = field(default_factory=list)
    onnxruntime: str = "ok"
    error: float = 0.0
    margin: float = 0.0
    reached: Reached = field(default_factory=Reached)

    @property
    def failed(self) -> bool:
        """Whether a fault was found."""
        return self.result not in FINE


def judge(network: Network) -> Verdict:
    """Runs a network on every level; errors that escape are verdicts like the others."""
    verdict = Verdict()
    try:
        _judge(network, verdict)
    except DisagreeError as error:
        verdict.result, verdict.detail = error.result, str(error)
    except Exception as error:  # finding these is what a campaign is for
        verdict.result, verdict.detail = f"{type(error).__name__} escaped", str(error)[:300]
    return verdict


def _judge(network: Network, verdict: Verdict) -> None:
    wide, inputs = network.graph(wide=True), network.arrays(wide=True)
    reference = wide.evaluate(inputs)
    verdict.onnxruntime = _foreign(network, reference)
    lowered = run_pipeline(wide)
    _agree("graph passes change the result", reference, lowered.evaluate(inputs), REFERENCE_TOLERANCE)
    artifact = _build(network, lowered, verdict, reference, inputs)
    if not _unbounded(inputs):
        composed = any(isinstance(node.operation, COMPOSED) for node in lowered.nodes)
        tolerance = COMPOSED_TOLERANCE if composed else PLAN_TOLERANCE
        _agree("the compiled nets differ", reference, precise(artifact.plan, inputs), tolerance)
    verdict.reached = reached(artifact)
    if verdict.reached.tasks.total() > TASK_LIMIT:
        verdict.result = "too many tasks"
        return
    with Execution(artifact, options=SessionOptions(simulation=RunOptions(threads=1))) as execution:
        outputs = execution.run(network.arrays()).outputs
    _expected(artifact, inputs, reference, outputs, verdict)


def _build(network: Network, lowered: Graph, verdict: Verdict, reference: Arrays, inputs: Arrays) -> Artifact:
    """The network compiled for the engine alone or, when it refuses, with the host's help; its net agrees as well."""
    graph, options = network.graph(), Options(dialect=network.dialect, host=False)
    try:
        net = lower(lowered, LoweringOptions(rows=network.rows))
    except UnsupportedError as error:
        verdict.refusals = sorted({one.rule or one.what for one in error.diagnostics})
    else:
        if not (has_products((net,)) and _unbounded(inputs)):  # infinity times zero is another number on each level
            fed = {name: array.astype(np.float64) for name, array in inputs.items()}
            _agree("graph and net differ", reference, net.evaluate(fed), REFERENCE_TOLERANCE)
    if not verdict.refusals:
        try:
            return build(graph, options)
        except UnsupportedError as error:
            verdict.refusals = sorted({one.rule or one.what for one in error.diagnostics})
    return build(graph, Options(dialect=network.dialect, host=True))


def _expected(artifact: Artifact, inputs: Arrays, reference: Arrays, outputs: Arrays, verdict: Verdict) -> None:
    """Compares the simulator with the nets in half precision and, more loosely, with the definition."""
    expectation = expect(artifact.plan, inputs)
    unbounded = _unbounded(inputs)
    if (unbounded and expectation.products) or not (unbounded or expectation.largest < LIMIT):
        verdict.result = "beyond half precision"
        return
    if any(_excess(expectation, name, outputs[name]).max(initial=0.0) > 1 for name in expectation.outputs):
        expectation = expect(artifact.plan, inputs, SECOND_LOOK_RUNS)
    for name, wanted in expectation.outputs.items():
        found, tolerance = np.asarray(outputs[name], np.float64), expectation.tolerances[name]
        excess = _excess(expectation, name, found)
        verdict.margin = max(verdict.margin, float(excess.max(initial=0.0)))
        sizes = np.abs(np.asarray(reference[name], np.float64))
        scale = max(float(sizes[np.isfinite(sizes)].max(initial=0.0)), 0.05)
        loose = _distance(found, np.asarray(reference[name], np.float64)) / scale
        verdict.error = max(verdict.error, float(loose.max(initial=0.0)))
        if not excess.max(initial=0.0) <= 1:
            at = np.unravel_index(int(np.nanargmax(excess)), excess.shape)
            raise DisagreeError(
                "the simulator differs",
                f"{name}{list(map(int, at))}: {found[at]:.6g}, not {wanted[at]:.6g} within {tolerance[at]:.3g}; "
                f"{int((excess > 1).sum())} of {excess.size} elements",
            )
        known = 8 * float(np.max(tolerance, initial=0.0)) + TABLE_FACTOR * float(
            expectation.tables[name].max(initial=0)
        )
        limit = DEFINITION_TOLERANCE + known / scale
        if not float(loose.max(initial=0.0)) <= limit:
            raise DisagreeError("far from the definition", f"{name}: off by {loose.max():.3g} of {scale:.3g}")


def _excess(expectation: Expectation, name: str, found: np.ndarray) -> np.ndarray:
    """The errors of an output relative to their tolerances.

    Raises:
        DisagreeError: it has another shape.
    """
    wanted = expectation.outputs[name]
    if found.shape != wanted.shape:
        raise DisagreeError("the simulator gives another shape", f"{name}: {found.shape}, not {wanted.shape}")
    error = _distance(found, wanted)
    return np.where(error > 0, error / np.maximum(expectation.tolerances[name], 1e-30), 0.0)


def _unbounded(inputs: Arrays) -> bool:
    """Whether inputs are so large that sums of products leave the engine as infinity."""
    return any(not np.isfinite(array).all() or np.abs(array).max(initial=0) > LIMIT for array in inputs.values())


def _distance(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Absolute differences; equal infinities are not a difference, a NaN is infinitely far."""
    with np.errstate(invalid="ignore"):
        difference = np.abs(np.asarray(found, np.float64) - wanted)
    return np.where(found == wanted, 0.0, np.where(np.isnan(difference), np.inf, difference))


def _agree(what: str, reference: Arrays, found: Arrays, tolerance: float) -> None:
    for name, array in reference.items():
        if tuple(found[name].shape) != array.shape and found[name].size != array.size:
            raise DisagreeError(what, f"{name}: shape {found[name].shape}, not {array.shape}")
        wanted = np.asarray(array, np.float64)
        distance = _distance(np.asarray(found[name], np.float64).reshape(array.shape), wanted)
        finite = np.abs(wanted[np.isfinite(wanted)])
        scale = max(float(finite.max(initial=0.0)), 1e-3)
        if not float(distance.max(initial=0.0)) <= tolerance * scale:
            raise DisagreeError(what, f"{name}: off by {distance.max():.3g}, largest value {scale:.3g}")


def _foreign(network: Network, reference: Arrays) -> str:
    """The network written as ONNX: by onnxruntime in single precision, and read again by our front end."""
    from openane.frontends.onnx.load import load_model
    from openane.runtimes.host.export import export_model

    graph, inputs = network.graph(), network.arrays()
    try:
        model = export_model(graph)
    except UnsupportedError as error:
        return error.diagnostic.what
    imported = load_model(model)
    _agree("exported and imported", reference, imported.evaluate(network.arrays(wide=True)), IMPORT_TOLERANCE)
    single = graph.evaluate(inputs)
    try:
        found = _run_onnxruntime(model, graph, inputs)
    except NotImplementedError as error:
        return f"not implemented: {error}"
    for name, array in reference.items():
        own = _distance(np.asarray(single[name], np.float64), np.asarray(array, np.float64))
        finite = np.abs(array[np.isfinite(array)]) if array.dtype.kind == "f" else np.abs(array)
        floor = max(SINGLE, SUM_ROUNDING * longest_sum(graph)) * max(float(finite.max(initial=0)), 1e-3)
        tolerance = SINGLE_FACTOR * (own + math.sqrt(float(np.square(own[np.isfinite(own)]).mean() or 0.0))) + floor
        distance = _distance(np.asarray(found[name], np.float64).reshape(array.shape), np.asarray(array, np.float64))
        if not (distance <= tolerance).all():
            excess = distance / tolerance
            raise DisagreeError(
                "graph and onnxruntime differ", f"{name}: {excess.max():.3g} times the tolerance, {distance.max():.3g}"
            )
    return "ok"


def _run_onnxruntime(model: Any, graph: Graph, inputs: Arrays) -> dict[str, np.ndarray]:
    """What onnxruntime gives.

    Raises:
        NotImplementedError: it has no kernel for some node.
    """
    import onnxruntime
    from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as Missing

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Missing as error:
        raise NotImplementedError(str(error).split("implementation for the node")[-1].strip()[:80]) from error
    results = dict(zip(graph.outputs, session.run(list(graph.outputs), dict(inputs)), strict=True))
    # Its pools begin with the smallest finite number, where an infinity is right.
    most = np.finfo(np.float32).max
    return {
        name: np.where(np.abs(array) >= most, np.copysign(np.inf, array), array) if array.dtype.kind == "f" else array
        for name, array in results.items()
    }
