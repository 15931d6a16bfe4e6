"""Checking a program before it runs. No address depends on data, so one walk over the tasks proves every run.

- `memory`: how much is allocated, known before any of it is.
- `walk`: accesses outside a memory, reads of bytes that nobody wrote, writes to inputs and constants, kernels that are
  missing or too short, chained values that nobody takes, outputs that are not whole.
- `conflicts`: two uses of one byte in the same task.
- `window`: results that no part of the source reaches.
"""

from __future__ import annotations

from collections.abc import Sequence

from openane.core.errors import FaultError
from openane.sim.check.memory import check_memory
from openane.sim.check.walk import Walk
from openane.sim.work import Work

__all__ = ["Walk", "check_memory", "check_operations"]


def check_operations(works: Sequence[Work], limit: int) -> None:
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
