"""What a chip generation offers to the rest; one folder per generation exports one object of this kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from openane.backend.machine import MachineSpec
from openane.backend.options import CompileOptions
from openane.core.passes import Stage
from openane.core.rules import Limit

if TYPE_CHECKING:
    from openane.core.errors import Diagnostic
    from openane.net.net import Net
    from openane.program import Program
    from openane.sim.machine import Simulator


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Choices of a simulated run.

    Attributes:
        permissive: warn about register combinations that are not understood instead of stopping.
        fast: add products in float32; the bound is said by the machine (docs/simulator.md).
        threads: worker threads; 0 takes one per core.
        until: stop after this many tasks; None runs all.
        profile: options of the numerics profile by name, e.g. {"table_index": "fp16"}.
        memory_limit_bytes: largest sum of buffers that may be allocated.
        partial_outputs: accept outputs of which the tasks write only some elements.
        time_limit_seconds: wall time after which a run is stopped; None for no limit.
        hazards: compare the outputs with the model in single precision, and report what half precision spoils
            (`openane.run`).
    """

    permissive: bool = False
    fast: bool = False
    threads: int = 0
    until: int | None = None
    profile: Mapping[str, str] = field(default_factory=dict)
    memory_limit_bytes: int = 8 << 30
    time_limit_seconds: float | None = None
    partial_outputs: bool = False
    hazards: bool = True


__all__ = ["CompileOptions", "Limit", "RunOptions", "Stage", "Target"]


class Target(Protocol):
    """A chip generation that can be compiled for or simulated."""

    @property
    def name(self) -> str:
        """As on the command line: "h13"."""
        ...

    @property
    def spec(self) -> MachineSpec:
        """Limits and constants of the generation."""
        ...

    def lower(self, net: Net, options: CompileOptions) -> Program:
        """Compiles a network of units into one program.

        Raises:
            UnsupportedError: a unit breaks a rule of the hardware or of this back end.
        """
        ...

    def refusals(self, net: Net) -> tuple[Diagnostic, ...]:
        """Every rule that the units of a network break, with unit, limit, value and hint; nothing is built."""
        ...

    def limits(self) -> tuple[Limit, ...]:
        """Every rule of the back end: those of all tensors, units and programs first, then by family."""
        ...

    def machine(self, program: Program, options: RunOptions) -> Simulator:
        """Loads a program into the simulator.

        Raises:
            FaultError: the program is not one this machine can run.
        """
        ...
