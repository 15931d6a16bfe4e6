"""The graph passes in order, with a reason for each line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from openane.compiler.passes.activations import recognize_activations
from openane.compiler.passes.affine import fold_scales
from openane.compiler.passes.canonical import canonicalize
from openane.compiler.passes.folding import fold_constants, merge_duplicates, remove_dead_nodes
from openane.compiler.passes.identities import remove_identities
from openane.compiler.passes.merging import merge_neighbours
from openane.compiler.passes.norms import recognize_norms
from openane.compiler.passes.products import lower_einsums
from openane.compiler.passes.quantization import spell_out_quantization
from openane.compiler.passes.shuffles import recognize_shuffles
from openane.compiler.passes.transposes import sink_transposes
from openane.core.errors import InternalError
from openane.core.passes import Pass, run_passes
from openane.graph import Graph


def _pass(run: Callable[[Graph], Graph], reason: str) -> Pass[Graph]:
    """A pass with the name of its function."""
    return Pass(run.__name__.replace("_", "-"), run, reason)


#: All passes in order.
PIPELINE: tuple[Pass[Graph], ...] = (
    _pass(remove_dead_nodes, "what nobody reads must not keep other values from being read once"),
    _pass(fold_constants, "later rules look for constants"),
    _pass(spell_out_quantization, "before canonicalization, while the pairs stand together"),
    _pass(remove_identities, "patterns should not have to look through nodes that do nothing"),
    _pass(merge_duplicates, "patterns read one value several times; exporters compute it several times"),
    _pass(lower_einsums, "before its scales and transposes are looked for"),
    _pass(canonicalize, "the recognizers know one spelling only"),
    _pass(recognize_shuffles, "before transposes move into the pattern"),
    _pass(recognize_norms, "before scales are folded into products and the epsilon is lost among them"),
    _pass(recognize_activations, "before their constants are taken for scales of a convolution"),
    _pass(merge_neighbours, "pads reach the convolution behind them, transposes meet"),
    _pass(sink_transposes, "transposes between two convolutions meet and vanish"),
    _pass(sink_transposes, "a transpose with two readers moves once the other reader is gone"),
    _pass(merge_neighbours, "what stood on both sides of a transpose is now adjacent"),
    _pass(fold_scales, "with transposes gone, scales stand beside their convolution"),
    _pass(recognize_activations, "a scale that hid a pattern is folded now"),
    _pass(fold_scales, "a scale behind a scale"),
    _pass(fold_constants, "what the passes above left constant"),
    _pass(remove_identities, "factors that became 1, reshapes that became empty"),
    _pass(remove_dead_nodes, "leave nothing behind"),
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
    return run_passes(PIPELINE, graph, verify=_verify, observe=observe)


def _verify(step: Pass[Graph], before: Graph, after: Graph) -> None:
    """A pass keeps inputs and outputs, with their types."""
    kept = dict(after.inputs) == dict(before.inputs) and tuple(after.outputs) == tuple(before.outputs)
    if not kept or any(after.types[name] != before.types[name] for name in before.outputs):
        raise InternalError(
            f"the pass {step.name!r} changed the inputs or outputs of the graph",
            where=before.name,
            hint="This is a bug in openane: please report it with the model.",
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the whole compilation, as `openane passes` lists it.

    Attributes:
        level: what the pass works on: "graph", "net", "plan" or "program".
        name: of the pass.
        reason: why it is at this place.
    """

    level: str
    name: str
    reason: str


def all_steps(rescale: bool = False) -> tuple[Step, ...]:
    """Every pass from the graph as it was read to the linked program, in order.

    Args:
        rescale: whether the pass that `Options.rescale` adds is among them.
    """
    from openane.backend.pipeline import LEVELS, passes  # most callers need the graph passes only

    read = Step("graph", "graph", "as the front end read it")
    graph = (Step("graph", step.name, step.reason) for step in PIPELINE)
    back_end = (Step(LEVELS.get(step.name, "plan"), step.name, step.reason) for step in passes(rescale))
    return read, *graph, *back_end
