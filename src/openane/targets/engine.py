"""What every generation that can be compiled for shares; the generation brings its parts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

from openane.backend.machine import Dialect, MachineSpec
from openane.core.errors import Diagnostic, FaultError, InternalError
from openane.net.net import Net
from openane.program import Program
from openane.targets.target import CompileOptions, Limit, RunOptions

if TYPE_CHECKING:
    from openane.backend.alloc.constants import ConstantSection
    from openane.backend.ir.placement import Placement
    from openane.backend.ir.plan import ProgramPlan, TaskPlan
    from openane.backend.target import KernelPacking, Tiling
    from openane.sim.machine import Simulator


class EngineTarget(ABC):
    """A generation with a code generator and a simulator; see `targets.target.Target`.

    A subclass brings what differs between generations (`backend.target.CodeGenerator`): limits and constants,
    kernel packing, tiling, encoding and linking, known hazards, and its registers in the simulator.
    """

    @property
    def name(self) -> str:
        """As on the command line."""
        return self.spec.name

    def lower(self, net: Net, options: CompileOptions) -> Program:
        """Compiles a network of units into one program.

        Raises:
            UnsupportedError: a unit breaks a rule of the hardware or of the back end.
            InternalError: the program is not one that the simulator runs.
        """
        from openane.backend.pipeline import compile_net

        program = compile_net(self, net, options)
        if options.check:
            self.refuse_hazards(program)
        self._prove(program)
        return program

    def _prove(self, program: Program) -> None:
        """Checks every address of a compiled program as the simulator does before it runs one.

        Raises:
            InternalError: the program breaks a rule; the compiler must not have made it.
        """
        try:
            self.check_addresses(program)
        except FaultError as error:
            found = error.diagnostic
            raise InternalError(
                f"openane compiled a program that its simulator refuses: {found.what}",
                where=f"{program.name}: {found.where}",
                limit=found.limit,
                value=found.value,
                hint="This is a bug in openane: please report it with the model.",
            ) from error

    def refusals(self, net: Net) -> tuple[Diagnostic, ...]:
        """Every rule that the units of a network break, each with unit, limit, value and hint."""
        from openane.backend.pipeline import refusals

        return refusals(self.spec, net)

    def limits(self) -> tuple[Limit, ...]:
        """Every rule of the back end: those of all tensors, units and programs first, then by family."""
        from openane.backend.units.families import limits

        return limits(self.spec)

    @property
    @abstractmethod
    def spec(self) -> MachineSpec:
        """Limits and constants."""

    @property
    @abstractmethod
    def dialects(self) -> Mapping[str, Dialect]:
        """Layout habits of compilers by name; the first is the default."""

    @property
    @abstractmethod
    def packing(self) -> KernelPacking:
        """How kernels are packed for the coefficient lanes."""

    @property
    @abstractmethod
    def tiling(self) -> Tiling:
        """How a task that is too large for L2 is tiled."""

    @abstractmethod
    def compressed(self, plan: TaskPlan) -> TaskPlan:
        """A task with its kernel in the form that takes the fewest bytes, with the same weights."""

    @abstractmethod
    def link(self, plan: ProgramPlan, placement: Placement, constants: ConstantSection, dialect: Dialect) -> Program:
        """Encodes every placed task and lays out the program.

        Raises:
            UnsupportedError: too many tasks, or a task has more of something than a field can express.
        """

    @abstractmethod
    def refuse_hazards(self, program: Program) -> None:
        """Refuses a program with a task that is known to hang the engine.

        Raises:
            UnsupportedError: names the first such task and register.
        """

    @abstractmethod
    def check_addresses(self, program: Program) -> None:
        """Checks every address that the tasks of a program use, without running it.

        Raises:
            FaultError: a register combination that is not understood, or an address where nothing may be.
        """

    @abstractmethod
    def machine(self, program: Program, options: RunOptions) -> Simulator:
        """Loads a program into the simulator.

        Raises:
            FaultError: the program is not one this machine can run.
        """
