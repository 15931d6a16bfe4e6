"""Checking a program before it runs. No address depends on data, so one walk over the tasks proves every run.

- `memory`: how much is allocated, known before any of it is.
- `memory_checker`: accesses outside a memory, reads of bytes that nobody wrote, writes to inputs and constants,
  kernels that are missing or too short, chained values that nobody takes, outputs that are not whole.
- `conflicts`: two uses of one byte in the same task.
- `window`: results that no part of the source reaches.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from openane.core.errors import FaultError
from openane.program import Program, Surface
from openane.sim.check.memory_checker import MemoryChecker
from openane.sim.decoded_task import DecodedOperand, DecodedTask, MemorySpace
from openane.sim.layout import BufferMap, MemoryLayout


def check_addresses(
    program: Program, works: Iterable[DecodedTask], layout: MemoryLayout, buffers: BufferMap, limit_bytes: int,
    complete: Sequence[Surface] | None,
) -> None:  # fmt: skip
    """Proves that no run of a program leaves its memories or uses a byte twice.

    Args:
        program: surfaces and constants.
        works: its decoded tasks; each is looked at once, in order.
        layout: sizes of the memories.
        buffers: meaning of buffer indices.
        limit_bytes: of the constants and of the maps that the proof takes.
        complete: outputs that the tasks write as a whole; None: the last tasks do not run.

    Raises:
        FaultError: a task reads what nobody wrote or what another transfer has overwritten, two uses share a byte, an
            address is outside of its memory, or an output is incomplete.
    """
    whole = frozenset({surface.buffer for surface in program.inputs} | {buffers.constants})
    walk = MemoryChecker(layout, whole, limit_bytes - len(program.constants))
    for work in works:
        walk.task(work)
    if complete is not None:
        walk.end(tuple(map(_operand, complete)), program.name)


def check_operations(works: Sequence[DecodedTask], limit: int) -> None:
    """Refuses programs that would take too long.

    Args:
        works: the decoded tasks.
        limit: multiply-adds and elements of the whole program that are still run.

    Raises:
        FaultError: names the task with most of them.
    """
    operations = sum(work.macs + work.elements for work in works)
    if operations > limit:
        most = max(works, key=lambda work: work.macs + work.elements)
        raise FaultError(
            "the program asks for more work than is run",
            where=most.where,
            value=f"{operations} operations in all, most in this task",
            limit=limit,
        )


def _operand(surface: Surface) -> DecodedOperand:
    """A surface as if a task read all of it."""
    n, d, c, h, w = surface.strides_bytes
    g, depth, channels, height, width = surface.shape
    return DecodedOperand(
        f"output {surface.name}", MemorySpace.DRAM, surface.buffer, 0, (g, depth, channels, height, width),
        (n, d, c, h, w), surface.dtype, surface.interleave,
    )  # fmt: skip
