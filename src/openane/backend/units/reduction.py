"""Sums, means, maxima and minima over dimensions (encoding.md#reductions).

A planar reduction takes in all columns, rows and depths of its view and keeps channels and groups. Columns alone, with
several rows, therefore make the rows groups; channels are reduced by the neural engine (maximum) or after they changed
places with the columns (sum); rows alone change places with channels, are reduced as columns, and change back. Other
sets of dimensions take two steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from openane.backend.alloc.staging import ne_distance, odd_row, padded_row
from openane.backend.alloc.surfaces import align
from openane.backend.ir.plan import (
    Axis,
    PeMode,
    PePool,
    PeWork,
    Strides,
    TaskOperand,
    TaskPlan,
    TensorPlace,
    Tuning,
    View,
)
from openane.backend.lowering import UnitLowering
from openane.backend.machine import MachineSpec
from openane.backend.rules import Family
from openane.backend.units.multi_task import CHANNEL_MAX, COPY, Band, Ends, product
from openane.backend.units.rows import (
    DEEP,
    GROUPS,
    ROWS,
    TURNED,
    as_image,
    as_matrix,
    bands,
    flat,
    image,
    row_groups,
    summed_row,
    swapped_patch,
    tile,
)
from openane.net.net import TensorShape, Unit, UnitParams
from openane.net.units import Dimension, ReductionKind, ReductionParams

_W, _H, _C, _D, _N = (Dimension.WIDTH, Dimension.HEIGHT, Dimension.CHANNEL, Dimension.DEPTH, Dimension.BATCH)
#: Images of so few pixels are staged without padding (one record of 4x4).
_SMALLEST_IMAGE = 16
#: Rows of a tile of the last task of a reduction over rows (2 of 2).
_LAST_TILE_ROWS = 16
#: Wider results of a reduction over rows are written unbuffered (8 columns are not, 16 are).
_BUFFERED_COLUMNS = 8


@dataclass(frozen=True)
class FlatReduction(UnitParams):
    """A reduction whose result is a row of the channels: what is left when reduced axes are dropped.

    Attributes:
        main: over Height and Width.
    """

    main: ReductionParams

    def infer(self, bottoms: list[TensorShape]) -> TensorShape:  # type: ignore[override]
        """One row of all channels."""
        return TensorShape(width=self.main.infer(bottoms).size)

    def evaluate(self, bottoms: list[np.ndarray]) -> np.ndarray:  # type: ignore[override]
        """The reduction, as a row."""
        return self.main.evaluate(bottoms).reshape(1, 1, 1, 1, -1)


@dataclass(frozen=True, slots=True)
class _ReductionBand(Band):
    """A band of a reduction.

    Attributes:
        kind: sum, mean, maximum or minimum.
    """

    kind: ReductionKind = ReductionKind.SUM

    def work(self, count: int) -> PeWork:
        """What the planar engine does with `count` elements; a minimum is minus the maximum of -x."""
        if self.kind is ReductionKind.MEAN:
            return PeWork(PeMode.REDUCTION, final_scale=1 / count)
        if self.kind is ReductionKind.SUM:
            return PeWork(PeMode.REDUCTION)
        if self.kind is ReductionKind.MAX:
            return PeWork(PeMode.REDUCTION, pool=PePool.MAX)
        return PeWork(PeMode.REDUCTION, pool=PePool.MAX, pre_scale=-1.0, final_scale=-1.0)


def lower(unit: Unit, lowering: UnitLowering) -> Iterator[TaskPlan]:
    """The tasks of a reduction."""
    params = unit.params
    assert isinstance(params, ReductionParams)
    shape = lowering.shape(unit.bottoms[0])
    ends = Ends(unit, lowering)
    run = _ReductionBand(unit.name, ends.source(), ends.result(), lowering, params.kind)
    return ends.around(_reduce(run, shape, _real(params.dimensions, shape)))


def lower_flat(unit: Unit, lowering: UnitLowering) -> Iterator[TaskPlan]:
    """One task whose result is stored with channels and columns swapped."""
    params = unit.params
    assert isinstance(params, FlatReduction)
    shape = lowering.shape(unit.bottoms[0])
    row = flat(align(2 * shape.channels, lowering.machine.bank_bytes), 1)
    y = replace(lowering.result(unit), swapped=True, staging=row)
    run = _ReductionBand(unit.name, lowering.operand(unit.bottoms[0]), y, lowering, params.main.kind)
    view, tuning = View.of(shape), Tuning(result_type=1, result_buffered=False)
    yield run.task(run.work(shape.height * shape.width), view, (run.x,), run.y, tuning=tuning)


def _real(dimensions: frozenset[Dimension], shape: TensorShape) -> frozenset[Dimension]:
    """The dimensions that a reduction really walks along: those of more than one element, columns with their rows.

    Columns of extent 1 are taken in with rows, and rows of extent 1 with columns: that is the plain form.
    """
    real = {d for d in dimensions if d.extent(shape) > 1}
    if _C in dimensions and len(dimensions) > 1 and {_H, _W} & dimensions and real <= {_C, _H, _W}:
        real.add(_C)
    if _W in real or _H in real or (_C in real and {_H, _W} <= dimensions):
        real |= {d for d in (_H, _W) if d.extent(shape) == 1}
    return frozenset(real)


def _reduce(run: _ReductionBand, shape: TensorShape, dimensions: frozenset[Dimension]) -> Iterator[TaskPlan]:
    if not dimensions:
        yield run.task(COPY, View.of(shape), (run.x,), run.y)
        return
    form = _FORMS.get(dimensions)
    if form is not None:
        yield from form(run, shape)
        return
    first = max((known for known in _FORMS if known < dimensions), key=len)
    yield from _two_steps(run, shape, first, dimensions - first)


def _two_steps(
    run: _ReductionBand, shape: TensorShape, first: frozenset[Dimension], rest: frozenset[Dimension]
) -> Iterator[TaskPlan]:
    between = shape
    for dimension in first:
        between = dimension.resize(between, 1)
    name = f"{run.name}/{'+'.join(d.value for d in Dimension if d in first)}"
    middle = run.lowering.tensor(name, between, TensorPlace.AUTO)
    yield from _reduce(replace(run, name=f"{name}/first", y=middle), shape, first)
    yield from _reduce(replace(run, name=f"{name}/rest", x=middle), between, _real(rest, between))


# One planar task ---------------------------------------------------------------------------------------


def _plain(run: _ReductionBand, shape: TensorShape) -> Iterator[TaskPlan]:
    """Rows and columns of every channel. The engine would take depth in as well: depths are channels here."""
    if shape.depth > 1:
        seen = as_image(shape)
        result = TensorShape(channels=seen.channels)
        run = replace(run, x=replace(run.x, shape=seen), y=replace(run.y, shape=result))
        shape = seen
    yield run.task(run.work(shape.height * shape.width), View.of(shape), (run.x,), run.y)


def _columns(run: _ReductionBand, shape: TensorShape) -> Iterator[TaskPlan]:
    """Columns of every row: rows are groups, or channels where there is one channel."""
    machine = run.machine
    seen = as_image(shape)
    pitch = align(2 * seen.width, machine.bank_bytes)
    if seen.channels > 1 and 2 * pitch * seen.channels > machine.l2_bytes:
        seen = as_matrix(shape)
    result, single = replace(seen, width=1), seen == shape
    most = machine.max_groups if seen.channels > 1 else max(machine.l2_bytes // 2 // pitch, 1)
    for first, count in bands(seen.height, most):
        axes, view = GROUPS, View(seen.width, 1, seen.channels, 1, count)
        if seen.channels == 1:
            axes, view = ROWS, View(seen.width, 1, count)
        x = replace(run.x, axes=axes, shape=run.x.shape if single else seen, offset=(0, 0, 0, first))
        y = replace(run.y, axes=axes, shape=run.y.shape if single else result, offset=(0, 0, 0, first))
        yield run.task(run.work(seen.width), view, (x,), y)


def _everything(run: _ReductionBand, shape: TensorShape) -> Iterator[TaskPlan]:
    """Channels, rows and columns of every item: channels are rows, rows are depth."""
    machine = run.machine
    seen = TensorShape(shape.batch * shape.depth, shape.channels, shape.height, shape.width)
    if 2 * align(2 * shape.width, machine.bank_bytes) * shape.channels * shape.height > machine.l2_bytes:
        rows = shape.channels * shape.height
        if rows > machine.max_height:
            yield from _two_steps(run, shape, frozenset({_H, _W}), frozenset({_C}))
            return
        images = TensorShape(1, seen.batch, rows, shape.width)
        x, y = replace(run.x, shape=images), replace(run.y, shape=TensorShape(channels=seen.batch))
        yield from _plain(replace(run, x=x, y=y), images)
        return
    view = View(shape.width, shape.channels, 1, shape.height)
    for item in range(seen.batch):
        x = replace(run.x, axes=DEEP, shape=run.x.shape if seen == shape else seen, offset=(item, 0, 0, 0))
        y = replace(run.y, shape=run.y.shape if seen == shape else TensorShape(seen.batch), offset=(item, 0, 0, 0))
        yield run.task(run.work(shape.channels * shape.height * shape.width), view, (x,), y)


def _channels_and_columns(run: _ReductionBand, shape: TensorShape) -> Iterator[TaskPlan]:
    """Channels and columns of every row: channels are rows, rows are channels."""
    seen = TensorShape(shape.batch * shape.depth, shape.channels, shape.height, shape.width)
    view = View(shape.width, shape.channels, shape.height)
    for item in range(seen.batch):
        x = replace(run.x, axes=TURNED, shape=run.x.shape if seen == shape else seen, offset=(item, 0, 0, 0))
        result = TensorShape(seen.batch, 1, shape.height)
        y = replace(run.y, axes=TURNED, shape=run.y.shape if seen == shape else result, offset=(item, 0, 0, 0))
        yield run.task(run.work(shape.channels * shape.width), view, (x,), y)


# Channels ----------------------------------------------------------------------------------------------


def _along(dimension: Dimension) -> Callable[[_ReductionBand, TensorShape], Iterator[TaskPlan]]:
    """A dimension before the rows, seen as channels."""

    def tasks(run: _ReductionBand, shape: TensorShape) -> Iterator[TaskPlan]:
        extents, axis = shape.ndchw, dimension.axis
        outer, inner = product(extents[:axis]), product(extents[axis + 1 : 4])
        seen = TensorShape(outer, extents[axis], inner, shape.width)
        result = replace(seen, channels=1)
        own = seen == shape
        for item in range(outer):
            x = replace(run.x, shape=run.x.shape if own else seen, offset=(item, 0, 0, 0))
            y = replace(run.y, shape=run.y.shape if own else result, offset=(item, 0, 0, 0))
            part = replace(run, name=f"{run.name}/{item}", x=x, y=y)
            yield from _channels(part, replace(seen, batch=1))

    return tasks


def _channels(run: _ReductionBand, shape: TensorShape) -> Iterator[TaskPlan]:
    """Channels of every pixel of an image."""
    machine = run.machine
    channels, height, width = shape.channels, shape.height, shape.width
    view = View(width, height, channels)
    if run.kind is ReductionKind.MAX:
        yield run.task(CHANNEL_MAX, view, (run.x,), run.y, result_view=replace(view, channels=1))
        return
    if height * width == 1:
        line = View(height=channels)
        yield run.task(run.work(channels), line, (replace(run.x, axes=TURNED),), run.y)
        return

    def fits(rows: int, columns: int) -> bool:
        staged = align(2 * columns, machine.bank_bytes) * (channels + 1) + 8 * machine.bank_bytes
        return (
            rows * (summed_row(machine, channels, columns) + staged) <= machine.l2_bytes and rows <= machine.max_groups
        )

    rows, columns = tile(machine, height, width, fits)
    for first, count in bands(height, rows):
        for column, part_width in bands(width, columns):
            part = run
            if (count, part_width) != (height, width):
                x, y = _from_row(run.x, first, column), _from_row(run.y, first, column)
                part = replace(run, name=f"{run.name}/{first}.{column}", x=x, y=y)
            yield from _swapped_channels(part, channels, count, part_width)


def _from_row(operand: TaskOperand, first: int, column: int) -> TaskOperand:
    group, depth, channel, row = operand.offset
    return replace(operand, offset=(group, depth, channel, row + first), column=operand.column + column)


def _swapped_channels(run: _ReductionBand, channels: int, height: int, width: int) -> Iterator[TaskPlan]:
    """Channels and columns change places, then every row is reduced as a group."""
    machine = run.machine
    pitch = summed_row(machine, channels, width)
    view, swapped = View(width, height, channels), image(machine, width, pitch, channels)
    shape = TensorShape(1, width, height, channels)
    copy, rows = run.tensor("swapped", shape, 0, swapped), row_groups(shape, always_groups=True)
    x = run.x
    if height * width <= _SMALLEST_IMAGE:
        x = replace(x, staging=flat(align(2 * width, machine.bank_bytes), channels))
    yield run.task(COPY, view, (replace(x, staging_base=pitch * height),), replace(copy, swapped=True))
    step = align(2 * width, machine.bank_bytes)
    y = replace(
        run.y,
        axes={Axis.WIDTH: Axis.WIDTH, Axis.GROUP: Axis.HEIGHT},
        swapped=True,
        staging=Strides(step, step * height, step, 0),
        staging_base=pitch * height,
    )
    tuning = Tuning(result_type=1, result_buffered=False)
    yield run.task(run.work(channels), rows.view, (rows.source(copy, swapped),), y, tuning=tuning)


# Rows --------------------------------------------------------------------------------------------------


def _rows(run: _ReductionBand, shape: TensorShape) -> Iterator[TaskPlan]:
    """Rows of every column and channel."""
    machine = run.machine
    seen = as_image(shape)
    own = seen == shape

    def fits(channels: int, columns: int) -> bool:
        pitch = _turned_pitch(machine, shape.height, columns)
        used = align(2 * columns, machine.bank_bytes) * shape.height
        staged = padded_row(machine, used, columns, 1, ne_distance(columns))
        size = channels * (pitch + max(staged, 3 * machine.bank_bytes * columns))
        return size <= machine.l2_bytes and columns <= machine.max_groups

    height, width = tile(machine, seen.channels, shape.width, fits)
    for first, count in bands(seen.channels, height):
        for column, columns in bands(shape.width, width):
            x = replace(run.x, shape=run.x.shape if own else seen, offset=(0, 0, first, 0), column=column)
            result = run.y.shape if own else replace(seen, height=1)
            y = replace(run.y, shape=result, offset=(0, 0, first, 0), column=column)
            part = replace(run, x=x, y=y)
            if (count, columns) != (seen.channels, shape.width):
                part = replace(part, name=f"{run.name}/{first}.{column}")
            yield from _turned_rows(part, TensorShape(1, count, shape.height, columns))


def _turned_pitch(machine: MachineSpec, height: int, width: int) -> int:
    """Row pitch of an image whose rows have become columns."""
    return odd_row(machine, align(2 * height, machine.bank_bytes) * width)


def _turned_rows(run: _ReductionBand, shape: TensorShape) -> Iterator[TaskPlan]:
    """Rows become columns, every column of the image a group; what is left changes back."""
    machine = run.machine
    channels, height, width = shape.channels, shape.height, shape.width
    column, pitch = align(2 * height, machine.bank_bytes), _turned_pitch(machine, height, width)
    swapped = image(machine, width, pitch, height)
    base = pitch * channels
    copy = run.tensor("swapped", TensorShape(1, width, channels, height), 0, swapped)
    forced = swapped_patch(width)
    yield run.task(
        COPY,
        View(width, channels, height),
        (replace(run.x, axes=TURNED, staging_base=base),),
        replace(copy, swapped=True),
        tuning=Tuning(patch=(forced,) * 3),
    )
    step = machine.bank_bytes * channels
    sums = run.tensor("sums", TensorShape(1, width, channels), base, Strides(step, machine.bank_bytes, step, step))
    source = replace(copy, l2=Strides(pitch, column * width, column * width, column))
    result = replace(sums, l2=Strides(machine.bank_bytes, step * width, step, step))
    yield run.task(run.work(height), View(height, 1, channels, 1, width), (source,), result)
    y = replace(run.y, axes=TURNED, swapped=True, staging_base=base + step * width)
    buffered = width <= _BUFFERED_COLUMNS
    if not buffered:
        y = replace(y, staging=flat(align(2 * width, machine.bank_bytes), 1))
    tuning = Tuning(tile_height=_LAST_TILE_ROWS, result_buffered=buffered, patch=(forced,) * 3 if buffered else None)
    yield run.task(COPY, View(1, channels, width), (sums,), y, tuning=tuning)


_FORMS: Mapping[frozenset[Dimension], Callable[[_ReductionBand, TensorShape], Iterator[TaskPlan]]] = MappingProxyType(
    {
        frozenset({_H, _W}): _plain,
        frozenset({_W}): _columns,
        frozenset({_H}): _rows,
        frozenset({_C}): _along(_C),
        frozenset({_D}): _along(_D),
        frozenset({_N}): _along(_N),
        frozenset({_C, _W}): _channels_and_columns,
        frozenset({_C, _H, _W}): _everything,
    }
)

FAMILIES = (
    Family("reduction", (ReductionParams,), lower),
    Family("flat reduction", (FlatReduction,), lower_flat),
)
