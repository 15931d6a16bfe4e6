"""Moving elements: the copy tasks that every layout unit is made of, and concatenation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from openane.backend.ir.plan import PLAIN, Axis, Evidence, NeWork, Operand, Place, TaskPlan, View, quad
from openane.backend.rules import Family
from openane.net.net import TensorShape, Unit
from openane.net.units import Concat, Dimension

if TYPE_CHECKING:
    from openane.backend.lowering import Lowering

#: Axes whose parts an operand's offset and step show, in their order there.
OUTER = (Axis.GROUP, Axis.DEPTH, Axis.CHANNEL, Axis.HEIGHT)
AXES: Mapping[Dimension, Axis] = {
    Dimension.BATCH: Axis.GROUP,
    Dimension.DEPTH: Axis.DEPTH,
    Dimension.CHANNEL: Axis.CHANNEL,
    Dimension.HEIGHT: Axis.HEIGHT,
    Dimension.WIDTH: Axis.WIDTH,
}


def part(operand: Operand, axis: Axis, first: int, step: int = 1) -> Operand:
    """The operand from element `first` of an outer axis on, every `step`-th."""
    index = OUTER.index(axis)
    offset, steps = list(operand.offset), list(operand.step)
    offset[index] += first * steps[index]
    steps[index] *= step
    return replace(operand, offset=quad(offset), step=quad(steps))


def copy_task(source: Operand, shape: TensorShape, result: Operand) -> TaskPlan:
    """A plain NE copy of a tensor or a part of it (goldens: concat).

    Args:
        source, result: operands; their axes may differ (a permutation of the outer axes).
        shape: extents of what is copied, in the axes of the result.
    """
    view = View.of(shape)
    plain = shape.batch == shape.depth == 1 and source.step == result.step == (1, 1, 1, 1)
    plain = plain and source.axes == result.axes == PLAIN
    return TaskPlan(NeWork(), view, view, (source,), result, unicast=True, evidence=Evidence(not plain))


def swap_task(source: Operand, view: View, result: Operand) -> TaskPlan:
    """A NE copy that exchanges channels and columns.

    Args:
        source: operand in the axes of the view.
        view: extents of the source.
        result: its tensor lies swapped: `width` counts the view's channels, `channels` the view's columns.
    """
    swapped = replace(result, swapped=True)
    return TaskPlan(NeWork(), view, view, (source,), swapped, unicast=True, evidence=Evidence.EXTRAPOLATED)


def through(operand: Operand, axes: Mapping[Axis, Axis]) -> Operand:
    """The operand with its axes renamed: view axis -> axis of the operand."""
    return replace(operand, axes={view: operand.axes[own] for view, own in axes.items() if own in operand.axes})


def turned(shape: TensorShape) -> TensorShape:
    """The shape with channels and columns exchanged."""
    return replace(shape, channels=shape.width, width=shape.channels)


def turn(name: str, source: Operand, shape: TensorShape, lowering: Lowering) -> tuple[Operand, TaskPlan]:
    """A new tensor that holds `source` with channels and columns exchanged, and the task that writes it."""
    target = lowering.tensor(name, turned(shape), Place.AUTO)
    return target, swap_task(source, View.of(shape), target)


def turn_back(source: Operand, shape: TensorShape, result: Operand) -> TaskPlan:
    """Writes a turned tensor, or a part of it, the right way round; `shape` is that of the result."""
    return swap_task(source, View.of(turned(shape)), result)


def concat_places(unit: Unit, shapes: Mapping[str, TensorShape]) -> Iterator[tuple[str, tuple[int, int, int, int]]]:
    """(bottom, offset (group, depth, channel, row)) of each bottom of a concat that a view can show in place."""
    if not isinstance(unit.params, Concat) or unit.params.dimension is Dimension.WIDTH:
        return
    axis = OUTER.index(AXES[unit.params.dimension])
    start = 0
    for bottom in unit.bottoms:
        offset = [0, 0, 0, 0]
        offset[axis] = start
        yield bottom, (offset[0], offset[1], offset[2], offset[3])
        start += unit.params.dimension.extent(shapes[bottom])


def lower_concat(unit: Unit, lowering: Lowering) -> Iterator[TaskPlan]:
    """One copy for each bottom whose producer does not write in place already; columns are joined as channels."""
    assert isinstance(unit.params, Concat)
    result = lowering.result(unit)
    if unit.params.dimension is Dimension.WIDTH:
        yield from join_columns(unit.name, unit.bottoms, lowering.shape(unit.name), result, lowering)
        return
    for bottom, offset in concat_places(unit, lowering.net.shapes):
        if not lowering.is_placed(unit.name, bottom):
            value = lowering.view(bottom)
            yield copy_task(value.operand, value.shape, replace(result, offset=offset))


def join_columns(
    name: str, bottoms: tuple[str, ...], shape: TensorShape, result: Operand, lowering: Lowering
) -> Iterator[TaskPlan]:
    """Columns side by side, joined as channels of turned tensors: DMA addresses are multiples of 64 bytes."""
    joined = lowering.tensor(f"{name}/turned", turned(shape), Place.AUTO)
    first = 0
    for bottom in bottoms:
        value = lowering.value(bottom)
        yield swap_task(value.operand, View.of(value.shape), part(joined, Axis.CHANNEL, first))
        first += value.shape.width
    yield turn_back(joined, shape, result)


FAMILIES = (Family("concat", (Concat,), lower_concat),)
