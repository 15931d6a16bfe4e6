"""Matrix products: by a constant matrix, and of two tensors (h13-encoding 9.2 and 9.3).

The MAC engine sums over channels, so the left operand of a product by a constant is transposed first, rows becoming
columns; the product is then a convolution whose result is written transposed back. In a product of two tensors the left one is
the kernel: a planar copy interleaves its rows for the coefficient lanes, and the right one streams through.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from openane.net.net import TensorShape, Unit, UnitParams
from openane.net.units import Conv, Linear, MatMul
from openane.targets.h13 import packing
from openane.targets.h13.fused import ColumnProduct, Fused
from openane.targets.h13.limits import DMA_ALIGNMENT_BYTES, KERNEL_BYTES_PER_NE, L2_BYTES, STREAMED_KERNEL_PIXELS
from openane.targets.h13.lowering import Lowering
from openane.targets.h13.plan import (
    Evidence,
    Kernel,
    NeMode,
    NeWork,
    Nonlinearity,
    Operand,
    Place,
    Strides,
    TaskPlan,
    Tuning,
    View,
)
from openane.targets.h13.staging import BANK_BYTES, ne_distance, padded_row
from openane.targets.h13.surfaces import align, row_bytes
from openane.targets.h13.units.band import COPY, PLANAR_COPY, Band, Ends
from openane.targets.h13.units.conv import Job, job
from openane.targets.h13.units.family import Family, Query, rule
from openane.targets.h13.units.functions import NeFunction, ne_function, with_table
from openane.targets.h13.units.rows import (
    as_matrix,
    bands,
    flat,
    matrix_view,
    odd_pitch,
    rows_of,
    segments,
)

_LANES = packing.LANES
#: Rows up to which the transposing copy works in the small patch.
_FEW_ROWS = 8
#: A product is tiled as an image when it has so many weights for each value it moves (seen at 16, not at 8 or less).
_TILED_RATIO = 16
_TILE_COLUMNS = 8
#: Columns that a segment of the tiled form stages.
_TILE_SEGMENT = 32
#: Interleaved rows of a kernel in DRAM that the DMA can write (formats 9: 1, 2, 3, 4 and 8; a third is never used).
_KERNEL_ROWS = (8, 4, 2)


# By a constant -----------------------------------------------------------------------------------------


def product_of(params: UnitParams) -> Job:
    """A product by a constant as a convolution of one pixel a row, with what is fused behind it."""
    fused = params if isinstance(params, Fused) else Fused(params)
    assert isinstance(fused.main, (Linear, ColumnProduct))
    return job(Conv(fused.main.weight[:, :, None, None]), fused)


def lower_linear(unit: Unit, lowering: Lowering) -> Iterator[TaskPlan]:
    """The tasks of a product by a constant, in bands of rows that fit into L2."""
    task, ends = product_of(unit.params), Ends(unit, lowering)
    source, result = as_matrix(lowering.shape(unit.bottoms[0])), as_matrix(lowering.shape(unit.name))
    run = Band(unit.name, ends.source(), ends.result(), task.evidence, lowering)
    return ends.around(_linear(run, task, source, result))


def _linear(run: Band, task: Job, source: TensorShape, result: TensorShape) -> Iterator[TaskPlan]:
    rows, inner, outputs = source.height, source.width, result.width
    if outputs % _LANES:
        run = replace(run, evidence=Evidence.EXTRAPOLATED)
    tiled = is_tiled(rows, inner * outputs, inner + outputs) and _tiled_bytes(rows, inner, outputs) <= L2_BYTES
    size = rows if tiled else _largest_band(rows, inner, outputs)
    for first, count in bands(rows, size):
        part = run if count == rows else replace(run, name=f"{run.name}/{first}", evidence=Evidence.EXTRAPOLATED)
        part = replace(part, x=rows_of(run.x, source, first), y=rows_of(run.y, result, first))
        form = _tiled if tiled else _two_tasks
        yield from form(part, task, count, inner, outputs)


def lower_columns(unit: Unit, lowering: Lowering) -> Iterator[TaskPlan]:
    """The tasks of a product of a transposed operand: its surface is read as it is, in bands of columns."""
    task, ends = product_of(unit.params), Ends(unit, lowering)
    shape, result = lowering.shape(unit.bottoms[0]), as_matrix(lowering.shape(unit.name))
    source, inner, rows = as_matrix(shape), shape.height, shape.width
    count = source.height // inner
    recorded = rows == count == 1 and result.width % _LANES == 0
    run = Band(unit.name, ends.source(), ends.result(), task.evidence, lowering)
    run = run if recorded else replace(run, evidence=Evidence.EXTRAPOLATED)
    size = max(L2_BYTES // 2 // max(inner, result.width) // 2 // _TILE_SEGMENT * _TILE_SEGMENT, _TILE_SEGMENT)

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


def _largest_band(rows: int, inner: int, outputs: int) -> int:
    """Rows whose operand, staging and result fit into L2 together."""

    def fits(count: int) -> bool:
        operand = odd_pitch(count) * inner
        staged = max(segments(count, inner).row, align(2 * count, BANK_BYTES) * outputs)
        return operand + staged + BANK_BYTES <= L2_BYTES

    size = rows
    while size > 1 and not fits(size):
        half = -(-size // 2)
        size = (
            align(half, STREAMED_KERNEL_PIXELS)
            if half > STREAMED_KERNEL_PIXELS and size > 2 * STREAMED_KERNEL_PIXELS
            else half
        )
    return size


def operand_strides(rows: int, inner: int) -> Strides:
    """L2 strides of a transposed operand: [inner] channels of `rows` columns."""
    return flat(odd_pitch(rows), inner)


def transpose_task(run: Band, rows: int, inner: int, result: Operand, **staging: int) -> TaskPlan:
    """The copy of x that makes rows columns."""
    x = replace(run.x, staging=segments(rows, inner), staging_base=staging.get("base"))
    tuning = Tuning(patch=(3, 0, 3) if rows <= _FEW_ROWS else None)
    return run.task(COPY, matrix_view(rows, inner), (x,), replace(result, swapped=True), tuning=tuning)


def _two_tasks(run: Band, task: Job, rows: int, inner: int, outputs: int) -> Iterator[TaskPlan]:
    strides = operand_strides(rows, inner)
    operand = run.tensor("operand", TensorShape(channels=inner, width=rows), 0, strides, Place.HANDOVER)
    yield transpose_task(run, rows, inner, operand, base=strides.row)
    result = replace(run.y, swapped=True, staging_base=strides.row)
    yield from product_tasks(run, task, View(width=rows, channels=inner), operand, result)


def product_tasks(run: Band, task: Job, view: View, operand: Operand, result: Operand) -> Iterator[TaskPlan]:
    """The products by all output channels; above 128 rows the weights of a task must fit into the kernel memory.

    Args:
        run: the band.
        task: the product.
        view: of the operand: rows of the matrix are columns, its columns channels.
        operand: transposed.
        result: of the whole product; swapped back into rows, or not.
    """
    outputs = task.kernel.shape[0]
    capacity = packing.ROUND
    if view.width * view.height > STREAMED_KERNEL_PIXELS:
        run = replace(run, evidence=Evidence.EXTRAPOLATED)
        capacity = max(min(capacity, 32768 // view.channels), 1)
    elif view.height > 1:
        capacity = packing.round_capacity(view.channels, view.width, view.height, matrix=False)
    for first, count in packing.split_channels(outputs, 2 * view.channels, view.width * view.height):
        part = replace(task, kernel=task.kernel[first : first + count], bias=_part(task.bias, first, count))
        target = replace(result, column=result.column + first) if result.swapped else _channels_from(result, first)
        yield product_task(run, part, view, operand, target if count < outputs else result, capacity)


def _part(bias: np.ndarray | None, first: int, count: int) -> np.ndarray | None:
    return None if bias is None else bias[first : first + count]


def _channels_from(operand: Operand, first: int) -> Operand:
    group, depth, channel, row = operand.offset
    return replace(operand, offset=(group, depth, channel + first, row))


def product_task(run: Band, task: Job, view: View, operand: Operand, result: Operand, capacity: int) -> TaskPlan:
    """One product by a constant of a transposed operand."""
    outputs = task.kernel.shape[0]
    lanes = packing.pack_dense(task.kernel, task.bias, capacity)
    group = min(packing.channels_per_lane(outputs), capacity)
    kernel = Kernel(lanes, bias=task.bias is not None, group_channels=group)
    if task.function.table is not None:
        kernel = with_table(kernel, task.function.table, len(lanes))
    work = NeWork(NeMode.CONVOLUTION, task.function.nonlinearity, post_scale=task.function.post_scale)
    return run.task(work, view, (operand,), result, kernel, result_view=replace(view, channels=outputs))


# Tiled as an image -------------------------------------------------------------------------------------


def _tiled_bytes(rows: int, inner: int, outputs: int) -> int:
    height = rows // _TILE_COLUMNS
    operand = padded_row(BANK_BYTES * inner, _TILE_COLUMNS, 1, ne_distance(_TILE_COLUMNS)) * height
    return operand + 4 * rows * outputs


def _tiled(run: Band, task: Job, rows: int, inner: int, outputs: int) -> Iterator[TaskPlan]:
    """Rows as an image of eight columns: tile, product, untile."""
    height = rows // _TILE_COLUMNS
    matrix = run.x.shape
    assert matrix is not None
    pitch = row_bytes(inner)
    shape = TensorShape(1, inner, height, _TILE_COLUMNS)
    row = padded_row(BANK_BYTES * inner, _TILE_COLUMNS, 1, ne_distance(_TILE_COLUMNS))
    strides = Strides(BANK_BYTES, row, BANK_BYTES * inner, BANK_BYTES * inner)
    operand = run.tensor("tiles", shape, 0, strides, Place.HANDOVER)
    base = row * height
    segment = 2 * min(_TILE_SEGMENT, inner)
    staged = Strides(
        segment,
        padded_row(segment * _TILE_COLUMNS, 16, 1, ne_distance(16)),
        segment * _TILE_COLUMNS,
        segment * _TILE_COLUMNS,
    )
    total = pitch * matrix.height
    x = replace(run.x, dram=Strides(pitch, pitch * _TILE_COLUMNS, total, total), staging=staged, staging_base=base)
    tuning = Tuning(patch=(3, 3, 3))
    yield run.task(COPY, View(inner, height, _TILE_COLUMNS), (x,), replace(operand, swapped=True), tuning=tuning)
    line = 2 * outputs
    product = run.tensor(
        "product",
        TensorShape(channels=rows, width=outputs),
        base,
        Strides(line, line * rows, line * rows, line * rows),
    )
    written = replace(product, swapped=True, l2=Strides(line, line * _TILE_COLUMNS, line * rows, 0))
    view = View(_TILE_COLUMNS, height, inner)
    for plan in product_tasks(run, task, view, operand, written):
        yield replace(plan, tuning=tuning) if not _is_small(plan) else plan
    y = replace(run.y, staging_base=base + line * rows)
    yield run.task(COPY, matrix_view(rows, outputs), (product,), y)


def _is_small(plan: TaskPlan) -> bool:
    assert plan.kernel is not None
    return 2 * plan.view.channels * plan.kernel.group_channels <= packing.SMALL_IMAGE_BYTES


# Of two tensors ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Matrices:
    """One product of two matrices, [M, K] x [K, N].

    Attributes:
        run: its x is the right operand, its y the result.
        left: the left operand.
        shapes: of left, right and result, all matrices under each other.
        transposed: left, right.
        index: which matrix of the stack.
        rows, inner, columns: M, K, N.
        work: of the product.
    """

    run: Band
    left: Operand
    shapes: tuple[TensorShape, TensorShape, TensorShape]
    transposed: tuple[bool, bool]
    index: int
    rows: int
    inner: int
    columns: int
    work: NeWork

    def beyond_records(self) -> _Matrices:
        """The same, marked as extrapolated."""
        return replace(self, run=replace(self.run, evidence=Evidence.EXTRAPOLATED))


def lower_matmul(unit: Unit, lowering: Lowering) -> Iterator[TaskPlan]:
    """The tasks of a product of two tensors, matrix by matrix."""
    fused = unit.params if isinstance(unit.params, Fused) else Fused(unit.params)
    params = fused.main
    assert isinstance(params, MatMul)
    left, right, shape = (*(lowering.shape(name) for name in unit.bottoms), lowering.shape(unit.name))
    ends = Ends(unit, lowering)
    a, b, y = ends.source(0), ends.source(1), ends.result()
    function = ne_function(fused.function) if fused.function else NeFunction()
    assert function is not None, "fusion takes only functions of one NE task"
    count = left.batch * left.depth * left.channels
    evidence = Evidence.RECORDED if count == 1 else Evidence.EXTRAPOLATED
    target = y
    if function.table is not None:
        target = lowering.tensor(f"{unit.name}/product", shape, Place.AUTO)
    scale = float(fused.scale) * (1.0 if function.table is not None else function.post_scale)
    nonlinearity = Nonlinearity.NONE if function.table is not None else function.nonlinearity
    work = NeWork(NeMode.CONVOLUTION, nonlinearity, post_scale=scale)
    stack = as_matrix(left), as_matrix(right), as_matrix(shape)
    rows, inner = (left.width, left.height) if params.transpose_a else (left.height, left.width)

    def tasks() -> Iterator[TaskPlan]:
        for index in range(count):
            name = unit.name if count == 1 else f"{unit.name}/{index}"
            run = Band(name, b, target, evidence, lowering)
            flags = params.transpose_a, params.transpose_b
            yield from _matrix_product(_Matrices(run, a, stack, flags, index, rows, inner, shape.width, work))
        if function.table is not None:
            by_table = NeWork(NeMode.BYPASS, Nonlinearity.TABLE, post_scale=function.post_scale)
            kernel = with_table(None, function.table, min(shape.channels, _LANES))
            yield Band(unit.name, target, y, Evidence.EXTRAPOLATED, lowering).task(
                by_table, View.of(shape), (target,), y, kernel
            )

    return ends.around(tasks())


def _matrix_product(product: _Matrices) -> Iterator[TaskPlan]:
    run = product.run
    if product.transposed[0] and not _can_turn(product.rows, product.inner):
        product = product.beyond_records()
        turned = run.lowering.tensor(
            f"{run.name}/left", TensorShape(height=product.rows, width=product.inner), Place.AUTO
        )
        yield from _turn_left(product, turned)
        shapes = (TensorShape(height=product.rows, width=product.inner), *product.shapes[1:])
        product = replace(product, left=turned, shapes=shapes, transposed=(False, product.transposed[1]))
        yield from _stream(product, 0)
        return
    yield from _stream(product, product.index)


def _can_turn(rows: int, inner: int) -> bool:
    """Whether one task writes a transposed left operand as kernel: the rows of one kernel, in whole DMA units."""
    return rows in [_LANES * group for group in (*_KERNEL_ROWS, 1)] and _largest_group(inner) * _LANES >= rows


def _turn_left(product: _Matrices, turned: Operand) -> Iterator[TaskPlan]:
    """A transposed left operand [K, M], written as rows [M, K] in DRAM."""
    rows, inner = product.rows, product.inner
    x = rows_of(product.left, product.shapes[0], product.index * inner)
    y = replace(rows_of(turned, TensorShape(height=rows, width=inner)), swapped=True)
    x = replace(x, staging=segments(inner, rows))
    yield product.run.task(COPY, matrix_view(inner, rows), (x,), y)


def _largest_group(inner: int) -> int:
    """Rows that one coefficient lane holds: the kernel memory takes 2*K bytes for each."""
    return max(KERNEL_BYTES_PER_NE // (2 * inner), 1)


def _chunks(rows: int, inner: int) -> Iterator[tuple[int, int]]:
    """(first row, rows a lane) of each kernel; lanes of one row are read where the left operand is."""
    first = 0
    for group in _KERNEL_ROWS:
        while group <= _largest_group(inner) and rows - first >= _LANES * group:
            yield first, group
            first += _LANES * group
    for start in range(first, rows, _LANES):
        yield start, 1


def _stream(product: _Matrices, index: int) -> Iterator[TaskPlan]:
    """The kernels one after another, and through each of them the right operand.

    Args:
        product: with a left operand in rows, or one that a single task turns.
        index: of the left matrix in its stack.
    """
    chunks = list(_chunks(product.rows, product.inner))
    if len(chunks) > 1 or product.rows % _LANES:
        product = product.beyond_records()
    right: Operand | None = None
    for first, group in chunks:
        count = min(_LANES * group, product.rows - first)
        kernel, tasks = _kernel(product, index, first, count, group)
        if tasks and not product.transposed[1]:
            yield from tasks
            tasks = ()
        yield from tasks
        if product.transposed[1] and right is None:
            right, transposing = _transposed_right(product, alone=not tasks and len(chunks) == 1)
            yield transposing
        yield from _products(product, kernel, first, count, right)


def _kernel(product: _Matrices, index: int, first: int, count: int, group: int) -> tuple[Kernel, tuple[TaskPlan, ...]]:
    """A kernel of `count` rows, and the task that writes it."""
    rows, inner = product.rows, product.inner
    if group == 1 and not product.transposed[0]:
        pitch = row_bytes(inner)
        return (
            Kernel(
                source=product.left.tensor,
                source_offset_bytes=(index * rows + first) * pitch,
                lane_bytes=pitch,
                lane_count=count,
            ),
            (),
        )
    pitch = align(2 * inner * group, DMA_ALIGNMENT_BYTES)
    shape = TensorShape(channels=_LANES, width=pitch // 2)
    formatted = product.run.lowering.tensor(f"{product.run.name}/kernel{first}", shape, Place.SCRATCH)
    kernel = Kernel(source=formatted.tensor, lane_bytes=pitch, lane_count=_LANES, group_channels=group)
    if product.transposed[0]:
        x = rows_of(product.left, product.shapes[0], index * inner)
        x = replace(x, staging=segments(inner, rows))
        task = product.run.task(
            COPY, matrix_view(inner, rows), (x,), replace(formatted, swapped=True), tuning=Tuning(patch=(3, 1, 3))
        )
    else:
        x = rows_of(product.left, product.shapes[0], index * rows + first)
        staged = segments(count, inner)
        x = replace(x, staging=staged, staging_base=0)
        result = replace(formatted, staging_base=staged.row)
        task = product.run.task(PLANAR_COPY, matrix_view(count, inner), (x,), result)
    return kernel, (replace(task, interleave=group),)


def _transposed_right(product: _Matrices, *, alone: bool) -> tuple[Operand, TaskPlan]:
    """The right operand [N, K] as [K channels, N columns]; `alone` when nothing comes in front of it."""
    run, inner, columns = product.run, product.inner, product.columns
    strides = operand_strides(columns, inner)
    place = Place.HANDOVER if alone else Place.RESIDENT
    operand = run.tensor("right", TensorShape(channels=inner, width=columns), 0, strides, place)
    part = replace(run, x=rows_of(run.x, product.shapes[1], product.index * columns))
    return operand, transpose_task(part, columns, inner, operand, base=strides.row)


def _products(product: _Matrices, kernel: Kernel, first: int, count: int, right: Operand | None) -> Iterator[TaskPlan]:
    """The right operand through one kernel, in bands of columns that fit into L2."""
    run, inner, columns = product.run, product.inner, product.columns
    y = rows_of(run.y, product.shapes[2], product.index * product.rows + first)
    if right is not None:
        view = View(width=columns, channels=inner)
        y = replace(y, staging_base=operand_strides(columns, inner).row)
        yield run.task(product.work, view, (right,), y, kernel, result_view=replace(view, channels=count))
        return
    staged = _streamed_segments(inner, columns)
    size = columns
    if staged.row + 2 * count * columns > L2_BYTES:
        size = max((L2_BYTES - staged.row) // (2 * count) // _TILE_SEGMENT * _TILE_SEGMENT, _TILE_SEGMENT)
    for start, width in bands(columns, size):
        x = rows_of(run.x, product.shapes[1], product.index * inner)
        part = _streamed_segments(inner, width)
        x = replace(x, column=start, staging=part, staging_base=0)
        target = replace(y, column=start, staging_base=part.row)
        view = View(width=width, channels=inner)
        evidence = run.evidence if width == columns and staged == segments(inner, columns) else Evidence.EXTRAPOLATED
        task = run.task(product.work, view, (x,), target, kernel, result_view=replace(view, channels=count))
        yield replace(task, evidence=evidence)


def _streamed_segments(inner: int, columns: int) -> Strides:
    """Staging of the right operand: 128 columns at a time, fewer when half of L2 would not hold them."""
    most = max(L2_BYTES // 2 // inner // DMA_ALIGNMENT_BYTES * DMA_ALIGNMENT_BYTES, DMA_ALIGNMENT_BYTES)
    plain = segments(inner, columns)
    return plain if plain.channel <= most else flat(most, inner)


@rule(
    "h13.matmul-inner",
    "inner extents whose operands fit into L2: two tensors up to 16384",
    "Split the product along the inner dimension and add the parts.",
    "a column of the right operand, or a row of the left one transposed, stays in L2",
)
def inner_fits(query: Query) -> object | None:
    """The inner extent of a matrix product is too large."""
    main = query.params.main if isinstance(query.params, Fused) else query.params
    if isinstance(main, (Linear, ColumnProduct)):
        inner, outputs = main.weight.shape[1], main.weight.shape[0]
        size = BANK_BYTES * (inner + outputs) + segments(1, inner).row
        return f"{inner} x {outputs}" if size > L2_BYTES else None
    assert isinstance(main, MatMul)
    inner = query.bottoms[0].height if main.transpose_a else query.bottoms[0].width
    size = DMA_ALIGNMENT_BYTES * inner
    if main.transpose_b:
        columns = query.bottoms[1].height
        size = odd_pitch(columns) * inner + max(segments(columns, inner).row, 2 * _LANES * columns)
    return f"{inner}" if size > L2_BYTES else None


FAMILIES = (
    Family("product by a constant", (Linear,), lower_linear, (inner_fits,)),
    Family("product of columns by a constant", (ColumnProduct,), lower_columns, (inner_fits,)),
    Family("product of two tensors", (MatMul,), lower_matmul, (inner_fits,)),
)
