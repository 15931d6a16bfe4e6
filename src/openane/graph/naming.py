"""Names that are used once."""

from __future__ import annotations

from collections.abc import Iterable


class Names:
    """Hands out names that nobody has, each in constant time.

    Args:
        taken: names that are reserved.
        separator: between a taken name and the number that makes it unique.
        first: that number at first.
    """

    def __init__(self, taken: Iterable[str] = (), *, separator: str = ".", first: int = 1) -> None:
        self._taken = set(taken)
        self._separator, self._first = separator, first
        self._next: dict[str, int] = {}

    def unique(self, name: str) -> str:
        """`name`, with a number after it if it is taken; taken from now on."""
        candidate = name
        number = self._next.get(name, self._first)
        while candidate in self._taken:
            candidate = f"{name}{self._separator}{number}"
            number += 1
        self._next[name] = number
        self._taken.add(candidate)
        return candidate

    def take(self, name: str) -> None:
        """Marks a name as spoken for."""
        self._taken.add(name)

    def release(self, name: str) -> None:
        """Gives a name back."""
        self._taken.discard(name)
