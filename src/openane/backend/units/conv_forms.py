"""Convolutions that the engine does not have as one task, made of those it has.

A form is a function that rewrites a convolution into simpler ones; `convolve` picks one and each may call it again.
What the engine has is on record: stride 1 and stride 2, no dilation, kernels of up to 13 columns and 29 rows, zeros in
front.

- dilation: zeros between the taps while the kernel stays small, else one convolution for each phase of rows;
- other strides: phases of rows and columns become channels (space to depth), the stride becomes 1;
- large kernels: sums of convolutions with some of the rows; wide ones with rows and columns exchanged;
- transposed: one convolution for each phase of the result.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from openane.backend.ir.plan import (
    Axis,
    Nonlinearity,
    PeArithmetic,
    PeMode,
    PeWork,
    TaskOperand,
    TaskPlan,
    TensorPlace,
    View,
)
from openane.backend.units.conv import ConvolutionJob, image_tasks, reach, slices
from openane.backend.units.conv_pairs import is_paired, pair_tasks
from openane.backend.units.copy import copy_task, part, swap_task, turn_back, turned
from openane.backend.units.functions import NeFunction
from openane.backend.units.shape import transpose_task
from openane.backend.units.unary import planar_task, table_task
from openane.core.errors import UnsupportedError
from openane.net.net import TensorShape

if TYPE_CHECKING:
    from openane.backend.lowering import UnitLowering

#: Axes of a transpose that exchanges rows and columns.
_ROWS_AND_COLUMNS = (0, 1, 2, 4, 3)


@dataclass(frozen=True, slots=True)
class Site:
    """Where a convolution of one image happens.

    Attributes:
        name: prefix of intermediate tensors.
        shape, source: the input image.
        result_shape, result: the result image.
        lowering: of the network.
    """

    name: str
    shape: TensorShape
    source: TaskOperand
    result_shape: TensorShape
    result: TaskOperand
    lowering: UnitLowering

    def tensor(self, name: str, shape: TensorShape) -> tuple[str, TaskOperand]:
        """A new intermediate tensor and its name."""
        full = f"{self.name}/{name}"
        return full, self.lowering.tensor(full, shape, TensorPlace.AUTO)


def convolve(job: ConvolutionJob, site: Site) -> Iterator[TaskPlan]:
    """All tasks of a convolution of one image, whatever its stride, dilation and kernel size."""
    machine = site.lowering.machine
    job = _trimmed(job, site)
    rows, columns = job.kernel.shape[2:]
    (dx, dy), (sx, sy) = job.dilation, job.stride
    reach_x, reach_y = (columns - 1) * dx + 1, (rows - 1) * dy + 1
    if (dx, dy) != (1, 1):
        small = reach_x <= machine.max_kernel_width and reach_y <= machine.max_kernel_height
        if small or (sx, sy) != (1, 1) or ((dy == 1 or dy > site.shape.height) and (dx == 1 or dx > site.shape.width)):
            yield from convolve(job.stuffed(), site)
        elif 1 < dy <= site.shape.height and (
            reach_y > machine.max_kernel_width or reach_x <= machine.max_kernel_width
        ):
            yield from _row_phases(job, site)
        else:
            yield from _exchanged(job, site)
    elif (sx, sy) == (2, 1):
        yield from _odd_and_even_rows(job, site)
    elif (sx, sy) not in ((1, 1), (2, 2)):
        yield from _space_to_depth(job, site)
    elif columns > machine.max_kernel_width and rows <= machine.max_kernel_width:
        yield from _exchanged(job, site)
    elif rows > machine.max_kernel_height or columns > machine.max_kernel_width:
        yield from _split_rows(job, site)
    else:
        job = _reaching(job, site)
        place = site.shape, site.result_shape, site.source, site.result, site.lowering
        paired = pair_tasks(job, *place) if is_paired(job) else None
        yield from paired or image_tasks(job, *place)


def _trimmed(job: ConvolutionJob, site: Site) -> ConvolutionJob:
    """Without the outer rows and columns of the kernel that only ever see padding, when the engine lacks the kernel."""
    if job.stuffed().is_native(site.lowering.machine):
        return job
    kernel, pads = job.kernel, [job.pad_top, job.pad_left]
    extents = ((site.shape.height, site.result_shape.height), (site.shape.width, site.result_shape.width))
    for axis, (extent, results) in enumerate(extents):
        step, dilation = job.stride[1 - axis], job.dilation[1 - axis]
        first = [tap * dilation - pads[axis] for tap in range(kernel.shape[2 + axis])]
        used = [tap for tap, start in enumerate(first) if start < extent and start + (results - 1) * step >= 0]
        if not used:
            kernel, pads[axis] = np.zeros_like(np.take(kernel, [0], axis=2 + axis)), 0
            continue
        if len(used) == len(first):
            continue
        front = min(used[0], pads[axis] // dilation)  # only padding can be taken away in front
        kernel = np.take(kernel, range(front, used[-1] + 1), axis=2 + axis)
        pads[axis] -= front * dilation
    if kernel is job.kernel:
        return job
    return replace(job, kernel=kernel, pad_top=pads[0], pad_left=pads[1])


def _reaching(job: ConvolutionJob, site: Site) -> ConvolutionJob:
    """With zero taps around the kernel so that every window touches the image, which the engine may rely on."""
    front, back = [0, 0], [0, 0]
    extents = ((site.shape.height, site.result_shape.height), (site.shape.width, site.result_shape.width))
    for axis, (extent, results) in enumerate(extents):
        pad = (job.pad_top, job.pad_left)[axis]
        front[axis] = max((results - 1) * job.stride[1 - axis] - pad - extent + 1, 0)
        back[axis] = max(pad - job.kernel.shape[2 + axis] + 1, 0)
    if not any((*front, *back)):
        return job
    kernel = np.pad(job.kernel, ((0, 0), (0, 0), (front[0], back[0]), (front[1], back[1])))
    wider = replace(job, kernel=kernel, pad_top=job.pad_top + front[0], pad_left=job.pad_left + front[1])
    if not wider.is_native(site.lowering.machine):
        found = f"a kernel of {kernel.shape[2]}x{kernel.shape[3]} with zeros"
        raise UnsupportedError.of(reach, found, machine=site.lowering.machine)
    return wider


def _from_row(job: ConvolutionJob, site: Site, pad: int) -> tuple[ConvolutionJob, Site]:
    """The convolution with `pad` rows of zeros on top; a negative number skips rows of the image."""
    if pad >= 0:
        return replace(job, pad_top=pad), site
    if -pad >= site.shape.height:  # no tap ever sees the image
        return replace(job, kernel=np.zeros_like(job.kernel[:, :, :1]), pad_top=0), site
    shape = replace(site.shape, height=site.shape.height + pad)
    return replace(job, pad_top=0), replace(site, shape=shape, source=part(site.source, Axis.HEIGHT, -pad))


# Dilation and strides ------------------------------------------------------------------------------------------------


def _row_phases(job: ConvolutionJob, site: Site) -> Iterator[TaskPlan]:
    """Rows that are `dilation` apart form images of their own, without dilation."""
    dilation = job.dilation[1]
    for phase in range(min(dilation, site.result_shape.height)):
        skipped, first = divmod(phase - job.pad_top, dilation)
        count = -(-(site.shape.height - first) // dilation)
        rows = -(-(site.result_shape.height - phase) // dilation)
        inner = replace(
            site,
            name=f"{site.name}/rows{phase}",
            shape=replace(site.shape, height=count),
            source=part(site.source, Axis.HEIGHT, first, dilation),
            result_shape=replace(site.result_shape, height=rows),
            result=part(site.result, Axis.HEIGHT, phase, dilation),
        )
        yield from convolve(*_from_row(replace(job, dilation=(job.dilation[0], 1)), inner, -skipped))


def _odd_and_even_rows(job: ConvolutionJob, site: Site) -> Iterator[TaskPlan]:
    """Stride 2 along columns only: even and odd rows of the result by convolutions of stride 2."""
    for phase in range(min(2, site.result_shape.height)):
        inner = replace(
            site,
            name=f"{site.name}/rows{phase}",
            result_shape=replace(site.result_shape, height=-(-(site.result_shape.height - phase) // 2)),
            result=part(site.result, Axis.HEIGHT, phase, 2),
        )
        yield from convolve(*_from_row(replace(job, stride=(2, 2)), inner, job.pad_top - phase))


def _space_to_depth(job: ConvolutionJob, site: Site) -> Iterator[TaskPlan]:
    """Every stride x stride block of pixels becomes channels; the convolution then has stride 1."""
    sx, sy = job.stride
    kernel, pad_top = _blocked(job.kernel, 2, sy, job.pad_top)
    kernel, pad_left = _blocked(kernel, 4, sx, job.pad_left)
    outputs, _, rows, _, columns, _ = kernel.shape
    kernel = kernel.transpose(0, 1, 3, 5, 2, 4).reshape(outputs, -1, rows, columns)
    height = _needed(site.shape.height, sy, site.result_shape.height + rows - 1 - pad_top)
    width = _needed(site.shape.width, sx, site.result_shape.width + columns - 1 - pad_left)
    current, shape = site.source, site.shape
    if sy > 1:
        taller = replace(shape, channels=shape.channels * sy, height=height)
        name, target = site.tensor("rows", taller)
        yield from _rows_to_channels(name, current, shape, target, taller, sy, site.lowering)
        current, shape = target, taller
    if sx > 1:
        wider = replace(shape, channels=shape.channels * sx, width=width)
        name, target = site.tensor("columns", wider)
        yield from _columns_to_channels(name, current, shape, target, wider, sx, site.lowering)
        current, shape = target, wider
    inner = replace(job, kernel=kernel, stride=(1, 1), pad_top=pad_top, pad_left=pad_left)
    yield from convolve(inner, replace(site, name=f"{site.name}/blocks", shape=shape, source=current))


def _blocked(kernel: np.ndarray, axis: int, step: int, pad: int) -> tuple[np.ndarray, int]:
    """Splits a tap axis into (blocks, phases); zeros in front make the padding whole blocks."""
    blocks = -(-pad // step)
    front = blocks * step - pad
    taps = kernel.shape[axis]
    count = -(-(taps + front) // step)
    widths = [(0, 0)] * kernel.ndim
    widths[axis] = (front, count * step - taps - front)
    padded = np.pad(kernel, widths)
    shape = padded.shape
    return padded.reshape(*shape[:axis], count, step, *shape[axis + 1 :]), blocks


def _needed(extent: int, step: int, wanted: int) -> int:
    """Blocks of an axis that the convolution looks at."""
    return max(min(-(-extent // step), wanted), 1)


def _rows_to_channels(
    name: str,
    source: TaskOperand,
    shape: TensorShape,
    target: TaskOperand,
    taller: TensorShape,
    step: int,
    lowering: UnitLowering,
) -> Iterator[TaskPlan]:
    """Row phase p of channel c becomes channel c * step + p; rows beyond the image are zero."""
    for phase in range(step):
        count = min(-(-(shape.height - phase) // step), taller.height)
        channels = part(target, Axis.CHANNEL, phase, step)
        if count > 0:
            yield copy_task(part(source, Axis.HEIGHT, phase, step), replace(shape, height=count), channels)
        if count < taller.height:
            missing = replace(shape, height=taller.height - max(count, 0))
            zeros = lowering.constant(f"{name}/zeros{phase}", np.zeros(missing.ndchw, np.float16))
            yield copy_task(zeros, missing, part(channels, Axis.HEIGHT, max(count, 0)))


def _columns_to_channels(
    name: str,
    source: TaskOperand,
    shape: TensorShape,
    target: TaskOperand,
    wider: TensorShape,
    step: int,
    lowering: UnitLowering,
) -> Iterator[TaskPlan]:
    """Column phase p of channel c becomes channel c * step + p, by way of a tensor whose channels are the columns."""
    padded = turned(replace(shape, width=max(wider.width * step, shape.width)))
    middle = lowering.tensor(f"{name}/turned", padded, TensorPlace.AUTO)
    yield swap_task(source, View.of(shape), middle)
    if padded.channels > shape.width:
        missing = replace(padded, channels=padded.channels - shape.width)
        zeros = lowering.constant(f"{name}/zeros", np.zeros(missing.ndchw, np.float16))
        yield copy_task(zeros, missing, part(middle, Axis.CHANNEL, shape.width))
    narrow = replace(shape, width=wider.width)
    for phase in range(step):
        yield turn_back(part(middle, Axis.CHANNEL, phase, step), narrow, part(target, Axis.CHANNEL, phase, step))


# Large kernels -------------------------------------------------------------------------------------------------------


def _exchanged(job: ConvolutionJob, site: Site) -> Iterator[TaskPlan]:
    """The same convolution of the image with rows and columns exchanged."""
    shape, result_shape = (
        replace(each, width=each.height, height=each.width) for each in (site.shape, site.result_shape)
    )
    name, source = site.tensor("exchanged", shape)
    _, result = site.tensor("exchanged result", result_shape)
    yield transpose_task(_ROWS_AND_COLUMNS, site.source, site.shape, source, shape)
    inner = replace(
        job,
        kernel=job.kernel.swapaxes(2, 3),
        stride=job.stride[::-1],
        dilation=job.dilation[::-1],
        pad_left=job.pad_top,
        pad_top=job.pad_left,
    )
    yield from convolve(inner, Site(name, shape, source, result_shape, result, site.lowering))
    yield transpose_task(_ROWS_AND_COLUMNS, result, result_shape, site.result, site.result_shape)


def _split_rows(job: ConvolutionJob, site: Site) -> Iterator[TaskPlan]:
    """Some rows of the kernel at a time; the partial sums are rounded to fp16 and added up in place.

    A piece is computed only for those rows of the result whose windows touch the image.
    """
    pieces = sorted(_row_pieces(job, site), key=lambda piece: piece.rows.start - piece.rows.stop)
    if not pieces or len(pieces[0].rows) < site.result_shape.height:
        pieces.insert(0, RowPiece(0, 0, range(site.result_shape.height)))
    plain = job.function.nonlinearity is not Nonlinearity.TABLE and job.function.post_scale == 1.0
    total = site.result if plain else site.tensor("total", site.result_shape)[1]
    for number, piece in enumerate(pieces):
        first, last = number == 0, number + 1 == len(pieces)
        partial_shape = replace(site.result_shape, height=len(piece.rows))
        name, target = (site.name, total) if first else site.tensor(f"sum{number}", partial_shape)
        pad = job.pad_top - piece.first - piece.rows.start * job.stride[1]
        taps = job.kernel[:, :, piece.first : piece.first + piece.count]
        inner = replace(
            job,
            kernel=taps if piece.count else np.zeros_like(job.kernel[:, :, :1]),
            bias=job.bias if first else None,
            function=NeFunction(),
        )
        where = replace(site, name=f"{name}/part{number}", result_shape=partial_shape, result=target)
        yield from convolve(*_from_row(inner, where, pad))
        if not first:
            rows = part(total, Axis.HEIGHT, piece.rows.start)
            yield planar_task(
                PeWork(PeMode.BINARY, PeArithmetic.ADD),
                partial_shape,
                (rows, target),
                rows,
            )
        if last and job.function != NeFunction():
            yield table_task(site.lowering.machine, job.function, site.result_shape, total, site.result)


@dataclass(frozen=True, slots=True)
class RowPiece:
    """Some rows of a kernel.

    Attributes:
        first, count: the rows; none for a piece that only gives the bias.
        rows: of the result, whose windows touch the image.
    """

    first: int
    count: int
    rows: range


def _row_pieces(job: ConvolutionJob, site: Site) -> Iterator[RowPiece]:
    machine = site.lowering.machine
    most = machine.max_kernel_height if job.kernel.shape[3] <= machine.max_kernel_width else machine.max_kernel_width
    step = job.stride[1]
    for first in range(0, job.kernel.shape[2], most):
        count = min(most, job.kernel.shape[2] - first)
        start = max(-((first + count - 1 - job.pad_top) // step), 0)
        stop = min((site.shape.height - 1 + job.pad_top - first) // step + 1, site.result_shape.height)
        if start < stop:
            yield RowPiece(first, count, range(start, stop))


# Transposed ----------------------------------------------------------------------------------------------------------


def transposed(job: ConvolutionJob, site: Site) -> Iterator[TaskPlan]:
    """One convolution for each phase of the result; phases of columns are put together as channels.

    The result at y takes the taps k with y + pad = i * stride + k * dilation for some row i of the input.
    """
    if _only_repeats(job, site):
        yield from _repeated_pixels(job.stride, site)
        return
    sx, sy = job.stride
    direct = sx == 1
    shape = site.result_shape
    middle = site.result if direct else site.tensor("turned", turned(shape))[1]
    for row in range(min(sy, shape.height)):
        rows, pad_top = _phase_taps(job.kernel.shape[2], sy, job.dilation[1], row + job.pad_top)
        for column in range(min(sx, shape.width)):
            columns, pad_left = _phase_taps(job.kernel.shape[3], sx, job.dilation[0], column + job.pad_left)
            kernel = _gathered(_gathered(job.kernel, 2, rows), 3, columns)
            inner = replace(job, kernel=kernel, stride=(1, 1), dilation=(1, 1), pad_left=pad_left, pad_top=pad_top)
            count = replace(shape, height=-(-(shape.height - row) // sy), width=-(-(shape.width - column) // sx))
            target = part(middle, Axis.HEIGHT, row, sy)
            if not direct:
                target = part(target, Axis.CHANNEL, column, sx)
            yield from _phase(inner, site, f"phase{row}.{column}", count, target, turn=not direct)
    if not direct:
        yield turn_back(middle, shape, site.result)


def _only_repeats(job: ConvolutionJob, site: Site) -> bool:
    """Whether every pixel just becomes a block of the same pixels: nearest resizing."""
    sx, sy = job.stride
    ones = job.depthwise and job.kernel.shape[2:] == (sy, sx) and bool(np.all(job.kernel == 1.0))
    shape, result = site.shape, site.result_shape
    whole = (result.height, result.width) == (shape.height * sy, shape.width * sx)
    return ones and whole and job.bias is None and job.function == NeFunction() and not (job.pad_left or job.pad_top)


def _repeated_pixels(factors: tuple[int, int], site: Site) -> Iterator[TaskPlan]:
    """Columns repeated as channels of a turned tensor, rows by writing every n-th one."""
    sx, sy = factors
    source, wide = site.source, replace(site.shape, width=site.result_shape.width)
    if sx > 1:
        _, columns = site.tensor("turned", turned(site.shape))
        _, source = site.tensor("repeated", turned(wide))
        yield swap_task(site.source, View.of(site.shape), columns)
        for column in range(sx):
            yield copy_task(columns, turned(site.shape), part(source, Axis.CHANNEL, column, sx))
    for row in range(sy):
        rows = part(site.result, Axis.HEIGHT, row, sy)
        yield turn_back(source, wide, rows) if sx > 1 else copy_task(source, wide, rows)


def _phase_taps(taps: int, stride: int, dilation: int, start: int) -> tuple[list[int], int]:
    """The taps of one phase as a kernel over the input: tap number or -1 (zero) for each place, and zeros in front."""
    places = {(start - tap * dilation) // stride: tap for tap in range(taps) if (start - tap * dilation) % stride == 0}
    if not places:
        return [-1], 0
    first = min(places)
    return [places.get(place, -1) for place in range(first, max(places) + 1)], -first


def _gathered(kernel: np.ndarray, axis: int, taps: list[int]) -> np.ndarray:
    """The taps of an axis in another order; -1 gives zeros."""
    zeros = np.zeros_like(np.take(kernel, [0], axis=axis))
    return np.take(np.concatenate([kernel, zeros], axis=axis), taps, axis=axis)


def _phase(
    job: ConvolutionJob, site: Site, name: str, shape: TensorShape, target: TaskOperand, *, turn: bool
) -> Iterator[TaskPlan]:
    """A convolution of stride 1 whose result goes to every n-th row, and column by way of channels."""
    if job.pad_left < 0:
        # Columns cannot be skipped by an address: a wider kernel looks further right.
        job = replace(job, kernel=np.pad(job.kernel, ((0, 0), (0, 0), (0, 0), (-job.pad_left, 0))), pad_left=0)
    inner = replace(site, name=f"{site.name}/{name}", result_shape=shape)
    job, inner = _from_row(job, inner, job.pad_top)
    if not turn:
        yield from convolve(job, replace(inner, result=target))
        return
    if job.groups == 1 and len(slices(site.lowering.packing, job, shape)) == 1 and job.is_native(site.lowering.machine):
        job, swapped = _reaching(job, inner), replace(target, swapped=True)
        yield from image_tasks(job, inner.shape, shape, inner.source, swapped, site.lowering)
        return
    _, plain = inner.tensor("plain", shape)
    yield from convolve(job, replace(inner, result=plain))
    yield swap_task(plain, View.of(shape), target)
