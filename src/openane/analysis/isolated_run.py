"""Running things on a runtime for comparison: a whole program with the results of its tasks, or one layer alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from openane.analysis.layers import Group
from openane.analysis.measure import half_of_array
from openane.analysis.stages import Steps
from openane.artifact.plan import Artifact, HostStep
from openane.compiler.driver import build
from openane.core.errors import OpenaneError
from openane.graph import Graph
from openane.net import Net
from openane.program import Program
from openane.runtimes.execution import Execution, fit_inputs, to_surface
from openane.runtimes.inspection import DecodedTask, Hook, MachineState
from openane.runtimes.runtime import Session, SessionOptions


@dataclass(frozen=True, eq=False, slots=True)
class TaskResult:
    """What one task stored.

    Attributes:
        step: number of the step of the plan.
        task: number of the task over all programs of the plan.
        layers: the user's layers of the task; empty in a program from a file.
        values: (D, C, H, W), groups and channels joined.
    """

    step: int
    task: int
    layers: tuple[str, ...]
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class WholeRun:
    """A run of a compiled model.

    Attributes:
        values: of the plan: inputs, outputs, and what crosses between steps.
        results: what the tasks stored; empty on a device, which does not tell.
    """

    values: dict[str, np.ndarray]
    results: tuple[TaskResult, ...]


def run_whole(
    artifact: Artifact, inputs: Mapping[str, np.ndarray], on: str, options: SessionOptions | None = None
) -> WholeRun:
    """Runs a compiled model and keeps what every task stored, where the runtime can tell.

    Raises:
        InputError: the inputs do not fit.
        FaultError, UnavailableError: as the runtime.
    """
    with Execution(artifact, on, options) as execution:
        return run_loaded(execution, inputs)


def run_loaded(execution: Execution, inputs: Mapping[str, np.ndarray]) -> WholeRun:
    """As `run_whole`, of a model that is loaded already.

    Raises:
        InputError: the inputs do not fit.
        FaultError, UnavailableError: as the runtime.
    """
    plan = execution.artifact.plan
    values = fit_inputs(plan.inputs, inputs, plan.name)
    results: list[TaskResult] = []
    first_task = 0
    sessions = iter(execution.sessions)
    for number, step in enumerate(plan.steps):
        if isinstance(step, HostStep):
            values.update(step.graph.evaluate({name: values[name] for name in step.graph.inputs}))
            continue
        session = next(sessions)
        shapes = {surface.name: surface for surface in session.inputs}
        fed = {name: to_surface(shapes[name], values[value]) for name, value in step.inputs.items()}
        outputs = _run_session(session, step.program, fed, number, first_task, results)
        first_task += len(step.program.tasks)
        for name, value in step.outputs.items():
            kind = plan.types[value]
            values[value] = outputs[name].reshape(kind.shape).astype(kind.dtype.numpy)
    return WholeRun(values, tuple(results))


def _run_session(
    session: Session,
    program: Program,
    inputs: Mapping[str, np.ndarray],
    step: int,
    first_task: int,
    results: list[TaskResult],
) -> dict[str, np.ndarray]:
    def keep(machine: MachineState, task: DecodedTask) -> None:
        stored = machine.tensor(task.result)
        groups, depth, channels, height, width = stored.shape
        joined = np.moveaxis(stored, 0, 1).reshape(depth, groups * channels, height, width)
        results.append(TaskResult(step, first_task + task.index, program.tasks[task.index].origin.layers, joined))

    if not session.inspectable:
        return session.run(inputs)
    hook = session.inspection.hook_add(Hook.AFTER_TASK, keep)
    try:
        return session.run(inputs)
    finally:
        session.inspection.hook_delete(hook)


@dataclass(frozen=True, eq=False)
class IsolatedLayer:
    """One layer, compiled and loaded by itself.

    Attributes:
        execution: None when the layer cannot be compiled alone.
        why: then the reason.
        has_table: whether it goes through a lookup table; False where the runtime does not tell.
        macs: multiply-adds; 0 where the runtime does not tell.
    """

    execution: Execution | None
    why: str = ""
    has_table: bool = False
    macs: int = 0
    renamed: Mapping[str, str] = field(default_factory=dict)

    def run(self, values: Mapping[str, np.ndarray], group: Group) -> dict[str, np.ndarray] | None:
        """The layer's results for these operands; None when it cannot run."""
        if self.execution is None:
            return None
        with np.errstate(all="ignore"):
            outputs = self.execution.run(self._fed(self.execution, values)).outputs
        return {name: outputs[self.renamed.get(name, name)] for name in group.makes}

    def run_tasks(self, values: Mapping[str, np.ndarray]) -> tuple[TaskResult, ...]:
        """What the layer's tasks store for these operands; nothing when it cannot run, or on a device."""
        if self.execution is None:
            return ()
        with np.errstate(all="ignore"):
            return run_loaded(self.execution, self._fed(self.execution, values)).results

    def _fed(self, execution: Execution, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        fed = {}
        for name, kind in execution.artifact.plan.inputs.items():
            array = np.asarray(values[name]).reshape(kind.shape)
            fed[name] = half_of_array(array) if kind.dtype.is_float else array.astype(kind.dtype.numpy)
        return fed


def load_isolated(
    level: Steps,
    group: Group,
    artifact: Artifact,
    on: str,
    options: SessionOptions | None = None,
    operands: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> IsolatedLayer:
    """Compiles and loads one layer; a layer that cannot stand alone is reported in `why`.

    Args:
        level, group: the layer.
        artifact: the model, whose choices are taken.
        on: runtime by name.
        options: of its session.
        operands: of the layer, by which it is rescaled where the model is calibrated.
    """
    try:
        piece = level.piece(group.steps, group.makes)
        if isinstance(piece, Graph) and artifact.graph is not None:
            piece = replace(piece, rows=artifact.graph.rows)
        calibration = {name: _as_read(operands[name], piece, name) for name in piece.inputs if name in operands}
        compiled = build(piece, artifact.options.of_part(host=False, calibration=calibration))
        execution = Execution(compiled, on, options)
    except OpenaneError as error:
        return IsolatedLayer(None, why=str(error))
    renamed = {} if isinstance(piece, Graph) else {source: shown for shown, source in piece.outputs.items()}
    statistics = [session.inspection.statistics for session in execution.sessions if session.inspectable]
    return IsolatedLayer(
        execution,
        has_table=any(each.table_bytes for each in statistics),
        macs=sum(each.macs for each in statistics),
        renamed=renamed,
    )


def _as_read(array: np.ndarray, piece: Graph | Net, name: str) -> np.ndarray:
    if not isinstance(piece, Graph):
        return array
    kind = piece.inputs[name]
    return array.reshape(kind.shape).astype(kind.dtype.numpy)
