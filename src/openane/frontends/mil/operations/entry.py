"""One operation's entry in the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from openane.frontends.mil.call import OperationCall


@dataclass(frozen=True, slots=True)
class Entry:
    """How a MIL operation is read.

    Attributes:
        parameters: its arguments in order, for those written without a name.
        translate: adds the nodes.
    """

    parameters: tuple[str, ...]
    translate: Callable[[OperationCall], None]
