"""Where the pieces of an evaluation run: many processes of this machine (joblib), or a cluster (Dask)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import Any

from openane.analysis.evaluate import run_piece
from openane.analysis.journal import EvaluationJob
from openane.core.errors import FaultError, UnavailableError

RETRIES = 3
"""How often a piece is tried again when the worker that had it dies."""
LOOK_SECONDS = 5.0
"""How often workers are looked for while nothing comes back."""
ALONE_SECONDS = 120.0
"""How long the scheduler may be without workers, which may be starting again."""
GO_ON = "What is finished stays in the --journal, if one was given; run the same command again to go on."

Executor = Callable[[EvaluationJob, Sequence[int]], Iterable[dict[str, object]]]


def processes(count: int) -> Executor:
    """Runs pieces in `count` processes of this machine.

    Raises:
        UnavailableError: joblib is not installed.
    """
    try:
        import joblib
        from joblib.externals.loky.process_executor import BrokenProcessPool
    except ImportError as error:
        raise UnavailableError("several processes need joblib", hint="pip install 'openane[eval]'") from error

    def spread(job: EvaluationJob, numbers: Sequence[int]) -> Iterator[dict[str, object]]:
        parallel = joblib.Parallel(n_jobs=count, return_as="generator_unordered")
        try:
            yield from parallel(joblib.delayed(run_piece)(job, number) for number in numbers)
        except BrokenProcessPool as error:
            raise FaultError("a process of the evaluation was killed", value=_line(error), hint=GO_ON) from error

    return spread


def cluster(scheduler: str) -> Executor:
    """Runs pieces on the workers of a Dask cluster; the model and the data set must be at the same paths there.

    Raises:
        UnavailableError: Dask is not installed, or the scheduler does not answer.
    """
    try:
        import distributed
    except ImportError as error:
        raise UnavailableError("a cluster needs dask[distributed]", hint="pip install 'openane[cluster]'") from error

    def spread(job: EvaluationJob, numbers: Sequence[int]) -> Iterator[dict[str, object]]:
        try:
            client = distributed.Client(scheduler, timeout="10s", set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise UnavailableError("the scheduler does not answer", where=scheduler) from error
        with _silent("distributed", "distributed.client"), client:
            futures = [client.submit(run_piece, job, number, pure=False, retries=RETRIES) for number in numbers]
            try:
                yield from _results(client, futures, scheduler)
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


def _results(client: Any, futures: Sequence[Any], scheduler: str) -> Iterator[dict[str, object]]:
    """Results as they come.

    Raises:
        UnavailableError: the scheduler has had no worker for a while; else it would be waited for without end.
    """
    from distributed import wait

    left, alone_since = set(futures), None
    while left:
        try:
            with client.as_current():
                done, left = wait(left, timeout=LOOK_SECONDS, return_when="FIRST_COMPLETED")
        except TimeoutError:
            done = set()
        for future in done:
            result: dict[str, object] = future.result()
            yield result
        now = time.monotonic()
        if done or client.scheduler_info()["workers"]:
            alone_since = None
        elif alone_since is None:
            alone_since = now
        elif now - alone_since > ALONE_SECONDS:
            raise UnavailableError("the scheduler has no workers", where=scheduler, hint=GO_ON)


@contextmanager
def _silent(*names: str) -> Iterator[None]:
    """Keeps tracebacks in the logs of a library from the terminal, where one error says the same."""
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
