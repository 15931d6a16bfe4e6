"""The kernel's error numbers as sentences: what happened, and what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from openane.core.errors import FaultError, OpenaneError, UnavailableError


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an error number of the driver means.

    Attributes:
        what: the sentence.
        hint: what to do.
        kind: class of the error.
    """

    what: str
    hint: str
    kind: type[OpenaneError] = UnavailableError


_GONE = Meaning(
    "the device is gone",
    "It was unbound, unplugged or powered off. Look at `dmesg`, load the driver again, open a new session.",
)
_PERMISSION = Meaning(
    "no permission for the device",
    "Add your user to the group that owns the node (often `render`), or add a udev rule.",
)
_OTHER_DRIVER = Meaning(
    "the driver does not know this call",
    "The node belongs to another driver, or to a driver version with another interface. See `openane doctor`.",
)

_MEANINGS: Final = {
    errno.ENODEV: _GONE,
    errno.ENXIO: _GONE,
    errno.EBADF: _GONE,
    errno.EACCES: _PERMISSION,
    errno.EPERM: _PERMISSION,
    errno.ENOTTY: _OTHER_DRIVER,
    errno.ENOSYS: _OTHER_DRIVER,
    errno.EOPNOTSUPP: _OTHER_DRIVER,
    errno.ENOENT: Meaning("there is no such device node or buffer", "Load the driver; see `openane doctor`."),
    errno.ENOMEM: Meaning(
        "the kernel has no memory for the buffers",
        "Close other sessions, or split the program into smaller ones.",
    ),
    errno.ENOSPC: Meaning(
        "the engine's address space is full",
        "Close other sessions; buffers of all of them share 3.5 GiB.",
    ),
    errno.EBUSY: Meaning("the device is busy", "Another process holds it; try again when it has finished."),
    errno.ETIMEDOUT: Meaning(
        "the engine did not finish in time",
        "The program may have hung it. The driver waits one second; look at `dmesg` for TM_ERROR, and load "
        "the driver again if the next run fails too.",
        FaultError,
    ),
    errno.EIO: Meaning("the engine reported a fault", "Look at `dmesg` for TM_ERROR.", FaultError),
    errno.EFAULT: Meaning(
        "the kernel could not use a memory range",
        "An address of this process was refused; please report it with the output of `openane doctor --json`.",
        FaultError,
    ),
    errno.EINVAL: Meaning(
        "the driver refused the arguments",
        "Its limits differ from the published ones; please report it with the output of `openane doctor --json`.",
        FaultError,
    ),
}


def meaning_of(number: int) -> Meaning:
    """The meaning of an error number; unknown ones get the C library's text."""
    return _MEANINGS.get(
        number,
        Meaning(os.strerror(number).lower(), "See `dmesg` and `openane doctor`."),
    )


def translate(error: OSError, where: str, doing: str) -> OpenaneError:
    """An OSError of the device as an error for the user.

    Args:
        error: as raised.
        where: the device node.
        doing: what was tried ("BO_INIT of 16384 bytes").
    """
    number = error.errno or 0
    meaning = meaning_of(number)
    name = errno.errorcode.get(number, str(number))
    return meaning.kind(meaning.what, where=f"{where}: {doing}", value=name, hint=meaning.hint)


@contextmanager
def translated(where: str, doing: str) -> Iterator[None]:
    """Translates every OSError raised inside."""
    try:
        yield
    except OSError as error:
        raise translate(error, where, doing) from error
