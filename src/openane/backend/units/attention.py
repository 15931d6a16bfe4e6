"""Attention of one head after another: two matmuls with a softmax between them (encoding.md#attention).

The scores, their exponentials and the statistics stay in L2; the probabilities are written as the kernel of the second
product.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from openane.backend.alloc.surfaces import align
from openane.backend.ir.chain_units import Attention
from openane.backend.ir.plan import NeMode, NeWork, TaskOperand, TaskPlan, Tuning, View
from openane.backend.lowering import UnitLowering
from openane.backend.machine import MachineSpec
from openane.backend.rules import Family
from openane.backend.units.linear import operand_strides, transpose_task
from openane.backend.units.matmul import kernel_memory
from openane.backend.units.multi_task import COLUMNS, MULTIPLY, PLANAR_COPY, Band, Ends
from openane.backend.units.rows import as_matrix, bands, flat, matrix_view, odd_pitch, rows_of, segments
from openane.backend.units.softmax import BY_TABLE, MAXIMUM, RECIPROCAL_SUM, SUBTRACT, exp2_kernel
from openane.net.net import TensorShape, Unit

#: Interleaved rows of a lane at most.
_MOST_GROUP = 8


def is_head(machine: MachineSpec, rows: int) -> bool:
    """Whether a head of so many rows is made of whole kernels: 32, 64, or any number of 128."""
    return rows in (32, 64) or (rows > 0 and rows % (machine.lanes * _MOST_GROUP) == 0)


def attention_bytes(machine: MachineSpec, rows: int, keys: int, inner: int, columns: int) -> int:
    """L2 bytes of one head."""
    vector, values = align(2 * rows, machine.bank_bytes), align(2 * keys, machine.bank_bytes) * rows
    operand = odd_pitch(machine, keys) * inner + segments(machine, keys, inner).row
    first = segments(machine, rows, inner).row * 2
    second = segments(machine, keys, columns).row + align(2 * columns, machine.bank_bytes) * rows
    return max(vector + values + max(operand, values), first, second)


@dataclass(frozen=True, slots=True)
class _Head:
    """One head.

    Attributes:
        run: x is the query, y the result.
        key, value: the other operands.
        shapes: of query, key, value and result, all heads under each other.
        index: of the head.
        rows, keys, inner, columns: extents of its matrices.
        work, last_work: of the products, with their scales.
    """

    run: Band
    key: TaskOperand
    value: TaskOperand
    shapes: tuple[TensorShape, TensorShape, TensorShape, TensorShape]
    index: int
    rows: int
    keys: int
    inner: int
    columns: int
    work: NeWork
    last_work: NeWork


def lower(unit: Unit, lowering: UnitLowering) -> Iterator[TaskPlan]:
    """Nine tasks a head."""
    params = unit.params
    assert isinstance(params, Attention)
    query, key, value = (lowering.shape(name) for name in unit.bottoms)
    shape = lowering.shape(unit.name)
    count = query.batch * query.depth * query.channels
    ends = Ends(unit, lowering)
    x, key_operand, value_operand, y = ends.source(0), ends.source(1), ends.source(2), ends.result()
    shapes = as_matrix(query), as_matrix(key), as_matrix(value), as_matrix(shape)
    work, last_work = (
        NeWork(NeMode.CONVOLUTION, post_scale=float(each.scale)) for each in (params.scores, params.second)
    )

    def tasks() -> Iterator[TaskPlan]:
        for index in range(count):
            run = Band(unit.name if count == 1 else f"{unit.name}/{index}", x, y, lowering)
            yield from _head(
                _Head(
                    run,
                    key_operand,
                    value_operand,
                    shapes,
                    index,
                    query.height,
                    key.height,
                    query.width,
                    value.width,
                    work,
                    last_work,
                )
            )

    return ends.around(tasks())


def _head(head: _Head) -> Iterator[TaskPlan]:
    machine = head.run.machine
    run, rows, keys, inner = head.run, head.rows, head.keys, head.inner
    group = min(rows // machine.lanes, _MOST_GROUP)
    vector, values = flat(align(2 * rows, machine.bank_bytes), 1), flat(align(2 * keys, machine.bank_bytes), rows)
    past = vector.row + values.row
    layout = operand_strides(machine, keys, inner)
    formatted, kernels = kernel_memory(run, "query", rows, inner)
    staged = segments(machine, rows, inner)
    query = replace(rows_of(run.x, head.shapes[0], head.index * rows), staging=staged, staging_base=0)
    first = run.task(PLANAR_COPY, matrix_view(rows, inner), (query,), replace(formatted, staging_base=staged.row))
    yield replace(first, interleave=group)
    operand = run.tensor("key", TensorShape(channels=inner, width=keys), past, layout)
    keys_run = replace(run, x=rows_of(head.key, head.shapes[1], head.index * keys))
    yield transpose_task(keys_run, keys, inner, operand, base=past + layout.row)
    shape = TensorShape(channels=rows, width=keys)
    scores = run.tensor("scores", shape, vector.row, values)
    view = matrix_view(rows, keys)
    product = replace(view, channels=inner)
    tuning = Tuning(streams=True) if len(kernels) == 1 else Tuning()
    for kernel, (first_row, count) in zip(kernels, bands(rows, rows // len(kernels)), strict=True):
        target = replace(scores, offset=(0, 0, first_row, 0))
        part = replace(view, channels=count)
        yield run.task(head.work, product, (operand,), target, kernel, result_view=part, tuning=tuning)
    yield from _probabilities(head, scores, view)


def _probabilities(head: _Head, scores: TaskOperand, view: View) -> Iterator[TaskPlan]:
    """The softmax of the scores, written as a kernel, and the second product."""
    machine = head.run.machine
    run, rows, keys = head.run, head.rows, head.keys
    vector, values = flat(align(2 * rows, machine.bank_bytes), 1), flat(align(2 * keys, machine.bank_bytes), rows)
    shape = TensorShape(channels=rows, width=keys)
    top = replace(run.tensor("max", TensorShape(width=rows), 0, vector), swapped=True)
    centered = run.tensor("centered", shape, vector.row, values)
    powers = run.tensor("exp2", shape, vector.row, values)
    total = replace(run.tensor("sum", TensorShape(width=rows), 0, vector), swapped=True)
    yield run.task(MAXIMUM, view, (scores,), top)
    yield run.task(SUBTRACT, view, (scores, replace(top, repeats=COLUMNS)), centered)
    yield run.task(BY_TABLE, view, (centered,), powers, exp2_kernel(machine, rows))
    yield run.task(RECIPROCAL_SUM, view, (powers,), total)
    formatted, kernels = kernel_memory(run, "probabilities", rows, keys)
    target = replace(formatted, staging_base=vector.row + values.row)
    product = run.task(
        MULTIPLY, view, (replace(total, repeats=COLUMNS), powers), target, tuning=Tuning(kernel_result=True)
    )
    yield replace(product, interleave=min(rows // machine.lanes, _MOST_GROUP))
    staged = segments(machine, keys, head.columns)
    value = rows_of(head.value, head.shapes[2], head.index * keys)
    last = View(width=head.columns, channels=keys)
    for kernel, (first, count) in zip(kernels, bands(rows, rows // len(kernels)), strict=True):
        y = rows_of(run.y, head.shapes[3], head.index * rows + first)
        yield run.task(
            head.last_work,
            last,
            (replace(value, staging=staged, staging_base=0),),
            replace(y, staging_base=staged.row),
            kernel,
            result_view=replace(last, channels=count),
        )


FAMILIES = (Family("attention", (Attention,), lower),)
