"""Units that only move elements: slices, reshapes, transposes, repeats and padding.

Slices along rows, channels, depth or batch and reshapes that keep the rows are views and cost nothing. Everything
else is made of NE copies, of which those that exchange channels and columns reach single elements: DMA addresses are
multiples of 64 bytes (execution.md#dram-layout), columns are 2 bytes apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from openane.backend.ir.plan import (
    Axis,
    PeMode,
    PeWork,
    Strides,
    TaskOperand,
    TaskPlan,
    TensorPlace,
    View,
)
from openane.backend.machine import MachineSpec
from openane.backend.rules import Family, Query, RuleKind, rule
from openane.backend.units.copy import AXES, copy_task, part, swap_task, through, turn_back, turned
from openane.backend.units.elementwise import repeated_axes
from openane.backend.units.multi_task import Ends, is_dense
from openane.net.net import TensorShape, Unit
from openane.net.units import (
    BroadcastParams,
    ConstantParams,
    Dimension,
    InputViewParams,
    PadKind,
    PadParams,
    ReshapeParams,
    TileParams,
    TransposeParams,
)
from openane.numerics.fp16 import to_fp16

if TYPE_CHECKING:
    from openane.backend.lowering import UnitLowering, UnitValue


def turn(name: str, source: TaskOperand, shape: TensorShape, lowering: UnitLowering) -> tuple[TaskOperand, TaskPlan]:
    """A new tensor that holds `source` with channels and columns exchanged, and the task that writes it."""
    target = lowering.tensor(name, turned(shape), TensorPlace.AUTO)
    return target, swap_task(source, View.of(shape), target)


# Slices --------------------------------------------------------------------------------------------------------------


def lower_view(unit: Unit, lowering: UnitLowering) -> Iterator[TaskPlan]:
    """A view; neighboring columns from a DMA unit on by one copy, others by two that exchange columns and channels."""
    params = unit.params
    assert isinstance(params, InputViewParams)
    value = lowering.value(unit.bottoms[0])
    axis = AXES[params.dimension]
    if axis is not Axis.WIDTH:
        lowering.alias(unit, part(value.operand, axis, params.offset, params.step))
        return
    result = lowering.result(unit)
    if params.step == 1 and 2 * params.offset % lowering.machine.dma_alignment_bytes == 0:
        source = replace(value.operand, column=value.operand.column + params.offset)
        yield copy_task(source, lowering.shape(unit.name), result)
        return
    target, task = turn(f"{unit.name}/turned", value.operand, value.shape, lowering)
    yield task
    yield turn_back(part(target, Axis.CHANNEL, params.offset, params.step), lowering.shape(unit.name), result)


def view_writes(query: Query) -> bool:
    """Only slices of columns are written by tasks."""
    return isinstance(query.params, InputViewParams) and query.params.dimension is Dimension.WIDTH


# Reshape -------------------------------------------------------------------------------------------------------------


def lower_reshape(unit: Unit, lowering: UnitLowering) -> Iterator[TaskPlan]:
    """A view when rows stay rows or are cut into parts, one copy when parts are joined, else by single elements."""
    before, shape = lowering.shape(unit.bottoms[0]), lowering.shape(unit.name)
    if cuts_rows(lowering.machine, before, shape):
        value = lowering.value(unit.bottoms[0])
        operand, tasks = _whole(f"{unit.name}/whole", value, lowering)
        yield from tasks
        rows = _as_rows(before)
        axes = {Axis.CHANNEL: Axis.HEIGHT, Axis.HEIGHT: Axis.WIDTH, Axis.WIDTH: Axis.WIDTH}
        cut = replace(operand, shape=rows, axes=axes, column_step=shape.width)
        lowering.alias_axes(unit, cut)
        return
    if cuts_rows(lowering.machine, shape, before):
        value, ends = lowering.view(unit.bottoms[0]), Ends(unit, lowering)
        axes = {Axis.CHANNEL: Axis.HEIGHT, Axis.HEIGHT: Axis.WIDTH, Axis.WIDTH: Axis.WIDTH}
        joined = replace(ends.result(), shape=_as_rows(shape), axes=axes, column_step=before.width)
        task = copy_task(value.operand, before, joined)
        yield from ends.around(iter((task,)))
        return
    value = lowering.value(unit.bottoms[0])
    if before.width == shape.width:
        operand, tasks = _whole(f"{unit.name}/whole", value, lowering)
        yield from tasks
        lowering.alias(unit, replace(operand, shape=shape))
        return
    ends = Ends(unit, lowering)
    yield from ends.around(reshape_tasks(unit.name, value, shape, ends.result(), lowering))


def cuts_rows(machine: MachineSpec, before: TensorShape, after: TensorShape) -> bool:
    """Whether a reshape makes of each row an image of one channel, its rows parts at multiples of 64 bytes."""
    aligned = after.width * 2 % machine.dma_alignment_bytes == 0
    rows = before.size // before.width
    single = after.batch == after.depth == 1 and rows <= machine.max_height
    return aligned and single and after.width < before.width == after.height * after.width and after.channels == rows


def _as_rows(shape: TensorShape) -> TensorShape:
    """The tensor as one image of all its rows."""
    return TensorShape(height=shape.size // shape.width, width=shape.width)


def reshape_writes(query: Query) -> bool:
    """Whether tasks write the result."""
    (before,) = query.bottoms
    return before.width != query.result.width and not cuts_rows(query.machine, before, query.result)


def reshape_tasks(
    name: str, value: UnitValue, shape: TensorShape, result: TaskOperand, lowering: UnitLowering
) -> Iterator[TaskPlan]:
    """The elements of a value in the same order under a shape of other columns."""
    machine = lowering.machine
    operand, tasks = _whole(f"{name}/whole", value, lowering)
    yield from tasks
    size = shape.size
    if value.shape.width == 1:
        flat = replace(operand, shape=TensorShape(channels=size))
        yield from _unflatten(machine, flat, shape, result, linear=value.shape.height == 1)
        return
    if shape.width == 1:
        yield from _flatten(machine, operand, value.shape, result, shape)
        return
    flat = lowering.tensor(f"{name}/flat", TensorShape(channels=size), TensorPlace.AUTO)
    yield from _flatten(machine, operand, value.shape, flat, TensorShape(channels=size))
    yield from _unflatten(machine, flat, shape, result, linear=True)


def _whole(name: str, value: UnitValue, lowering: UnitLowering) -> tuple[TaskOperand, list[TaskPlan]]:
    """The value as a tensor of its own, copied when it is a part of one."""
    operand = value.operand
    tensor = lowering.tensors[operand.tensor]
    if operand.step == (1, 1, 1, 1) and value.shape.size == tensor.shape.size and not tensor.part_of:
        return operand, []
    target = lowering.tensor(name, value.shape, TensorPlace.AUTO)
    return target, [copy_task(operand, value.shape, target)]


def _rows_at_once(machine: MachineSpec, shape: TensorShape) -> Iterator[tuple[int, int]]:
    """(first, count) of the rows of all channels, as many at once as a task takes."""
    rows = shape.size // shape.width
    for first in range(0, rows, machine.max_height):
        yield first, min(machine.max_height, rows - first)


def _element_strides(width: int, element_bytes: int) -> Strides:
    """A flat tensor seen as rows of `width` elements: a column is a channel."""
    return Strides(element_bytes, width * element_bytes, width * element_bytes, width * element_bytes)


def _flatten(
    machine: MachineSpec, source: TaskOperand, shape: TensorShape, flat: TaskOperand, flat_shape: TensorShape
) -> Iterator[TaskPlan]:
    """Rows of any tensor to one element per row: column w of row r becomes element r * W + w."""
    rows = TensorShape(height=shape.size // shape.width, width=shape.width)
    whole = replace(source, shape=rows if rows != shape else source.shape)
    target = replace(
        flat,
        shape=TensorShape(channels=flat_shape.size),
        dram=_element_strides(shape.width, machine.dma_alignment_bytes),
        l2=_element_strides(shape.width, machine.bank_bytes) if flat_shape.height == 1 else None,
    )
    for first, count in _rows_at_once(machine, shape):
        view = View(shape.width, count)
        yield swap_task(part(whole, Axis.HEIGHT, first), view, part(target, Axis.CHANNEL, first * shape.width))


def _unflatten(
    machine: MachineSpec, flat: TaskOperand, shape: TensorShape, result: TaskOperand, *, linear: bool
) -> Iterator[TaskPlan]:
    """One element per row to rows of any tensor.

    Args:
        flat: the elements.
        shape: of the result.
        result: where they go.
        linear: elements follow each other in L2 too; rows of several channels lie between each other there.
    """
    rows = TensorShape(height=shape.size // shape.width, width=shape.width)
    target = replace(result, shape=rows if rows != shape else result.shape)
    source = replace(
        flat,
        dram=_element_strides(shape.width, machine.dma_alignment_bytes),
        l2=_element_strides(shape.width, machine.bank_bytes) if linear else None,
    )
    for first, count in _rows_at_once(machine, shape):
        view = View(1, count, shape.width)
        yield swap_task(part(source, Axis.CHANNEL, first * shape.width), view, part(target, Axis.HEIGHT, first))


# Transpose -----------------------------------------------------------------------------------------------------------

_ORDER = (Axis.GROUP, Axis.DEPTH, Axis.CHANNEL, Axis.HEIGHT, Axis.WIDTH)


def lower_transpose(unit: Unit, lowering: UnitLowering) -> Iterator[TaskPlan]:
    """A view while columns stay columns; else one copy that exchanges them with another axis."""
    params = unit.params
    assert isinstance(params, TransposeParams)
    value = lowering.view(unit.bottoms[0])
    shape = lowering.shape(unit.name)
    if params.permutation[4] == 4:
        axes = {_ORDER[position]: _ORDER[axis] for position, axis in enumerate(params.permutation)}
        lowering.alias_axes(unit, through(value.operand, axes))
        return
    result = lowering.result(unit)
    yield transpose_task(params.permutation, value.operand, value.shape, result, shape)


def transpose_writes(query: Query) -> bool:
    """Columns that stay columns make a view."""
    return isinstance(query.params, TransposeParams) and query.params.permutation[4] != 4


def transpose_task(
    permutation: tuple[int, ...],
    source: TaskOperand,
    shape: TensorShape,
    result: TaskOperand,
    result_shape: TensorShape,
) -> TaskPlan:
    """The copy that permutes axes.

    Args:
        permutation: axis of the source for each axis (N, D, C, H, W) of the result.
        source, shape: what is read.
        result, result_shape: what is written.
    """
    order = _cheapest(permutation, shape)
    axes = {_ORDER[position]: _ORDER[axis] for position, axis in enumerate(order)}
    if axes[Axis.WIDTH] is Axis.WIDTH:
        return copy_task(through(source, axes), result_shape, result)
    landed = {axis: position for position, axis in axes.items()}
    new_width = axes[Axis.WIDTH]
    view_axes = {Axis.WIDTH: Axis.WIDTH, Axis.CHANNEL: new_width}
    left = [axis for axis in _ORDER if axis not in (Axis.WIDTH, new_width)]
    for name in (Axis.HEIGHT, Axis.DEPTH, Axis.GROUP):
        taken = name if name in left else left[-1]
        left.remove(taken)
        view_axes[name] = taken
    extents = dict(zip(_ORDER, shape.ndchw, strict=True))
    view = View(*(extents[view_axes[axis]] for axis in (Axis.WIDTH, Axis.HEIGHT, Axis.CHANNEL, Axis.DEPTH, Axis.GROUP)))
    stored = {axis: landed[view_axes[axis]] for axis in (Axis.HEIGHT, Axis.DEPTH, Axis.GROUP)}
    stored |= {Axis.CHANNEL: landed[Axis.WIDTH], Axis.WIDTH: Axis.WIDTH}
    return swap_task(through(source, view_axes), view, replace(result, axes=stored))


def _cheapest(permutation: tuple[int, ...], shape: TensorShape) -> tuple[int, ...]:
    """The same movement with columns left in place when they and what replaces them have extent 1."""
    extents = shape.ndchw
    moved = permutation[4]
    if moved == 4 or extents[4] > 1 or extents[moved] > 1:
        return permutation
    return tuple({4: moved, moved: 4}.get(axis, axis) for axis in permutation)


# Repeats -------------------------------------------------------------------------------------------------------------


def lower_broadcast(unit: Unit, lowering: UnitLowering) -> Iterator[TaskPlan]:
    """A planar task that repeats what it keeps in L2 (encoding.md#real-sizes); after a copy for other axes."""
    value = lowering.value(unit.bottoms[0])
    shape = lowering.shape(unit.name)
    result = lowering.result(unit)
    view, repeats = View.of(shape), repeated_axes(value.shape, shape)
    if repeats <= {Axis.HEIGHT, Axis.CHANNEL} and shape.batch == shape.depth == 1 and is_dense(value.operand):
        kept = lowering.tensor(f"{unit.name}/small", value.shape)
        source = replace(value.operand, repeats=repeats, keep=kept.tensor)
    else:
        source = replace(lowering.tensor(f"{unit.name}/small", value.shape, TensorPlace.RESIDENT), repeats=repeats)
        yield copy_task(value.operand, value.shape, replace(source, repeats=frozenset()))
    yield TaskPlan(PeWork(PeMode.UNARY), view, view, (source,), result)


def lower_tile(unit: Unit, lowering: UnitLowering) -> Iterator[TaskPlan]:
    """Copies side by side, one axis after another."""
    params = unit.params
    assert isinstance(params, TileParams)
    value = lowering.value(unit.bottoms[0])
    pieces: dict[Dimension, list[Piece]] = {
        dimension: [(0, dimension.extent(value.shape))] * count
        for dimension, count in params.repeats.items()
        if count > 1
    }
    yield from assemble(unit, value, pieces, lowering)


#: A piece of an assembled axis: (first, count) of the source, or a number of elements of the constant.
Piece = tuple[int, int] | int


def assemble(
    unit: Unit, value: UnitValue, pieces: Mapping[Dimension, list[Piece]], lowering: UnitLowering, constant: float = 0.0
) -> Iterator[TaskPlan]:
    """Puts pieces of a value side by side along each of some dimensions.

    Args:
        unit: whose result it is.
        value: the source.
        pieces: along each dimension, in order.
        lowering: of the network.
        constant: what constant pieces hold.
    """
    result = lowering.result(unit)
    current, shape = value.operand, value.shape
    todo = [(dimension, list(parts)) for dimension, parts in pieces.items()]
    if not todo:
        yield copy_task(current, shape, result)
    for number, (dimension, parts) in enumerate(todo):
        grown = dimension.resize(shape, sum(_count(piece) for piece in parts))
        last = number + 1 == len(todo)
        target = result if last else lowering.tensor(f"{unit.name}/{dimension.value}", grown, TensorPlace.AUTO)
        name = f"{unit.name}/{dimension.value} pieces"
        if dimension is Dimension.WIDTH:
            turned_source, task = turn(f"{name}/turned", current, shape, lowering)
            yield task
            joined = lowering.tensor(f"{name}/joined", turned(grown), TensorPlace.AUTO)
            yield from _pieces(name, Axis.CHANNEL, parts, turned_source, turned(shape), joined, lowering, constant)
            yield turn_back(joined, grown, target)
        else:
            yield from _pieces(name, AXES[dimension], parts, current, shape, target, lowering, constant)
        current, shape = target, grown


def _count(piece: Piece) -> int:
    return piece if isinstance(piece, int) else piece[1]


def _pieces(
    name: str,
    axis: Axis,
    parts: list[Piece],
    source: TaskOperand,
    shape: TensorShape,
    target: TaskOperand,
    lowering: UnitLowering,
    constant: float,
) -> Iterator[TaskPlan]:
    dimension = next(dimension for dimension, own in AXES.items() if own is axis)
    position = 0
    for number, piece in enumerate(parts):
        count = _count(piece)
        if not count:
            continue
        extent = dimension.resize(shape, count)
        if isinstance(piece, int):
            array = np.full(extent.ndchw, constant, np.float16)
            origin = lowering.constant(f"{name}/{number}", array)
        else:
            origin = part(source, axis, piece[0])
        yield copy_task(origin, extent, part(target, axis, position))
        position += count


# Padding -------------------------------------------------------------------------------------------------------------


@rule(
    "pad-value",
    family="padding",
    kind=RuleKind.ENGINE,
    limit="a finite fp16 number",
    hint="Pad with a finite number.",
    evidence="formats.md#element-types: constants are fp16",
)
def pad_value(query: Query) -> object | None:
    """The padding value is outside the range of fp16."""
    params = query.params
    assert isinstance(params, PadParams)
    return None if np.isfinite(to_fp16(params.value)) else params.value


def lower_pad(unit: Unit, lowering: UnitLowering) -> Iterator[TaskPlan]:
    """Pieces of the source, mirrored ones element by element, and constants."""
    params = unit.params
    assert isinstance(params, PadParams)
    value = lowering.value(unit.bottoms[0])
    pieces = {
        dimension: _padded(params.mode, dimension.extent(value.shape), before, after)
        for dimension, (before, after) in params.amounts.items()
        if before or after
    }
    yield from assemble(unit, value, pieces, lowering, params.value)


def _padded(mode: PadKind, extent: int, before: int, after: int) -> list[Piece]:
    """Which elements stand where."""
    if mode is PadKind.CONSTANT:
        return [before, (0, extent), after]
    skip = 1 if mode is PadKind.REFLECT else 0
    if mode is PadKind.REPLICATE:
        front: list[Piece] = [(0, 1)] * before
        back: list[Piece] = [(extent - 1, 1)] * after
    else:
        front = [(index + skip, 1) for index in range(before - 1, -1, -1)]
        back = [(extent - 1 - skip - index, 1) for index in range(after)]
    return [*front, (0, extent), *back]


# Constants -----------------------------------------------------------------------------------------------------------


def lower_constant(unit: Unit, lowering: UnitLowering) -> Iterator[TaskPlan]:
    """No task: the tensor is read from the constant section."""
    params = unit.params
    assert isinstance(params, ConstantParams)
    lowering.alias(unit, lowering.constant(unit.name, params.array))
    yield from ()


def never(query: Query) -> bool:
    """The result is never written by a task."""
    return False


FAMILIES = (
    Family("slice", (InputViewParams,), lower_view, writes=view_writes),
    Family("reshape", (ReshapeParams,), lower_reshape, writes=reshape_writes),
    Family("transpose", (TransposeParams,), lower_transpose, writes=transpose_writes),
    Family("broadcast", (BroadcastParams,), lower_broadcast),
    Family("tile", (TileParams,), lower_tile),
    Family("padding", (PadParams,), lower_pad, (pad_value,)),
    Family("constant", (ConstantParams,), lower_constant, writes=never),
)
