"""Matrix products of two tensors (encoding.md#run-time-matmul).

The left operand is the kernel: a planar copy interleaves its rows for the coefficient lanes, sixteen rows or fewer are
read where they are. The right operand streams through, transposed before if it comes in rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from openane.backend.alloc.staging import WIDEST_PLANAR_PATCH
from openane.backend.alloc.surfaces import align, row_bytes
from openane.backend.ir.fused import Fused
from openane.backend.ir.plan import (
    KernelPlan,
    NeMode,
    NeWork,
    Nonlinearity,
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
from openane.backend.units.functions import NeFunction, ne_function, with_table
from openane.backend.units.linear import operand_strides, transpose_task
from openane.backend.units.multi_task import COPY, PLANAR_COPY, Band, Ends
from openane.backend.units.rows import as_matrix, bands, flat, matrix_view, rows_of, segments
from openane.net.net import TensorShape, Unit
from openane.net.units import MatMulParams

#: Interleaved rows of a kernel in DRAM that the DMA can write (formats.md#surfaces: 1, 2, 3, 4, 8; 3 is never used).
_KERNEL_ROWS = (8, 4, 2)


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
    left: TaskOperand
    shapes: tuple[TensorShape, TensorShape, TensorShape]
    transposed: tuple[bool, bool]
    index: int
    rows: int
    inner: int
    columns: int
    work: NeWork


def lower_matmul(unit: Unit, lowering: UnitLowering) -> Iterator[TaskPlan]:
    """The tasks of a product of two tensors, matrix by matrix."""
    fused = unit.params if isinstance(unit.params, Fused) else Fused(unit.params)
    params = fused.main
    assert isinstance(params, MatMulParams)
    left, right, shape = (*(lowering.shape(name) for name in unit.bottoms), lowering.shape(unit.name))
    ends = Ends(unit, lowering)
    a, b, y = ends.source(0), ends.source(1), ends.result()
    function = ne_function(fused.function) if fused.function else NeFunction()
    assert function is not None, "fusion takes only functions of one NE task"
    count = left.batch * left.depth * left.channels
    target = y
    if function.table is not None:
        target = lowering.tensor(f"{unit.name}/product", shape, TensorPlace.AUTO)
    scale = float(fused.scale) * (1.0 if function.table is not None else function.post_scale)
    nonlinearity = Nonlinearity.NONE if function.table is not None else function.nonlinearity
    work = NeWork(NeMode.CONVOLUTION, nonlinearity, post_scale=scale)
    stack = as_matrix(left), as_matrix(right), as_matrix(shape)
    rows, inner = (left.width, left.height) if params.transpose_a else (left.height, left.width)

    def tasks() -> Iterator[TaskPlan]:
        for index in range(count):
            name = unit.name if count == 1 else f"{unit.name}/{index}"
            run = Band(name, b, target, lowering)
            flags = params.transpose_a, params.transpose_b
            yield from _matrix_product(_Matrices(run, a, stack, flags, index, rows, inner, shape.width, work))
        if function.table is not None:
            by_table = NeWork(NeMode.BYPASS, Nonlinearity.TABLE, post_scale=function.post_scale)
            kernel = with_table(None, function.table, min(shape.channels, lowering.machine.lanes))
            yield Band(unit.name, target, y, lowering).task(by_table, View.of(shape), (target,), y, kernel)

    return ends.around(tasks())


def _matrix_product(product: _Matrices) -> Iterator[TaskPlan]:
    run = product.run
    if product.transposed[0] and not _can_turn(product.run.machine, product.rows, product.inner):
        turned = run.lowering.tensor(
            f"{run.name}/left", TensorShape(height=product.rows, width=product.inner), TensorPlace.AUTO
        )
        yield from _turn_left(product, turned)
        shapes = (TensorShape(height=product.rows, width=product.inner), *product.shapes[1:])
        product = replace(product, left=turned, shapes=shapes, transposed=(False, product.transposed[1]))
        yield from _stream(product, 0)
        return
    yield from _stream(product, product.index)


def _can_turn(machine: MachineSpec, rows: int, inner: int) -> bool:
    """Whether one task writes a transposed left operand as kernel: the rows of one kernel, in whole DMA units."""
    return (
        rows in [machine.lanes * group for group in (*_KERNEL_ROWS, 1)]
        and _largest_group(machine, inner) * machine.lanes >= rows
    )


def _turn_left(product: _Matrices, turned: TaskOperand) -> Iterator[TaskPlan]:
    """A transposed left operand [K, M], written as rows [M, K] in DRAM, in bands of columns that fit into L2."""
    machine = product.run.machine
    rows, inner = product.rows, product.inner
    staged = _streamed_segments(machine, inner, rows)
    size = max(
        (machine.l2_bytes - staged.row) // (2 * inner) // machine.dma_columns * machine.dma_columns, machine.dma_columns
    )
    for first, count in bands(rows, size):
        x = rows_of(product.left, product.shapes[0], product.index * inner)
        x = replace(x, column=first, staging=_streamed_segments(machine, inner, count), staging_base=0)
        y = replace(
            rows_of(turned, TensorShape(height=rows, width=inner), first), swapped=True, staging_base=staged.row
        )
        yield product.run.task(COPY, matrix_view(inner, count), (x,), y)


def _largest_group(machine: MachineSpec, inner: int) -> int:
    """Rows that one coefficient lane holds: the kernel memory takes 2*K bytes for each."""
    return max(machine.kernel_bytes_per_lane // (2 * inner), 1)


def _chunks(machine: MachineSpec, rows: int, inner: int) -> Iterator[tuple[int, int, int]]:
    """(first row, rows, rows a lane) of what one task prepares; lanes of one row are read where the left operand is.

    Kernels of 128 rows are written together, as many as can be staged (3 to 5 tasks for 256 to 512 rows are reported).
    """
    first = 0
    for group in _KERNEL_ROWS:
        size = machine.lanes * group
        if group > _largest_group(machine, inner) or rows - first < size:
            continue
        whole = (rows - first) // size
        most = _kernels_at_once(machine, size, inner) if group == _KERNEL_ROWS[0] else 1
        for start, count in bands(whole, most):
            yield first + start * size, count * size, group
        first += whole * size
    for start, count in bands(rows - first, machine.lanes):
        yield first + start, count, 1


def _kernels_at_once(machine: MachineSpec, rows: int, inner: int) -> int:
    """Kernels of `rows` rows that one planar task writes: as many as can be staged in L2 before and after it."""
    staged = segments(machine, rows, inner).row
    most = (machine.l2_bytes // 2) // (2 * staged)
    if 2 * inner % machine.dma_alignment_bytes:  # the result is ragged, and staged by whole patches
        written = min(align(2 * inner, machine.bank_bytes), 2 << WIDEST_PLANAR_PATCH) * rows
        most = min(most, machine.l2_bytes // (staged + written))
    return max(most, 1)


def _stream(product: _Matrices, index: int) -> Iterator[TaskPlan]:
    """The kernels one after another, and through each of them the right operand, in bands when it does not fit into L2.

    Args:
        product: with a left operand in rows, or one that a single task turns.
        index: of the left matrix in its stack.
    """
    machine = product.run.machine
    chunks = list(_chunks(machine, product.rows, product.inner))
    parts = list(bands(product.columns, _band_columns(product)))
    prepared: list[tuple[KernelPlan, ...]] = []
    for start, columns in parts:
        right: _Right | None = None
        for number, (first, count, group) in enumerate(chunks):
            if number == len(prepared):
                kernels, tasks = _kernels(product, index, (first, count, group), right.past if right else 0)
                prepared.append(kernels)
                yield from tasks
            if product.transposed[1] and right is None:
                alone = len(chunks) == len(parts) == 1 and group == 1 and not product.transposed[0]
                right, transposing = _transposed_right(product, start, columns, alone=alone)
                yield transposing
            for kernel, (row, taken) in zip(prepared[number], bands(count, machine.lanes * group), strict=True):
                yield _product(product, kernel, (first + row, taken), (start, columns), right)


def _band_columns(product: _Matrices) -> int:
    """Columns of the right operand that fit into L2 together with what they need, in whole DMA units."""
    machine = product.run.machine
    inner = product.inner
    largest = min(machine.lanes * _KERNEL_ROWS[0], product.rows)
    formatting = max(2 * segments(machine, count, inner).row for _, count, _ in _chunks(machine, product.rows, inner))

    def fits(count: int) -> bool:
        result = 2 * largest * count
        if not product.transposed[1]:
            return _streamed_segments(machine, inner, count).row + result <= machine.l2_bytes
        right = operand_strides(machine, count, inner).row
        return (
            right + max(segments(machine, count, inner).row, result, formatting) + machine.bank_bytes
            <= machine.l2_bytes
        )

    size = product.columns
    while size > machine.dma_columns and not fits(size):
        size = align(-(-size // 2), machine.dma_columns)
    return size


@dataclass(frozen=True, slots=True)
class _Right:
    """A transposed right operand in L2.

    Attributes:
        operand: [K channels, N columns].
        after: the first free byte.
    """

    operand: TaskOperand
    past: int


def _kernels(
    product: _Matrices, index: int, chunk: tuple[int, int, int], base: int
) -> tuple[tuple[KernelPlan, ...], tuple[TaskPlan, ...]]:
    """The kernels of some rows of the left operand, and the task that writes them, if it takes one.

    Args:
        product: the product.
        index: of the left matrix in its stack.
        chunk: first row, number of rows, rows a lane.
        base: L2 address from which the task may stage.
    """
    machine = product.run.machine
    rows, inner = product.rows, product.inner
    first, count, group = chunk
    if group == 1 and not product.transposed[0]:
        pitch = row_bytes(machine, inner)
        offset = (index * rows + first) * pitch
        source = product.left.tensor
        return (KernelPlan(source=source, source_offset_bytes=offset, lane_bytes=pitch, lane_count=count),), ()
    formatted, kernels = kernel_memory(product.run, f"kernel{first}", count, inner)
    turned = product.transposed[0]
    staged = segments(machine, inner, rows) if turned else segments(machine, count, inner)
    x = rows_of(product.left, product.shapes[0], index * (inner if turned else rows) + (0 if turned else first))
    x = replace(x, staging=staged, staging_base=base)
    result = replace(formatted, swapped=turned, staging_base=base + staged.row)
    work, view = (COPY, matrix_view(inner, rows)) if turned else (PLANAR_COPY, matrix_view(count, inner))
    tuning = Tuning(patch=(3, 1, 3)) if turned else Tuning()
    return kernels, (replace(product.run.task(work, view, (x,), result, tuning=tuning), interleave=group),)


def kernel_memory(run: Band, name: str, rows: int, inner: int) -> tuple[TaskOperand, tuple[KernelPlan, ...]]:
    """Memory in DRAM for kernels of `rows` rows, and each of them: all rows, or 128 a kernel.

    The lanes of a kernel lie one after the other; rows of a lane are interleaved.
    """
    machine = run.machine
    group = min(rows // machine.lanes, _KERNEL_ROWS[0])
    pitch = align(2 * inner * group, machine.dma_alignment_bytes)
    count = rows // (machine.lanes * group)
    tensor = run.lowering.tensor(
        f"{run.name}/{name}", TensorShape(channels=machine.lanes * count, width=pitch // 2), TensorPlace.SCRATCH
    )
    kernels = tuple(
        KernelPlan(
            source=tensor.tensor,
            source_offset_bytes=number * machine.lanes * pitch,
            lane_bytes=pitch,
            lane_count=machine.lanes,
            group_channels=group,
        )
        for number in range(count)
    )
    return tensor, kernels


def _transposed_right(product: _Matrices, start: int, columns: int, *, alone: bool) -> tuple[_Right, TaskPlan]:
    """Rows of the right operand [N, K] as [K channels, columns]; `alone` when one product is all there is."""
    run, inner = product.run, product.inner
    strides = operand_strides(product.run.machine, columns, inner)
    place = TensorPlace.HANDOVER if alone else TensorPlace.RESIDENT
    name = "right" if columns == product.columns else f"right{start}"
    operand = run.tensor(name, TensorShape(channels=inner, width=columns), 0, strides, place)
    part = replace(run, x=rows_of(run.x, product.shapes[1], product.index * product.columns + start))
    return _Right(operand, strides.row), transpose_task(part, columns, inner, operand, base=strides.row)


def _product(
    product: _Matrices, kernel: KernelPlan, rows: tuple[int, int], columns: tuple[int, int], right: _Right | None
) -> TaskPlan:
    """Some columns of the right operand through one kernel.

    Args:
        product: the product.
        kernel: of the left operand.
        rows, columns: first and number of those of the result.
        right: the right operand, when it was transposed.
    """
    run, inner = product.run, product.inner
    view = View(width=columns[1], channels=inner)
    y = rows_of(run.y, product.shapes[2], product.index * product.rows + rows[0])
    if right is not None:
        x, past = right.operand, right.past
    else:
        staged = _streamed_segments(product.run.machine, inner, columns[1])
        past = staged.row
        x = rows_of(run.x, product.shapes[1], product.index * inner)
        x = replace(x, column=columns[0], staging=staged, staging_base=0)
    target = replace(y, column=columns[0], staging_base=past)
    return run.task(product.work, view, (x,), target, kernel, result_view=replace(view, channels=rows[1]))


def _streamed_segments(machine: MachineSpec, inner: int, columns: int) -> Strides:
    """Staging of the right operand: 128 columns at a time, fewer when half of L2 would not hold them."""
    most = max(
        machine.l2_bytes // 2 // inner // machine.dma_alignment_bytes * machine.dma_alignment_bytes,
        machine.dma_alignment_bytes,
    )
    plain = segments(machine, inner, columns)
    return plain if plain.channel <= most else flat(most, inner)


@rule(
    "matmul-inner",
    family="product of two tensors",
    kind=RuleKind.COMPILER,
    limit=lambda machine: f"an inner size up to {machine.max_width}",
    hint="Split the product along the inner dimension and add the parts.",
    evidence="encoding.md#run-time-matmul: 64 bytes of each row of the right operand are staged in L2 together",
)
def inner_fits(query: Query) -> object | None:
    """The inner dimension of a matmul is larger than the engine supports."""
    main = query.params.main if isinstance(query.params, Fused) else query.params
    assert isinstance(main, MatMulParams)
    inner = query.bottoms[0].height if main.transpose_a else query.bottoms[0].width
    return f"{inner}" if inner > query.machine.max_width else None


FAMILIES = (Family("product of two tensors", (MatMulParams,), lower_matmul, (inner_fits,)),)
