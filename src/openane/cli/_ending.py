"""How the command line exits: on signals it cleans up its files; on errors it prints one line and sets a status."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

WRONG_STATUS = 1
"""Exit status for a result or a program that is wrong, or a condition that is not met."""
ERROR_STATUS = 2
"""Exit status for an error in the input, the command line or the environment: there is no verdict."""
SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class Terminated(BaseException):
    """A signal terminates the process; unwinding the stack removes partly written files.

    Attributes:
        status: the exit status that shells use for a process killed by a signal, 128 + its number.
    """

    def __init__(self, number: int) -> None:
        self.status = 128 + number
        super().__init__(signal.Signals(number).name)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Raises `Terminated` on signals that terminate a process; ignored signals (nohup) remain ignored."""
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
    for each in SIGNALS:  # a second signal must not interrupt the cleanup
        signal.signal(each, signal.SIG_IGN)
    raise Terminated(number)


_SHORTAGES = ("cannot allocate memory", "failed to map segment", "can't start new thread", "out of memory")


def short_of_memory(error: BaseException) -> bool:
    """Whether an error, or one of its causes, reports that the system is out of memory."""
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
    """Replaces standard output, whose buffer cannot be written, so that closing it does not raise a second error."""
    with suppress(OSError):
        sys.stdout.close()
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 (it remains open until the process exits)
