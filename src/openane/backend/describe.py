"""Networks and plans as text, a line a unit or task, for dumps and for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import Enum

import numpy as np

from openane.backend.ir.placement import PlacedTask, Placement, Spot
from openane.backend.ir.plan import Axis, NeWork, ProgramPlan, TaskOperand, TaskPlan, View
from openane.net.net import Net, UnitParams

_LETTERS = {Axis.GROUP: "N", Axis.DEPTH: "D", Axis.CHANNEL: "C", Axis.HEIGHT: "H", Axis.WIDTH: "W"}


def net_text(net: Net) -> str:
    """Inputs, units and outputs of a network, one a line."""
    lines = [f"network {net.name}"]
    lines += [f"input {name} {_extents(net.shapes[name].ndchw)}" for name in net.inputs]
    for unit in net.units:
        shape = _extents(net.shapes[unit.name].ndchw)
        lines.append(f"{unit.name} = {_params(unit.params)}({', '.join(unit.bottoms)}) {shape}")
    lines += [f"output {name} = {source}" for name, source in net.outputs.items()]
    return "\n".join(lines) + "\n"


def plan_text(plan: ProgramPlan, placement: Placement | None = None) -> str:
    """Tasks with their operands; with addresses when the plan is placed."""
    lines = [f"plan {plan.name}"]
    for name, tensor in plan.tensors.items():
        place = placement.places.get(name, tensor.place) if placement else tensor.place
        inside = f" inside {tensor.part_of} at {tensor.part_offset}" if tensor.part_of else ""
        lines.append(f"tensor {name} {_extents(tensor.shape.ndchw)} {tensor.dtype.value}: {place.value}{inside}")
    placed = iter(placement.tasks) if placement else None
    number = 0
    for block in plan.blocks:
        lines.append(f"block {block.unit}")
        for task in block.tasks:
            where = next(placed) if placed else None
            lines.append(f"  {number} {_task(where.plan if where else task)}")
            lines += [f"      {line}" for line in _places(where)] if where else []
            number += 1
    return "\n".join(lines) + "\n"


def _extents(extents: tuple[int, ...]) -> str:
    return "x".join(map(str, extents))


def _params(params: UnitParams) -> str:
    shown = [f"{name}={text}" for name, value in _fields(params) if (text := _value(value))]
    return f"{params.label}[{' '.join(shown)}]" if shown else params.label


def _fields(params: object) -> Iterator[tuple[str, object]]:
    if is_dataclass(params):
        for each in fields(params):
            yield each.name, getattr(params, each.name)


def _value(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype.name}({_extents(value.shape)})"
    if isinstance(value, UnitParams):
        return _params(value)
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_value(key)}: {_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, frozenset):
        return "{" + ", ".join(sorted(_value(item) for item in value)) + "}"
    return "" if value is None else str(value)


def _view(view: View) -> str:
    return f"N{view.groups} D{view.depth} C{view.channels} H{view.height} W{view.width}"


def _task(task: TaskPlan) -> str:
    work = task.work
    engine = f"NE {work.mode.name.lower()}" if isinstance(work, NeWork) else f"PE {work.mode.name.lower()}"
    sources = ", ".join(_operand(source) for source in task.sources)
    extras = f" kernel {task.kernel.count} lanes" if task.kernel else ""
    views = f"{_view(task.view)} -> {_view(task.result_view)}"
    return f"{engine} {sources} -> {_operand(task.result)}: {views}{extras}"


def _operand(operand: TaskOperand) -> str:
    notes = []
    if any(view is not own for view, own in operand.axes.items()):
        notes.append(
            " ".join(f"{_LETTERS[view]}={_LETTERS[own]}" for view, own in operand.axes.items() if view is not own)
        )
    if operand.offset != (0, 0, 0, 0):
        notes.append(f"from {operand.offset}")
    if operand.step != (1, 1, 1, 1):
        notes.append(f"step {operand.step}")
    if operand.swapped:
        notes.append("swapped")
    if operand.repeats:
        notes.append("repeated " + "".join(sorted(_LETTERS[axis] for axis in operand.repeats)))
    if operand.keep:
        notes.append(f"kept as {operand.keep}")
    return f"{operand.tensor}[{', '.join(notes)}]" if notes else operand.tensor


def _places(task: PlacedTask) -> Iterator[str]:
    for number, spot in enumerate((*task.sources, task.result)):
        role = "result" if number == len(task.sources) else f"source {number + 1}"
        yield f"{role}: {_spot(spot)}"
    if not task.tile.whole:
        yield f"tiles of {task.tile.rows} rows"


def _spot(spot: Spot) -> str:
    pitches = f"row {spot.l2.row:#x}, channel {spot.l2.channel:#x}"
    if not spot.dma:
        return f"L2 {spot.l2_base:#x}, {pitches}"
    strides = f"row {spot.dram.row:#x}, plane {spot.dram.channel:#x}"
    return f"buffer {spot.buffer} + {spot.dram_base:#x}, {strides}, staged at {spot.l2_base:#x}, {pitches}"
