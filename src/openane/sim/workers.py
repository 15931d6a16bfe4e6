"""Sharing work between threads. Every share computes its own outputs, so results do not depend on the number."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise

_WORTH_SHARING = 1 << 16
"""Operations that take about as long as waking another thread."""

Job = Callable[[], object]


class Workers:
    """A fixed number of threads for compiled kernels, which run without the interpreter's lock.

    Args:
        threads: how many; 0 takes one per core.
    """

    def __init__(self, threads: int = 0) -> None:
        self.count = threads or (os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(self.count - 1) if self.count > 1 else None

    def run(self, jobs: Sequence[Job], operations: int) -> None:
        """Runs all jobs and returns when all are done; the calling thread takes part.

        Args:
            jobs: independent of each other.
            operations: of all together; few are done by the calling thread alone.

        Raises:
            The first exception of a job.
        """
        if self._pool is None or len(jobs) < 2 or operations < _WORTH_SHARING:
            for job in jobs:
                job()
            return
        remaining = iter(jobs)  # `next` of a list iterator is atomic

        def work() -> None:
            for job in remaining:
                job()

        helpers = [self._pool.submit(work) for _ in range(min(self.count, len(jobs)) - 1)]
        work()
        for helper in helpers:
            helper.result()

    def split(self, kernel: Callable[[int, int], object], count: int, operations: int) -> None:
        """Runs `kernel(first, end)` for shares of `count` things, in one share when there is little to do.

        Raises:
            The first exception of a share.
        """
        if operations < _WORTH_SHARING:
            kernel(0, count)
        else:
            self.run([partial(kernel, first, end) for first, end in self.shares(count)], operations)

    def shares(self, count: int, smallest: int = 1) -> list[tuple[int, int]]:
        """`count` things in nearly equal runs, two for each thread, none under `smallest` when avoidable."""
        wanted = 2 * self.count if self.count > 1 else 1
        parts = max(1, min(wanted, count // smallest))
        return [(first, end) for first, end in pairwise(count * i // parts for i in range(parts + 1)) if first < end]

    def close(self) -> None:
        """Ends the threads."""
        if self._pool is not None:
            self._pool.shutdown()
