"""What tasks have written to one memory: a log, and a map of its bytes where the log alone does not answer.

Most tasks read exactly what one task before them wrote. The log answers those without touching a byte; everything else
is looked up in the map, to which the log is applied first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from openane.sim.check.footprint import Bytes, Footprint

_LOOK_BACK = 32
"""Entries of the log that are compared before the map is asked."""
_LONGEST_LOG = 1024


class _Entry(NamedTuple):
    """One change: elements that were written, or a range that was overwritten by a transfer.

    Attributes:
        begin, end: the range of bytes.
        code: what the bytes hold now; 0 is nothing.
        footprints: the elements; none when the whole range changed.
    """

    begin: int
    end: int
    code: int
    footprints: tuple[Footprint, ...] = ()

    def covers(self, wanted: Footprint) -> bool:
        """Whether it changed every byte of the elements."""
        return any(
            own == wanted or (own.dense and own.base <= wanted.base and wanted.end <= own.end)
            for own in self.footprints
        )


class Written:
    """The state of one memory.

    Args:
        size_bytes: of the memory.
        ask: called with the bytes of the map before it is allocated; raises when they are too many.
    """

    def __init__(self, size_bytes: int, ask: Callable[[int], None]) -> None:
        self._size = size_bytes + size_bytes % 2
        self._ask = ask
        self._log: list[_Entry] = []
        self._applied = 0
        self._map: Bytes | None = None

    @property
    def allocated_bytes(self) -> int:
        """Bytes of the map, 0 while there is none."""
        return 0 if self._map is None else self._size

    def write(self, footprints: tuple[Footprint, ...], code: int) -> None:
        """Notes that elements were written; bytes between them stay as they are."""
        begin, end = min(own.base for own in footprints), max(own.end for own in footprints)
        self._note(_Entry(begin, end, code, footprints))

    def erase(self, begin: int, end: int) -> None:
        """Notes that a range holds nothing any more."""
        if begin < end:
            self._note(_Entry(begin, end, 0))

    def first_missing(self, wanted: Footprint, code: int) -> int | None:
        """Address of an element whose bytes do not all hold `code`; None when there is none."""
        for entry in self._log[: -_LOOK_BACK - 1 : -1]:
            if entry.begin < wanted.end and wanted.base < entry.end:
                if entry.code == code and entry.covers(wanted):
                    return None
                break
        return wanted.first_missing(self.bytes(), 0, code)

    def bytes(self) -> Bytes:
        """What each byte holds."""
        if self._map is None:
            self._ask(self._size)
            self._map = np.zeros(self._size, np.uint8)
        for entry in self._log[self._applied :]:
            if not entry.footprints:
                self._map[entry.begin : entry.end] = 0
            for footprint in entry.footprints:
                footprint.view(self._map, 0)[...] = footprint.mark * entry.code
        del self._log[:-_LOOK_BACK]
        self._applied = len(self._log)
        return self._map

    def _note(self, entry: _Entry) -> None:
        self._log.append(entry)
        if len(self._log) > _LONGEST_LOG:
            self.bytes()
