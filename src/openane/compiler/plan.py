"""What compiling gives: steps between named values, and everything they were made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from openane.core.errors import InputError
from openane.graph import Graph, TensorType
from openane.net import Net
from openane.program import Program


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
class Plan:
    """Steps in execution order between the caller's tensors.

    Attributes:
        name: of the model.
        inputs: the caller's inputs, name -> logical shape and element type, in order.
        outputs: the same for the results.
        steps: what runs, each on values that exist by then.
        types: logical type of every value that crosses a step's border, inputs and outputs included.
    """

    name: str
    inputs: Mapping[str, TensorType]
    outputs: Mapping[str, TensorType]
    steps: tuple[EngineStep, ...]
    types: Mapping[str, TensorType]


@dataclass(frozen=True)
class Artifact:
    """A compiled model.

    Attributes:
        plan: what runs, in order.
        target: the chip generation by name.
        graph: the model after the graph passes, where there was one.
        warnings: things the user should know, one line each.
    """

    plan: Plan
    target: str
    graph: Graph | None = None
    warnings: tuple[str, ...] = field(default=())

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
        if len(self.plan.steps) != 1:
            raise InputError(
                "the compiled model is not one program",
                where=self.plan.name,
                value=f"{len(self.plan.steps)} steps",
                limit="1",
                hint="Look at artifact.plan.steps.",
            )
        return self.plan.steps[0]
