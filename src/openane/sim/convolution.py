"""Convolutions: the padded input, the steps of the kernel stream as offsets in it, and how the work is cut up."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from openane.numerics import rows as column
from openane.numerics.convolve import PIXEL_BLOCK, TILE_BLOCK
from openane.numerics.depthwise import plan_depthwise
from openane.numerics.jit import ROWS, VECTOR
from openane.numerics.panel import SLACK
from openane.numerics.profile import Accumulate, Profile
from openane.numerics.winograd import SIDE
from openane.sim import winograd
from openane.sim.kernel import LoadedKernel, tile_side
from openane.sim.place import Place
from openane.sim.schedule import ScheduleBuilder
from openane.sim.work import MacOperation, MacWork, Work

_MAC_COST, _RESULT_COST, _LOAD_COST, _DEPTHWISE_COST = 1 / 32, 0.6, 0.4, 1 / 8
"""Nanoseconds a multiply-add, an output, an element."""
_UNIT_COST = 30_000
"""Nanoseconds that a unit may take when there are few of them."""
_FEW_UNITS = 8


@dataclass(frozen=True, eq=False, slots=True)
class Geometry:
    """Where a convolution reads its pixels, counted in elements of the padded image or of the memory.

    Attributes:
        taps: (steps,) offset of each step.
        group_step: from a group to the next.
        row_step, spacing: from a row of pixels to the next, and of neighbours in a row.
        width: pixels of a row.
    """

    taps: npt.NDArray[np.int64]
    group_step: int
    row_step: int
    spacing: int
    width: int


def add_convolution(
    schedule: ScheduleBuilder, task: Work, profile: Profile, loaded: LoadedKernel, source: Place, result: Place
) -> None:
    """Adds the rows of a convolution or transposed convolution."""
    work = task.engine
    assert isinstance(work, MacWork)
    if work.inputs_per_output:
        _add_depthwise(schedule, task, work, profile, loaded, source, result)
        return
    cut = profile.accumulate is Accumulate.TILE4
    columns = {
        **loaded.columns,
        **loaded.ending.straight_columns(schedule, cut),
        column.RESULT: result.base,
        column.CUT: cut,
    }
    if loaded.in_tiles:
        shape = _add_load(schedule, task, work, source, SIDE)
        columns[column.RESULT_STRIDES] = schedule.integers(result.strides)
        plane = shape.group_step // task.view[2]
        winograd.add_tiles(schedule, task, columns, (shape.group_step, plane, shape.row_step))
        return
    direct = _direct(task, work, source)
    shape = direct or _add_load(schedule, task, work, source)
    groups, _, channels, height, width = task.result_view
    pixels, strides = height * width, list(result.strides)
    if width == 1:  # one column is a row of its own
        strides[3:], width = (0, strides[3] or 1), height
    side = tile_side(task, profile)
    tiles, vectors = -(-channels // side), -(-pixels // VECTOR)
    cost = task.macs * _MAC_COST + groups * channels * pixels * _RESULT_COST
    most = TILE_BLOCK if side == ROWS else PIXEL_BLOCK // side
    channel_parts, pixel_parts = _parts(groups, tiles, vectors, cost, most)
    columns |= {
        column.FIRST: source.base if direct else 0,
        column.RESULT_STRIDES: schedule.integers(strides),
        column.RESULT_WIDTH: width,
        column.TAPS: schedule.integers(shape.taps),
        column.TAPS_SIZE: shape.taps.size,
        column.DIRECT: direct is not None,
        column.GROUP_STEP: shape.group_step,
        column.ROW_STEP: shape.row_step,
        column.SPACING: shape.spacing,
        column.WIDTH: shape.width,
        column.PIXELS: pixels,
        column.PIXEL_PARTS: pixel_parts,
        column.CHANNELS: channels,
        column.SIDE: side,
        column.CHANNEL_PARTS: channel_parts,
    }
    kind = column.CONVOLVE if columns[column.STRAIGHT] else column.CONVOLVE_ROWS
    if side != ROWS:
        kind = column.CONVOLVE_FEW
    schedule.row(kind, groups * channel_parts * pixel_parts, cost, columns)


def _parts(groups: int, tiles: int, vectors: int, cost: float, most_tiles: int) -> tuple[int, int]:
    """Parts of the channels and of the pixels: none larger than a unit may be, and enough of them to share.

    Another part of the pixels widens the weights once more, another part of the channels gathers the pixels once more,
    which takes longer.
    """
    channel_parts, pixel_parts = -(-tiles // most_tiles), -(-vectors * VECTOR // PIXEL_BLOCK)
    wanted = min(_FEW_UNITS, cost / _UNIT_COST)
    while groups * channel_parts * pixel_parts < wanted:
        if vectors >= 4 * pixel_parts:
            pixel_parts *= 2
        elif tiles >= 8 * channel_parts:
            channel_parts *= 2
        else:
            break
    return channel_parts, pixel_parts


def _direct(task: Work, work: MacWork, source: Place) -> Geometry | None:
    """The geometry when the pixels of a step are the source's own, side by side; None when they must be loaded."""
    assert work.kernel is not None
    height, width = task.result_view[3:]
    plain = work.operation is MacOperation.CONVOLUTION and (work.window, work.stride) == ((1, 1), (1, 1))
    inside = height <= task.view[3] and width <= task.view[4]
    steps = list(source.strides)
    if not plain or work.relu_in or not inside or (width > 1 and steps[4] != 1):
        return None
    if width == 1 and height > 1:
        if steps[3] != 1:
            return None
        steps[3], width = 0, height
    taps = work.kernel.steps[:, 0] * steps[2]
    if steps[3] == width:
        width = height * width
    return Geometry(taps.astype(np.int64), steps[0], steps[3], 1, width)


