"""How much memory a program takes when it is prepared and run, before any of it is allocated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from openane.core.errors import FaultError
from openane.core.types import DType
from openane.sim.convolution import spread
from openane.sim.decoded_task import DecodedOperand, DecodedTask, MacOperation, MacWork, MemorySpace, PlanarWork
from openane.sim.kernel import packed_size, side_of
from openane.sim.kernels.library import SLACK, library
from openane.sim.layout import MemoryLayout

_FLOAT, _FP16, _INTEGER = 4, 2, 8
_MAPPING_BYTES = 2 * (2 << 16)
_TASK_BYTES = 12288
"""Rows, strides, numbers and table of a task."""
_CONVERTED_BYTES = 16
"""An element that Python converts: both types, and what numpy needs in between."""
_STEP_BYTES = 3 * _INTEGER
"""A step of a kernel as parameters are collected: itself, its key, the joined array."""
_INDEX_BYTES = 24
"""A fp16 word of the streams of a kernel that is permuted, while its places are looked for."""


def memory_of_threads(threads: int) -> int:
    """Bytes of scratch memory."""
    return threads * library().scratch_bytes


@dataclass(frozen=True, slots=True)
class TaskMemory:
    """Bytes that one task needs, never less than it takes.

    Attributes:
        lasting: parameters, weights, constants in the form that the engine takes.
        areas: (purpose, bytes) of places for copies, which tasks share when both are equal.
        image: the padded input of a convolution, which all tasks share.
        passing: while the task is prepared, or while Python works on it.
    """

    lasting: int
    areas: frozenset[tuple[str, int]]
    image: int
    passing: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.lasting + sum(size for _, size in self.areas) + self.image + self.passing


def task_memory(work: DecodedTask, constants: int) -> TaskMemory:
    """What a task needs; `constants` is the index of the constant section."""
    lasting, passing = _TASK_BYTES, 0
    areas: set[tuple[str, int]] = set()
    for number, source in enumerate(work.sources):
        if source.space is MemorySpace.DRAM and source.buffer == constants:
            lasting += 2 * _FP16 * source.count
            passing += _CONVERTED_BYTES * source.count
        elif _is_copied(source, work.result):
            areas.add(_area(f"source {number}", source.count))
            passing += _CONVERTED_BYTES * source.count * (source.dtype is not DType.FLOAT16)
    if work.result.dtype is not DType.FLOAT16 or work.result.interleave != 1:
        areas.add(_area("result", work.result.count))
        passing += _CONVERTED_BYTES * work.result.count * (work.result.dtype is not DType.FLOAT16)
    if work.kept is not None:
        passing += _FP16 * work.kept.count
    if isinstance(work.engine, PlanarWork):
        return TaskMemory(lasting, frozenset(areas), 0, passing)
    own = _mac_memory(work, work.engine, constants)
    return TaskMemory(lasting + own.lasting, frozenset(areas | own.areas), own.image, passing + own.passing)


def check_memory(
    works: Sequence[DecodedTask], layout: MemoryLayout, constants: int, threads: int, limit_bytes: int, where: str
) -> None:
    """Refuses a program that takes too much.

    Args:
        works: the tasks.
        layout: sizes of the memories.
        constants: index of the constant section.
        threads: that work at the same time.
        limit_bytes: of everything together; inputs and outputs of the caller are not counted.
        where: the program.

    Raises:
        FaultError: names the largest buffer, or the task that takes most.
    """
    hint = "Raise the memory limit if this is meant."
    buffers = layout.total_bytes + layout.l2_bytes + layout.chain_bytes
    if buffers > limit_bytes:
        largest = max(layout.buffers, key=lambda index: layout.buffers[index], default=0)
        name = layout.names.get(largest, "no buffer")
        raise FaultError(
            "the buffers of the program take too much memory",
            where=where,
            value=f"{buffers} bytes, {layout.buffers.get(largest, 0)} of them in buffer {largest} ({name})",
            limit=f"{limit_bytes} bytes",
            hint=hint,
        )
    needs = [task_memory(work, constants) for work in works]
    total = buffers + memory_of_threads(threads) + memory_of_tasks(works, needs)
    if needs and total > limit_bytes:
        most = max(range(len(needs)), key=lambda index: needs[index].total)
        raise FaultError(
            "the task takes too much memory",
            where=f"{works[most].where}: Common.InDim",
            value=f"{total} bytes in all, {needs[most].total} of them for this task",
            limit=f"{limit_bytes} bytes",
            hint=hint,
        )


def memory_of_tasks(works: Sequence[DecodedTask], needs: Sequence[TaskMemory]) -> int:
    """Bytes that all tasks need next to the buffers."""
    mappings = {work.engine for work in works if len(work.sources) == 1}
    areas = frozenset().union(*(need.areas for need in needs))
    lasting = sum(need.lasting for need in needs) + _MAPPING_BYTES * len(mappings)
    image = max((need.image for need in needs), default=0)
    passing = max((need.passing for need in needs), default=0)
    return lasting + sum(size for _, size in areas) + image + passing


def _is_copied(source: DecodedOperand, result: DecodedOperand) -> bool:
    if source.dtype is not DType.FLOAT16 or source.interleave != 1:
        return True
    together = (source.space, source.buffer) == (result.space, result.buffer)
    return together and source.base < result.end and result.base < source.end


def _area(purpose: str, fp16_words: int) -> tuple[str, int]:
    """Areas have powers of two as sizes, so that tasks share them."""
    return purpose, _FP16 << max(6, (fp16_words - 1).bit_length())


def _mac_memory(work: DecodedTask, engine: MacWork, constants: int) -> TaskMemory:
    kernel = engine.kernel
    if kernel is None or engine.operation not in (MacOperation.CONVOLUTION, MacOperation.TRANSPOSED):
        return TaskMemory(0, frozenset(), 0, 0)
    groups, channels, steps = engine.kernel_groups, work.result_view[2], kernel.step_count
    weights = groups * packed_size(channels, steps, side_of(work, engine))
    lasting = (_STEP_BYTES + _INTEGER) * steps + 3 * _INTEGER * groups * channels
    areas: frozenset[tuple[str, int]] = frozenset()
    passing = kernel.decoding_bytes + 2 * _FP16 * weights
    if kernel.buffer == constants:
        lasting += _FP16 * weights
    else:
        areas = frozenset({_area("kernel", weights)})
        if kernel.plain:
            lasting += 3 * _INTEGER * weights
            passing += _INDEX_BYTES * sum(lane.size_bytes for lane in kernel.lanes) + 5 * _INTEGER * weights
    return TaskMemory(lasting, areas, _image_bytes(work, engine), passing)


def _image_bytes(work: DecodedTask, engine: MacWork) -> int:
    """The padded input, as if every dense convolution had one."""
    if engine.inputs_per_output:
        return 0
    groups, _, channels, height, width = work.view
    grow, step = spread(engine)
    rows, columns = (
        max((extent - 1) * grow[axis] + 1 + engine.pad[axis], (out - 1) * step[axis] + engine.window[axis])
        for axis, (extent, out) in enumerate(zip((height, width), work.result_view[3:], strict=True))
    )
    return _FP16 * (groups * channels * rows * (columns + step[1]) + SLACK)
