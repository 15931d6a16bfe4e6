"""How long a compiled model takes, layer by layer and task by task, and what to change first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from openane.analysis.advice import Advice, advise
from openane.analysis.kernel_forms import LayerWeights, layer_weights
from openane.artifact.plan import Artifact, EngineStep
from openane.core import html
from openane.core.report import Column, Report, numbers, texts
from openane.cost.chips import DEFAULT_CHIP, Chip, chip
from openane.cost.model import Cost, CostPart, Timed
from openane.cost.program import cost_of_program
from openane.program import Program

PART_COLORS: Mapping[CostPart, str] = MappingProxyType(
    {
        CostPart.NEURAL: "#2b66ad",
        CostPart.PLANAR: "#a9590c",
        CostPart.WEIGHTS: "#2c7a4b",
        CostPart.DRAM: "#3f8f6e",
        CostPart.SURFACES: "#5c8a3a",
        CostPart.TASKS: "#6a717a",
        CostPart.DISPATCH: "#4d535b",
    }
)
"""White text is readable on each."""
_LAYER_COLUMNS = (
    *texts("layer"),
    *numbers("tasks"),
    *numbers("time_us", form="{:.2f}"),
    *numbers("share", form="{:.1%}"),
    *texts("bound"),
    *numbers("energy_uj", form="{:.2f}"),
    *numbers("macs", "dram_bytes"),
    *numbers("utilization", form="{:.1%}"),
)
LARGEST_SPREAD = 1.15
"""Up to it the time of a call is given as one number."""
NAMELESS = "(program)"
"""The layer of tasks whose origin is not known, as in programs read from a file."""


@dataclass(frozen=True, slots=True)
class TaskEstimate:
    """One task.

    Attributes:
        program: number of the program in the plan, from 0.
        task: number of the task in the program, from 0.
        layer: the user's layers, NAMELESS when they are not known.
        start_us: when it starts, after the dispatch of its program; tasks run one after the other.
        cost: work, time by part, energy, utilization, bound.
    """

    program: int
    task: int
    layer: str
    start_us: float
    cost: Cost


@dataclass(frozen=True, slots=True)
class LayerEstimate(Timed):
    """All tasks of one layer, or of layers that were fused.

    Attributes:
        tasks: how many.
        times_us: time by part.
        share: of the time of the whole model.
        utilization: share of the peak multiply-accumulates over the layer's time.
    """

    layer: str
    tasks: int
    times_us: Mapping[CostPart, float]
    share: float
    energy_uj: float
    macs: int
    dram_bytes: int
    utilization: float


@dataclass(frozen=True, slots=True)
class Roofline:
    """Where the model is between bandwidth and multiplication.

    Attributes:
        flops_per_byte: operations for each byte that crosses to or from DRAM.
        gflops_per_s: reached by one call, dispatch included.
        peak_gflops_per_s: of the chip.
        ridge_flops_per_byte: from here on more reuse of data does not help.
    """

    flops_per_byte: float
    gflops_per_s: float
    peak_gflops_per_s: float
    ridge_flops_per_byte: float

    @property
    def roof_gflops_per_s(self) -> float:
        """The most that bandwidth and peak allow at this reuse."""
        return self.peak_gflops_per_s * min(1.0, self.flops_per_byte / self.ridge_flops_per_byte)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one call of a model takes on a chip. Host steps are not estimated.

    Attributes:
        name: of the model.
        chip: the chip's constants with their evidence.
        target: the generation the programs were compiled for.
        time_us: one call, all programs and their dispatches.
        energy_uj: the same.
        times_us: time by part, dispatch included.
        layers: in order of first appearance.
        tasks: in order of execution.
        roofline: of the whole model.
        advice: what would save most, best first.
        least_bytes: weights once, inputs and outputs once: what has to cross in any case.
        weights: how the kernels of each layer are stored.
        programs: engine programs; host_steps: steps that the processor runs.
    """

    name: str
    chip: Chip
    target: str
    time_us: float
    energy_uj: float
    times_us: Mapping[CostPart, float]
    layers: tuple[LayerEstimate, ...]
    tasks: tuple[TaskEstimate, ...]
    roofline: Roofline
    advice: tuple[Advice, ...]
    least_bytes: int
    programs: int
    host_steps: int
    weights: tuple[LayerWeights, ...] = ()

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all tasks."""
        return sum(task.cost.work.macs for task in self.tasks)

    @property
    def dram_bytes(self) -> int:
        """Bytes of all tasks that cross to or from DRAM."""
        return sum(task.cost.work.dram_bytes for task in self.tasks)

    @property
    def range_us(self) -> tuple[float, float]:
        """Least and largest time of a call, if the estimate is as far off as four of five published timings at most."""
        return self.time_us / self.chip.spread, self.time_us * self.chip.spread

    @property
    def is_rough(self) -> bool:
        """Whether the range says more than the time: it is wider than 15 percent to a side."""
        return self.chip.spread > LARGEST_SPREAD

    @property
    def milliwatts(self) -> float:
        """Mean power of the engine's rail during a call."""
        return self.energy_uj / self.time_us * 1e3 if self.time_us else 0.0

    def _repr_html_(self) -> str:
        parts = [(part.value, self.times_us.get(part, 0.0), PART_COLORS[part]) for part in CostPart]
        return html.shares(f"time of a call of {self.name} by part", parts) + self.report().to_html()

    def report(self) -> Report:
        """One row per layer."""
        low, high = self.range_us
        spread = f" ({low:.0f} to {high:.0f})" if self.is_rough else ""
        totals = f"{self.time_us:.0f} us{spread} a call, {self.energy_uj / 1000:.3g} mJ"
        parts = [part for part in CostPart if part is not CostPart.DISPATCH]
        rows = [
            (
                layer.layer,
                layer.tasks,
                layer.time_us,
                layer.share,
                layer.bound.value,
                layer.energy_uj,
                layer.macs,
                layer.dram_bytes,
                layer.utilization,
                *(layer.times_us.get(part, 0.0) for part in parts),
            )
            for layer in self.layers
        ]
        columns = (*_LAYER_COLUMNS, *(Column(f"{part.value}_us", in_tables=False) for part in parts))
        return Report(f"{self.name} on {self.chip.machine}: {totals} (estimate)", columns, rows)

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame`, one row per layer.

        Raises:
            UnavailableError: pandas is not installed.
        """
        return self.report().to_pandas()


def estimate(artifact: Artifact, chip_name: str = DEFAULT_CHIP) -> Estimate:
    """Estimates one call of a compiled model.

    Args:
        artifact: from `openane.compile`.
        chip_name: see `openane.cost.chips.CHIPS`. Programs compiled for one generation keep their tasks: on
            another generation's chip the estimate is of these tasks at that chip's speeds.

    Raises:
        InputError: there is no such chip.
        UnsupportedError: the cost of programs of this generation is not known.
    """
    found = chip(chip_name)
    programs = tuple(step.program for step in artifact.plan.steps if isinstance(step, EngineStep))
    costs = tuple(cost_of_program(program, found) for program in programs)
    tasks = tuple(
        task
        for number, (program, cost) in enumerate(zip(programs, costs, strict=True))
        for task in _tasks(number, program, cost.tasks)
    )
    time_us = sum(cost.time_us for cost in costs)
    times = _sum_parts([task.cost for task in tasks])
    times[CostPart.DISPATCH] = found.dispatch_us * len(programs)
    host_steps = len(artifact.plan.steps) - len(programs)
    return Estimate(
        name=artifact.plan.name,
        chip=found,
        target=artifact.target,
        time_us=time_us,
        energy_uj=sum(cost.energy_uj for cost in costs),
        times_us=MappingProxyType(times),
        layers=_layers(tasks, time_us, found),
        tasks=tasks,
        roofline=_roofline(tasks, time_us, found),
        advice=advise(programs, costs, time_us),
        least_bytes=sum(_least_bytes(program) for program in programs),
        programs=len(programs),
        host_steps=host_steps,
        weights=layer_weights(programs),
    )


def _tasks(number: int, program: Program, costs: Sequence[Cost]) -> list[TaskEstimate]:
    found, start_us = [], 0.0
    for index, (task, cost) in enumerate(zip(program.tasks, costs, strict=True)):
        found.append(TaskEstimate(number, index, str(task.origin) or NAMELESS, start_us, cost))
        start_us += cost.time_us
    return found


def _sum_parts(costs: Sequence[Cost]) -> dict[CostPart, float]:
    return {part: sum(cost.times_us.get(part, 0.0) for cost in costs) for part in CostPart}


def _layers(tasks: Sequence[TaskEstimate], time_us: float, chip: Chip) -> tuple[LayerEstimate, ...]:
    by_layer: dict[str, list[Cost]] = {}
    for task in tasks:
        by_layer.setdefault(task.layer, []).append(task.cost)
    layers = []
    for layer, costs in by_layer.items():
        own_us = sum(cost.time_us for cost in costs)
        macs = sum(cost.work.macs for cost in costs)
        layers.append(
            LayerEstimate(
                layer=layer,
                tasks=len(costs),
                times_us=MappingProxyType(_sum_parts(costs)),
                share=own_us / time_us,
                energy_uj=sum(cost.energy_uj for cost in costs),
                macs=macs,
                dram_bytes=sum(cost.work.dram_bytes for cost in costs),
                utilization=macs / (own_us * chip.peak_macs_per_us) if own_us else 0.0,
            )
        )
    return tuple(layers)


def _roofline(tasks: Sequence[TaskEstimate], time_us: float, chip: Chip) -> Roofline:
    flops = sum(task.cost.work.flops for task in tasks)
    moved = sum(task.cost.work.dram_bytes for task in tasks)
    peak = 2 * chip.peak_macs_per_us
    return Roofline(
        flops_per_byte=flops / moved if moved else 0.0,
        gflops_per_s=flops / time_us * 1e-3 if time_us else 0.0,
        peak_gflops_per_s=peak * 1e-3,
        ridge_flops_per_byte=peak / chip.dram_bytes_per_us,
    )


def _least_bytes(program: Program) -> int:
    return len(program.constants) + sum(surface.size_bytes for surface in program.surfaces)


def as_values(found: Estimate) -> dict[str, Any]:
    """The estimate as plain values, for JSON, notebooks and pages."""
    roofline = found.roofline
    return {
        "name": found.name,
        "chip": found.chip.name,
        "machine": found.chip.machine,
        "evidence": found.chip.evidence,
        "target": found.target,
        "programs": found.programs,
        "host_steps": found.host_steps,
        "time_us": found.time_us,
        "time_range_us": list(found.range_us),
        "energy_uj": found.energy_uj,
        "milliwatts": found.milliwatts,
        "macs": found.macs,
        "dram_bytes": found.dram_bytes,
        "least_bytes": found.least_bytes,
        "times_us": {part.value: time for part, time in found.times_us.items()},
        "roofline": {
            "flops_per_byte": roofline.flops_per_byte,
            "gflops_per_s": roofline.gflops_per_s,
            "roof_gflops_per_s": roofline.roof_gflops_per_s,
            "peak_gflops_per_s": roofline.peak_gflops_per_s,
            "ridge_flops_per_byte": roofline.ridge_flops_per_byte,
        },
        "layers": [_layer_value(layer) for layer in found.layers],
        "tasks": [_task_value(task) for task in found.tasks],
        "weights": [each.values() for each in found.weights],
        "advice": [{"what": each.what, "why": each.why, "saves_us": each.saves_us} for each in found.advice],
    }


def _layer_value(layer: LayerEstimate) -> dict[str, Any]:
    return {
        "layer": layer.layer,
        "tasks": layer.tasks,
        "time_us": layer.time_us,
        "share": layer.share,
        "times_us": {part.value: time for part, time in layer.times_us.items()},
        "bound": layer.bound.value,
        "utilization": layer.utilization,
        "energy_uj": layer.energy_uj,
        "macs": layer.macs,
        "dram_bytes": layer.dram_bytes,
    }


def _task_value(task: TaskEstimate) -> dict[str, Any]:
    work = task.cost.work
    return {
        "program": task.program,
        "task": task.task,
        "layer": task.layer,
        "kind": work.kind.value,
        "engine": work.engine.value,
        "start_us": task.start_us,
        "time_us": task.cost.time_us,
        "times_us": {part.value: time for part, time in task.cost.times_us.items()},
        "bound": task.cost.bound.value,
        "utilization": task.cost.utilization,
        "energy_uj": task.cost.energy_uj,
        "macs": work.macs,
        "elements": work.elements,
        "input_bytes": work.input_bytes,
        "output_bytes": work.output_bytes,
        "scratch_bytes": work.scratch_bytes,
        "weight_bytes": work.weight_bytes,
    }
