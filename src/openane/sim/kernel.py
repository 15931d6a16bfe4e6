"""Kernels in the form that the engine takes: known when the program is loaded, or computed by earlier tasks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from openane.core.errors import FaultError
from openane.numerics import micro
from openane.numerics import rows as column
from openane.numerics.convolve import FEW_SIDE, pack_weights, packed_size
from openane.numerics.jit import ROWS
from openane.numerics.lookup import CompiledTable, from_halfwords
from openane.numerics.profile import Accumulate, Profile
from openane.sim import winograd
from openane.sim.ending import Ending
from openane.sim.memory import Halfwords
from openane.sim.schedule import RunState, ScheduleBuilder
from openane.sim.work import Function, Kernel, KernelSource, MacOperation, MacWork, Work

_PACK_COST = 1.0
"""Nanoseconds a weight."""
_PLACEHOLDER = Kernel(table=bytes(128))


@dataclass(frozen=True, eq=False, slots=True)
class LoadedKernel:
    """What a task has in its coefficient memory.

    Attributes:
        columns: of its weights, bias, table and factors.
        ending: the end of the data path; with `changes` its table is not the one that runs use.
        changes: whether Python decodes it in each run.
        in_tiles: whether its weights are transformed for `winograd`.
    """

    columns: dict[int, int]
    ending: Ending
    changes: bool = False
    in_tiles: bool = False


def tile_side(task: Work, profile: Profile) -> int:
    """Channels that the micro-kernel takes together: they stand in for pixels when there are few of these."""
    few = math.prod(task.result_view[3:]) <= ROWS and profile.accumulate is Accumulate.WIDE
    return FEW_SIDE if few else ROWS


def constant_count(task: Work, profile: Profile, constant_index: int) -> int:
    """Halfwords of the packed weights of a task whose kernel never changes."""
    work = task.engine
    if not isinstance(work, MacWork) or work.kernel is None or work.kernel.buffer != constant_index:
        return 0
    if work.inputs_per_output or task.macs == 0:
        return 0
    return work.kernel_groups * packed_size(task.result_view[2], work.kernel.step_count, tile_side(task, profile))


def load_kernel(schedule: ScheduleBuilder, task: Work, profile: Profile, constants: Halfwords) -> LoadedKernel:
    """Adds the parameters of a task's kernel, and with a run-time kernel what loads it in each run.

    Raises:
        FaultError: the kernel is missing or damaged.
    """
    work = task.engine
    assert isinstance(work, MacWork)
    source = work.kernel
    if source is None or source.buffer == schedule.arena.constants:
        kernel = source.read(constants.view(np.uint8)) if source is not None else Kernel()
        ending = Ending.of(task, work, kernel, profile)
        columns = ending.columns(schedule)
        if kernel.weights is not None:
            straight = ending.straight_columns(schedule, profile.accumulate is Accumulate.TILE4)
            fast = schedule.hold_weights and straight[column.STRAIGHT] != micro.NO_STRAIGHT
            if fast and winograd.pays(task, work):
                columns |= _transformed_weights(schedule, task, work, kernel)
                return LoadedKernel(columns, ending, in_tiles=True)
            columns |= _constant_weights(schedule, work, kernel, tile_side(task, profile), fast)
        return LoadedKernel(columns, ending)
    if not schedule.arena.has_buffer(source.buffer):
        raise FaultError("the kernel is in a buffer that the program does not have", where=task.where)
    return _run_time(schedule, task, work, source, profile)


def _constant_weights(
    schedule: ScheduleBuilder, work: MacWork, kernel: Kernel, side: int, hold: bool
) -> dict[int, int]:
    assert kernel.weights is not None
    groups, channels, steps = kernel.weights.shape
    columns = _weight_columns(work, channels, steps, side) | _bias_column(schedule, kernel)
    if work.inputs_per_output:
        columns[column.WEIGHTS] = schedule.floats(from_halfwords(kernel.weights))
        return columns
    place, packed = schedule.constants(groups * packed_size(channels, steps, side))
    for weights, target in zip(kernel.weights, packed.reshape(groups, -1), strict=True):
        pack_weights(weights, target, side)
    columns[column.WEIGHTS] = place
    columns[column.FINITE] = not ((packed & 0x7C00) == 0x7C00).any()
    if hold and side == ROWS:
        columns[column.HELD] = schedule.floats(from_halfwords(packed), own=True)
        columns[column.HELD_SIZE] = packed.size // groups
    return columns


def _bias_column(schedule: ScheduleBuilder, kernel: Kernel) -> dict[int, int]:
    assert kernel.weights is not None
    bias = np.full(kernel.weights.shape[:2], -0.0, np.float32)
    if kernel.bias is not None:
        bias[:] = from_halfwords(kernel.bias).reshape(bias.shape)
    return {column.BIAS: schedule.floats(bias)}


def _transformed_weights(schedule: ScheduleBuilder, task: Work, work: MacWork, kernel: Kernel) -> dict[int, int]:
    assert kernel.weights is not None and work.kernel is not None
    channels = kernel.weights.shape[1]
    own = winograd.weight_columns(schedule, from_halfwords(kernel.weights), work.kernel.steps, task.view[2])
    return _weight_columns(work, channels, 0, ROWS) | _bias_column(schedule, kernel) | own


def _weight_columns(work: MacWork, channels: int, steps: int, side: int) -> dict[int, int]:
    """How far apart the kernels of two groups are; depthwise ones are counted in channels."""
    if work.kernel_groups <= 1:
        return {}
    size = channels if work.inputs_per_output else packed_size(channels, steps, side)
    return {column.WEIGHT_GROUP: size, column.BIAS_GROUP: channels}


def _run_time(
    schedule: ScheduleBuilder, task: Work, work: MacWork, source: KernelSource, profile: Profile
) -> LoadedKernel:
    """A kernel that earlier tasks have computed. One whose streams are plain weights is permuted by the engine; any
    other is decoded in each run."""
    ending = Ending.of(task, work, _PLACEHOLDER, profile)
    convolution = work.operation in (MacOperation.CONVOLUTION, MacOperation.TRANSPOSED)
    groups, channels, steps = work.kernel_groups, task.result_view[2], source.step_count
    side = tile_side(task, profile)
    if convolution and source.plain and not work.inputs_per_output and work.function is not Function.TABLE:
        columns = ending.columns(schedule) | _weight_columns(work, channels, steps, side)
        columns[column.BIAS] = schedule.floats(np.full((groups, channels), -0.0, np.float32))
        return LoadedKernel(columns | _permuted(schedule, source, steps, side), ending)
    schedule.own_parameters = True
    columns = ending.columns(schedule, own=True)
    weights = 0
    if convolution:
        columns |= _weight_columns(work, channels, steps, side)
        columns[column.BIAS] = schedule.floats(np.full((groups, channels), -0.0, np.float32), own=True)
        if work.inputs_per_output:
            weights = schedule.floats(np.zeros((groups, channels, steps), np.float32), own=True)
        else:
            weights = schedule.area("kernel", groups * packed_size(channels, steps, side))
            columns[column.WEIGHTS_IN_MEMORY] = 1
        columns[column.WEIGHTS] = weights
    schedule.act(_Decode(task, source, columns, side))
    return LoadedKernel(columns, ending, changes=True)


def _permuted(schedule: ScheduleBuilder, source: KernelSource, steps: int, side: int) -> dict[int, int]:
    """Adds the row that packs plain weights. Where each comes from is found by reading streams of their own indices."""
    begin = min(lane.offset for lane in source.lanes)
    end = max(lane.offset + lane.size_bytes for lane in source.lanes)
    indices = np.arange(begin // 2, -(-end // 2), dtype=np.int64)
    low, high = (
        source.read((indices >> shift & 0xFFFF).astype(np.uint16).view(np.uint8)[: end - begin], begin).weights
        for shift in (0, 16)
    )
    assert low is not None and high is not None
    found = low.astype(np.int64) | high.astype(np.int64) << 16
    groups, channels, _ = found.shape
    places = np.empty((groups, packed_size(channels, steps, side)), np.int64)
    for weights, target in zip(found + 1, places, strict=True):  # 0 is what packing puts where nothing belongs
        pack_weights(weights, target, side)
    first = int(found.min())
    area = schedule.area("kernel", places.size)
    columns = {
        column.FIRST: schedule.arena.buffer_base(source.buffer) + first,
        column.SHAPE: schedule.integers(np.where(places == 0, -1, places - 1 - first)),
        column.SHAPE_SIZE: places.size,
        column.RESULT: area,
    }
    schedule.row(column.PACK, places.size, _PACK_COST * places.size, columns)
    return {column.WEIGHTS: area, column.WEIGHTS_IN_MEMORY: 1}


@dataclass(frozen=True, eq=False, slots=True)
class _Decode:
    """Reads a run-time kernel and puts it where its columns say.

    Raises:
        FaultError: the streams are damaged.
    """

    task: Work
    source: KernelSource
    columns: dict[int, int]
    side: int

    def __call__(self, state: RunState) -> None:
        kernel = self.source.read(state.memory.buffer_bytes(self.source.buffer))
        work = self.task.engine
        assert isinstance(work, MacWork)
        if work.function is Function.TABLE:
            if kernel.table is None:
                raise FaultError("the task uses a table and loads none", where=self.task.where)
            table = CompiledTable.of(kernel.table, self.task.where)
            _store(state.floats, self.columns[column.TABLE], table.numbers)
            _store(state.integers, self.columns[column.META], table.meta)
        if kernel.weights is None:
            return
        if kernel.bias is not None:
            _store(state.floats, self.columns[column.BIAS], from_halfwords(kernel.bias))
        if work.inputs_per_output:
            _store(state.floats, self.columns[column.WEIGHTS], from_halfwords(kernel.weights).reshape(-1))
            return
        _, channels, steps = kernel.weights.shape
        size, first = packed_size(channels, steps, self.side), self.columns[column.WEIGHTS]
        for group, weights in enumerate(kernel.weights):
            begin = first + group * size
            pack_weights(weights, state.memory.memory[begin : begin + size], self.side)


def _store(target: npt.NDArray[np.generic], place: int, values: npt.NDArray[np.generic]) -> None:
    target[place : place + values.size] = values.reshape(-1)
