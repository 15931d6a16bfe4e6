"""Trying what the hazards suggest, and finding what else it takes.

A layer that is spoiled often hides a second one after it, which shows only once the first is on the host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from openane.analysis.diagnosis import Diagnosis, Root
from openane.analysis.effects import differs

ROUNDS = 6
"""Trials of one search; the last ones keep whole paths on the host."""

Run = Callable[[frozenset[str]], Mapping[str, np.ndarray] | None]
"""The outputs with some nodes on the host; None when the model does not run so."""


def with_working_remedies(diagnosis: Diagnosis, roots: Sequence[Root], run: Run) -> list[Root]:
    """Adds roots, and nodes to keep on the host, until the outputs that the roots explain are right.

    Args:
        diagnosis: that gave the roots.
        roots: what was found so far.
        run: runs the model once more.
    """
    found = list(roots)
    for trial in range(ROUNDS):
        kept = diagnosis.on_host.union(*(root.keep for root in found))
        outputs = run(kept) if kept != diagnosis.on_host else None
        if outputs is None:
            break
        values = diagnosis.reference.values
        named = {name for root in found for name in root.outputs}
        left = {name: values[name] for name in named if differs(outputs[name], values[name])}
        if not left:
            break
        hidden = list(Diagnosis(diagnosis.reference, kept, diagnosis.options).roots(left)) if trial < ROUNDS - 2 else []
        found = [*found, *hidden] if hidden else [_whole_path(root, diagnosis, left) for root in found]
    order = {node.name: number for number, node in enumerate(diagnosis.graph.nodes)}
    return sorted(found, key=lambda root: order[root.node.name])


def _whole_path(root: Root, diagnosis: Diagnosis, left: Mapping[str, np.ndarray]) -> Root:
    """The root with all that is between it and the outputs that are still off."""
    explained = [name for name in root.outputs if name in left]
    more = set(diagnosis.between(root.node, explained)) if explained else set()
    keep = tuple(node.name for node in diagnosis.graph.nodes if node.name in more.union(root.keep))
    return replace(root, keep=keep)
