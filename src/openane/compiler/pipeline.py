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
from openane.core.deadline import check_deadline
from openane.graph import Graph

Run = Callable[[Graph], Graph]


@dataclass(frozen=True, slots=True)
class Pass:
    """A step of the pipeline.

    Attributes:
        run: the pass; valid graph in, valid graph out, computing the same.
        reason: why it stands at this place.
    """

    run: Run
    reason: str

    @property
    def name(self) -> str:
        """The name of the pass."""
        return self.run.__name__


#: All passes in order.
PIPELINE: tuple[Pass, ...] = (
    Pass(remove_dead_nodes, "what nobody reads must not keep other values from being read once"),
    Pass(fold_constants, "later rules look for constants"),
    Pass(spell_out_quantization, "before canonicalization, while the pairs stand together"),
    Pass(remove_identities, "patterns should not have to look through nodes that do nothing"),
    Pass(merge_duplicates, "patterns read one value several times; exporters compute it several times"),
    Pass(lower_einsums, "before its scales and transposes are looked for"),
    Pass(canonicalize, "the recognizers know one spelling only"),
    Pass(recognize_shuffles, "before transposes move into the pattern"),
    Pass(recognize_norms, "before scales are folded into products and the epsilon is lost among them"),
    Pass(recognize_activations, "before their constants are taken for scales of a convolution"),
    Pass(merge_neighbours, "pads reach the convolution behind them, transposes meet"),
    Pass(sink_transposes, "transposes between two convolutions meet and vanish"),
    Pass(sink_transposes, "a transpose with two readers moves once the other reader is gone"),
    Pass(merge_neighbours, "what stood on both sides of a transpose is now adjacent"),
    Pass(fold_scales, "with transposes gone, scales stand beside their convolution"),
    Pass(recognize_activations, "a scale that hid a pattern is folded now"),
    Pass(fold_scales, "a scale behind a scale"),
    Pass(fold_constants, "what the passes above left constant"),
    Pass(remove_identities, "factors that became 1, reshapes that became empty"),
    Pass(remove_dead_nodes, "leave nothing behind"),
)


def run_pipeline(graph: Graph, observe: Callable[[Pass, Graph], None] | None = None) -> Graph:
    """Runs all passes.

    Args:
        graph: as the front end made it.
        observe: is called with each pass and the graph after it.

    Returns:
        The simplified graph, with the same inputs and outputs.

    Raises:
        ModelError: the graph is inconsistent.
    """
    for step in PIPELINE:
        check_deadline()
        graph = step.run(graph)
        if observe is not None:
            observe(step, graph)
    return graph
