"""Running a plan: the caller's arrays in, the caller's arrays out, each program on a runtime."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from openane.artifact.plan import Artifact, EngineStep, HostStep, Plan
from openane.core.closing import Closing
from openane.core.errors import Diagnostic, InputError, UnsupportedError
from openane.formats.hwx import read_hwx, write_hwx
from openane.graph import TensorType
from openane.graph.ops import OnnxNode
from openane.numerics.fp16 import saturated
from openane.program import Program, Surface
from openane.runtimes.host import HostSession, open_host
from openane.runtimes.registry import choose
from openane.runtimes.runtime import Session, SessionOptions
from openane.targets import load_program


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one step of a run did.

    Attributes:
        name: of the step.
        where: runtime or host library that ran it.
        seconds: wall time.
        tasks: number of task descriptors; 0 for a host step.
        substitution: why another library than the one that was chosen ran it; empty when none did.
    """

    name: str
    where: str
    seconds: float
    tasks: int
    substitution: str = ""


@dataclass(frozen=True, slots=True)
class RunResult:
    """Outputs of a run and how they came about.

    Attributes:
        outputs: one array per output, in the logical shape and element type of the model.
        steps: what ran where.
    """

    outputs: dict[str, np.ndarray]
    steps: tuple[StepReport, ...] = field(default=())


