"""Concatenation: producers write in place where they can, what is left is copied."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from openane.backend.ir.plan import Axis, TaskOperand, TaskPlan, TensorPlace, View
from openane.backend.lowering import UnitLowering
from openane.backend.rules import Family
from openane.backend.units.copy import concat_places, copy_task, part, swap_task, turn_back, turned
from openane.net.net import TensorShape, Unit
from openane.net.units import ConcatParams, Dimension


def lower_concat(unit: Unit, lowering: UnitLowering) -> Iterator[TaskPlan]:
    """One copy for each bottom whose producer does not write in place already; columns are joined as channels."""
    assert isinstance(unit.params, ConcatParams)
    result = lowering.result(unit)
    if unit.params.dimension is Dimension.WIDTH:
        yield from join_columns(unit.name, unit.bottoms, lowering.shape(unit.name), result, lowering)
        return
    for bottom, offset in concat_places(unit, lowering.net.shapes):
        if not lowering.is_placed(unit.name, bottom):
            value = lowering.view(bottom)
            yield copy_task(value.operand, value.shape, replace(result, offset=offset))


def join_columns(
    name: str, bottoms: tuple[str, ...], shape: TensorShape, result: TaskOperand, lowering: UnitLowering
) -> Iterator[TaskPlan]:
    """Columns side by side, joined as channels of turned tensors: DMA addresses are multiples of 64 bytes."""
    joined = lowering.tensor(f"{name}/turned", turned(shape), TensorPlace.AUTO)
    first = 0
    for bottom in bottoms:
        value = lowering.value(bottom)
        yield swap_task(value.operand, View.of(value.shape), part(joined, Axis.CHANNEL, first))
        first += value.shape.width
    yield turn_back(joined, shape, result)


FAMILIES = (Family("concat", (ConcatParams,), lower_concat),)
