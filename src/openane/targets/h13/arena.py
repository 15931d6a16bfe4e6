"""First-fit allocation of byte ranges whose lives begin and end with tasks."""

from __future__ import annotations

from bisect import bisect_left, insort


class Arena:
    """Occupied byte ranges of a memory, in order of address.

    Args:
        capacity_bytes: size of the memory; None for one that grows.
        alignment_bytes: of every range.
    """

    def __init__(self, capacity_bytes: int | None, alignment_bytes: int) -> None:
        self._capacity = capacity_bytes
        self._alignment = alignment_bytes
        self._ranges: list[tuple[int, int]] = []
        self.peak_bytes = 0

    def largest_hole(self) -> int:
        """Bytes of the largest free range of a memory with a capacity."""
        assert self._capacity is not None
        best = end = 0
        for first, last in [*self._ranges, (self._capacity, self._capacity)]:
            best = max(best, first - end)
            end = max(end, -(-last // self._alignment) * self._alignment)
        return best

    def find(self, size_bytes: int) -> int | None:
        """The lowest free address with room for `size_bytes`; None when there is none."""
        start = 0
        for first, end in self._ranges:
            if start + size_bytes <= first:
                break
            start = max(start, -(-end // self._alignment) * self._alignment)
        if self._capacity is not None and start + size_bytes > self._capacity:
            return None
        return start

    def take(self, start: int, size_bytes: int) -> None:
        """Occupies a range."""
        insort(self._ranges, (start, start + size_bytes))
        self.peak_bytes = max(self.peak_bytes, start + size_bytes)

    def allocate(self, size_bytes: int) -> int | None:
        """Finds and occupies a range; None when there is no room."""
        start = self.find(size_bytes)
        if start is not None:
            self.take(start, size_bytes)
        return start

    def release(self, start: int, size_bytes: int) -> None:
        """Frees a range that was taken."""
        index = bisect_left(self._ranges, (start, start + size_bytes))
        assert self._ranges[index] == (start, start + size_bytes)
        del self._ranges[index]
