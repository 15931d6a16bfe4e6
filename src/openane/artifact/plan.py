"""What compiling gives: steps between named values, and everything they were made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from openane.artifact.options import Options
from openane.core import html
from openane.core.errors import Diagnostic, InputError
from openane.core.report import Report, numbers
from openane.graph import Graph, TensorType
from openane.net import Net
from openane.program import Program
from openane.program.program import TASK_COLUMNS


@dataclass(frozen=True)
class EngineStep:
    """One program for the engine.

    Attributes:
        program: what runs.
        inputs: surface name -> name of the value it is filled from.
        outputs: surface name -> name of the value it defines.
        net: the units the program was compiled from; None for a program read from a file.
    """

    program: Program
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    net: Net | None = None


@dataclass(frozen=True)
class HostStep:
    """A piece of the model that the processor runs, with the reasons.

    Attributes:
        graph: what is computed; its inputs and outputs are values of the plan.
        reasons: node name -> why it is not on the engine.
    """

    graph: Graph
    reasons: Mapping[str, Diagnostic]


Step = EngineStep | HostStep


@dataclass(frozen=True)
class Plan:
    """Steps in execution order between the caller's tensors.

    Attributes:
        name: of the model.
        inputs: the caller's inputs, name -> logical shape and element type, in order.
        outputs: the same for the results.
        steps: what runs, each on values that exist by then.
        types: logical type of every value that crosses a step's border, inputs and outputs included.
        constants: outputs that do not depend on any input.
        states: input -> output of the same type whose value it takes in the next run; zeros in the first one.
        labels: output of scores -> the name of each class, in order.
    """

    name: str
    inputs: Mapping[str, TensorType]
    outputs: Mapping[str, TensorType]
    steps: tuple[Step, ...]
    types: Mapping[str, TensorType]
    constants: Mapping[str, np.ndarray] = field(default_factory=dict)
    states: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def crossings(self) -> tuple[Crossing, ...]:
        """Every move of a value between engine and host inside the plan, in order.

        The caller's own tensors are not counted: a model wholly on the engine has no crossings.
        """
        made: dict[str, int] = {}
        found = []
        for index, step in enumerate(self.steps):
            if isinstance(step, HostStep):
                inputs, outputs = tuple(step.graph.inputs), step.graph.outputs
            else:
                inputs, outputs = tuple(step.inputs.values()), tuple(step.outputs.values())
            for name in inputs:
                if name in made and (on_engine(step) or on_engine(self.steps[made[name]])):
                    found.append(Crossing(name, made[name], index, self._bytes(name, made[name], index)))
            made.update(dict.fromkeys(outputs, index))
        return tuple(found)

    def _bytes(self, name: str, source: int, reader: int) -> int:
        """What a move takes: the surface on the engine's side; both where it goes from program to program."""
        sizes = (surface_bytes(self.steps[index], name) for index in (source, reader))
        return sum(size for size in sizes if size is not None)


@dataclass(frozen=True, slots=True)
class Crossing:
    """A value that moves between engine and host.

    Attributes:
        value: its name.
        source: number of the step that makes it.
        reader: number of the step that reads it.
        moved_bytes: of the engine's surfaces that it goes through, padding included.
    """

    value: str
    source: int
    reader: int
    moved_bytes: int


def on_engine(step: Step) -> bool:
    """Whether the engine runs a step."""
    return isinstance(step, EngineStep)


def surface_bytes(step: Step, value: str) -> int | None:
    """Size of the surface that a step has for a value; None on the host."""
    if isinstance(step, HostStep):
        return None
    names = {name for name, bound in (*step.inputs.items(), *step.outputs.items()) if bound == value}
    return next((surface.size_bytes for surface in step.program.surfaces if surface.name in names), 0)


@dataclass(frozen=True)
class Artifact:
    """A compiled model.

    Attributes:
        plan: what runs, in order.
        target: the chip generation by name.
        graph: the model after the graph passes, where there was one.
        warnings: things the user should know, one line each.
        options: the choices it was compiled with.
    """

    plan: Plan
    target: str
    graph: Graph | None = None
    warnings: tuple[str, ...] = field(default=())
    options: Options = field(default_factory=Options)

    @property
    def program(self) -> Program:
        """The program, when the whole model is one.

        Raises:
            InputError: the plan has several programs; use `plan.steps`.
        """
        return self._only_step().program

    @property
    def net(self) -> Net | None:
        """The units, when the whole model is one program; None when it was read as a program."""
        return self._only_step().net

    @property
    def constants(self) -> bytes:
        """The bytes of the kernel section of the only program."""
        return bytes(self.program.constants)

    def _only_step(self) -> EngineStep:
        engine = [step for step in self.plan.steps if isinstance(step, EngineStep)]
        if len(self.plan.steps) != 1 or not engine:
            raise InputError(
                "the compiled model is not one program",
                where=self.plan.name,
                value=f"{len(engine)} programs and {len(self.plan.steps) - len(engine)} host steps",
                limit="one program",
                hint="Look at artifact.plan.steps, or forbid host steps to see what keeps them off the engine.",
            )
        return engine[0]

    @property
    def programs(self) -> tuple[Program, ...]:
        """Every program of the plan, in order."""
        return tuple(step.program for step in self.plan.steps if isinstance(step, EngineStep))

    def save(self, path: str | Path, *, header_bytes: int = 0x1000) -> None:
        """Writes the compiled model; the ending of the name chooses the form.

        Args:
            path: .openane for a bundle with programs, host steps and names; .hwx or .anec for one program; .plist for
                its units.
            header_bytes: of a .anec: 0x1000, or 0x800 for the head of libane's repository.

        Raises:
            InputError: an unknown ending, a form that cannot hold the model, or the file cannot be written.
            UnsupportedError: a host step has no form in ONNX.
            UnavailableError: there are host steps, and the package onnx is not installed.
        """
        # What writes each form is in a package above this one.
        import_module("openane.compiler.driver").save(self, Path(path), header_bytes=header_bytes)

    def __repr__(self) -> str:
        ends = ", ".join(f"{name} {kind}" for name, kind in (*self.plan.inputs.items(), *self.plan.outputs.items()))
        tasks = sum(len(program.tasks) for program in self.programs)
        host = len(self.plan.steps) - len(self.programs)
        steps = f"tasks: {tasks}, programs: {len(self.programs)}" + (f", host steps: {host}" if host else "")
        return f"<Artifact {self.plan.name!r} for {self.target}: {steps}; {ends}>"

    def _repr_html_(self) -> str:
        host = len(self.plan.steps) - len(self.programs)
        pairs: list[tuple[str, object]] = [("target", self.target), ("programs", len(self.programs))]
        pairs += [("host steps", host)] if host else []
        pairs += [(f"input {name}", kind) for name, kind in self.plan.inputs.items()]
        pairs += [(f"output {name}", kind) for name, kind in self.plan.outputs.items()]
        pairs += [("warning", warning) for warning in self.warnings]
        return html.facts(self.plan.name, pairs) + self.report().to_html()

    def report(self) -> Report:
        """One row per task; tasks are numbered over all programs."""
        rows: list[tuple[object, ...]] = []
        for number, program in enumerate(self.programs):
            rows += [(number, *row) for row in program.task_rows(len(rows))]
        return Report("tasks", (*numbers("program"), *TASK_COLUMNS), rows)

    def to_pandas(self) -> Any:
        """The tasks of all programs as a `pandas.DataFrame`, one row per task.

        Raises:
            UnavailableError: pandas is not installed.
        """
        return self.report().to_pandas()
