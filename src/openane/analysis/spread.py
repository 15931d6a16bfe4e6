"""Where the pieces of an evaluation run: many processes of this machine (joblib), or a cluster (Dask)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError

from openane.analysis.evaluate import run_piece
from openane.analysis.journal import Job
from openane.core.errors import FaultError, UnavailableError

RETRIES = 3
"""How often a piece is tried again when the worker that had it dies."""
GO_ON = "What is finished stays in the --journal, if one was given; run the same command again to go on."

Spread = Callable[[Job, Sequence[int]], Iterable[dict[str, object]]]


def processes(count: int) -> Spread:
    """Runs pieces in `count` processes of this machine.

    Raises:
        UnavailableError: joblib is not installed.
    """
    try:
        import joblib
        from joblib.externals.loky.process_executor import BrokenProcessPool
    except ImportError as error:
        raise UnavailableError("several processes need joblib", hint="pip install 'openane[eval]'") from error

    def spread(job: Job, numbers: Sequence[int]) -> Iterator[dict[str, object]]:
        parallel = joblib.Parallel(n_jobs=count, return_as="generator_unordered")
        try:
            yield from parallel(joblib.delayed(run_piece)(job, number) for number in numbers)
        except BrokenProcessPool as error:
            raise FaultError("a process of the evaluation was killed", value=_line(error), hint=GO_ON) from error

    return spread


def cluster(scheduler: str) -> Spread:
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
            except (CancelledError, OSError) as error:
                raise UnavailableError("the scheduler went away", where=scheduler, hint=GO_ON) from error
            except ImportError as error:
                raise UnavailableError(
                    f"a worker lacks a package: {_line(error)}",
                    where=scheduler,
                    hint="Install the same openane on every worker.",
                ) from error

    return spread


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
