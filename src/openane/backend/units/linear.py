"""Matrix products by a constant (encoding.md#linear).

The MAC engine sums over channels, so the operand is transposed first, rows becoming columns; the product is then a
convolution whose result is written transposed back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from openane.backend.alloc.staging import ne_distance, padded_row
from openane.backend.alloc.surfaces import align, row_bytes
from openane.backend.ir.fused import ColumnProduct, Fused
from openane.backend.ir.plan import (
    KernelPlan,
    NeMode,
    NeWork,
    Strides,
    TaskOperand,
    TaskPlan,
    TensorPlace,
    Tuning,
    View,
)
from openane.backend.lowering import UnitLowering
from openane.backend.machine import MachineSpec
from openane.backend.rules import Family, Query, RuleKind, rule
from openane.backend.target import KernelPacking
from openane.backend.units.conv import ConvolutionJob, job
from openane.backend.units.functions import with_table
from openane.backend.units.multi_task import COPY, Band, Ends
from openane.backend.units.rows import as_matrix, bands, flat, largest, matrix_view, odd_pitch, rows_of, segments
from openane.net.net import TensorShape, Unit, UnitParams
from openane.net.units import ConvParams, LinearParams
from openane.numerics.fp16 import to_fp16

#: Rows up to which the transposing copy works in the small patch.
_FEW_ROWS = 8
#: A product is tiled as an image when it has so many weights for each value it moves (seen at 16, not at 8 or less).
_TILED_RATIO = 16
_TILE_COLUMNS = 8
#: Columns that a segment of the tiled form stages.
_TILE_SEGMENT = 32
_TILE_TUNING = Tuning(patch=(3, 3, 3))


# By a constant -----------------------------------------------------------------------------------------


def product_of(params: UnitParams) -> ConvolutionJob:
    """A product by a constant as a convolution of one pixel per row, with what is fused after it."""
    fused = params if isinstance(params, Fused) else Fused(params)
    assert isinstance(fused.main, (LinearParams, ColumnProduct))
    return job(ConvParams(fused.main.weight[:, :, None, None]), fused)


def lower_linear(unit: Unit, lowering: UnitLowering) -> Iterator[TaskPlan]:
    """The tasks of a product by a constant, in bands of rows that fit into L2."""
    task, ends = product_of(unit.params), Ends(unit, lowering)
    source, result = as_matrix(lowering.shape(unit.bottoms[0])), as_matrix(lowering.shape(unit.name))
    run = Band(unit.name, ends.source(), ends.result(), lowering)
    return ends.around(_linear(run, task, source, result))


def _linear(run: Band, task: ConvolutionJob, source: TensorShape, result: TensorShape) -> Iterator[TaskPlan]:
    machine = run.machine
    rows, inner, outputs = source.height, source.width, result.width
    tiled = (
        is_tiled(rows, inner * outputs, inner + outputs)
        and tiled_bytes(machine, rows, inner, outputs) <= machine.l2_bytes
    )
    size = rows if tiled else _largest_band(machine, run.packing, rows, inner, outputs)
    for first, count in bands(rows, size):
        part = run if count == rows else replace(run, name=f"{run.name}/{first}")
        part = replace(part, x=rows_of(run.x, source, first), y=rows_of(run.y, result, first))
        form = _tiled if tiled else _two_tasks
        yield from form(part, task, count, inner, outputs)


def lower_columns(unit: Unit, lowering: UnitLowering) -> Iterator[TaskPlan]:
    """The tasks of a product of a transposed operand: its surface is read as it is, in bands of columns."""
    task, ends = product_of(unit.params), Ends(unit, lowering)
    shape, result = lowering.shape(unit.bottoms[0]), as_matrix(lowering.shape(unit.name))
    source, inner, rows = as_matrix(shape), shape.height, shape.width
    count = source.height // inner
    run = Band(unit.name, ends.source(), ends.result(), lowering)
    size = max(
        lowering.machine.l2_bytes // 2 // max(inner, result.width) // 2 // _TILE_SEGMENT * _TILE_SEGMENT, _TILE_SEGMENT
    )

    def tasks() -> Iterator[TaskPlan]:
        for index in range(count):
            for first, width in bands(rows, size):
                x = replace(rows_of(run.x, source, index * inner), column=first)
                y = replace(rows_of(run.y, result, index * rows + first), swapped=True)
                yield from product_tasks(run, task, View(width=width, channels=inner), x, y)

    return ends.around(tasks())


def is_tiled(rows: int, weights: int, moved_per_row: int) -> bool:
    """Whether a product is computed as an image of eight columns: many weights for each value that is moved."""
    return rows > _FEW_ROWS and rows % _TILE_COLUMNS == 0 and weights >= _TILED_RATIO * rows * moved_per_row


def _largest_band(machine: MachineSpec, packing: KernelPacking, rows: int, inner: int, outputs: int) -> int:
    """Rows whose operand, staging and the part of the result that one task writes fit into L2 together.

    So do the rows that remain. Above 128 rows a task writes only some outputs, so that more rows may fit where fewer
    do not; multiples of 128 are taken first.
    """

    def fits(count: int) -> bool:
        operand = odd_pitch(machine, count) * inner
        part = max(taken for _, taken in packing.split_channels(outputs, 2 * inner, count))
        staged = max(segments(machine, count, inner).row, align(2 * count, machine.bank_bytes) * part)
        return operand + staged + machine.bank_bytes <= machine.l2_bytes

    if fits(rows):
        return rows
    few = machine.streamed_kernel_pixels
    most = few + largest(rows - few, lambda more: fits(few + more)) if rows > few else rows
    sizes = (*range(most - most % few, 0, -few), *range(most, 0, -1))
    return next((size for size in sizes if fits(size) and fits(rows % size or size)), 1)


def operand_strides(machine: MachineSpec, rows: int, inner: int) -> Strides:
    """L2 strides of a transposed operand: [inner] channels of `rows` columns."""
    return flat(odd_pitch(machine, rows), inner)


def transpose_task(run: Band, rows: int, inner: int, result: TaskOperand, **staging: int) -> TaskPlan:
    """The copy of x that makes rows columns."""
    x = replace(run.x, staging=segments(run.machine, rows, inner), staging_base=staging.get("base"))
    tuning = Tuning(patch=(3, 0, 3) if rows <= _FEW_ROWS else None)
    return run.task(COPY, matrix_view(rows, inner), (x,), replace(result, swapped=True), tuning=tuning)


def _two_tasks(run: Band, task: ConvolutionJob, rows: int, inner: int, outputs: int) -> Iterator[TaskPlan]:
    strides = operand_strides(run.machine, rows, inner)
    operand = run.tensor("operand", TensorShape(channels=inner, width=rows), 0, strides, TensorPlace.HANDOVER)
    yield transpose_task(run, rows, inner, operand, base=strides.row)
    result = replace(run.y, swapped=True, staging_base=strides.row)
    yield from product_tasks(run, task, View(width=rows, channels=inner), operand, result)


def product_tasks(
    run: Band, task: ConvolutionJob, view: View, operand: TaskOperand, result: TaskOperand
) -> Iterator[TaskPlan]:
    """The products by all output channels; above 128 rows the weights of a task must fit into the kernel memory.

    The tasks of such a product take channels in ascending order (encoding.md#linear).

    Args:
        run: the band.
        task: the product.
        view: of the operand: rows of the matrix are columns, its columns channels.
        operand: transposed.
        result: of the whole product; swapped back into rows, or not.
    """
    outputs = task.kernel.shape[0]
    capacity = run.machine.round_channels
    if view.width * view.height > run.machine.streamed_kernel_pixels:
        capacity = max(min(capacity, 32768 // view.channels), 1)
    elif view.height > 1:
        capacity = run.packing.round_capacity(view.channels, view.width, view.height, matrix=False)
    parts = run.packing.split_channels(outputs, 2 * view.channels, view.width * view.height)
    for number, (first, count) in enumerate(reversed(parts)):
        part = replace(task, kernel=task.kernel[first : first + count], bias=_part(task.bias, first, count))
        target = replace(result, column=result.column + first) if result.swapped else _channels_from(result, first)
        yield product_task(run, part, view, operand, target if count < outputs else result, capacity, number)


def _part(bias: np.ndarray | None, first: int, count: int) -> np.ndarray | None:
    return None if bias is None else bias[first : first + count]


def _channels_from(operand: TaskOperand, first: int) -> TaskOperand:
    group, depth, channel, row = operand.offset
    return replace(operand, offset=(group, depth, channel + first, row))


def product_task(
    run: Band,
    task: ConvolutionJob,
    view: View,
    operand: TaskOperand,
    result: TaskOperand,
    capacity: int,
    number: int = 0,
) -> TaskPlan:
    """One product by a constant of a transposed operand; `number` counts the parts of the outputs.

    A bias that is the same for all outputs is a word of the task above 128 rows (encoding.md#linear).
    """
    outputs, bias, accumulate_bias = task.kernel.shape[0], task.bias, 0.0
    if bias is not None and view.width * view.height > run.machine.streamed_kernel_pixels:
        values = to_fp16(bias)
        if (values == values[0]).all():
            bias, accumulate_bias = None, float(values[0])
    lanes = run.packing.pack_dense(task.kernel, bias, capacity)
    group = min(run.machine.channels_per_lane(outputs), capacity)
    kernel = KernelPlan(lanes, bias=bias is not None, group_channels=group, part=number)
    if task.function.table is not None:
        kernel = with_table(kernel, task.function.table, len(lanes))
    work = NeWork(NeMode.CONVOLUTION, task.function.nonlinearity, accumulate_bias, task.function.post_scale)
    return run.task(work, view, (operand,), result, kernel, result_view=replace(view, channels=outputs))


# Tiled as an image -------------------------------------------------------------------------------------


def tiles(machine: MachineSpec, rows: int, channels: int) -> tuple[TensorShape, Strides]:
    """A matrix of `rows` as an image of eight columns with `channels` channels, and its L2 strides."""
    shape = TensorShape(1, channels, rows // _TILE_COLUMNS, _TILE_COLUMNS)
    used = machine.bank_bytes * channels
    row = padded_row(machine, used, _TILE_COLUMNS, 1, ne_distance(_TILE_COLUMNS))
    return shape, Strides(machine.bank_bytes, row, used, used)


def tiled_bytes(machine: MachineSpec, rows: int, inner: int, outputs: int) -> int:
    """L2 bytes of a tiled product."""
    shape, strides = tiles(machine, rows, inner)
    return strides.row * shape.height + 2 * _line(machine, outputs) * rows


def _line(machine: MachineSpec, columns: int) -> int:
    return align(2 * columns, machine.bank_bytes)


def tile_task(run: Band, rows: int, inner: int, base: int, staged_base: int) -> tuple[TaskOperand, TaskPlan]:
    """The copy of x into tiles at `base`: channels are rows modulo 8, and change places with the columns."""
    machine = run.machine
    matrix = run.x.shape
    assert matrix is not None
    shape, strides = tiles(machine, rows, inner)
    operand = run.tensor("tiles", shape, base, strides, TensorPlace.HANDOVER)
    channel = 2 * min(_TILE_SEGMENT, align(inner, machine.bank_bytes // 2))
    used = channel * _TILE_COLUMNS
    staged = Strides(channel, padded_row(machine, used, 16, 1, ne_distance(16)), used, used)
    pitch = row_bytes(machine, inner)
    total = pitch * matrix.height
    dram = Strides(pitch, pitch * _TILE_COLUMNS, total, total)
    x = replace(run.x, dram=dram, staging=staged, staging_base=staged_base)
    view = View(inner, shape.height, _TILE_COLUMNS)
    return operand, run.task(COPY, view, (x,), replace(operand, swapped=True), tuning=_TILE_TUNING)


def tile_product(
    run: Band, task: ConvolutionJob, view: View, operand: TaskOperand, result: TaskOperand
) -> Iterator[TaskPlan]:
    """A product of tiles."""
    for plan in product_tasks(run, task, view, operand, result):
        assert plan.kernel is not None
        small = 2 * plan.view.channels * plan.kernel.group_channels <= run.machine.small_source_bytes
        yield plan if small else replace(plan, tuning=_TILE_TUNING)


def untile_tasks(run: Band, task: ConvolutionJob, rows: int, operand: TaskOperand, base: int) -> Iterator[TaskPlan]:
    """A product of tiles, written as rows at `base`, and the copy of those to the result."""
    outputs, inner = task.kernel.shape[:2]
    line = _line(run.machine, outputs)
    product = run.tensor("product", TensorShape(channels=rows, width=outputs), base, flat(line, rows))
    written = replace(product, swapped=True, l2=Strides(line, line * _TILE_COLUMNS, line * rows, 0))
    yield from tile_product(run, task, View(_TILE_COLUMNS, rows // _TILE_COLUMNS, inner), operand, written)
    y = replace(run.y, staging_base=base + line * rows)
    yield run.task(COPY, matrix_view(rows, outputs), (product,), y)


def _tiled(run: Band, task: ConvolutionJob, rows: int, inner: int, outputs: int) -> Iterator[TaskPlan]:
    """Rows as an image of eight columns: tile, product, untile."""
    shape, strides = tiles(run.machine, rows, inner)
    past = strides.row * shape.height
    operand, copy = tile_task(run, rows, inner, 0, past)
    yield copy
    yield from untile_tasks(run, task, rows, operand, past)


@rule(
    "linear-size",
    family="product by a constant",
    kind=RuleKind.COMPILER,
    limit=lambda machine: f"inner and outer sizes of which one row and its result fit into {machine.l2_bytes} bytes",
    hint="Split the product along its inner dimension and add the parts.",
    evidence="encoding.md#linear: the transposed operand and the result of one row are in L2 side by side",
)
def fits_l2(query: Query) -> object | None:
    """One row of a product by a constant does not fit into L2."""
    machine = query.machine
    main = query.params.main if isinstance(query.params, Fused) else query.params
    assert isinstance(main, (LinearParams, ColumnProduct))
    outputs, inner = main.weight.shape
    size = machine.bank_bytes * (inner + outputs) + segments(machine, 1, inner).row
    return f"{inner} x {outputs}" if size > machine.l2_bytes else None


FAMILIES = (
    Family("product by a constant", (LinearParams,), lower_linear, (fits_l2,)),
    Family("product of columns by a constant", (ColumnProduct,), lower_columns, (fits_l2,)),
)
