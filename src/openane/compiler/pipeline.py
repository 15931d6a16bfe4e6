"""The graph passes in order, with a reason for each line."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from openane.backend.machine import MachineSpec
from openane.backend.units.tensor import SIZE_RULES
from openane.compiler.passes.activations import recognize_activations
from openane.compiler.passes.affine import fold_scales
from openane.compiler.passes.canonical import canonicalize
from openane.compiler.passes.folding import fold_constants, merge_duplicates, remove_dead_nodes
from openane.compiler.passes.guards import replace_guards
from openane.compiler.passes.identities import remove_identities
from openane.compiler.passes.long_axes import fold_long_axes
from openane.compiler.passes.merging import merge_neighbors
from openane.compiler.passes.norms import recognize_norms
from openane.compiler.passes.products import lower_einsums
from openane.compiler.passes.quantization import spell_out_quantization
from openane.compiler.passes.shuffles import recognize_shuffles
from openane.compiler.passes.transposes import sink_transposes
from openane.compiler.passes.writes import spell_out_writes
from openane.core.errors import Diagnostic, InternalError
from openane.core.passes import Pass, run_passes
from openane.graph import Graph

_log = logging.getLogger(__name__)


def _pass(run: Callable[[Graph], Graph], reason: str) -> Pass[Graph]:
    """A pass with the name of its function."""
    return Pass(run.__name__.replace("_", "-"), run, reason)


#: All passes in order.
PIPELINE: tuple[Pass[Graph], ...] = (
    _pass(remove_dead_nodes, "dead readers would hide that a value has a single use"),
    _pass(fold_constants, "later passes match constants"),
    _pass(spell_out_quantization, "before canonicalization separates quantize-dequantize pairs"),
    _pass(remove_identities, "later patterns need not skip no-op nodes"),
    _pass(spell_out_writes, "before duplicates are merged: all writes at a position share one mask"),
    _pass(merge_duplicates, "patterns expect one shared value where exporters repeat it"),
    _pass(replace_guards, "on constants, before masks are moved or merged"),
    _pass(lower_einsums, "before passes match the scales and transposes that it creates"),
    _pass(canonicalize, "the recognizers match one form only"),
    _pass(recognize_shuffles, "before transposes move into the pattern"),
    _pass(recognize_norms, "before scales are folded into matmuls, which would hide the epsilon"),
    _pass(recognize_activations, "before their constants are folded as scales of a convolution"),
    _pass(merge_neighbors, "joins pads with the next convolution, and adjacent transposes"),
    _pass(sink_transposes, "transposes between two convolutions meet and cancel"),
    _pass(sink_transposes, "a transpose with two readers can move after the other reader is gone"),
    _pass(merge_neighbors, "nodes before and after a removed transpose are now adjacent"),
    _pass(fold_scales, "without transposes, scales are adjacent to their convolution"),
    _pass(recognize_activations, "scales that hid a pattern are now folded"),
    _pass(fold_scales, "folds consecutive scales"),
    _pass(fold_constants, "values that became constant"),
    _pass(remove_identities, "factors that became 1, reshapes that became no-ops"),
    _pass(remove_dead_nodes, "nodes that lost their last reader"),
)


def run_pipeline(graph: Graph, observe: Callable[[Pass[Graph], Graph], None] | None = None) -> Graph:
    """Runs all passes.

    Args:
        graph: as the front end made it.
        observe: is called with each pass and the graph after it.

    Returns:
        The simplified graph, with the same inputs and outputs.

    Raises:
        ModelError: the graph is inconsistent.
        InternalError: a pass changed the interface of the graph.
    """
    _log.info("%s: %d nodes as read", graph.name, len(graph.nodes))
    found = run_passes(PIPELINE, graph, verify=_verify, observe=observe)
    _log.info("%s: %d nodes after the graph passes", graph.name, len(found.nodes))
    return found


FOLDINGS: tuple[tuple[str, str], ...] = (
    ("fold-long-axes", "after eligibility: only what is too long for the engine is split"),
)
"""Names and reasons of what runs after eligibility is known."""


def without_long_axes(graph: Graph, reasons: Mapping[str, Diagnostic], machine: MachineSpec) -> Graph:
    """Splits the axes of nodes that are not on the engine because a tensor is too long.

    Args:
        graph: after the other passes.
        reasons: node name -> why it is not on the engine.
        machine: the generation that is compiled for.

    Returns:
        The graph with the same inputs and outputs; the same one where there is no such node.

    Raises:
        As `run_pipeline`.
    """
    names = {each.name for each in SIZE_RULES}
    nodes = frozenset(name for name, why in reasons.items() if why.rule.rpartition(".")[2] in names)
    if not nodes:
        return graph
    ((name, reason),) = FOLDINGS
    longest, channels = min(machine.max_width, machine.max_height), machine.max_channels
    step = Pass(name, lambda state: fold_long_axes(state, longest, channels, nodes), reason)
    return run_passes((step,), graph, verify=_verify)


def _verify(step: Pass[Graph], before: Graph, after: Graph) -> None:
    """A pass keeps inputs and outputs, with their types."""
    _log.debug("%s: %d nodes after %s", after.name, len(after.nodes), step.name)
    kept = dict(after.inputs) == dict(before.inputs) and tuple(after.outputs) == tuple(before.outputs)
    if not kept or any(after.types[name] != before.types[name] for name in before.outputs):
        raise InternalError(
            f"the pass {step.name!r} changed the inputs or outputs of the graph",
            where=before.name,
            hint="This is a bug in openane: please report it with the model.",
        )


@dataclass(frozen=True, slots=True)
class PipelineStep:
    """One line of the whole compilation, as `openane passes` lists it.

    Attributes:
        level: what the pass works on: "graph", "net", "plan" or "program".
        name: of the pass.
        reason: why it is at this place.
    """

    level: str
    name: str
    reason: str


def all_steps(rescale: bool = False, recorded: bool = False) -> tuple[PipelineStep, ...]:
    """Every pass from the graph as it was read to the linked program, in order.

    Args:
        rescale: whether the pass that `Options.rescale` adds is among them.
        recorded: the same for `Options.evidence`.
    """
    from openane.backend.pipeline import LEVELS, passes  # most callers need the graph passes only

    read = PipelineStep("graph", "graph", "the output of the front end")
    graph = (PipelineStep("graph", step.name, step.reason) for step in PIPELINE)
    folding = (PipelineStep("graph", *step) for step in FOLDINGS)
    later = passes(rescale, recorded)
    back_end = (PipelineStep(LEVELS.get(step.name, "plan"), step.name, step.reason) for step in later)
    return read, *graph, *folding, *back_end
