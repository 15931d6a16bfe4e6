"""What would make a program faster, in the order of what it would save."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from openane.cost.model import Cost, CostPart
from openane.cost.program import ProgramCost
from openane.program import Program

LARGEST_COUNT = 5
SMALLEST_SHARE = 0.01
"""Advice that saves less of the call is not given."""


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to change.

    Attributes:
        what: what to do, one sentence without a full stop.
        why: what was found.
        saves_us: of one call; an upper estimate.
    """

    what: str
    why: str
    saves_us: float


@dataclass(frozen=True, slots=True)
class _Model:
    programs: Sequence[Program]
    costs: Sequence[ProgramCost]
    time_us: float

    @property
    def tasks(self) -> list[Cost]:
        return [cost for program in self.costs for cost in program.tasks]

    def part_us(self, part: CostPart) -> float:
        return sum(cost.times_us.get(part, 0.0) for cost in self.tasks)


def advise(programs: Sequence[Program], costs: Sequence[ProgramCost], time_us: float) -> tuple[Advice, ...]:
    """The changes that would save most, best first."""
    model = _Model(programs, costs, time_us)
    found = (rule(model) for rule in _RULES)
    worth = [advice for advice in found if advice is not None and advice.saves_us >= SMALLEST_SHARE * time_us]
    return tuple(sorted(worth, key=lambda advice: -advice.saves_us)[:LARGEST_COUNT])


def _one_program(model: _Model) -> Advice | None:
    extra = len(model.costs) - 1
    if extra < 1:
        return None
    saves_us = extra * model.costs[0].chip.dispatch_us
    return Advice(
        "Replace the operations that run on the host, so that the model is one program",
        f"{extra + 1} programs, each with its own dispatch",
        saves_us,
    )


def _batch(model: _Model) -> Advice | None:
    dispatch_us = sum(cost.chip.dispatch_us for cost in model.costs)
    if not model.costs or dispatch_us < 0.5 * model.time_us:
        return None
    return Advice(
        "Give several inputs to one call (a batch), the dispatch is paid once",
        f"dispatch is {dispatch_us / model.time_us:.0%} of the call",
        dispatch_us,
    )


def _smaller_weights(model: _Model) -> Advice | None:
    bound = [cost for cost in model.tasks if cost.bound is CostPart.WEIGHTS]
    saves_us = sum(cost.times_us[CostPart.WEIGHTS] for cost in bound) / 2
    if not bound:
        return None
    return Advice(
        "Compress the weights of the layers that wait for them (8 bits halve the stream)",
        f"{len(bound)} tasks are bound by their weight stream",
        saves_us,
    )


def _padded_rows(model: _Model) -> Advice | None:
    surfaces = [surface for program in model.programs for surface in program.surfaces]
    dense = sum(math.prod(surface.shape) * surface.dtype.numpy.itemsize for surface in surfaces)
    stored = sum(surface.size_bytes for surface in surfaces)
    if not stored or stored <= dense:
        return None
    waste = 1 - dense / stored
    narrow = max(surfaces, key=lambda surface: surface.size_bytes - math.prod(surface.shape) * 2)
    return Advice(
        "Put a long axis of the inputs and outputs into the width: rows are stored in steps of 64 bytes",
        f"{waste:.0%} of the input and output bytes are row padding, most in {narrow.name!r} "
        f"({'x'.join(map(str, narrow.shape))})",
        model.part_us(CostPart.SURFACES) * waste,
    )


def _resident(model: _Model) -> Advice | None:
    scratch = sum(cost.work.scratch_bytes for cost in model.tasks)
    if not scratch:
        return None
    return Advice(
        "Make intermediates smaller, so that they stay in the engine's 2 MiB of L2",
        f"{scratch} bytes of intermediates go through DRAM",
        sum(
            cost.work.scratch_bytes / program.chip.dram_bytes_per_us
            for program in model.costs
            for cost in program.tasks
        ),
    )


def _idle_engines(model: _Model) -> Advice | None:
    chip_engines = model.costs[0].chip.engines if model.costs else 0
    idle = [cost for cost in model.tasks if cost.work.macs and cost.work.engines < chip_engines]
    if not idle:
        return None
    saves_us = sum(cost.times_us[CostPart.NEURAL] * (1 - cost.work.engines / chip_engines) for cost in idle)
    return Advice(
        f"Give convolutions at least {chip_engines} output channels",
        f"{len(idle)} tasks use only some of the {chip_engines} engines",
        saves_us,
    )


def _planar(model: _Model) -> Advice | None:
    planar = [cost for cost in model.tasks if cost.times_us[CostPart.PLANAR]]
    saves_us = sum(cost.times_us[CostPart.PLANAR] + cost.times_us[CostPart.TASKS] for cost in planar)
    if not planar:
        return None
    return Advice(
        "Fold elementwise operations and norms into the convolution before them",
        f"{len(planar)} planar tasks",
        saves_us,
    )


_RULES: tuple[Callable[[_Model], Advice | None], ...] = (
    _one_program,
    _batch,
    _smaller_weights,
    _padded_rows,
    _resident,
    _idle_engines,
    _planar,
)
