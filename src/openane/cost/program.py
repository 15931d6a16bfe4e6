"""The work and the cost of a program's tasks."""

from __future__ import annotations

from dataclasses import dataclass, replace

from openane.backend.task_cost import Work
from openane.cost.chips import Chip
from openane.cost.model import Cost, cost_of
from openane.program import Program, Role
from openane.targets.registry import generation


@dataclass(frozen=True, slots=True)
class ProgramCost:
    """What one call of a program takes.

    Attributes:
        chip: the constants that were used.
        tasks: one cost per task, in order of execution, without the dispatch.
    """

    chip: Chip
    tasks: tuple[Cost, ...]

    @property
    def time_us(self) -> float:
        """One call: the dispatch and every task after the other."""
        return self.chip.dispatch_us + sum(cost.time_us for cost in self.tasks)

    @property
    def energy_uj(self) -> float:
        """One call, the rail's base power included."""
        return self.chip.dispatch_us * self.chip.base_milliwatts * 1e-3 + sum(cost.energy_uj for cost in self.tasks)


def works_of(program: Program) -> tuple[Work, ...]:
    """The work of every task; the caller's inputs are handed over at the first task, the outputs at the last.

    Raises:
        UnsupportedError: programs of this generation can only be read.
        InputError: the program's target does not exist.
    """
    work_of = generation(program.target).work_of
    works = [work_of(task) for task in program.tasks]
    if works:
        sizes = {role: sum(surface.size_bytes for surface in program.surfaces if surface.role is role) for role in Role}
        works[0] = replace(works[0], surface_bytes=works[0].surface_bytes + sizes[Role.INPUT])
        results = sizes[Role.OUTPUT]
        works[-1] = replace(works[-1], surface_bytes=works[-1].surface_bytes + results, result_bytes=results)
    return tuple(works)


def cost_of_program(program: Program, chip: Chip) -> ProgramCost:
    """What one call of a program takes on a chip.

    Raises:
        UnsupportedError: programs of this generation can only be read.
        InputError: the program's target does not exist.
    """
    return ProgramCost(chip, tuple(cost_of(work, chip) for work in works_of(program)))
