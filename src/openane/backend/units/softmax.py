"""Softmax and its logarithm along any dimension (encoding.md#softmax).

Five steps: maximum, (x - maximum) * log2(e), 2^x by table, 1 / sum, product. Which engine takes a step and how the
values lie in L2 depends on the dimension. Recorded are channels (one pixel or an image), rows of an image, and columns
with one row or many; other shapes are seen as one of these. What does not fit into L2 is cut into bands that are
computed one after another.

The logarithm keeps (x - maximum) * log2(e) and ends with (that - log2(sum)) * ln 2, which loses no small probabilities.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

from openane.backend.alloc.staging import odd_row, second_base
from openane.backend.alloc.surfaces import align
from openane.backend.functions import tables
from openane.backend.functions.steps import LN_2
from openane.backend.ir.plan import (
    KernelPlan,
    NeMode,
    NeWork,
    Nonlinearity,
    PeMode,
    PePool,
    PeWork,
    TaskPlan,
    TensorPlace,
    Tuning,
    View,
)
from openane.backend.lowering import UnitLowering
from openane.backend.machine import MachineSpec
from openane.backend.rules import Family, Query, RuleKind, rule
from openane.backend.units.multi_task import (
    CHANNEL_MAX,
    CHANNELS,
    COLUMNS,
    COPY,
    MULTIPLY,
    ROWS,
    Band,
    Ends,
    axis_bands,
)
from openane.backend.units.rows import (
    TURNED,
    as_matrix,
    bands,
    copied_row,
    flat,
    image,
    matrix_view,
    planar_row,
    reread_row,
    row_groups,
    row_statistics,
    rows_of,
    streamed_row,
)
from openane.net.net import TensorShape, Unit
from openane.net.units import Dimension, SoftmaxParams

#: Small-source mode is not seen on a sum over fewer channels than this (one record of 8 channels against 64 and more).
_SMALL_SOURCE_CHANNELS = 16

SUBTRACT = PeWork(PeMode.BINARY, subtract=True, scale=tables.LOG2_E)
LOG_RESULT = PeWork(PeMode.BINARY, subtract=True, scale=LN_2)
BY_TABLE = NeWork(NeMode.BYPASS, Nonlinearity.TABLE)
CHANNEL_SUM = NeWork(NeMode.ACCUMULATE, Nonlinearity.TABLE)
MAXIMUM = PeWork(PeMode.REDUCTION, pool=PePool.MAX)
SUM = PeWork(PeMode.REDUCTION)
RECIPROCAL_SUM = PeWork(PeMode.REDUCTION, reciprocal=True)


def exp2_kernel(machine: MachineSpec, lanes: int) -> KernelPlan:
    """The table of 2^x in every lane of `lanes` channels."""
    return KernelPlan((tables.exp2().encode(),), table_lanes=min(lanes, machine.lanes))


def pole_kernel(*, log: bool) -> KernelPlan:
    """The table after a sum, in one lane: log2 x, or 1/x."""
    table = tables.log2() if log else tables.reciprocal()
    return KernelPlan((table.encode(),), table_lanes=1, pole=True)


@dataclass(frozen=True, slots=True)
class _SoftmaxBand(Band):
    """A band of a softmax.

    Attributes:
        log: the logarithm is wanted.
    """

    log: bool = False


def lower(unit: Unit, lowering: UnitLowering) -> Iterator[TaskPlan]:
    """The tasks of a softmax."""
    params = unit.params
    assert isinstance(params, SoftmaxParams)
    shape = lowering.shape(unit.name)
    single = shape.batch == 1 and shape.depth == 1
    ends = Ends(unit, lowering)
    band = _SoftmaxBand(unit.name, ends.source(), ends.result(), lowering, params.log)
    if params.dimension is Dimension.WIDTH:
        return ends.around(_along_width(band, shape, single=single))
    return ends.around(_along_others(band, shape, params.dimension))


# Columns -----------------------------------------------------------------------------------------------


def _along_width(band: _SoftmaxBand, shape: TensorShape, *, single: bool) -> Iterator[TaskPlan]:
    machine = band.machine
    if single and not band.log:
        if (
            shape.height == 1
            and shape.width == 1
            and shape.channels > 1
            and _one_column_bytes(machine, shape.channels) <= machine.l2_bytes
        ):
            yield from _one_column(band, shape.channels)
            return
        if 1 < shape.height <= machine.max_groups and _image_bytes(machine, shape) <= machine.l2_bytes:
            yield from _image_rows(band, shape)
            return
    matrix = as_matrix(shape)
    size = max((machine.l2_bytes - 4 * machine.bank_bytes) // (2 * align(2 * shape.width, machine.bank_bytes) + 4), 1)
    recorded = single and shape.height == 1 and matrix.height <= size
    for first, count in bands(matrix.height, size):
        part = replace(
            band,
            name=band.name if count == matrix.height else f"{band.name}/{first}",
            x=band.x if recorded else rows_of(band.x, matrix, first),
            y=band.y if recorded else rows_of(band.y, matrix, first),
        )
        yield from _matrix_rows(part, count, shape.width)


def _matrix_rows(band: _SoftmaxBand, rows: int, columns: int) -> Iterator[TaskPlan]:
    """Rows as channels; the statistics of all rows are one vector."""
    machine = band.machine
    view, shape = matrix_view(rows, columns), TensorShape(channels=rows, width=columns)
    values, vector = flat(align(2 * columns, machine.bank_bytes), rows), flat(align(2 * rows, machine.bank_bytes), 1)
    staged = vector.row + values.row
    swapped = rows > 1
    kept = band.kept(shape)
    top = replace(band.tensor("max", TensorShape(width=rows), 0, vector), swapped=swapped)
    centered = band.tensor("centered", shape, vector.row, values)
    source = replace(band.x, keep=kept.tensor, staging_base=staged, staging=values)
    yield band.task(MAXIMUM, view, (source,), top)
    yield band.task(SUBTRACT, view, (kept, replace(top, repeats=COLUMNS)), centered)
    powers = band.tensor("exp2", shape, staged if band.log else vector.row, values)
    total = replace(band.tensor("sum", TensorShape(width=rows), 0, vector), swapped=swapped)
    yield band.task(BY_TABLE, view, (centered,), powers, exp2_kernel(machine, rows))
    if not band.log:
        yield band.task(RECIPROCAL_SUM, view, (powers,), total)
        result = replace(band.y, staging_base=staged)
        yield band.task(MULTIPLY, view, (replace(total, repeats=COLUMNS), powers), result)
        return
    yield band.task(SUM, view, (powers,), total)
    logarithm = band.tensor("log2", TensorShape(width=rows), staged, vector)
    line = View(width=rows)
    yield band.task(BY_TABLE, line, (replace(total, swapped=False),), logarithm, pole_kernel(log=True))
    second = replace(logarithm, swapped=swapped, repeats=COLUMNS)
    yield band.task(LOG_RESULT, view, (centered, second), band.y)


def _image_bytes(machine: MachineSpec, shape: TensorShape) -> int:
    """L2 bytes of the form for rows of an image, at most."""
    row = align(2 * shape.width, machine.bank_bytes) * shape.channels + 64 * machine.bank_bytes
    return shape.height * (4 * row + machine.bank_bytes * shape.channels)


def _image_rows(band: _SoftmaxBand, shape: TensorShape) -> Iterator[TaskPlan]:
    """Rows of an image: a copy in L2, whose rows are reduced as groups."""
    machine = band.machine
    channels, height, width = shape.channels, shape.height, shape.width
    whole = View(width, height, channels)
    copied = image(machine, channels, copied_row(machine, channels, width), width)
    streamed = image(machine, channels, streamed_row(machine, channels, width), width)
    reread = image(machine, channels, reread_row(machine, channels, width), width)
    in_place = streamed == reread
    powers_base = copied.row * height
    centered_base = powers_base if in_place else powers_base + reread.row * height
    top_base = centered_base + streamed.row * height
    rows = row_groups(shape)
    copy = band.tensor("copy", shape, 0, copied)
    top = band.tensor("max", replace(shape, width=1), top_base, row_statistics(machine, shape))
    yield band.task(COPY, whole, (replace(band.x, staging_base=powers_base),), copy)
    yield band.task(MAXIMUM, rows.view, (rows.source(copy, copied),), rows.statistic(band.machine, top))
    centered = band.tensor("centered", shape, centered_base, streamed)
    yield band.task(SUBTRACT, whole, (copy, replace(top, repeats=COLUMNS)), centered)
    powers = band.tensor("exp2", shape, powers_base, reread)
    yield band.task(BY_TABLE, whole, (centered,), powers, exp2_kernel(machine, channels))
    total = band.tensor("sum", replace(shape, width=1), 0, row_statistics(machine, shape))
    yield band.task(RECIPROCAL_SUM, rows.view, (rows.source(powers, reread),), rows.statistic(band.machine, total))
    result = replace(band.y, staging_base=powers_base + reread.row * height)
    yield band.task(MULTIPLY, whole, (replace(total, repeats=COLUMNS), powers), result)


def _one_column_bytes(machine: MachineSpec, channels: int) -> int:
    return 4 * machine.bank_bytes * channels + align(2 * channels, machine.bank_bytes) + 64 * machine.bank_bytes


def _one_column(band: _SoftmaxBand, channels: int) -> Iterator[TaskPlan]:
    """Columns of extent 1, every result being 1: the steps are done all the same (one record)."""
    machine = band.machine
    view, shape = View(channels=channels), TensorShape(channels=channels)
    pixels, row = flat(machine.bank_bytes, channels), flat(align(2 * channels, machine.bank_bytes), 1)
    kept = band.kept(shape)
    top = band.tensor("max", shape, 0, pixels)
    centered = band.tensor("centered", TensorShape(width=channels), pixels.row, row, TensorPlace.HANDOVER)
    powers = band.tensor("exp2", shape, 0, pixels)
    total_base = second_base(machine, pixels.row)
    total = band.tensor("sum", shape, total_base, pixels)
    source = replace(band.x, keep=kept.tensor, staging_base=pixels.row + row.row, staging=pixels)
    yield band.task(MAXIMUM, view, (source,), top)
    yield band.task(SUBTRACT, view, (kept, replace(top, repeats=COLUMNS)), replace(centered, swapped=True))
    yield band.task(BY_TABLE, View(width=channels), (centered,), replace(powers, swapped=True), exp2_kernel(machine, 1))
    yield band.task(RECIPROCAL_SUM, view, (powers,), total)
    result = replace(band.y, staging_base=total_base + pixels.row)
    yield band.task(MULTIPLY, view, (replace(total, repeats=COLUMNS), powers), result)


# Channels, rows and what is outside them ---------------------------------------------------------------


def _along_others(band: _SoftmaxBand, shape: TensorShape, dimension: Dimension) -> Iterator[TaskPlan]:
    """A dimension before the columns: the channels of the view."""
    machine = band.machine
    extent = dimension.extent(shape)
    if (
        extent == shape.channels == shape.size
        and not band.log
        and _one_pixel_bytes(machine, extent) <= machine.l2_bytes
    ):
        yield from _one_pixel(band, extent)
        return
    for part, view, turned in axis_bands(band, shape, dimension, partial(_fits, machine, extent)):
        yield from _image_channels(part, view, turned=turned)


def _fits(machine: MachineSpec, channels: int, rows: int, columns: int) -> bool:
    """Whether two images of so many channels and their statistic fit into L2."""
    image_row = streamed_row(machine, channels, columns) + odd_row(machine, planar_row(machine, channels, columns))
    return rows * (image_row + 2 * planar_row(machine, 1, columns)) + machine.bank_bytes <= machine.l2_bytes


def _image_channels(band: _SoftmaxBand, view: View, *, turned: bool) -> Iterator[TaskPlan]:
    """Channels of an image; `turned` when the tensor's rows are the channels of the view and its channels the rows."""
    machine = band.machine
    channels, height, width = view.channels, view.height, view.width
    whole, one = TensorShape(1, channels, height, width), TensorShape(1, 1, height, width)
    statistic = image(machine, 1, planar_row(machine, 1, width), width)
    values = image(machine, channels, streamed_row(machine, channels, width), width)
    staged_row = (
        odd_row(machine, planar_row(machine, channels, width)) if turned else planar_row(machine, channels, width)
    )
    base = statistic.row * height
    staged = base + values.row * height
    kept, single = band.kept(whole), replace(view, channels=1)
    top = band.tensor("max", one, 0, statistic)
    centered = band.tensor("centered", whole, base, values)
    powers = band.tensor("exp2", whole, staged if band.log else base, values)
    total = band.tensor("sum", one, 0, statistic)
    staging = replace(image(machine, channels, staged_row, width), group=values.depth)
    source = replace(band.x, keep=kept.tensor, staging_base=staged, staging=staging)
    if turned:
        source = replace(source, axes=TURNED)
    yield band.task(CHANNEL_MAX, view, (source,), top, result_view=single)
    yield band.task(SUBTRACT, view, (kept, replace(top, repeats=CHANNELS)), centered)
    yield band.task(BY_TABLE, view, (centered,), powers, exp2_kernel(machine, channels))
    small = None if channels >= _SMALL_SOURCE_CHANNELS else False
    kernel = pole_kernel(log=band.log)
    yield band.task(CHANNEL_SUM, view, (powers,), total, kernel, result_view=single, tuning=Tuning(small_source=small))
    last = View(width, channels, height) if turned else view
    seen = replace(total, repeats=ROWS if turned else CHANNELS)
    values_again = centered if band.log else powers
    if turned:
        seen, values_again = replace(seen, axes=TURNED), replace(values_again, axes=TURNED)
    if band.log:
        yield band.task(LOG_RESULT, last, (values_again, seen), band.y)
        return
    yield band.task(MULTIPLY, last, (seen, values_again), replace(band.y, staging_base=staged))


