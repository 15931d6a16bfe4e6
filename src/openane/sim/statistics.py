"""What a program costs in work and traffic: counted from its tasks, the same in every run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from openane.sim.decoded_task import DecodedOperand, DecodedTask, MacWork, MemorySpace


@dataclass(frozen=True, slots=True)
class TaskStatistics:
    """One task.

    Attributes:
        index, name, engine: which one; engine is "NE" or "PE".
        macs: multiply-adds.
        elements: elements of the result.
        read_bytes, written_bytes: (buffer index, bytes) of DRAM.
        l2_read_bytes, l2_written_bytes: of tensors that stay in L2.
        kernel_bytes, table_bytes: loaded coefficients.
        l2_end: one past the last byte of L2 that a tensor of the task occupies.
    """

    index: int
    name: str
    engine: str
    macs: int
    elements: int
    read_bytes: tuple[tuple[int, int], ...]
    written_bytes: tuple[tuple[int, int], ...]
    l2_read_bytes: int
    l2_written_bytes: int
    kernel_bytes: int
    table_bytes: int
    l2_end: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """A program.

    Attributes:
        tasks: one entry per task.
    """

    tasks: tuple[TaskStatistics, ...]

    @property
    def macs(self) -> int:
        """Multiply-adds of all tasks."""
        return sum(task.macs for task in self.tasks)

    @property
    def kernel_bytes(self) -> int:
        """Weights and biases loaded."""
        return sum(task.kernel_bytes for task in self.tasks)

    @property
    def table_bytes(self) -> int:
        """Tables loaded."""
        return sum(task.table_bytes for task in self.tasks)

    @property
    def l2_high_water(self) -> int:
        """Bytes of L2 in use at most, counted from address 0."""
        return max((task.l2_end for task in self.tasks), default=0)

    def buffer_bytes(self) -> dict[int, tuple[int, int]]:
        """Bytes read and written of each DRAM buffer by index."""
        totals: dict[int, tuple[int, int]] = {}
        for task in self.tasks:
            for index, count in task.read_bytes:
                read, written = totals.get(index, (0, 0))
                totals[index] = read + count, written
            for index, count in task.written_bytes:
                read, written = totals.get(index, (0, 0))
                totals[index] = read, written + count
        return dict(sorted(totals.items()))


def count(works: Sequence[DecodedTask]) -> Statistics:
    """Statistics of decoded tasks."""
    return Statistics(tuple(_task(work) for work in works))


def _task(work: DecodedTask) -> TaskStatistics:
    kernel = work.engine.kernel if isinstance(work.engine, MacWork) else None
    stored = [work.result] + ([work.kept] if work.kept else [])
    in_l2 = [operand for operand in (*work.sources, *stored) if operand.space is MemorySpace.L2]
    ends = [operand.end for operand in in_l2] + [staging.end for staging in work.staging]
    return TaskStatistics(
        work.index,
        work.name,
        "NE" if isinstance(work.engine, MacWork) else "PE",
        work.macs,
        work.result.count,
        tuple((o.buffer, o.size_bytes) for o in work.sources if o.space is MemorySpace.DRAM),
        tuple((o.buffer, o.size_bytes) for o in stored if o.space is MemorySpace.DRAM),
        _bytes(work.sources),
        _bytes(stored),
        kernel.weight_bytes if kernel else 0,
        kernel.table_bytes if kernel else 0,
        max(ends, default=0),
    )


def _bytes(operands: Sequence[DecodedOperand]) -> int:
    return sum(operand.size_bytes for operand in operands if operand.space is MemorySpace.L2)
