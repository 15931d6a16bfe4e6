"""Convolutions: where they read their pixels, and how the work is cut up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from openane.core.errors import InputError
from openane.sim.addressing import Address
from openane.sim.decoded_task import DecodedTask, MacOperation, MacWork
from openane.sim.kernel import LoadedKernel, is_swapped
from openane.sim.kernels.library import LARGEST_IMAGE, MOST_SUMS, PANEL, PANELS, SLACK, TILE, TILES, KernelKind
from openane.sim.schedule import ScheduleBuilder

_MAC_COST, _RESULT_COST, _LOAD_COST, _DEPTHWISE_COST = 1 / 60, 0.3, 0.2, 1 / 20
"""Nanoseconds a multiply-add, an output, an element."""
_UNIT_COST = 20_000
"""Nanoseconds that a unit may take when there are few of them."""
_IMAGE_AIM = 6144
"""Numbers of a block of a depthwise convolution that stay in the first cache."""
_LARGEST_WINDOW, _LARGEST_STEP = 128, 16


@dataclass(frozen=True, eq=False, slots=True)
class Geometry:
    """Where a dense convolution reads its pixels, counted in fp16 words.

    Attributes:
        base: of the first pixel.
        in_image: whether it is in the padded image, else in the memory.
        taps: (steps,) from a pixel to what each step reads.
        group_step, row_step: from a group and from a row of pixels to the next.
        width: pixels of a row, which are adjacent.
    """

    base: int
    in_image: bool
    taps: npt.NDArray[np.int64]
    group_step: int
    row_step: int
    width: int


def add_convolution(
    schedule: ScheduleBuilder, task: DecodedTask, loaded: LoadedKernel, source: Address, result: Address
) -> None:
    """Adds the rows of a convolution or transposed convolution.

    Raises:
        InputError: a window or stride that is too large.
    """
    work = task.engine
    assert isinstance(work, MacWork) and work.kernel is not None
    columns = {
        **loaded.columns,
        "steps": work.kernel.step_count,
        "fast": schedule.fast,
        "result": result.base,
        "result_strides": result.strides,
    }
    if work.inputs_per_output:
        _add_depthwise(schedule, task, work, columns, source)
    else:
        _add_dense(schedule, task, work, columns, source)


def _add_dense(
    schedule: ScheduleBuilder, task: DecodedTask, work: MacWork, columns: dict[str, Any], source: Address
) -> None:
    shape = _direct(task, work, source) or _add_load(schedule, task, work, source)
    groups, _, channels, height, width = task.result_view
    strides = list(columns["result_strides"])
    if width == 1:  # one column is a row of its own
        strides[3:], width = (0, strides[3] or 1), height
    pixels = math.prod(task.result_view[3:])
    cost = task.macs * _MAC_COST + math.prod(task.result_view) * _RESULT_COST
    swapped = is_swapped(task)
    wanted = min(schedule.units, int(cost) // _UNIT_COST)
    channel_parts, pixel_parts = _parts(groups, channels, pixels, wanted, swapped=swapped)
    columns |= {
        "first": shape.base,
        "in_image": shape.in_image,
        "taps": schedule.integers(shape.taps),
        "group_step": shape.group_step,
        "row_step": shape.row_step,
        "width": shape.width,
        "pixels": pixels,
        "channels": channels,
        "pixel_parts": pixel_parts,
        "channel_parts": channel_parts,
        "result_width": width,
        "result_strides": strides,
        "swapped": swapped,
    }
    schedule.row(KernelKind.CONVOLVE, groups * channel_parts * pixel_parts, cost, columns)


def _parts(groups: int, channels: int, pixels: int, wanted: int, *, swapped: bool) -> tuple[int, int]:
    """Parts of the channels and of the pixels: none larger than a unit may be, and as many as are wanted to share.

    Another part of the pixels reads the weights once more, another part of the channels the pixels, which takes longer.
    """
    size = {"channels": PANEL if swapped else TILE, "pixels": TILE if swapped else PANEL}
    most = {"channels": PANELS if swapped else TILES, "pixels": TILES if swapped else PANELS}
    blocks = {"channels": -(-channels // size["channels"]), "pixels": -(-pixels // size["pixels"])}
    parts = {side: -(-blocks[side] // most[side]) for side in blocks}
    first, second = ("channels", "pixels") if channels > 2 * pixels else ("pixels", "channels")
    while groups * parts["channels"] * parts["pixels"] < wanted:
        side = first if blocks[first] >= 2 * parts[first] else second
        if blocks[side] < 2 * parts[side]:
            break
        parts[side] *= 2
    return parts["channels"], parts["pixels"]


def _direct(task: DecodedTask, work: MacWork, source: Address) -> Geometry | None:
    """The geometry when the pixels of a step are the source's own, side by side; None when they must be loaded."""
    assert work.kernel is not None
    height, width = task.result_view[3:]
    steps, (down, across) = list(source.strides), work.stride
    inside = all(
        (out - 1) * step + window <= extent
        for out, step, window, extent in zip((height, width), work.stride, work.window, task.view[3:], strict=True)
    )
    plain = work.operation is MacOperation.CONVOLUTION and work.pad == (0, 0) and inside and not work.relu_in
    side_by_side = steps[4] == 1 and across == 1
    if not plain or not (side_by_side or width == 1):
        return None
    taps = work.kernel.steps @ np.array([steps[2], steps[3], steps[4]])
    row_step = steps[3] * down
    if width == 1 and height > 1:
        if row_step != 1:
            return None
        row_step, width = 0, height
    elif row_step == width:
        width = height * width
    return Geometry(source.base, False, taps.astype(np.int64), steps[0], row_step, width)


