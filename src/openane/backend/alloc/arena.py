"""First-fit allocation of byte ranges whose lives begin and end with tasks."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

#: The end of a memory that grows.
ENDLESS = 1 << 62


class Arena:
    """The free byte ranges of a memory, in order of address; what is free is less than what lives.

    Args:
        capacity_bytes: size of the memory; None for one that grows.
        alignment_bytes: of every range.
    """

    def __init__(self, capacity_bytes: int | None, alignment_bytes: int) -> None:
        self._capacity = ENDLESS if capacity_bytes is None else capacity_bytes
        self._alignment = alignment_bytes
        self._starts = [0]
        self._ends = [self._capacity]
        self.peak_bytes = 0

    def largest_hole(self) -> int:
        """Bytes of the largest free range."""
        return max((end - start for start, end in zip(self._starts, self._ends, strict=True)), default=0)

    def last_hole(self) -> tuple[int, int]:
        """Address and bytes of the free range at the end of the memory; 0 bytes when the end is taken."""
        if self._ends and self._ends[-1] == self._capacity:
            return self._starts[-1], self._capacity - self._starts[-1]
        return self._capacity, 0

    def find(self, size_bytes: int) -> int | None:
        """The lowest free address with room for `size_bytes`; None when there is none."""
        if not size_bytes:
            return 0
        for start, end in zip(self._starts, self._ends, strict=True):
            if start + size_bytes <= end:
                return start
        return None

    def take(self, start: int, size_bytes: int) -> None:
        """Occupies a free range."""
        if not size_bytes:
            return
        index = bisect_right(self._starts, start) - 1
        first, last = self._starts[index], self._ends[index]
        assert index >= 0 and first <= start and start + size_bytes <= last, "the range is not free"
        past = self._aligned(start + size_bytes)
        left = [(first, start)] if first < start else []
        right = [(past, last)] if past < last else []
        self._starts[index : index + 1] = [a for a, _ in left + right]
        self._ends[index : index + 1] = [b for _, b in left + right]
        self.peak_bytes = max(self.peak_bytes, start + size_bytes)

    def allocate(self, size_bytes: int) -> int | None:
        """Finds and occupies a range; None when there is no room."""
        start = self.find(size_bytes)
        if start is not None:
            self.take(start, size_bytes)
        return start

    def release(self, start: int, size_bytes: int) -> None:
        """Frees a range that was taken, with what its end was aligned by."""
        if not size_bytes:
            return
        end = min(self._aligned(start + size_bytes), self._capacity)
        index = bisect_left(self._starts, start)
        after = index < len(self._starts) and self._starts[index] == end
        before = index > 0 and self._ends[index - 1] == start
        if after:
            end = self._ends[index]
        if before:
            start = self._starts[index - 1]
        self._starts[index - before : index + after] = [start]
        self._ends[index - before : index + after] = [end]

    def _aligned(self, address: int) -> int:
        return -(-address // self._alignment) * self._alignment
