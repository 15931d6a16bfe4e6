"""The target object of H13."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from openane.backend.machine import Dialect, MachineSpec
from openane.program import Program
from openane.targets.engine import EngineTarget
from openane.targets.h13.spec import DIALECTS, MACHINE
from openane.targets.target import RunOptions

if TYPE_CHECKING:
    from openane.backend.alloc.constants import ConstantSection
    from openane.backend.ir.placement import Placement
    from openane.backend.ir.plan import ProgramPlan, TaskPlan
    from openane.backend.target import KernelPacking, Tiling
    from openane.sim.machine import Simulator


class H13(EngineTarget):
    """The target object of H13; its parts are imported on use."""

    @property
    def spec(self) -> MachineSpec:
        """See `spec`."""
        return MACHINE

    @property
    def dialects(self) -> Mapping[str, Dialect]:
        """See `spec`."""
        return DIALECTS

    @property
    def packing(self) -> KernelPacking:
        """See `packing`."""
        from openane.targets.h13 import packing

        return packing

    @property
    def tiling(self) -> Tiling:
        """See `tiling`."""
        from openane.targets.h13 import tiling

        return tiling

    def compressed(self, plan: TaskPlan) -> TaskPlan:
        """See `kernel_forms`."""
        from openane.targets.h13.kernel_forms import compressed

        return compressed(plan)

    def link(self, plan: ProgramPlan, placement: Placement, constants: ConstantSection, dialect: Dialect) -> Program:
        """See `link`."""
        from openane.targets.h13.link import link

        return link(plan, placement, constants, dialect)

    def refuse_hazards(self, program: Program) -> None:
        """See `hazards`."""
        from openane.targets.h13.hazards import refuse_hazards

        refuse_hazards(program)

    def check_addresses(self, program: Program) -> None:
        """See `machine`."""
        from openane.targets.h13.machine import check_program

        check_program(program)

    def machine(self, program: Program, options: RunOptions) -> Simulator:
        """See `machine`."""
        from openane.targets.h13.machine import machine

        return machine(program, options)


TARGET = H13()
