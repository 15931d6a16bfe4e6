"""Moving elements: the copy tasks that every layout unit is made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from openane.backend.ir.plan import Axis, NeWork, TaskOperand, TaskPlan, View, quad
from openane.net.net import TensorShape, Unit
from openane.net.units import ConcatParams, Dimension

#: Axes whose parts an operand's offset and step show, in their order there.
OUTER = (Axis.GROUP, Axis.DEPTH, Axis.CHANNEL, Axis.HEIGHT)
AXES: Mapping[Dimension, Axis] = {
    Dimension.BATCH: Axis.GROUP,
    Dimension.DEPTH: Axis.DEPTH,
    Dimension.CHANNEL: Axis.CHANNEL,
    Dimension.HEIGHT: Axis.HEIGHT,
    Dimension.WIDTH: Axis.WIDTH,
}


def part(operand: TaskOperand, axis: Axis, first: int, step: int = 1) -> TaskOperand:
    """The operand from element `first` of an outer axis on, every `step`-th."""
    index = OUTER.index(axis)
    offset, steps = list(operand.offset), list(operand.step)
    offset[index] += first * steps[index]
    steps[index] *= step
    return replace(operand, offset=quad(offset), step=quad(steps))


def copy_task(source: TaskOperand, shape: TensorShape, result: TaskOperand) -> TaskPlan:
    """A plain NE copy of a tensor or a part of it (goldens: concat).

    Args:
        source, result: operands; their axes may differ (a permutation of the outer axes).
        shape: extents of what is copied, in the axes of the result.
    """
    view = View.of(shape)
    return TaskPlan(NeWork(), view, view, (source,), result, unicast=True)


def swap_task(source: TaskOperand, view: View, result: TaskOperand) -> TaskPlan:
    """A NE copy that exchanges channels and columns.

    Args:
        source: operand in the axes of the view.
        view: extents of the source.
        result: its tensor is swapped: `width` counts the view's channels, `channels` the view's columns.
    """
    swapped = replace(result, swapped=True)
    return TaskPlan(NeWork(), view, view, (source,), swapped, unicast=True)


def through(operand: TaskOperand, axes: Mapping[Axis, Axis]) -> TaskOperand:
    """The operand with its axes renamed: view axis -> axis of the operand."""
    return replace(operand, axes={view: operand.axes[own] for view, own in axes.items() if own in operand.axes})


def turned(shape: TensorShape) -> TensorShape:
    """The shape with channels and columns exchanged."""
    return replace(shape, channels=shape.width, width=shape.channels)


def turn_back(source: TaskOperand, shape: TensorShape, result: TaskOperand) -> TaskPlan:
    """Writes a turned tensor, or a part of it, the right way round; `shape` is that of the result."""
    return swap_task(source, View.of(turned(shape)), result)


def concat_places(unit: Unit, shapes: Mapping[str, TensorShape]) -> Iterator[tuple[str, tuple[int, int, int, int]]]:
    """(bottom, offset (group, depth, channel, row)) of each bottom of a concat that a view can show in place."""
    if not isinstance(unit.params, ConcatParams) or unit.params.dimension is Dimension.WIDTH:
        return
    axis = OUTER.index(AXES[unit.params.dimension])
    start = 0
    for bottom in unit.bottoms:
        offset = [0, 0, 0, 0]
        offset[axis] = start
        yield bottom, (offset[0], offset[1], offset[2], offset[3])
        start += unit.params.dimension.extent(shapes[bottom])