class Execution(Closing):
    """A compiled model loaded into a runtime; run it as often as wanted, close it at the end.

    Every program goes through its container first: what runs is the image that was written and read back.

    An input that is a state of the model need not be given: it takes the value that the last run left, zeros in the
    first one.

    Args:
        artifact: the compiled model.
        on: runtime by name, or "auto".
        options: for its sessions.

    Raises:
        UnavailableError: the runtime cannot be used here.
        UnsupportedError: the model has nodes that nothing here can compute; names them all.
    """

    def __init__(self, artifact: Artifact, on: str = "simulator", options: SessionOptions | None = None) -> None:
        require_runnable(artifact.plan)
        self.artifact = artifact
        self.choice = choose(on)
        self._sessions: dict[int, Session] = {}
        self._hosts: dict[int, HostSession] = {}
        self._kept: dict[str, np.ndarray] = {}
        try:
            for index, step in enumerate(artifact.plan.steps):
                if isinstance(step, EngineStep):
                    program = reread(step.program) if step.net is not None else step.program
                    self._sessions[index] = self.choice.runtime.open(program, options)
                else:
                    self._hosts[index] = open_host(step.graph)
        except BaseException:
            self.close()
            raise

    @property
    def sessions(self) -> tuple[Session, ...]:
        """One session per program of the plan, in order."""
        return tuple(self._sessions.values())

    def run(self, inputs: Mapping[str, np.ndarray]) -> RunResult:
        """Runs the whole plan once.

        Args:
            inputs: an array per model input; any float type for float inputs, in the model's shape. States may be
                left out.

        Raises:
            InputError: a missing or unknown name, a wrong shape or element type.
        """
        plan = self.artifact.plan
        values = {**plan.constants, **fit_inputs(plan.inputs, {**self._states(), **inputs}, plan.name)}
        reports = []
        for index, step in enumerate(plan.steps):
            start, substitution = time.perf_counter(), ""
            if isinstance(step, HostStep):
                result = self._hosts[index].run({name: values[name] for name in step.graph.inputs})
                values.update(result.outputs)
                where, tasks = f"host ({result.library})", 0
                if result.failure:
                    substitution = f"numpy computed it, because onnxruntime failed: {result.failure}"
            else:
                session = self._sessions[index]
                values.update(self._run_engine(step, session, values))
                where, tasks = self.choice.runtime.name, len(session.program.tasks)
            reports.append(StepReport(f"step {index + 1}", where, time.perf_counter() - start, tasks, substitution))
        outputs = {name: values[name] for name in plan.outputs}
        self._kept = {name: outputs[output] for name, output in plan.states.items()}
        return RunResult(outputs, tuple(reports))

    def reset(self) -> None:
        """Forgets the states: the next run begins with zeros again."""
        self._kept = {}

    def _states(self) -> dict[str, np.ndarray]:
        return initial_states(self.artifact.plan) | self._kept

    def surfaces(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What the first program's input surfaces get for these inputs: (N, D, C, H, W) arrays by surface name.

        Raises:
            InputError: as `run`.
        """
        plan = self.artifact.plan
        values = fit_inputs(plan.inputs, {**self._states(), **inputs}, plan.name)
        (index, session) = next(iter(self._sessions.items()))
        step = plan.steps[index]
        assert isinstance(step, EngineStep)
        surfaces = {surface.name: surface for surface in session.inputs}
        return {name: to_surface(surfaces[name], values[value]) for name, value in step.inputs.items()}

    def _run_engine(
        self, step: EngineStep, session: Session, values: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        surfaces = {surface.name: surface for surface in session.inputs}
        fed = {name: to_surface(surfaces[name], values[value]) for name, value in step.inputs.items()}
        results = session.run(fed)
        types = self.artifact.plan.types
        return {
            value: results[name].reshape(types[value].shape).astype(types[value].dtype.numpy)
            for name, value in step.outputs.items()
        }

    def close(self) -> None:
        """Closes every session."""
        for session in self._sessions.values():
            session.close()


def initial_states(plan: Plan) -> dict[str, np.ndarray]:
    """Zeros for each input that is a state."""
    return {name: np.zeros(plan.inputs[name].shape, plan.inputs[name].dtype.numpy) for name in plan.states}


def require_runnable(plan: Plan) -> None:
    """Raise one error that names every node that neither openane nor onnxruntime computes.

    Raises:
        UnsupportedError: there is one.
    """
    reasons = [
        step.reasons.get(node.name, Diagnostic(node.operation.problem, f"node {node.name!r}"))
        for step in plan.steps
        if isinstance(step, HostStep)
        for node in step.graph.nodes
        if isinstance(node.operation, OnnxNode) and node.operation.problem
    ]
    if reasons:
        raise UnsupportedError(reasons[0], others=tuple(reasons[1:]))


def reread(program: Program) -> Program:
    """The program as its .hwx image says it, so that only what the container carries can reach a runtime."""
    return load_program(read_hwx(write_hwx(program), name=program.name))


def fit_inputs(wanted: Mapping[str, TensorType], given: Mapping[str, np.ndarray], where: str) -> dict[str, np.ndarray]:
    """The caller's arrays in the element types of the model.

    Raises:
        InputError: a missing or unknown name, a wrong shape, or an element type that would lose meaning.
    """
    unknown = [name for name in given if name not in wanted]
    if unknown:
        raise InputError(f"there is no input {unknown[0]!r}", where=where, limit=", ".join(wanted) or "no inputs")
    fitted = {}
    for name, kind in wanted.items():
        if name not in given:
            raise InputError(f"input {name!r} is missing", where=where, limit=str(kind))
        fits = _fit if kind.is_static else _fit_object
        fitted[name] = fits(given[name], kind, f"{where}: input {name!r}")
    return fitted


def _fit_object(value: Any, kind: TensorType, where: str) -> Any:
    """A text as an array of objects; sequences and optional values, whose types the graph does not have, as they are.

    Raises:
        InputError: texts of another shape.
    """
    if min(kind.shape, default=0) < 0:
        return value
    array = np.asarray(value)
    if array.shape != kind.shape:
        raise InputError("the array has another shape", where=where, value=array.shape, limit=kind.shape)
    return array.astype(object)


def _fit(value: Any, kind: TensorType, where: str) -> np.ndarray:
    array = np.asarray(value)
    if array.shape != kind.shape:
        raise InputError("the array has another shape", where=where, value=array.shape, limit=kind.shape)
    if array.dtype == kind.dtype.numpy:
        return array
    floats = kind.dtype.is_float and array.dtype.kind == "f"
    integers = kind.dtype.numpy.kind in "iu" and array.dtype.kind in "iu"
    if not (floats or integers):
        raise InputError(
            "the array has another element type",
            where=where,
            value=array.dtype.name,
            limit=f"{kind.dtype.value}, or one like it",
            hint=f"Convert it: array.astype({kind.dtype.value!r}).",
        )
    if integers and array.size:
        bounds = np.iinfo(kind.dtype.value)
        low, high = int(array.min()), int(array.max())
        if low < bounds.min or high > bounds.max:
            raise InputError(
                "values do not fit the element type",
                where=where,
                value=f"{low} to {high}",
                limit=f"{bounds.min} to {bounds.max}",
            )
    with np.errstate(over="ignore"):
        return array.astype(kind.dtype.numpy)


def to_surface(surface: Surface, array: np.ndarray) -> np.ndarray:
    """A logical array as the surface's (N, D, C, H, W) array: the same elements in the same order.

    Finite values beyond fp16 become its largest ones, see `saturated`.
    """
    return saturated(array.reshape(surface.shape))