def _add_load(schedule: ScheduleBuilder, task: DecodedTask, work: MacWork, source: Address) -> Geometry:
    """Adds the row that fills the padded image; right and bottom padding follow from the size of the result.

    Rows of the image are as long as whole steps of the window: the columns of each place in a step are adjacent.
    """
    assert work.kernel is not None
    groups, _, channels, height, width = task.view
    out_height, out_width = task.result_view[3:]
    grow, step = spread(work)
    strides, pad, window = source.strides, work.pad, work.window
    if window == (1, 1) and pad == (0, 0) and grow == (1, 1):  # other pixels than those are not looked at
        strides = (*strides[:3], strides[3] * step[0], strides[4] * step[1])
        height, width, step = min(height, -(-height // step[0])), min(width, -(-width // step[1])), (1, 1)
    rows = max((height - 1) * grow[0] + 1 + pad[0], (out_height - 1) * step[0] + window[0])
    columns = max((width - 1) * grow[1] + 1 + pad[1], (out_width - 1) * step[1] + window[1])
    columns = -(-columns // step[1]) * step[1]
    plane, part = rows * columns, columns // step[1]
    schedule.image(groups * channels * plane + SLACK)
    values = {
        "first": source.base,
        "first_strides": strides,
        "view": (groups, 1, channels, height, width),
        "relu_in": work.relu_in,
        "grow": grow,
        "stride": step,
        "pad": pad,
        "block": (rows, columns),
    }
    schedule.row(KernelKind.LOAD, groups * channels * rows, groups * channels * plane * _LOAD_COST, values)
    channel, y, x = work.kernel.steps.T
    taps = channel * plane + y * columns + x % step[1] * part + x // step[1]
    row_step = step[0] * columns
    if row_step == out_width:
        out_width *= out_height
    return Geometry(0, True, taps.astype(np.int64), channels * plane, row_step, out_width)


def _add_depthwise(
    schedule: ScheduleBuilder, task: DecodedTask, work: MacWork, columns: dict[str, Any], source: Address
) -> None:
    assert work.kernel is not None
    grow, step = spread(work)
    if max(work.window) > _LARGEST_WINDOW or max(step) > _LARGEST_STEP:
        limit = f"{_LARGEST_WINDOW} and {_LARGEST_STEP}"
        raise InputError("the window or its stride is too large", value=(*work.window, *step), limit=limit)
    block = depthwise_block(task, work)
    columns |= {
        "first": source.base,
        "first_strides": source.strides,
        "view": task.view,
        "result_view": task.result_view,
        "relu_in": work.relu_in,
        "inputs": work.inputs_per_output,
        "taps": schedule.integers(work.kernel.steps),
        "window": work.window,
        "stride": step,
        "grow": grow,
        "pad": work.pad,
        "block": block,
    }
    *outer, height, width = task.result_view
    units = math.prod(outer) * -(-height // block[0]) * -(-width // block[1])
    cost = task.macs * _DEPTHWISE_COST + math.prod(task.result_view) * _RESULT_COST + task.elements * _LOAD_COST
    schedule.row(KernelKind.DEPTHWISE, units, cost, columns)


def depthwise_block(task: DecodedTask, work: MacWork) -> tuple[int, int]:
    """Rows and columns of the results of a unit: as many as fit into the first cache, or at least into the image."""
    height, width = task.result_view[3:]
    _, step = spread(work)
    before = (work.window[0] - 1) // step[0], (work.window[1] - 1) // step[1]

    def image(rows: int, columns: int) -> int:
        return (rows + before[0]) * (columns + before[1]) * step[0] * step[1]

    columns = width
    while columns > 1 and image(1, columns) > LARGEST_IMAGE:
        columns = -(-columns // 2)
    rows = max(1, _IMAGE_AIM // (image(1, columns) // (1 + before[0])) - before[0])
    rows = min(rows, height, MOST_SUMS // (columns + before[1]))
    return -(-height // -(-height // rows)), columns


def spread(work: MacWork) -> tuple[tuple[int, int], tuple[int, int]]:
    """Distance of neighbors in the padded input, and of the windows of two neighboring results."""
    transposed = work.operation is MacOperation.TRANSPOSED
    return (work.stride, (1, 1)) if transposed else ((1, 1), work.stride)
