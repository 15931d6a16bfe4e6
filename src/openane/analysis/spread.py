"""Where the pieces of an evaluation run: many processes of this machine (joblib), or a cluster (Dask)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from openane.analysis.evaluate import Job, run_piece
from openane.core.errors import FaultError, UnavailableError

RETRIES = 3
"""How often a piece is tried again when the worker that had it dies."""


def processes(count: int) -> Callable[[Job, Sequence[int]], Iterable[dict[str, object]]]:
    """Runs pieces in `count` processes of this machine.

    Raises:
        UnavailableError: joblib is not installed.
    """
    try:
        import joblib
    except ImportError as error:
        raise UnavailableError("several processes need joblib", hint="pip install 'openane[eval]'") from error

    def spread(job: Job, numbers: Sequence[int]) -> Iterable[dict[str, object]]:
        parallel = joblib.Parallel(n_jobs=count, return_as="generator_unordered")
        results: Iterable[dict[str, object]] = parallel(joblib.delayed(run_piece)(job, number) for number in numbers)
        return results

    return spread


def cluster(scheduler: str) -> Callable[[Job, Sequence[int]], Iterable[dict[str, object]]]:
    """Runs pieces on the workers of a Dask cluster; the model and the data set must be at the same paths there.

    Raises:
        UnavailableError: Dask is not installed, or the scheduler does not answer.
    """
    try:
        import distributed
    except ImportError as error:
        raise UnavailableError("a cluster needs dask[distributed]", hint="pip install 'openane[cluster]'") from error

    def spread(job: Job, numbers: Sequence[int]) -> Iterator[dict[str, object]]:
        try:
            client = distributed.Client(scheduler, timeout="10s", set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise UnavailableError("the scheduler does not answer", where=scheduler) from error
        with client:
            futures = [client.submit(run_piece, job, number, pure=False, retries=RETRIES) for number in numbers]
            try:
                for future in distributed.as_completed(futures, loop=client.loop):
                    result: dict[str, object] = future.result()
                    yield result
            except distributed.scheduler.KilledWorker as error:
                raise FaultError(
                    "a piece killed every worker that tried it", where=scheduler, hint="Look at the workers' memory."
                ) from error

    return spread
