"""What goes wrong in the workers of an evaluation; run as a program: a scheduler.

A module of its own, so that workers in other processes find it by name.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from openane.analysis.evaluate import run_piece
from openane.analysis.journal import EvaluationJob


def dies(job: EvaluationJob, number: int) -> dict[str, object]:
    """The third piece ends its process at once."""
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return run_piece(job, number)


def stops(job: EvaluationJob, number: int) -> dict[str, object]:
    """The third piece and those after it never end."""
    if number >= 2:
        threading.Event().wait()
    return run_piece(job, number)


def main() -> None:
    """Prints the address of the scheduler, of as many workers as the argument says, and waits to be killed."""
    import distributed

    with distributed.LocalCluster(
        n_workers=int(sys.argv[1]), threads_per_worker=1, processes=False, protocol="tcp://", dashboard_address=None
    ) as local:
        print(local.scheduler_address, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
