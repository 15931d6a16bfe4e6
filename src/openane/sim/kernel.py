"""Kernels in the form that the engine takes: known when the program is loaded, or computed by earlier tasks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from openane.core.errors import FaultError
from openane.numerics.lookup import CompiledTable
from openane.sim.decoded_task import DecodedKernel, DecodedTask, KernelSource, MacFunction, MacOperation, MacWork
from openane.sim.epilogue import Epilogue, starts
from openane.sim.kernels.library import PANEL, TILE, KernelKind
from openane.sim.memory import Fp16Words
from openane.sim.schedule import RunState, ScheduleBuilder

_PACK_COST = 1.0
"""Nanoseconds a weight."""
_PLACEHOLDER = DecodedKernel(table=bytes(128))
_VECTOR = 16
"""Columns of a product are computed in multiples of this."""
_FEW_PIXELS = 512


@dataclass(frozen=True, eq=False, slots=True)
class LoadedKernel:
    """What a task has in its coefficient memory.

    Attributes:
        columns: fields of a row for weights, starts of sums, and ending.
        ending: the end of the data path; with `changes` its table is not the one that runs use.
        changes: whether Python decodes it in each run.
    """

    columns: dict[str, Any]
    ending: Epilogue
    changes: bool = False


def is_swapped(task: DecodedTask) -> bool:
    """Whether channels are the columns of the product because the pixels would leave many of them empty."""
    pixels, channels = math.prod(task.result_view[3:]), task.result_view[2]
    columns = pixels / (-(-pixels // _VECTOR) * _VECTOR), channels / (-(-channels // _VECTOR) * _VECTOR)
    rows = channels / (-(-channels // TILE) * TILE), pixels / (-(-pixels // TILE) * TILE) if pixels > 1 else 1.0
    return pixels <= _FEW_PIXELS and columns[1] * rows[1] > 1.05 * columns[0] * rows[0]


def packed_size(channels: int, steps: int, side: int) -> int:
    """fp16 words of the weights of a group, in lines of `side` channels; 1 for depthwise ones."""
    return -(-channels // side) * side * steps


def side_of(task: DecodedTask, work: MacWork) -> int:
    """Channels whose weights are adjacent."""
    if work.inputs_per_output:
        return 1
    return PANEL if is_swapped(task) else TILE


def packed_count(weights: npt.NDArray[Any], side: int) -> int:
    """`packed_size` of all groups of weights (groups, channels, steps)."""
    groups, channels, steps = weights.shape
    return groups * packed_size(channels, steps, side)


def pack(weights: npt.NDArray[Any], side: int, target: npt.NDArray[Any]) -> None:
    """Writes weights (groups, channels, steps) in lines of `side` channels, step by step.

    Args:
        weights: of any type.
        side: channels of a line.
        target: `packed_size` of each group; where channels are missing it keeps what it has.
    """
    groups, channels, steps = weights.shape
    lines, (full, rest) = target.reshape(groups, -1, steps, side), divmod(channels, side)
    lines[:, :full] = weights[:, : full * side].reshape(groups, full, side, steps).swapaxes(2, 3)
    if rest:
        lines[:, full, :, :rest] = weights[:, full * side :].swapaxes(1, 2)


def constant_count(task: DecodedTask, constant_index: int) -> int:
    """fp16 words of the packed weights of a task whose kernel never changes."""
    work = task.engine
    if not isinstance(work, MacWork) or work.kernel is None or work.kernel.buffer != constant_index or task.macs == 0:
        return 0
    return work.kernel_groups * packed_size(task.result_view[2], work.kernel.step_count, side_of(task, work))


def load_kernel(schedule: ScheduleBuilder, task: DecodedTask, constants: Fp16Words) -> LoadedKernel:
    """Adds the parameters of a task's kernel, and with a run-time kernel what loads it in each run.

    Raises:
        FaultError: the kernel is missing or damaged.
    """
    work = task.engine
    assert isinstance(work, MacWork)
    source = work.kernel
    if source is None or source.buffer == schedule.arena.constants:
        kernel = source.read(constants.view(np.uint8)) if source is not None else DecodedKernel()
        ending = Epilogue.of(task, work, kernel)
        columns = ending.columns(schedule)
        if kernel.weights is not None:
            side = side_of(task, work)
            place, target = schedule.constants(packed_count(kernel.weights, side))
            pack(kernel.weights, side, target)
            columns |= {"weights": place, **_channel_columns(schedule, task, work, kernel.bias)}
        return LoadedKernel(columns, ending)
    if not schedule.arena.has_buffer(source.buffer):
        raise FaultError("the kernel is in a buffer that the program does not have", where=task.where)
    return _run_time(schedule, task, work, source)


def _channel_columns(
    schedule: ScheduleBuilder, task: DecodedTask, work: MacWork, bias: Fp16Words | None, *, own: bool = False
) -> dict[str, Any]:
    """Starts of the sums, and how far apart the kernels of two groups are."""
    assert work.kernel is not None
    channels = task.result_view[2]
    found = schedule.integers(starts(bias, work.acc_bias, work.kernel_groups * channels), own=own)
    if work.kernel_groups <= 1:
        return {"starts": found}
    size = packed_size(channels, work.kernel.step_count, side_of(task, work))
    return {"starts": found, "start_group": channels, "weight_group": size}


def _run_time(schedule: ScheduleBuilder, task: DecodedTask, work: MacWork, source: KernelSource) -> LoadedKernel:
    """A kernel that earlier tasks have computed. One whose streams are plain weights is permuted by the engine; any
    other is decoded in each run."""
    ending, side = Epilogue.of(task, work, _PLACEHOLDER), side_of(task, work)
    size = work.kernel_groups * packed_size(task.result_view[2], source.step_count, side)
    convolution = work.operation in (MacOperation.CONVOLUTION, MacOperation.TRANSPOSED)
    own = not (convolution and source.plain and work.function is not MacFunction.TABLE)
    columns = ending.columns(schedule, own=own)
    if convolution:
        area = schedule.area("kernel", size)
        columns |= {"weights": area, "weights_in_memory": True}
        columns |= _channel_columns(schedule, task, work, None, own=own)
    if own:
        schedule.own_parameters = True
        schedule.act(_Decode(task, source, columns, side))
        return LoadedKernel(columns, ending, changes=True)
    first, places = _places(schedule, source, side)
    from_buffer = schedule.arena.buffer_base(source.buffer) + first
    schedule.row(KernelKind.PACK, size, _PACK_COST * size, {"first": from_buffer, "taps": places, "result": area})
    return LoadedKernel(columns, ending)


def _places(schedule: ScheduleBuilder, source: KernelSource, side: int) -> tuple[int, int]:
    """Where the first fp16 word of a kernel's streams is in its buffer, and the place among the integers that say
    where each packed weight comes from; kernels of equal shape share these."""
    first = min(lane.offset for lane in source.lanes)
    lanes = [(lane.engine, lane.offset - first, lane.size_bytes) for lane in source.lanes]
    key = f"{source.description.partition(',')[2]} {lanes} {side}"  # the buffer alone differs
    if key not in schedule.places:
        size = max(offset + size for _, offset, size in lanes)
        indices = np.arange(1, size // 2 + 2, dtype=np.int64)  # 0 is what packing puts where nothing belongs
        low, high = (
            source.read((indices >> shift & 0xFFFF).astype(np.uint16).view(np.uint8)[:size], first).weights
            for shift in (0, 16)
        )
        assert low is not None and high is not None
        found = low.astype(np.int64) | high.astype(np.int64) << 16
        places = np.zeros(packed_count(found, side), np.int64)
        pack(found, side, places)
        schedule.places[key] = schedule.integers(places - 1)
    return first // 2, schedule.places[key]


@dataclass(frozen=True, eq=False, slots=True)
class _Decode:
    """Reads a run-time kernel and puts it where its fields say.

    Raises:
        FaultError: the streams are damaged.
    """

    task: DecodedTask
    source: KernelSource
    columns: dict[str, Any]
    side: int

    def __call__(self, state: RunState) -> None:
        kernel = self.source.read(state.memory.buffer_bytes(self.source.buffer))
        work = self.task.engine
        assert isinstance(work, MacWork)
        if work.function is MacFunction.TABLE:
            if kernel.table is None:
                raise FaultError("the task uses a table and loads none", where=self.task.where)
            table = CompiledTable.of(kernel.table, self.task.where)
            _store(state.floats, self.columns["table"], table.numbers)
            _store(state.integers, self.columns["meta"], table.meta)
        if kernel.weights is None:
            return
        if kernel.bias is not None:
            own = starts(kernel.bias, work.acc_bias, kernel.bias.size)
            _store(state.integers, self.columns["starts"], own.astype(np.int64))
        size, first = packed_count(kernel.weights, self.side), self.columns["weights"]
        state.memory.memory[first : first + size] = 0
        pack(kernel.weights, self.side, state.memory.memory[first : first + size])


def _store(target: npt.NDArray[Any], place: int, values: npt.NDArray[Any]) -> None:
    target[place : place + values.size] = values.reshape(-1)
