"""Where a thing came from, so that a task descriptor can still name the user's layer."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Origin:
    """The user's layers that a node, unit or task was made of, outermost name first.

    Attributes:
        layers: names as the source file spells them, in order of appearance, without repeats.
        step: the pass or rule that made this thing, empty when it was read from a file.
        nodes: of the compiled graph, by name, which is unique where the passes of an unrolled loop share layers; empty
            before lowering, and for what was read from a net or a program.
    """

    layers: tuple[str, ...] = ()
    step: str = ""
    nodes: tuple[str, ...] = field(default=(), compare=False)

    def merge(self, *others: Origin, step: str = "") -> Origin:
        """The origin of something made from this and `others` by `step`."""
        origins = (self, *others)
        layers = dict.fromkeys(name for origin in origins for name in origin.layers)
        nodes = dict.fromkeys(name for origin in origins for name in origin.nodes)
        return Origin(tuple(layers), step or self.step, tuple(nodes))

    def __str__(self) -> str:
        return " + ".join(self.layers)