def _one_pixel_bytes(machine: MachineSpec, channels: int) -> int:
    return 2 * machine.bank_bytes * channels + align(2 * channels, machine.bank_bytes) + machine.bank_bytes


def _one_pixel(band: _SoftmaxBand, channels: int) -> Iterator[TaskPlan]:
    """Channels of one pixel: 2^x is computed on the channels as a row."""
    machine = band.machine
    view, one, shape = View(channels=channels), View(), TensorShape(channels=channels)
    pixels, row, single = (
        flat(machine.bank_bytes, channels),
        flat(align(2 * channels, machine.bank_bytes), 1),
        flat(machine.bank_bytes, 1),
    )
    past = pixels.row + machine.bank_bytes
    kept = band.kept(shape)
    top = band.tensor("max", TensorShape(), 0, single)
    centered = band.tensor("centered", TensorShape(width=channels), past, row, TensorPlace.HANDOVER)
    powers = band.tensor("exp2", shape, machine.bank_bytes, pixels)
    total = band.tensor("sum", TensorShape(), 0, single)
    source = replace(band.x, keep=kept.tensor, staging_base=past + row.row, staging=pixels)
    yield band.task(CHANNEL_MAX, view, (source,), top, result_view=one)
    yield band.task(SUBTRACT, view, (kept, replace(top, repeats=CHANNELS)), replace(centered, swapped=True))
    yield band.task(BY_TABLE, View(width=channels), (centered,), replace(powers, swapped=True), exp2_kernel(machine, 1))
    yield band.task(CHANNEL_SUM, view, (powers,), total, pole_kernel(log=False), result_view=one)
    result = replace(band.y, staging_base=past)
    yield band.task(MULTIPLY, view, (replace(total, repeats=CHANNELS), powers), result)


@rule(
    "softmax-extent",
    family="softmax",
    kind=RuleKind.COMPILER,
    limit=lambda machine: f"columns, or channels of 32 columns, of which two copies fit into {machine.l2_bytes} bytes",
    hint="Reduce in two steps on the host.",
    evidence="encoding.md#softmax: x and its exponentials are in L2 side by side",
)
def fits_l2(query: Query) -> object | None:
    """Two copies of the elements of a softmax do not fit into L2."""
    machine = query.machine
    params = query.params
    assert isinstance(params, SoftmaxParams)
    shape = query.result
    if params.dimension is Dimension.WIDTH:
        fits = 2 * align(2 * shape.width, machine.bank_bytes) + 4 * machine.bank_bytes <= machine.l2_bytes
    else:
        fits = _fits(machine, params.dimension.extent(shape), 1, min(shape.width, machine.dma_columns))
    return None if fits else f"{params.dimension.extent(shape)} elements"


FAMILIES = (Family("softmax", (SoftmaxParams,), lower, (fits_l2,)),)
