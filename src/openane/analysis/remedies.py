"""Trying what the hazards suggest, and finding what else it takes.

A layer that is spoiled often hides a second one after it, which shows only once the first is on the host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from openane.analysis.diagnosis import Diagnosis, Root
from openane.analysis.effects import differs
from openane.compiler.driver import Options

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


def rescaling_remedies(
    diagnosis: Diagnosis, roots: Sequence[Root], run: Callable[[Options], Mapping[str, np.ndarray] | None],
    calibration: Mapping[str, np.ndarray],
) -> dict[str, str]:  # fmt: skip
    """The roots that rescaling helps, by name of the node, with the options of the command line that do it.

    It was tried: with those options all outputs that the root explains are right, and no node is kept on the host.

    Args:
        diagnosis: that gave the roots.
        roots: what was found.
        run: runs the model once more, compiled with other options.
        calibration: inputs for rescaling that proven bounds do not allow.
    """
    found: dict[str, str] = {}
    products = [root for root in roots if root.node.operation.sums_products and root.outputs]
    names = " ".join(f"--calibrate '{name}=TYPICAL.npy'" for name in calibration)
    for inputs, flags in (({}, "--rescale"), (calibration, f"--rescale {names}")):
        left = [root for root in products if root.node.name not in found]
        if not left or diagnosis.options.rescale:
            break
        outputs = run(replace(diagnosis.options, rescale=True, calibration=inputs))
        if outputs is None:
            continue
        values = diagnosis.reference.values
        found |= {
            root.node.name: flags
            for root in left
            if not any(differs(outputs[name], values[name]) for name in root.outputs)
        }
    return found


def _whole_path(root: Root, diagnosis: Diagnosis, left: Mapping[str, np.ndarray]) -> Root:
    """The root with all that is between it and the outputs that are still off."""
    explained = [name for name in root.outputs if name in left]
    more = set(diagnosis.between(root.node, explained)) if explained else set()
    keep = tuple(node.name for node in diagnosis.graph.nodes if node.name in more.union(root.keep))
    return replace(root, keep=keep)
