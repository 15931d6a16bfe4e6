"""How the command line ends: on signals with its files cleaned up, and on errors with one line and a status."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class Terminated(BaseException):
    """A signal asked the process to end; it unwinds the stack, so that nothing half-written stays.

    Attributes:
        status: the exit status of a shell for a process that a signal ended, 128 + its number.
    """

    def __init__(self, number: int) -> None:
        self.status = 128 + number
        super().__init__(signal.Signals(number).name)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Makes the signals that ask a process to end raise `Terminated`; ignored ones (nohup) stay ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    changed = [number for number, handler in before.items() if handler == signal.SIG_DFL]
    for number in changed:
        signal.signal(number, _terminate)
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, before[number])


def _terminate(number: int, _: FrameType | None) -> None:
    for each in SIGNALS:  # a second one must not interrupt the cleaning up
        signal.signal(each, signal.SIG_IGN)
    raise Terminated(number)


_SHORTAGES = ("cannot allocate memory", "failed to map segment", "can't start new thread", "out of memory")


def short_of_memory(error: BaseException) -> bool:
    """Whether an error, or one that it came from, says that the system gave no more memory."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        if isinstance(each, MemoryError) or (isinstance(each, OSError) and each.errno == errno.ENOMEM):
            return True
        if isinstance(each, (OSError, ImportError, RuntimeError)) and any(
            words in str(each).lower() for words in _SHORTAGES
        ):
            return True
        each = each.__cause__ or each.__context__
    return False


def abandon_output() -> None:
    """Gives up standard output, whose buffer cannot be written, so that its end raises no second error."""
    with suppress(OSError):
        sys.stdout.close()
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 (it stays open to the end of the process)
