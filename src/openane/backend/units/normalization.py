"""Layer normalization without affine parameters, and its form without a mean (encoding.md#layer-norm).

Statistics are planar reductions: the mean, then 1 / sqrt(variance + epsilon) in one task where mean and x can be read
together, else from the centered value. Recorded are columns (one row of pixels or an image), channels (one pixel or an
image), and channels, rows and columns together; other sets of dimensions are seen as one of these. What does not fit
into L2 is cut into bands, and a single item that does not fit is read from DRAM for each of its three steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from openane.backend.alloc.staging import ne_distance, padded_row
from openane.backend.alloc.surfaces import align
from openane.backend.ir.plan import (
    PLAIN,
    Axis,
    PeMode,
    PeWork,
    Strides,
    TaskOperand,
    TaskPlan,
    Tuning,
    View,
)
from openane.backend.lowering import UnitLowering
from openane.backend.machine import MachineSpec
from openane.backend.rules import Family, Query, RuleKind, rule
from openane.backend.units.multi_task import (
    CHANNELS,
    COLUMNS,
    COPY,
    MULTIPLY,
    PLANAR_COPY,
    ROWS,
    Ends,
    axis_bands,
    seen_as,
)
from openane.backend.units.norm_band import NormBand
from openane.backend.units.rows import (
    DEEP,
    LEAST_VECTOR_BYTES,
    TURNED,
    as_image,
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
    summed_row,
    swapped_patch,
    vector_pair,
)
from openane.backend.units.streamed_rows import is_streamed, streamed_tasks
from openane.net.net import TensorShape, Unit
from openane.net.units import Dimension, LayerNormParams

#: (x - mean) * deviation by rows of statistics.
NORMALIZE = PeWork(PeMode.ROWS, subtract=True)
SUBTRACT = PeWork(PeMode.BINARY, subtract=True)
#: Rows of a tile of the first task when its source is kept (3 of 3).
_KEPT_TILE_ROWS = 32
#: The transposing copy after the subtraction follows it up to this width (8 columns do, 16 do not).
_STREAMED_COLUMNS = 8
#: View axes in which everything is reduced without being kept: channels are depth.
_STACKED = {Axis.WIDTH: Axis.WIDTH, Axis.HEIGHT: Axis.HEIGHT, Axis.DEPTH: Axis.CHANNEL}


def lower(unit: Unit, lowering: UnitLowering) -> Iterator[TaskPlan]:
    """The tasks of a normalization."""
    params = unit.params
    assert isinstance(params, LayerNormParams)
    shape = lowering.shape(unit.name)
    ends = Ends(unit, lowering)
    run = NormBand(unit.name, ends.source(), ends.result(), lowering, params.epsilon, params.center)
    return ends.around(_FORMS[_form(params, shape)](run, shape))


def _form(params: LayerNormParams, shape: TensorShape) -> frozenset[Dimension]:
    """The dimensions that really have to be reduced together; those of extent 1 make no difference.

    A set without columns takes them in when there is only one, and channels of an image of one pixel are all three.
    """
    wanted = params.dimensions
    if wanted in _FORMS:
        return wanted
    real = frozenset(d for d in wanted if d.extent(shape) > 1)
    ones = frozenset(d for d in Dimension if d.extent(shape) == 1)
    fitting = (form for form in _FORMS if real <= form and form <= real | ones | wanted)
    return min(fitting, key=len, default=frozenset())


# Columns -----------------------------------------------------------------------------------------------


def _columns(run: NormBand, shape: TensorShape) -> Iterator[TaskPlan]:
    machine = run.machine
    single = shape.batch == 1 and shape.depth == 1
    image_form = single and shape.channels > 1 and 1 < shape.height <= machine.max_groups and run.center
    if image_form and _image_bytes(machine, shape) <= machine.l2_bytes:
        yield from _image_rows(run, shape)
        return
    # Rows of the only channel are a matrix: Apple's compiler takes three tasks for [1, S, D] (encoding.md#task-counts).
    matrix = as_matrix(shape)
    size = max((machine.l2_bytes - 4 * LEAST_VECTOR_BYTES) // (2 * align(2 * shape.width, machine.bank_bytes) + 4), 1)
    recorded = single and shape.height == 1 and matrix.height <= size
    for first, count in bands(matrix.height, size):
        part = run if recorded else _part(run, f"{first}", rows_of(run.x, matrix, first), rows_of(run.y, matrix, first))
        yield from _matrix_rows(part, count, shape.width)


def _part(run: NormBand, name: str, x: TaskOperand, y: TaskOperand) -> NormBand:
    return replace(run, name=f"{run.name}/{name}", x=x, y=y)


def _matrix_rows(run: NormBand, rows: int, columns: int) -> Iterator[TaskPlan]:
    """Rows as channels; mean and deviation of all rows are two vectors."""
    if run.center and is_streamed(rows, columns):
        yield from streamed_tasks(run, NORMALIZE, rows, columns)
        return
    view, shape = matrix_view(rows, columns), TensorShape(channels=rows, width=columns)
    pair, values = vector_pair(run.machine, rows), flat(align(2 * columns, run.machine.bank_bytes), rows)
    kept_base = 2 * pair.row
    kept = run.kept(shape)
    source = replace(run.x, keep=kept.tensor, staging_base=kept_base, staging=values)
    result = replace(run.y, staging_base=kept_base + values.row)
    yield from row_steps(run, view, (source, kept), pair, 0, result)


def row_steps(
    run: NormBand, view: View, x: tuple[TaskOperand, TaskOperand], pair: Strides, base: int, result: TaskOperand
) -> Iterator[TaskPlan]:
    """The two or three planar tasks of a matrix whose rows are channels, or of the channels of an image.

    Args:
        run: the band.
        view: of the values; statistics are per channel.
        x: as the first task reads it, and as the later ones do.
        pair: strides of the two vectors of statistics.
        base: L2 address of the first one.
        result: where the normalized values go.
    """
    count = view.width * view.height
    swapped = view.channels > 1
    statistics = run.tensor("statistics", TensorShape(height=2, width=view.channels), base, pair)
    mean = replace(statistics, swapped=swapped)
    deviation = replace(mean, offset=(0, 0, 0, 1))
    repeats = frozenset(axis for axis in (Axis.WIDTH, Axis.HEIGHT) if view.extent(axis) > 1)
    if not run.center:
        yield run.task(run.mean_square(count), view, (x[0],), mean)
        yield run.task(MULTIPLY, view, (replace(mean, repeats=repeats or COLUMNS), x[1]), result)
        return
    yield run.task(run.mean(count), view, (x[0],), mean)
    yield run.task(run.variance(count), view, (replace(mean, repeats=repeats or COLUMNS), x[1]), deviation)
    yield run.task(NORMALIZE, view, (x[1], mean), result)


def _image_bytes(machine: MachineSpec, shape: TensorShape) -> int:
    """L2 bytes of the form for rows of an image, at most."""
    row = align(2 * shape.width, machine.bank_bytes) * shape.channels + 64 * machine.bank_bytes
    return shape.height * 4 * row


def _image_rows(run: NormBand, shape: TensorShape) -> Iterator[TaskPlan]:
    """Rows of an image: a copy in L2, whose rows are reduced as groups; then the same with the centered rows."""
    machine = run.machine
    channels, height, width = shape.channels, shape.height, shape.width
    whole, rows = View(width, height, channels), row_groups(shape)
    copied = image(machine, channels, copied_row(machine, channels, width), width)
    reread = image(machine, channels, reread_row(machine, channels, width), width)
    size = copied.row * height
    statistic, column = row_statistics(machine, shape), replace(shape, width=1)
    copy = run.tensor("copy", shape, size, copied)
    mean = run.tensor("mean", column, 2 * size, statistic)
    centered = run.tensor("centered", shape, 0, reread)
    deviation = run.tensor("deviation", column, size, statistic)
    yield run.task(COPY, whole, (replace(run.x, staging_base=2 * size),), copy)
    yield run.task(run.mean(width), rows.view, (rows.source(copy, copied),), rows.statistic(run.machine, mean))
    yield run.task(SUBTRACT, whole, (copy, replace(mean, repeats=COLUMNS)), centered)
    yield run.task(
        run.mean_square(width), rows.view, (rows.source(centered, reread),), rows.statistic(run.machine, deviation)
    )
    result = replace(run.y, staging_base=size + machine.bank_bytes * channels * height)
    yield run.task(MULTIPLY, whole, (centered, replace(deviation, repeats=COLUMNS)), result)


# Rows and columns of every channel ---------------------------------------------------------------------


def _images(run: NormBand, shape: TensorShape) -> Iterator[TaskPlan]:
    """Every channel by itself: the statistics of all channels are two vectors, as for the rows of a matrix."""
    seen = as_image(shape)
    yield from _planes(run, shape, seen, View(seen.width, seen.height, seen.channels), 0, turned=False)


def _sheets(run: NormBand, shape: TensorShape) -> Iterator[TaskPlan]:
    """Every row of all channels by itself: rows are the channels of the view, channels its rows."""
    seen = TensorShape(shape.batch * shape.depth, shape.channels, shape.height, shape.width)
    for item in range(seen.batch):
        yield from _planes(run, shape, seen, View(seen.width, seen.channels, seen.height), item, turned=True)


def _planes(
    run: NormBand, shape: TensorShape, seen: TensorShape, whole: View, item: int, *, turned: bool
) -> Iterator[TaskPlan]:
    """Columns and rows of a view, in bands of its channels.

    Args:
        run: the band of everything.
        shape: of the tensor.
        seen: the same rows as items of images.
        whole: the view of one item.
        item: which one.
        turned: channels of the view are rows of the image.
    """
    machine = run.machine
    row, axes = planar_row(machine, 1, whole.width), TURNED if turned else PLAIN
    size = max(
        (machine.l2_bytes - 4 * LEAST_VECTOR_BYTES) // (2 * (row * whole.height + 64 * machine.bank_bytes) + 4), 1
    )
    while (
        size > 1
        and 2 * planar_row(machine, min(size, whole.channels), whole.width) * whole.height + 8 * size > machine.l2_bytes
    ):
        size -= 1
    for first, count in bands(whole.channels, size):
        view = replace(whole, channels=count)
        offset = (item, 0, 0, first) if turned else (item, 0, first, 0)
        x, y = (replace(seen_as(operand, shape, seen), axes=axes, offset=offset) for operand in (run.x, run.y))
        part = _part(run, f"{item}/{first}", x, y)
        pair = vector_pair(machine, count)
        if 2 * row * whole.height > machine.l2_bytes - 4 * pair.row:
            yield from row_steps(part, view, (replace(x, read_again=True), replace(x, reread=True)), pair, 0, y)
            continue
        base, pitch = 2 * pair.row, planar_row(machine, count, whole.width)
        kept = part.kept(TensorShape(channels=count, height=whole.height, width=whole.width))
        source = replace(x, keep=kept.tensor, staging_base=base)
        result = replace(y, staging_base=base + pitch * whole.height)
        yield from row_steps(part, view, (source, kept), pair, 0, result)


# Channels, rows and columns ----------------------------------------------------------------------------


def _items(run: NormBand, shape: TensorShape) -> Iterator[TaskPlan]:
    """Every item of the batch by itself."""
    single = shape.batch == 1 and shape.depth == 1
    seen = TensorShape(shape.batch * shape.depth, shape.channels, shape.height, shape.width)
    rows = shape.channels * shape.height
    if not _deep_fits(run.machine, shape) and rows <= run.machine.max_height:
        images = TensorShape(1, seen.batch, rows, shape.width)
        yield from _planes(run, shape, images, View(shape.width, rows, seen.batch), 0, turned=False)
        return
    for item in range(seen.batch):
        offset = (item, 0, 0, 0)
        if single:
            yield from _item(run, shape)
            continue
        x, y = (
            replace(operand, shape=operand.shape if seen == shape else seen, offset=offset)
            for operand in (run.x, run.y)
        )
        yield from _item(_part(run, f"{item}", x, y), replace(seen, batch=1))


def _deep_fits(machine: MachineSpec, shape: TensorShape) -> bool:
    """Whether x can be kept in L2 in the view of channels as rows and rows as depth."""
    row = padded_row(machine, align(2 * shape.width, machine.bank_bytes) * shape.height, shape.width, 1, 2)
    return 2 * LEAST_VECTOR_BYTES + row * shape.channels <= machine.l2_bytes


def _item(run: NormBand, shape: TensorShape) -> Iterator[TaskPlan]:
    """Statistics over everything; the last task reads x again in its own view."""
    machine = run.machine
    count = shape.channels * shape.height * shape.width
    keeps = _deep_fits(machine, shape)
    deep, axes = View(shape.width, shape.channels, 1, shape.height), DEEP
    if not keeps:
        deep, axes = View(shape.width, shape.height, 1, shape.channels), _STACKED
    vector = 2 * LEAST_VECTOR_BYTES
    statistics = run.tensor("statistics", TensorShape(height=2), 0, vector_pair(machine, 1))
    mean, deviation = statistics, replace(statistics, offset=(0, 0, 0, 1))
    repeats = frozenset(axis for axis in (Axis.WIDTH, Axis.HEIGHT, Axis.DEPTH) if deep.extent(axis) > 1)
    repeated = replace(mean, repeats=repeats)
    x = replace(run.x, axes=axes, read_again=True)
    values, again, result, tuning = replace(x, reread=True), replace(run.x, reread=True), run.y, Tuning()
    if keeps:
        values = run.kept(TensorShape(1, 1, shape.channels, shape.width, shape.height))
        x = replace(x, keep=values.tensor, staging_base=vector)
        tuning = Tuning(tile_height=_KEPT_TILE_ROWS if deep.height > _KEPT_TILE_ROWS else None)
    pitch = planar_row(machine, shape.channels, shape.width) * shape.height
    if vector + 2 * pitch <= machine.l2_bytes:
        again, result = replace(again, staging_base=vector), replace(run.y, staging_base=vector + pitch)
    view = View(shape.width, shape.height, shape.channels)
    if not run.center:
        yield run.task(run.mean_square(count), deep, (x,), mean, tuning=tuning)
        everywhere = frozenset(a for a in (Axis.WIDTH, Axis.HEIGHT, Axis.CHANNEL) if view.extent(a) > 1)
        yield run.task(MULTIPLY, view, (replace(mean, repeats=everywhere), again), result)
        return
    yield run.task(run.mean(count), deep, (x,), mean, tuning=tuning)
    yield run.task(run.variance(count), deep, (repeated, values), deviation)
    yield run.task(NORMALIZE, view, (again, replace(mean, repeats=CHANNELS)), result)


# Channels ----------------------------------------------------------------------------------------------


def _channels(run: NormBand, shape: TensorShape) -> Iterator[TaskPlan]:
    """Channels of every pixel."""
    yield from _along_axis(run, shape, Dimension.CHANNEL)


def _rows(run: NormBand, shape: TensorShape) -> Iterator[TaskPlan]:
    """Rows of every column; no record."""
    yield from _along_axis(run, shape, Dimension.HEIGHT)


def _along_axis(run: NormBand, shape: TensorShape, dimension: Dimension) -> Iterator[TaskPlan]:
    extent = dimension.extent(shape)
    if extent == shape.channels == shape.size and run.center and 34 * extent + 0x200 <= run.machine.l2_bytes:
        yield from _one_pixel(run, extent)
        return
    for part, view, turned in axis_bands(run, shape, dimension, partial(_fits, run.machine, extent)):
        yield from _image_channels(part, view, turned=turned)


def _fits(machine: MachineSpec, channels: int, rows: int, columns: int) -> bool:
    """Whether a part of so many rows and columns fits into L2, with rows as groups."""
    step = align(2 * columns, machine.bank_bytes)
    centered, swapped = _centered_row(machine, channels, columns), summed_row(machine, channels, columns)
    kept = max(planar_row(machine, channels, columns), step * channels)
    past = swapped + kept if columns <= _STREAMED_COLUMNS else max(swapped, kept)
    return rows <= machine.max_groups and rows * (step + max(centered, swapped) + past) <= machine.l2_bytes


def _centered_row(machine: MachineSpec, channels: int, width: int) -> int:
    """Row pitch of the centered values, which the transposing copy reads next."""
    if width <= _STREAMED_COLUMNS:
        return streamed_row(machine, channels, width)
    return padded_row(machine, align(2 * width, machine.bank_bytes) * channels, width, 1, ne_distance(width))


def _one_pixel(run: NormBand, channels: int) -> Iterator[TaskPlan]:
    """Channels of one pixel, copied to a row and back."""
    pixel, line = View(channels=channels), View(width=channels)
    pair = vector_pair(run.machine, 1)
    row = flat(align(2 * channels, run.machine.bank_bytes), 1)
    base = 2 * pair.row
    vector = TensorShape(width=channels)
    values = run.tensor("row", vector, base, row)
    statistics = run.tensor("statistics", TensorShape(height=2), 0, pair)
    mean, deviation = statistics, replace(statistics, offset=(0, 0, 0, 1))
    normalized = run.tensor("normalized", vector, base, row)
    past = base + row.row
    yield run.task(PLANAR_COPY, pixel, (replace(run.x, staging_base=past),), replace(values, swapped=True))
    yield run.task(run.mean(channels), line, (values,), mean)
    yield run.task(run.variance(channels), line, (replace(mean, repeats=COLUMNS), values), deviation)
    yield run.task(NORMALIZE, line, (values, replace(mean, swapped=True)), normalized)
    yield run.task(PLANAR_COPY, pixel, (replace(normalized, swapped=True),), replace(run.y, staging_base=past))


def _image_channels(run: NormBand, view: View, *, turned: bool) -> Iterator[TaskPlan]:
    """Channels of an image: transposed, reduced by groups of rows, twice."""
    machine = run.machine
    channels, height, width = view.channels, view.height, view.width
    whole, one = TensorShape(1, channels, height, width), TensorShape(1, 1, height, width)
    swapped_shape = TensorShape(1, width, height, channels)
    rows = row_groups(swapped_shape, always_groups=True)
    step = align(2 * width, machine.bank_bytes)
    statistic = image(machine, 1, step, width)
    written = Strides(step, step * height, step, step)
    streams = width <= _STREAMED_COLUMNS
    row = _centered_row(machine, channels, width)
    centered_layout, swapped = (
        image(machine, channels, row, width),
        image(machine, width, summed_row(machine, channels, width), channels),
    )
    base = step * height
    past = base + max(row, swapped.row) * height
    kept_base = past + (swapped.row * height if streams else 0)
    source = replace(run.x, staging_base=kept_base)
    if turned:
        source = replace(source, axes=TURNED)
    copies = run.tensor("swapped", swapped_shape, base, swapped)
    copy_result = replace(copies, swapped=True)
    statistic_work = run.mean(channels) if run.center else None
    if statistic_work is None:
        yield from _without_mean(run, view, source, turned=turned)
        return
    kept = run.kept(whole)
    mean = run.tensor("mean", one, 0, statistic)
    centered = run.tensor("centered", whole, base, centered_layout)
    again = run.tensor("swapped again", swapped_shape, past, swapped)
    deviation = run.tensor("deviation", one, 0, statistic)
    yield run.task(COPY, view, (replace(source, keep=kept.tensor),), copy_result)
    first = replace(mean, swapped=True, l2=written)
    yield run.task(statistic_work, rows.view, (rows.source(copies, swapped),), first)
    yield run.task(SUBTRACT, view, (kept, replace(mean, repeats=CHANNELS)), centered)
    tuning = Tuning() if streams else Tuning(streams=False, patch=(swapped_patch(width),) * 3)
    yield run.task(COPY, view, (centered,), replace(again, swapped=True), tuning=tuning)
    second = replace(deviation, swapped=True, l2=written)
    yield run.task(run.mean_square(channels), rows.view, (rows.source(again, swapped),), second)
    last = View(width, channels, height) if turned else view
    values, divisor = centered, replace(deviation, repeats=ROWS if turned else CHANNELS)
    if turned:
        values, divisor = replace(values, axes=TURNED), replace(divisor, axes=TURNED)
    yield run.task(MULTIPLY, last, (values, divisor), replace(run.y, staging_base=past))


def _without_mean(run: NormBand, view: View, source: TaskOperand, *, turned: bool) -> Iterator[TaskPlan]:
    """The same without a mean: x is transposed once, and x itself is multiplied."""
    machine = run.machine
    channels, height, width = view.channels, view.height, view.width
    one, swapped_shape = TensorShape(1, 1, height, width), TensorShape(1, width, height, channels)
    rows, step = row_groups(swapped_shape, always_groups=True), align(2 * width, machine.bank_bytes)
    swapped = image(machine, width, summed_row(machine, channels, width), channels)
    base = step * height
    kept = run.kept(TensorShape(1, channels, height, width))
    copies = run.tensor("rows", swapped_shape, base, swapped)
    deviation = run.tensor("deviation", one, 0, image(machine, 1, step, width))
    kept_base = base + swapped.row * height
    yield run.task(
        COPY, view, (replace(source, keep=kept.tensor, staging_base=kept_base),), replace(copies, swapped=True)
    )
    written = replace(deviation, swapped=True, l2=Strides(step, step * height, step, step))
    yield run.task(run.mean_square(channels), rows.view, (rows.source(copies, swapped),), written)
    last = View(width, channels, height) if turned else view
    values, divisor = kept, replace(deviation, repeats=ROWS if turned else CHANNELS)
    if turned:
        values, divisor = replace(values, axes=TURNED), replace(divisor, axes=TURNED)
    yield run.task(MULTIPLY, last, (values, divisor), run.y)


_FORMS = {
    frozenset({Dimension.WIDTH}): _columns,
    frozenset({Dimension.CHANNEL}): _channels,
    frozenset({Dimension.HEIGHT}): _rows,
    frozenset({Dimension.HEIGHT, Dimension.WIDTH}): _images,
    frozenset({Dimension.CHANNEL, Dimension.WIDTH}): _sheets,
    frozenset({Dimension.CHANNEL, Dimension.HEIGHT, Dimension.WIDTH}): _items,
}


@rule(
    "norm-dimensions",
    family="normalization",
    kind=RuleKind.COMPILER,
    limit="Width; Channel; Height; Height and Width; Channel and Width; Channel, Height and Width; "
    "not counting dimensions of size 1",
    hint="Transpose the tensor so that the normalized dimensions are the last ones.",
    evidence="encoding.md#layer-norm: statistics are planar reductions, which take in all columns",
)
def dimensions(query: Query) -> object | None:
    """The engine cannot reduce the dimensions of this normalization together."""
    params = query.params
    assert isinstance(params, LayerNormParams)
    if not _form(params, query.result):
        return ", ".join(d.value for d in Dimension if d in params.dimensions)
    return None


FAMILIES = (Family("normalization", (LayerNormParams,), lower, (dimensions,)),)
