"""Normalization of a matrix whose rows are too many and too wide to stay in L2 between its steps.

Rows are channels, as in the form that keeps them, but every task reads x from DRAM again. Statistics are one value of
16 bytes per row and are not transposed; a reduction takes 192 rows at most (encoding.md#layer-norm).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from openane.backend.alloc.surfaces import align
from openane.backend.ir.plan import Axis, PeWork, Strides, TaskOperand, TaskPlan, View
from openane.backend.units.copy import part
from openane.backend.units.multi_task import COLUMNS
from openane.backend.units.norm_band import NormBand
from openane.net.net import TensorShape

#: Rows that a reduction takes at a time (375 = 183 + 192, two records).
REDUCED_ROWS = 192
#: Columns of a planar patch; wider rows are staged in parts, which cannot be kept.
PATCH_COLUMNS = 512


def is_streamed(rows: int, columns: int) -> bool:
    """Whether rows are read from DRAM by every task."""
    return rows > REDUCED_ROWS and columns > PATCH_COLUMNS


def streamed_tasks(run: NormBand, normalize: PeWork, rows: int, columns: int) -> Iterator[TaskPlan]:
    """Means from the last rows on, deviations from the first, then the normalized rows.

    Args:
        run: a band of rows.
        normalize: the last step.
        rows, columns: of the matrix.
    """
    machine = run.machine
    vector = machine.bank_bytes * rows
    strides = Strides(machine.bank_bytes, vector, vector, vector)
    statistics = run.tensor("statistics", TensorShape(channels=rows, height=2), 0, strides)
    parts = [(first, min(REDUCED_ROWS, rows - first)) for first in range(0, rows, REDUCED_ROWS)]
    staged = 2 * vector

    def of_rows(operand: TaskOperand, first: int) -> TaskOperand:
        group, depth, channel, row = operand.offset
        return replace(operand, offset=(group, depth, channel, row + first), staging_base=staged)

    def of_statistics(first: int, row: int) -> TaskOperand:
        return part(part(statistics, Axis.CHANNEL, first), Axis.HEIGHT, row)

    x = replace(run.x, read_again=True)
    for first, count in reversed(parts):
        view = View(width=columns, channels=count)
        yield run.task(run.mean(columns), view, (of_rows(x, first),), of_statistics(first, 0))
    for first, count in parts:
        view = View(width=columns, channels=count)
        mean = replace(of_statistics(first, 0), repeats=COLUMNS)
        yield run.task(run.variance(columns), view, (mean, of_rows(x, first)), of_statistics(first, 1))
    view = View(width=columns, channels=rows)
    last = replace(run.x, reread=True, staging_base=staged)
    result = replace(run.y, staging_base=staged + rows * align(2 * PATCH_COLUMNS, machine.bank_bytes))
    yield run.task(normalize, view, (last, statistics), result)
