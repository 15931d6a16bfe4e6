"""Threads that run the compiled engine together."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from openane.sim.kernels.library import Arrays, addresses
from openane.sim.schedule import RunState, Schedule

_WORTH_SHARING = 100_000
"""Nanoseconds of work that are about ten times what it takes to wake another thread."""


class Workers:
    """A fixed number of threads for compiled rows, which run without the interpreter's lock.

    Args:
        threads: how many; 0 takes one per core.
    """

    def __init__(self, threads: int = 0) -> None:
        self.count = threads or (os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(self.count - 1) if self.count > 1 else None
        self._own = threading.local()

    def run(self, schedule: Schedule, state: RunState, rows: range, allowance: int) -> int:
        """Does rows until they are done or the allowance is spent; the calling thread takes part.

        Args:
            allowance: nanoseconds, roughly, that `state.progress` may count.

        Returns:
            The first row that is not done.
        """
        state.settle()
        work = schedule, state, rows, allowance
        helpers: list[Future[int]] = []
        if self._pool is not None and schedule.rows["cost"][rows.start : rows.stop].sum() > _WORTH_SHARING:
            helpers = [self._pool.submit(self._execute, *work, number) for number in range(1, self.count)]
        done = self._execute(*work, 0)
        helpers = [helper for helper in helpers if not helper.cancel()]  # who has not begun is not needed any more
        if done == rows.stop:
            state.helpers.extend(helpers)  # all is done; that they go takes as long as a small row
            return done
        return min([done, *(helper.result() for helper in helpers)])

    def _execute(self, schedule: Schedule, state: RunState, rows: range, allowance: int, number: int) -> int:
        arrays = Arrays(*state.addresses, self._scratch(schedule.library.scratch_bytes))
        thread = number, self.count
        return schedule.library.run(state.rows_address, rows, arrays, state.progress_address, allowance, thread)

    def _scratch(self, size_bytes: int) -> int:
        """Address of this thread's own memory."""
        if not hasattr(self._own, "address"):
            self._own.scratch = np.empty(size_bytes, np.uint8)
            (self._own.address,) = addresses(self._own.scratch)
        found: int = self._own.address
        return found

    def close(self) -> None:
        """Ends the threads."""
        if self._pool is not None:
            self._pool.shutdown()
