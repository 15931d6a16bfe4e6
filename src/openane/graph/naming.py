"""Names that are used once."""

from __future__ import annotations

from collections.abc import Iterable


class Names:
    """Hands out names that nobody has, each in constant time.

    Args:
        taken: names that are spoken for.
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._last: dict[str, int] = {}

    def unique(self, name: str) -> str:
        """`name`, with a number behind it if it is taken; taken from now on."""
        candidate = name
        number = self._last.get(name, 0)
        while candidate in self._taken:
            number += 1
            candidate = f"{name}.{number}"
        self._last[name] = number
        self._taken.add(candidate)
        return candidate

    def take(self, name: str) -> None:
        """Marks a name as spoken for."""
        self._taken.add(name)

    def release(self, name: str) -> None:
        """Gives a name back."""
        self._taken.discard(name)
