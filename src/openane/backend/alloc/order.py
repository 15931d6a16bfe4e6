"""How tasks follow each other: groups that may overlap, waiting and streaming between neighbors.

The rules are encoding.md#groups (411 of 411 tasks), #type-words (409 and 411 of 411) and #engine-words (the
signal between planar tasks). Within a group the engine overlaps tasks, and these words say what waits for what; a
border between groups is a full barrier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Flag, auto

from openane.backend.ir.placement import NO_BUFFER, PlacedTask, Placement, Spot
from openane.backend.ir.plan import Axis, NeMode, NeWork, PeMode, PeWork, TaskOperand, TaskPlan
from openane.backend.machine import MachineSpec


class Wait(Flag):
    """What part of a task waits for: the sources or the result of the last task of an engine, or its next tile."""

    NE_SOURCE = auto()
    NE_RESULT = auto()
    PE_SOURCE = auto()
    PE_RESULT = auto()
    FOLLOW_NE = auto()
    FOLLOW_PE = auto()


@dataclass(frozen=True, slots=True)
class Ordering:
    """The schedule words of one task.

    Attributes:
        opens, closes: first and last task of a group.
        source_waits: what the load of the sources waits for.
        result_waits: what the write of the result waits for.
        streams_from: "NE" or "PE" when the first source follows the task in front, else empty.
        signals, waits: whether a NE task reports the next planar task of its end, or waits for the one before.
        depends: the first source is read from DRAM after a task of this program wrote it.
    """

    opens: bool
    closes: bool
    source_waits: Wait
    result_waits: Wait
    streams_from: str
    signals: bool
    waits: bool
    depends: bool


NE_SOURCE, NE_RESULT, PE_SOURCE, PE_RESULT = Wait.NE_SOURCE, Wait.NE_RESULT, Wait.PE_SOURCE, Wait.PE_RESULT
NONE, ALL = Wait(0), NE_SOURCE | NE_RESULT | PE_SOURCE | PE_RESULT


def order(machine: MachineSpec, placement: Placement, *, separate_groups: bool = False) -> tuple[Ordering, ...]:
    """The schedule words of every task.

    Args:
        placement: the tasks.
        separate_groups: a task without a resident source begins a group of its own (macOS 11).
    """
    tasks = placement.tasks
    opens = _openings(machine, tasks, separate_groups=separate_groups)
    walker = _Walker(tasks, opens)
    rows = [walker.visit(index) for index in range(len(tasks))]
    waits = [walker.reads_last_planar[index] for index in range(len(tasks))]
    signals = _signals(tasks, opens, walker)
    written: set[str] = set()
    orderings = []
    for index, task in enumerate(tasks):
        source_waits, result_waits, streams = rows[index]
        closes = index + 1 == len(tasks) or opens[index + 1]
        depends = any(spot.dma and spot.tensor in written for spot in task.sources)
        orderings.append(
            Ordering(opens[index], closes, source_waits, result_waits, streams, signals[index], waits[index], depends)
        )
        written.add(task.result.tensor)
    return tuple(orderings)


def _openings(machine: MachineSpec, tasks: Sequence[PlacedTask], *, separate_groups: bool) -> list[bool]:
    """Where groups begin: after a task that writes scratch or a DRAM tensor read later, and where a task says so."""
    read_later: set[str] = set()
    border = [False] * (len(tasks) + 1)
    for index in range(len(tasks) - 1, -1, -1):
        task = tasks[index]
        result = task.result
        border[index + 1] = result.buffer == machine.buffers.scratch or (result.dma and result.tensor in read_later)
        read_later.update(spot.tensor for spot in task.sources if spot.dma)
    return [
        index == 0
        or border[index]
        or task.plan.new_group
        or (separate_groups and all(spot.dma for spot in task.sources))
        for index, task in enumerate(tasks)
    ]


class _Walker:
    """Walks the tasks in order and remembers who wrote and staged what."""

    def __init__(self, tasks: Sequence[PlacedTask], opens: Sequence[bool]) -> None:
        self.tasks = tasks
        self.opens = opens
        self.writer: dict[str, int] = {}
        self.keeper: dict[str, int] = {}
        self.part_writer: dict[tuple[str, int], int] = {}
        self.last_ne: int | None = None
        self.last_pe: int | None = None
        self.settled: set[int] = set()
        self.reads_last_planar: dict[int, bool] = {}
        self.group_start = 0

    def visit(self, index: int) -> tuple[Wait, Wait, str]:
        task = self.tasks[index]
        if self.opens[index]:
            self.group_start = index
        streams = self._streams(index)
        words = self._words(index, streams)
        self.reads_last_planar[index] = not task.plan.is_ne and self._reads_planar(index)
        self._remember(index)
        return (*words, streams)

    def _remember(self, index: int) -> None:
        task = self.tasks[index]
        self.writer[task.result.tensor] = index
        self.part_writer[task.result.tensor, task.result.l2_base] = index
        for source in task.plan.sources:
            if source.keep:
                self.keeper[source.keep] = index
        if task.plan.is_ne:
            self.last_ne = index
        else:
            self.last_pe = index

    def _words(self, index: int, streams: str) -> tuple[Wait, Wait]:
        task = self.tasks[index]
        staged = any(spot.dma for spot in task.sources)
        if index == 0:
            return ALL, ALL
        if self.opens[index]:
            if staged:
                source, result = self._planar_bits(index)
                return NE_SOURCE | NE_RESULT | source, NE_SOURCE | NE_RESULT | result
            writer = self.writer.get(task.sources[0].tensor)
            by_ne = writer is None or self.tasks[writer].plan.is_ne
            return (NE_RESULT if by_ne else PE_RESULT), NONE
        if task.sources[0].dma or (staged and not task.sources[0].dma and len(task.sources) == 1):
            return self._waits_of_dram(index), NONE
        if streams:
            follow = Wait.FOLLOW_NE if streams == "NE" else Wait.FOLLOW_PE
            if streams == "NE" and not task.plan.is_ne and self.last_ne is not None:
                self.settled.add(self.last_ne)
            return follow | self._in_place(index, streams), NONE
        return self._waits_of_resident(index), NONE

    def _waits_of_dram(self, index: int) -> Wait:
        """A DRAM source inside a group; a NE task after a PE task is not on record and waits for all of it."""
        now, before = self.tasks[index].plan.is_ne, self.tasks[index - 1].plan.is_ne
        if _reduces(self.tasks[index].plan) and _reduces(self.tasks[index - 1].plan):
            return NONE  # parts of one statistic
        if before:
            return NONE if now else NE_SOURCE | NE_RESULT
        return PE_SOURCE | PE_RESULT if now else PE_RESULT

    def _waits_of_resident(self, index: int) -> Wait:
        task = self.tasks[index]
        waits = NONE
        names = {spot.tensor for spot in task.sources if not spot.dma}
        for name in names:
            writer, keeper = self._writer(task, name), self.keeper.get(name)
            if writer is not None and writer == self.last_ne:
                waits |= NE_RESULT
            if keeper is not None and keeper == self.last_ne and not task.plan.is_ne:
                waits |= NE_SOURCE
            if self.last_pe is not None and self.last_pe in (writer, keeper):
                waits |= PE_RESULT
        if not task.plan.is_ne and self.last_ne is not None:
            if self.last_ne in self.settled:
                waits &= ~(NE_SOURCE | NE_RESULT)
            elif waits & (NE_SOURCE | NE_RESULT):
                self.settled.add(self.last_ne)
        return waits

    def _writer(self, task: PlacedTask, name: str) -> int | None:
        """The task that wrote a source last: of a part of a tensor, the one that wrote just this part."""
        work = task.plan.work
        pair = isinstance(work, PeWork) and work.mode is PeMode.ROWS  # reads two rows of statistics
        for spot in () if pair else task.sources:
            part = self.part_writer.get((name, spot.l2_base)) if spot.tensor == name else None
            if part is not None and self.tasks[part].plan.result_view.channels == task.plan.view.channels:
                return part
        return self.writer.get(name)

    def _streams(self, index: int) -> str:
        """The engine whose running task this one may follow tile by tile."""
        if index == 0 or self.opens[index] or self.tasks[index].plan.tuning.streams is False:
            return ""
        task, before = self.tasks[index], self.tasks[index - 1]
        plan, previous = task.plan, before.plan
        first = task.sources[0]
        if plan.tuning.streams:
            return "NE" if previous.is_ne else "PE"
        same = (
            not first.dma
            and self.writer.get(first.tensor) == index - 1
            and not (previous.is_ne and previous.result.swapped)
            and _view(plan) == _result_view(previous)
            and _walk(plan.sources[0]) == _walk(previous.result)
            and Axis.CHANNEL not in plan.sources[0].repeats
        )
        others = {spot.tensor for spot in task.sources[1:]}
        kept = {source.keep for source in previous.sources if source.keep}
        loads = any(spot.dma for spot in task.sources[1:])
        if not same or loads or before.result.tensor in others or others & kept:
            return ""
        if previous.is_ne and plan.is_ne and plan.kernel is not None and _weighted(plan):
            return ""
        return "NE" if previous.is_ne else "PE"

    def _in_place(self, index: int, streams: str) -> Wait:
        """A value that the NE task computed in place of the last planar result also waits for that one."""
        if streams != "NE" or self.tasks[index].plan.is_ne or self.last_pe is None or self.last_pe < self.group_start:
            return NONE
        return (
            PE_RESULT
            if self.tasks[self.last_pe].result.l2_base == self.tasks[index - 1].result.l2_base
            and not (self.tasks[self.last_pe].result.dma or self.tasks[index - 1].result.dma)
            else NONE
        )

    def _reads_planar(self, index: int) -> bool:
        """Whether a planar task reads the result of the planar task before it, directly or through a NE copy."""
        pe = self.last_pe
        if pe is None or pe < self.group_start:
            return False
        produced = {self.tasks[pe].result.tensor}
        if self.tasks[index].result.tensor in produced and _reduces(self.tasks[pe].plan):
            return True  # the next part of a statistic
        for between in self.tasks[pe + 1 : index]:
            if _is_copy(between.plan) and between.sources[0].tensor in produced:
                produced.add(between.result.tensor)
        return any(not spot.dma and spot.tensor in produced for spot in self.tasks[index].sources)

    def _planar_bits(self, index: int) -> tuple[Wait, Wait]:
        """Waits of the first task of a later group for the last planar task whose staging it overwrites."""
        if self.last_pe is None:
            return NONE, NONE
        task, planar = self.tasks[index], self.tasks[self.last_pe]
        planar_result = _result_range(planar)
        if _overlap(_result_range(task), planar_result):
            source = PE_SOURCE if _overlap(_source_range(task), _source_range(planar)) else NONE
            return source, PE_RESULT
        if _overlap(_source_range(task), planar_result):
            return PE_RESULT, NONE
        return (PE_SOURCE if _overlap(_source_range(task), _source_range(planar)) else NONE), NONE


def _signals(tasks: Sequence[PlacedTask], opens: Sequence[bool], walker: _Walker) -> list[bool]:
    """Every task from a planar task up to the one before the planar task that reads its result."""
    signals = [False] * len(tasks)
    last_pe = 0
    for index, task in enumerate(tasks):
        if task.plan.is_ne:
            continue
        if walker.reads_last_planar[index]:
            for between in range(last_pe, index):
                signals[between] = True
        last_pe = index
    return signals


def _walk(operand: TaskOperand) -> tuple[object, ...]:
    """How an operand goes through its tensor; a task can only follow one that goes the same way."""
    return dict(operand.axes), operand.offset, operand.step, operand.column_step


def _view(plan: TaskPlan) -> tuple[int, ...]:
    view = plan.view
    return view.width, view.height, view.channels, view.depth, view.groups


def _result_view(plan: TaskPlan) -> tuple[int, ...]:
    view = plan.result_view
    return view.width, view.height, view.channels, view.depth, view.groups


def _reduces(plan: TaskPlan) -> bool:
    return isinstance(plan.work, PeWork) and plan.work.mode is PeMode.REDUCTION


def _weighted(plan: TaskPlan) -> bool:
    return isinstance(plan.work, NeWork) and plan.work.mode is NeMode.CONVOLUTION


def _is_copy(plan: TaskPlan) -> bool:
    return isinstance(plan.work, NeWork) and plan.work.mode is NeMode.BYPASS and plan.kernel is None


def _source_range(task: PlacedTask) -> tuple[int, int]:
    spot = task.sources[0]
    return spot.l2_base, spot.l2_base + spot.l2.row * task.plan.view.height


def _result_range(task: PlacedTask) -> tuple[int, int]:
    view = task.plan.result_view
    row = task.result.l2.row or -(-2 * view.width // 16) * 16 * view.channels * view.depth
    return task.result.l2_base, task.result.l2_base + row * view.height


def _overlap(first: tuple[int, int], second: tuple[int, int]) -> bool:
    return first[0] < second[1] and second[0] < first[1]


def has_address(spot: Spot) -> bool:
    """Whether the operand has a DRAM address, used or not."""
    return spot.buffer != NO_BUFFER
