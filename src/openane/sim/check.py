"""Checking a program before it runs. No address depends on data, so one walk over the tasks proves every run.

The walk keeps a map of the bytes that somebody has written. It finds accesses outside a memory, reads of bytes that
nobody wrote, results whose own elements overlap, and writes to inputs and constants.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from openane.core.errors import FaultError
from openane.core.types import DType
from openane.sim.memory import MemoryLayout
from openane.sim.work import MacOperation, MacWork, Operand, Space, Work

_Map = npt.NDArray[np.bool_]


def check(works: Sequence[Work], layout: MemoryLayout, written: Iterable[int], operation_limit: int) -> None:
    """Walks the tasks in order.

    Args:
        works: the decoded tasks.
        layout: sizes of the memories.
        written: buffers whose bytes are all there from the start (inputs, constants).
        operation_limit: multiply-adds and elements of the whole program that are still run.

    Raises:
        FaultError: task, engine, register, address and tensor of the first fault.
    """
    operations = sum(work.macs + work.elements for work in works)
    if operations > operation_limit:
        most = max(works, key=lambda work: work.macs + work.elements)
        raise FaultError(
            "the program asks for more work than is run",
            where=most.where,
            value=f"{operations} operations in all, most in this task",
            limit=operation_limit,
        )
    walk = _Walk(layout, frozenset(written))
    for work in works:
        walk.task(work)


class _Walk:
    def __init__(self, layout: MemoryLayout, written: frozenset[int]) -> None:
        self._layout = layout
        self._whole = written
        self._maps: dict[tuple[Space, int], _Map] = {}

    def task(self, work: Work) -> None:
        """Checks and applies one task."""
        for source in work.sources:
            self._bounds(work, source)
            self._read(work, source)
        if work.engine.window is not None:
            _window(work)
        if isinstance(work.engine, MacWork) and work.engine.kernel is not None:
            self._kernel(work, work.engine)
        for staging in work.staging:
            if staging.end > self._layout.l2_bytes:
                raise FaultError(
                    f"{staging.role} does not fit in L2 on its way",
                    where=work.where,
                    value=f"{staging.base:#x} to {staging.end:#x}",
                    limit=f"{self._layout.l2_bytes:#x}",
                )
            self._map(Space.L2, 0)[staging.base : staging.end] = False
        if work.kept is not None:
            self._bounds(work, work.kept)
            self._write(work, work.kept)
        self._bounds(work, work.result)
        if work.result.space is Space.DRAM and work.result.buffer in self._layout.read_only:
            raise FaultError(
                "the task writes to an input or to constants",
                where=f"{work.where}: {work.result.registers}",
                value=self._layout.describe(work.result),
            )
        self._write(work, work.result)

    def _map(self, space: Space, buffer: int) -> _Map:
        key = space, buffer
        if key not in self._maps:
            sizes = {Space.L2: self._layout.l2_bytes, Space.CHAIN: self._layout.chain_bytes}
            size = sizes[space] if space in sizes else self._layout.buffers[buffer]
            self._maps[key] = np.zeros(size + size % 2, np.bool_)
        return self._maps[key]

    def _bounds(self, work: Work, operand: Operand) -> None:
        where = f"{work.where}: {operand.registers}"
        size = self._layout.size_of(operand)
        if size < 0:
            known = ", ".join(map(str, sorted(self._layout.buffers)))
            raise FaultError(
                f"{operand.role} is in a buffer that the program does not have",
                where=where,
                value=f"buffer {operand.buffer}",
                limit=known,
            )
        if operand.end > size:
            raise FaultError(
                f"{operand.role} runs over the end of its memory",
                where=where,
                value=f"{operand.base:#x} to {operand.end:#x}",
                limit=f"{size:#x} bytes in {self._layout.describe(operand)}",
            )
        if operand.dtype is DType.FLOAT16 and any(value % 2 for value in (operand.base, *operand.strides)):
            raise FaultError("an address is odd", where=where, value=f"{operand.base:#x}, strides {operand.strides}")

    def _read(self, work: Work, operand: Operand) -> None:
        if operand.space is Space.DRAM and operand.buffer in self._whole:
            return
        for piece in operand.pieces:
            view = _bytes(self._map(piece.space, piece.buffer), piece)
            if not view.all():
                first = np.unravel_index(int(np.argmin(view.all(axis=-1))), piece.extent)
                address = piece.base + sum(int(i) * s for i, s in zip(first, piece.strides, strict=True))
                raise FaultError(
                    f"{operand.role} reads {self._layout.describe(operand)} where nobody has written",
                    where=f"{work.where}: {operand.registers}",
                    value=f"address {address:#x}, (group, depth, channel, row, column) {tuple(map(int, first))}",
                )

    def _write(self, work: Work, operand: Operand) -> None:
        for piece in operand.pieces:
            if _overlaps(piece):
                raise FaultError(
                    f"elements of the {operand.role} overlap in memory",
                    where=f"{work.where}: {operand.registers}",
                    value=f"extents {piece.extent}, strides {piece.strides}",
                )
            _bytes(self._map(piece.space, piece.buffer), piece)[...] = True

    def _kernel(self, work: Work, engine: MacWork) -> None:
        kernel = engine.kernel
        assert kernel is not None
        size = self._layout.buffers.get(kernel.buffer)
        if size is None:
            raise FaultError(
                "the kernel is in a buffer that the program does not have",
                where=f"{work.where}: Header.KernelBases",
                value=f"buffer {kernel.buffer}",
            )
        loaded = sum(lane.size_bytes for lane in kernel.lanes)
        if loaded < kernel.least_bytes:
            raise FaultError(
                "the kernel streams are shorter than the kernel",
                where=f"{work.where}: KernelDMASrc.CoeffBfrSize",
                value=f"{loaded} bytes in {len(kernel.lanes)} lanes",
                limit=f"at least {kernel.least_bytes}",
            )
        for lane in kernel.lanes:
            where = f"{work.where}: KernelDMASrc.CoeffBaseAddr[{lane.engine}]"
            if lane.offset + lane.size_bytes > size:
                raise FaultError(
                    "a kernel stream runs over the end of its buffer",
                    where=where,
                    value=f"{lane.offset:#x} to {lane.offset + lane.size_bytes:#x}",
                    limit=f"{size:#x} bytes in buffer {kernel.buffer}",
                )
            if kernel.buffer not in self._whole:
                used = min(lane.size_bytes, -(-kernel.least_bytes // len(kernel.lanes)))  # the rest fills 64 bytes up
                written = self._map(Space.DRAM, kernel.buffer)[lane.offset : lane.offset + used]
                if not written.all():
                    raise FaultError(
                        "the kernel is read where nobody has written",
                        where=where,
                        value=f"address {lane.offset + int(np.argmin(written)):#x} in buffer {kernel.buffer}",
                    )


def _window(work: Work) -> None:
    """Refuses results that lie wholly outside of the padded source: their size is a mistake."""
    engine = work.engine
    assert engine.window is not None
    spread = isinstance(engine, MacWork) and engine.operation is MacOperation.TRANSPOSED
    for axis, name in ((0, "rows"), (1, "columns")):
        extent, result = work.view[3 + axis], work.result_view[3 + axis]
        stride = engine.stride[axis]
        inner = (extent - 1) * stride + 1 if spread else extent
        last = (result - 1) * (1 if spread else stride) - engine.pad[axis]
        if last >= inner + (engine.window[axis] if spread else 0):
            raise FaultError(
                f"the result has {name} whose window lies outside of the source",
                where=f"{work.where}: Common.OutDim",
                value=f"{result} {name} of {extent}, kernel {engine.window[axis]}, stride {stride}",
                limit=f"pad {engine.pad[axis]} in front",
            )


def _bytes(memory: _Map, operand: Operand) -> npt.NDArray[np.bool_]:
    """The bytes of the operand's elements in a map, one more axis for the bytes of an element."""
    shape, strides = (*operand.extent, operand.item_bytes), (*operand.strides, 1)
    return np.ndarray(shape, np.bool_, memory.data, operand.base, strides)


def _overlaps(operand: Operand) -> bool:
    """Whether two elements share a byte."""
    axes = sorted((s, n) for s, n in zip(operand.strides, operand.extent, strict=True) if n > 1)
    reach, nested = operand.item_bytes, True
    for stride, extent in axes:
        nested = nested and stride >= reach
        reach += stride * (extent - 1)
    if nested:
        return False
    count = np.zeros(reach, np.uint8)
    view = np.ndarray(operand.extent, np.uint8, count.data, 0, operand.strides)
    view[...] = 1
    return int(count.sum()) < operand.count
