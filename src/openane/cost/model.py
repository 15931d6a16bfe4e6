"""Time and energy of work on a chip.

One call costs the dispatch, and every task the sum of its engine's time, its weight stream and its DRAM traffic: the
published single-operation timings are fitted better by the sum than by the longest part, so overlap within a task is
not credited.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from openane.backend.task_cost import Engine, Work, WorkKind
from openane.cost.chips import Chip


class CostPart(Enum):
    """What time is spent on."""

    NEURAL = "NE"
    PLANAR = "PE"
    WEIGHTS = "weights"
    """Kernel streams."""
    DRAM = "DRAM"
    """Tensors between DRAM and the engine."""
    SURFACES = "hand-over"
    """Passing the caller's tensors in and out."""
    TASKS = "overhead"
    """Starting each task."""
    DISPATCH = "dispatch"
    """From user space to the engine and back, once a call."""


class Timed:
    """A base for what has `times_us`: microseconds by part."""

    __slots__ = ()
    times_us: Mapping[CostPart, float]

    @property
    def time_us(self) -> float:
        """All parts together."""
        return sum(self.times_us.values())

    @property
    def bound(self) -> CostPart:
        """The part that takes longest; the first of equals."""
        return max(self.times_us, key=lambda part: self.times_us[part])


@dataclass(frozen=True, slots=True)
class Cost(Timed):
    """What one piece of work takes.

    Attributes:
        work: what is done.
        times_us: time by part.
        energy_uj: microjoules, the rail's base power over the time included.
        utilization: share of the chip's peak multiply-accumulates over the whole time, 0 to 1 (more where a
            convolution passes the peak).
    """

    work: Work
    times_us: Mapping[CostPart, float]
    energy_uj: float
    utilization: float


_MACS_PER_US: Mapping[WorkKind, Callable[[Chip], float]] = MappingProxyType(
    {
        WorkKind.CONVOLUTION: lambda chip: chip.convolution_macs_per_us,
        WorkKind.MATMUL: lambda chip: chip.matmul_macs_per_us,
    }
)


def cost_of(work: Work, chip: Chip) -> Cost:
    """Time and energy of a task or operation, without the dispatch of the call it is part of."""
    engine_us = work.elements / chip.elements_per_us
    if work.macs:
        idle = chip.engines / max(1, min(work.engines, chip.engines))
        engine_us += work.macs * idle / _MACS_PER_US[work.kind](chip)
    times = {
        CostPart.NEURAL: engine_us if work.engine is Engine.NEURAL else 0.0,
        CostPart.PLANAR: engine_us if work.engine is Engine.PLANAR else 0.0,
        CostPart.WEIGHTS: work.weight_bytes / chip.weight_bytes_per_us,
        CostPart.DRAM: work.tile_bytes / chip.dram_bytes_per_us,
        CostPart.SURFACES: (work.surface_bytes - work.result_bytes) / chip.operand_bytes_per_us
        + work.result_bytes / chip.result_bytes_per_us,
        CostPart.TASKS: chip.task_us * work.tasks,
    }
    total_us = sum(times.values())
    switched_uj = (work.macs * chip.picojoules_per_mac + work.dram_bytes * chip.picojoules_per_byte) * 1e-6
    utilization = work.macs / (total_us * chip.peak_macs_per_us) if total_us else 0.0
    return Cost(work, MappingProxyType(times), switched_uj + total_us * chip.base_milliwatts * 1e-3, utilization)


def call_us(works: Iterable[Work], chip: Chip) -> float:
    """One call of a program that does this work, seen from user space."""
    return chip.dispatch_us + sum(cost_of(work, chip).time_us for work in works)


def call_milliwatts(works: Iterable[Work], chip: Chip) -> float:
    """Mean power over such a call."""
    costs = [cost_of(work, chip) for work in works]
    time_us = chip.dispatch_us + sum(cost.time_us for cost in costs)
    energy_uj = chip.dispatch_us * chip.base_milliwatts * 1e-3 + sum(cost.energy_uj for cost in costs)
    return energy_uj / time_us * 1e3