def _add_load(schedule: ScheduleBuilder, task: Work, work: MacWork, source: Place, together: int = 1) -> Geometry:
    """Adds the row that fills the padded image; right and bottom padding follow from the size of the result, of which
    so many rows and columns are computed `together`."""
    assert work.kernel is not None
    groups, _, channels, height, width = task.view
    out_height, out_width = (-(-extent // together) * together for extent in task.result_view[3:])
    grow, step = _spread(work)
    inner = ((height - 1) * grow[0] + 1, (width - 1) * grow[1] + 1)
    rows = max(inner[0] + work.pad[0], (out_height - 1) * step[0] + work.window[0])
    columns = max(inner[1] + work.pad[1], (out_width - 1) * step[1] + work.window[1])
    plane = rows * columns
    schedule.image(groups * channels * plane + SLACK)
    units, cost = groups * channels * rows, groups * channels * plane * _LOAD_COST
    values = {
        column.FIRST: source.base,
        column.FIRST_STRIDES: schedule.integers(source.strides),
        column.EXTENTS: schedule.integers(task.view),
        column.RELU_IN: work.relu_in,
        column.RESULT_STRIDES: schedule.integers((channels * plane, 0, plane, columns * grow[0], grow[1])),
        column.SHAPE: schedule.integers((rows, columns, *work.pad)),
    }
    schedule.row(column.LOAD, units, cost, values)
    steps = work.kernel.steps
    taps = steps[:, 0] * plane + steps[:, 1] * columns + steps[:, 2]
    row_step = step[0] * columns
    whole = row_step == out_width * step[1]
    return Geometry(
        taps.astype(np.int64), channels * plane, row_step, step[1], out_height * out_width if whole else out_width
    )


def _add_depthwise(
    schedule: ScheduleBuilder, task: Work, work: MacWork, profile: Profile, loaded: LoadedKernel, source: Place,
    result: Place,
) -> None:  # fmt: skip
    assert work.kernel is not None
    grow, step = _spread(work)
    steps = work.kernel.steps
    shape, taps, units = plan_depthwise(
        task.view, task.result_view, work.inputs_per_output, step, grow, work.pad, steps
    )
    cut = profile.accumulate is Accumulate.TILE4
    columns = {
        **loaded.columns,
        **loaded.ending.straight_columns(schedule, cut),
        column.FIRST: source.base,
        column.FIRST_STRIDES: schedule.integers(source.strides),
        column.RELU_IN: work.relu_in,
        column.SHAPE: schedule.integers(shape),
        column.SHAPE_SIZE: shape.size,
        column.TAPS: schedule.integers(taps),
        column.TAPS_SIZE: taps.size,
        column.CUT: cut,
        column.RESULT: result.base,
        column.RESULT_STRIDES: schedule.integers(result.strides),
    }
    cost = task.macs * _DEPTHWISE_COST + math.prod(task.result_view) * _RESULT_COST + task.elements * _LOAD_COST
    schedule.row(column.DEPTHWISE, units, cost, columns)


def _spread(work: MacWork) -> tuple[tuple[int, int], tuple[int, int]]:
    """Distance of neighbours in the padded input, and of the windows of two neighbouring results."""
    spread = work.operation is MacOperation.TRANSPOSED
    return (work.stride, (1, 1)) if spread else ((1, 1), work.stride)
