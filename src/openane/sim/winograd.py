"""Which convolutions are computed tile by tile when bits need not be those of the direct one, and their rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from openane.numerics import rows as column
from openane.numerics.jit import ROWS, VECTOR
from openane.numerics.panel import SLACK
from openane.numerics.winograd import (
    SIDE,
    TILE_BLOCK,
    transform_weights,
    unit_size,
    weights_size,
)
from openane.sim.schedule import ScheduleBuilder
from openane.sim.work import MacOperation, MacWork, Work

_WINDOW = (3, 3)
_PRODUCT_COST, _TILE_COST, _RESULT_COST = 36.0, 400.0, 300.0
"""Cycles of VECTOR tiles, estimated: for a pair of channels, a channel of the input, one of the output."""
_GAIN = 0.8
"""Share of the direct time below which it pays."""
_CYCLE = 0.4
"""Nanoseconds."""
_FEW_UNITS = 8


def pays(task: Work, work: MacWork) -> bool:
    """Whether a dense convolution of a kernel that never changes is faster tile by tile."""
    plain = work.operation is MacOperation.CONVOLUTION and (work.window, work.stride) == (_WINDOW, (1, 1))
    if not plain or work.inputs_per_output or work.kernel is None:
        return False
    channels, height, width = task.result_view[2:]
    direct = work.kernel.step_count * channels * -(-height * width // VECTOR)
    return sum(_cycles(task)) < _GAIN * direct


def _tiles(task: Work) -> tuple[int, int]:
    """Of a column and of a row."""
    height, width = task.result_view[3:]
    return -(-height // SIDE), -(-width // SIDE)


def _cycles(task: Work) -> tuple[float, float]:
    """Of the transformation of the pixels, and of what follows; of one group."""
    down, across = _tiles(task)
    vectors, inputs, channels = -(-down * across // VECTOR), task.view[2], task.result_view[2]
    products = vectors * channels * (_PRODUCT_COST * inputs + _RESULT_COST)
    return vectors * inputs * _TILE_COST, products


def weight_columns(
    schedule: ScheduleBuilder, weights: npt.NDArray[np.float32], steps: npt.NDArray[np.int64], inputs: int
) -> dict[int, int]:
    """Columns of transformed weights.

    Args:
        weights: (groups, channels, steps).
        steps: (steps, 3), input channel, row, column.
        inputs: channels of the input.
    """
    groups, channels, _ = weights.shape
    dense = np.zeros((groups, channels, inputs, *_WINDOW), np.float32)
    dense[:, :, steps[:, 0], steps[:, 1], steps[:, 2]] = weights
    transformed = np.concatenate([transform_weights(group) for group in dense])
    size = weights_size(channels, inputs) if groups > 1 else 0
    return {column.HELD: schedule.floats(transformed, own=True), column.WEIGHT_GROUP: size}


def add_tiles(schedule: ScheduleBuilder, task: Work, columns: dict[int, int], image: tuple[int, int, int]) -> None:
    """Adds the rows behind the padded input.

    Args:
        columns: of weights, bias, ending and result.
        image: floats of a group, of a plane, of a row of the padded input.
    """
    groups, _, channels, height, width = task.result_view
    down, across = _tiles(task)
    inputs, vectors = task.view[2], -(-down * across // VECTOR)
    group_step, plane, row_step = image
    pixels = groups * group_step + SLACK
    schedule.image(pixels + groups * vectors * unit_size(inputs) + SLACK)
    places = np.add.outer(np.arange(down) * SIDE * row_step, np.arange(across) * SIDE).reshape(-1)
    offsets = np.pad(places, (0, vectors * VECTOR - places.size), mode="edge")
    transforming, multiplying = (groups * cycles * _CYCLE for cycles in _cycles(task))
    values = {
        column.TAPS: schedule.integers(offsets),
        column.TAPS_SIZE: offsets.size,
        column.INPUTS: inputs,
        column.GROUP_STEP: group_step,
        column.INPUT_STRIDE: plane,
        column.ROW_STEP: row_step,
        column.RESULT: pixels,
    }
    schedule.row(column.TRANSFORM, groups * vectors * inputs, transforming, values)
    tiles = -(-channels // ROWS)
    parts = max(-(-tiles // TILE_BLOCK), min(tiles, -(-_FEW_UNITS // (groups * vectors))))
    values = {
        **columns,
        column.FIRST: pixels,
        column.GROUP_STEP: unit_size(inputs),
        column.INPUTS: inputs,
        column.CHANNELS: channels,
        column.CHANNEL_PARTS: parts,
        column.PIXEL_PARTS: vectors,
        column.SHAPE: schedule.integers((across, down, height, width)),
    }
    schedule.row(column.CONVOLVE_TILES, groups * vectors * parts, multiplying, values)
