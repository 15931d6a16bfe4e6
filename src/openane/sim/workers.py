"""Sharing work between threads. Every share computes its own outputs, so results do not depend on the number."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

Job = Callable[[], object]


class Workers:
    """A fixed number of threads for compiled kernels, which run without the interpreter's lock.

    Args:
        threads: how many; 0 takes one per core.
    """

    def __init__(self, threads: int = 0) -> None:
        self.count = threads or (os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(self.count - 1) if self.count > 1 else None

    def run(self, jobs: Sequence[Job]) -> None:
        """Runs all jobs and returns when all are done; the calling thread takes part.

        Raises:
            The first exception of a job.
        """
        if self._pool is None or len(jobs) < 2:
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

    def ranges(self, count: int, smallest: int = 1) -> list[tuple[int, int]]:
        """`count` things in nearly equal runs, a few for each thread, none under `smallest` when avoidable."""
        parts = max(1, min(2 * self.count if self.count > 1 else 1, count // max(smallest, 1)))
        edges = [count * i // parts for i in range(parts + 1)]
        return [(a, b) for a, b in zip(edges, edges[1:], strict=False) if a < b]

    def close(self) -> None:
        """Ends the threads."""
        if self._pool is not None:
            self._pool.shutdown()
