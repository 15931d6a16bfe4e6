"""Where a thing came from, so that a task descriptor can still name the user's layer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Origin:
    """The user's layers that a node, unit or task was made of, outermost name first.

    Attributes:
        layers: names as the source file spells them, in order of appearance, without repeats.
        step: the pass or rule that made this thing, empty when it was read from a file.
    """

    layers: tuple[str, ...] = ()
    step: str = ""

    def merge(self, *others: Origin, step: str = "") -> Origin:
        """The origin of something made from this and `others` by `step`."""
        names = dict.fromkeys(self.layers)
        for other in others:
            names.update(dict.fromkeys(other.layers))
        return Origin(tuple(names), step or self.step)

    def __str__(self) -> str:
        return " + ".join(self.layers)
