"""One walk over the tasks, with a map of what somebody has written."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from openane.core.errors import FaultError
from openane.core.types import DType
from openane.sim.check.conflicts import check_conflicts
from openane.sim.check.footprint import Footprint, index_of, marks, overlaps
from openane.sim.check.window import check_window
from openane.sim.check.written import Written
from openane.sim.decoded_task import DecodedOperand, DecodedTask, KernelSource, Lane, MacWork, MemorySpace, Staging
from openane.sim.layout import MemoryLayout

_FLOAT16, _UINT8, _INT8 = 1, 2, 3
"""What a byte of L2 holds; 0 is nothing that somebody wrote. Data in DRAM has no type: transfers convert it."""


class MemoryChecker:
    """What is known after some of the tasks.

    Args:
        layout: sizes of the memories.
        written: buffers whose bytes are all there from the start.
        limit_bytes: of the maps; a byte of memory takes one.
    """

    def __init__(self, layout: MemoryLayout, written: frozenset[int], limit_bytes: int) -> None:
        self._layout = layout
        self._whole = written
        self._limit_bytes = limit_bytes
        self._l2 = Written(layout.l2_bytes, self._ask)
        self._buffers: dict[int, Written] = {}
        self._chained: DecodedTask | None = None
        self._now: DecodedTask | None = None

    def task(self, work: DecodedTask) -> None:
        """Checks and applies one task."""
        self._now = work
        self._places(work)
        self._take_chained(work)
        for source in work.sources:
            self._read(source)
        check_window(work)
        if isinstance(work.engine, MacWork) and work.engine.kernel is not None:
            self._kernel(work, work.engine.kernel)
        if work.unused_kernel is not None:
            self._lanes(work, work.unused_kernel.buffer, work.unused_kernel.lanes)
        check_conflicts(work, self._layout, self._ask)
        for staging in (*work.staging, work.result_staging):
            if staging is not None:
                self._l2.erase(staging.base, staging.end)
        for operand in (work.kept, work.result):
            if operand is not None and operand.space is not MemorySpace.CHAIN:
                self._write(work, operand)

    def end(self, outputs: tuple[DecodedOperand, ...], where: str) -> None:
        """After the last task: every output is whole, and nothing is left for a task that does not come.

        Args:
            outputs: where they lie; the role says which one it is.
            where: the program.
        """
        if self._chained is not None:
            raise _unread(self._chained)
        self._now = None
        for output in outputs:
            if output.end > self._layout.size_of(output):
                continue
            try:
                self._read(output)
            except FaultError as error:
                own = error.diagnostic
                raise FaultError(
                    f"no task writes some of {output.role}", where=where, value=own.value, hint="Nothing has run."
                ) from None

    def _places(self, work: DecodedTask) -> None:
        """Everything is inside its memory."""
        for operand in (*work.sources, *((work.kept,) if work.kept else ()), work.result):
            if operand.space is not MemorySpace.CHAIN:
                self._bounds(work, operand)
        for number, staging in enumerate(work.staging):
            self._staging(work, staging, work.sources[number])
        if work.result_staging is not None:
            self._staging(work, work.result_staging, work.result)
        if work.result.space is MemorySpace.DRAM and work.result.buffer in self._layout.read_only:
            raise FaultError(
                "the task writes to an input or to constants",
                where=f"{work.where}: {work.result.registers}",
                value=self._layout.describe(work.result),
            )

    def _staging(self, work: DecodedTask, staging: Staging, tensor: DecodedOperand) -> None:
        if staging.end > self._layout.l2_bytes:
            raise FaultError(
                f"staged {staging.role} does not fit in L2",
                where=f"{work.where}: {staging.registers}",
                value=f"{staging.base:#x} to {staging.end:#x}, {self._layout.describe(tensor)}",
                limit=f"{self._layout.l2_bytes:#x}",
            )

    def _take_chained(self, work: DecodedTask) -> None:
        """A chained value goes into the very next task, which reads all of it (4 of 4 goldens)."""
        before, source = self._chained, work.sources[0]
        self._chained = work if work.result.space is MemorySpace.CHAIN else None
        if source.space is not MemorySpace.CHAIN:
            if before is not None:
                raise _unread(before)
            return
        where = f"{work.where}: {source.registers}"
        if before is None:
            raise FaultError("the task reads a chained value, and the task before gives none", where=where)
        if before.result.extent != source.extent:
            raise FaultError(
                "the task reads a chained value of another size",
                where=where,
                value=f"{source.extent}",
                limit=f"{before.result.extent} of task {before.index}",
            )

    def _where(self, registers: str = "") -> str:
        """The task at hand, and registers of it, for messages: made only for those."""
        if self._now is None:
            return "outputs"
        return f"{self._now.where}: {registers}" if registers else self._now.where

    def _ask(self, size: int) -> None:
        """Refuses maps that are too large, before they are made."""
        total = size + sum(known.allocated_bytes for known in (self._l2, *self._buffers.values()))
        if total > self._limit_bytes:
            raise FaultError(
                "checking the task takes too much memory", where=self._where(), value=f"{total} bytes",
                limit=f"{self._limit_bytes} bytes", hint="Raise the memory limit if this is meant.",
            )  # fmt: skip

    def _memory(self, operand: DecodedOperand) -> Written:
        return self._l2 if operand.space is MemorySpace.L2 else self._buffer(operand.buffer)

    def _buffer(self, index: int) -> Written:
        if index not in self._buffers:
            self._buffers[index] = Written(self._layout.buffers[index], self._ask)
        return self._buffers[index]

    def _bounds(self, work: DecodedTask, operand: DecodedOperand) -> None:
        size, end = self._layout.size_of(operand), operand.end
        if size < 0:
            known = ", ".join(map(str, sorted(self._layout.buffers)))
            raise FaultError(
                f"{operand.role} is in a buffer that the program does not have",
                where=self._where(operand.registers),
                value=f"buffer {operand.buffer}",
                limit=known,
            )
        if end > size:
            raise FaultError(
                f"{operand.role} runs over the end of its memory",
                where=self._where(operand.registers),
                value=f"{operand.base:#x} to {end:#x}",
                limit=f"{size:#x} bytes in {self._layout.describe(operand)}",
            )
        g, d, c, h, w = operand.strides
        if operand.dtype is DType.FLOAT16 and (operand.base | g | d | c | h | w) & 1:
            raise FaultError(
                "an address is odd",
                where=self._where(operand.registers),
                value=f"{operand.base:#x}, strides {operand.strides}",
            )

    def _read(self, operand: DecodedOperand) -> None:
        if operand.space is MemorySpace.CHAIN or (operand.space is MemorySpace.DRAM and operand.buffer in self._whole):
            return
        known, code = self._memory(operand), _code(operand)
        for footprint in Footprint.all_of(operand):
            if footprint.crowded:
                self._ask(4 * footprint.reach)
            address = known.first_missing(footprint, code)
            if address is not None:
                found = "another type was written" if known.bytes()[address] else ""
                raise self._missing(operand, address, found)

    def _missing(self, operand: DecodedOperand, address: int, found: str) -> FaultError:
        reads = f"{operand.role} reads {self._layout.describe(operand)}"
        return FaultError(
            f"{reads} as {operand.dtype.value}, {found}" if found else f"{reads} where nobody has written",
            where=self._where(operand.registers),
            value=f"address {address:#x}, (group, depth, channel, row, column) {index_of(operand, address)}",
        )

    def _write(self, work: DecodedTask, operand: DecodedOperand) -> None:
        if overlaps(operand, self._ask):
            raise FaultError(
                f"elements of the {operand.role} overlap in memory",
                where=f"{work.where}: {operand.registers}",
                value=f"extents {operand.extent}, strides {operand.strides}",
            )
        self._memory(operand).write(Footprint.all_of(operand), _code(operand))

    def _kernel(self, work: DecodedTask, kernel: KernelSource) -> None:
        loaded = sum(lane.size_bytes for lane in kernel.lanes)
        if kernel.buffer in self._layout.buffers and loaded < kernel.least_bytes:
            raise FaultError(
                "the kernel streams are shorter than the kernel",
                where=f"{work.where}: KernelDMASrc.CoeffBfrSize",
                value=f"{loaded} bytes in {len(kernel.lanes)} lanes",
                limit=f"at least {kernel.least_bytes}",
            )
        self._lanes(work, kernel.buffer, kernel.lanes)
        if kernel.buffer in self._whole:
            return
        used, result = list(kernel.used_bytes()), work.result
        begin = min(lane.offset for lane in kernel.lanes)
        end = max(lane.offset + lane.size_bytes for lane in kernel.lanes)
        overwritten = result.space is MemorySpace.DRAM and result.buffer == kernel.buffer
        overwritten = overwritten and result.base < end and begin < result.end
        if overwritten or not self._buffer(kernel.buffer).bytes()[begin:end].all():
            for lane, marked in used:
                self._lane(work, kernel.buffer, lane, marked)

    def _lanes(self, work: DecodedTask, buffer: int, lanes: tuple[Lane, ...]) -> None:
        """Every stream is inside its buffer."""
        size = self._layout.buffers.get(buffer)
        if size is None:
            raise FaultError(
                "the kernel is in a buffer that the program does not have",
                where=f"{work.where}: Header.KernelBases",
                value=f"buffer {buffer}",
            )
        for lane in lanes:
            if lane.offset + lane.size_bytes > size:
                raise FaultError(
                    "a kernel stream runs over the end of its buffer",
                    where=f"{work.where}: KernelDMASrc.CoeffBaseAddr[{lane.engine}]",
                    value=f"{lane.offset:#x} to {lane.offset + lane.size_bytes:#x}",
                    limit=f"{size:#x} bytes in buffer {buffer}",
                )

    def _lane(self, work: DecodedTask, buffer: int, lane: Lane, used: npt.NDArray[np.bool_]) -> None:
        """A stream that earlier tasks have computed is there, and the task itself does not overwrite it."""
        registers = f"KernelDMASrc.CoeffBaseAddr[{lane.engine}]"
        begin, end, result = lane.offset, lane.offset + lane.size_bytes, work.result
        lost = used & (self._buffer(buffer).bytes()[begin:end] == 0)
        if lost.any():
            raise FaultError(
                "the kernel is read where nobody has written",
                where=self._where(registers),
                value=f"address {begin + int(lost.argmax()):#x} in buffer {buffer}",
            )
        if result.space is not MemorySpace.DRAM or result.buffer != buffer or result.base >= end or result.end <= begin:
            return
        written = marks(result, self._ask)
        low, high = max(begin, result.base), min(end, result.end)
        both = used[low - begin : high - begin] & written[low - result.base : high - result.base]
        if both.any():
            raise FaultError(
                "the result overwrites the kernel of its own task",
                where=f"{self._where(registers)}, {result.registers}",
                value=f"address {low + int(both.argmax()):#x} in {self._layout.describe(result)}",
            )


def _code(operand: DecodedOperand) -> int:
    if operand.space is not MemorySpace.L2 or operand.dtype is DType.FLOAT16:
        return _FLOAT16
    return _UINT8 if operand.dtype is DType.UINT8 else _INT8


def _unread(work: DecodedTask) -> FaultError:
    return FaultError(
        "the result goes straight into the next task, and that does not read it",
        where=f"{work.where}: {work.result.registers}",
    )
