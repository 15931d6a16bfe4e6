"""Where half precision spoils a model: found on given inputs, in the constants, and from bounds.

The outputs of the engine are compared with the model in single precision. Where one is off, the layers at which it
goes wrong are found, with the outputs that each explains and the layers to keep on the host (`--keep-on-host`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from openane.analysis.bounds import intervals
from openane.analysis.diagnosis import Diagnosis, Root, is_wrong
from openane.analysis.effects import NOTICEABLE, ReferenceRun, differs, has_half_types
from openane.analysis.measure import measure
from openane.analysis.remedies import rescaling_remedies, with_working_remedies
from openane.analysis.suspects import HazardKind, HazardSource, Suspect, bound_findings, constant_findings
from openane.artifact.plan import Artifact, HostStep
from openane.compiler.driver import Options, build
from openane.compiler.eligibility import layers_of
from openane.core.errors import OpenaneError
from openane.graph import Graph, Node
from openane.runtimes.execution import Execution, fit_inputs
from openane.runtimes.host import open_host

__all__ = [
    "Hazard",
    "HazardKind",
    "HazardSource",
    "as_values",
    "explain_outputs",
    "find_hazards",
    "hazards_of_run",
    "matches",
]

FAR = 5.0
"""Times a noticeable error: an output so far off is reported even where no layer explains it."""


@dataclass(frozen=True, slots=True)
class Hazard:
    """One finding.

    Attributes:
        node: name of the node of the compiled graph.
        layers: the user's layers it came from.
        operation: class of the operation.
        kind: what may go wrong.
        source: how it was found.
        what: one clause for the user.
        value: what was found.
        limit: what half precision allows.
        hint: what to do.
        outputs: names of the outputs that it explains; empty where nothing was run.
        keep: names of the nodes that the hint keeps on the host.
    """

    node: str
    layers: tuple[str, ...]
    operation: str
    kind: HazardKind
    source: HazardSource
    what: str
    value: str
    limit: str
    hint: str
    outputs: tuple[str, ...] = field(default=())
    keep: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        return f"layer {self.layers[-1]!r} ({self.operation}): {self.what} ({self.value}; {self.limit}). {self.hint}"


def as_values(hazard: Hazard) -> dict[str, Any]:
    """The hazard as plain values, for JSON."""
    return {
        "layer": hazard.layers[-1],
        "layers": list(hazard.layers),
        "operation": hazard.operation,
        "kind": hazard.kind.value,
        "found_by": hazard.source.value,
        "what": hazard.what,
        "value": hazard.value,
        "limit": hazard.limit,
        "hint": hazard.hint,
        "outputs": list(hazard.outputs),
        "keep": list(hazard.keep),
    }


def find_hazards(
    graph: Graph,
    batches: Iterable[Mapping[str, np.ndarray]],
    on_host: frozenset[str] = frozenset(),
    options: Options | None = None,
) -> tuple[Hazard, ...]:
    """The hazards of the nodes that the engine runs; the model is run on the simulator.

    Args:
        graph: the model after the graph passes.
        batches: calibration inputs, each an array per input; none for constants and bounds only.
        on_host: names of nodes that the host runs.
        options: of compilations; their `keep_on_host` and what they say of inputs have no meaning here.

    Returns:
        In the order of the nodes; of each node the worst case of all batches, and what bounds say of others.

    Raises:
        InputError, ModelError: inputs do not fit, see `Graph.evaluate`.
    """
    found: dict[str, Hazard] = {}
    graph = graph.repeatable_part
    batches = [{name: batch[name] for name in graph.inputs if name in batch} for batch in batches]
    for batch in batches:
        outputs = _outputs(graph, batch, on_host, options or Options())
        if outputs is None or not matches(graph, batch, outputs):
            for hazard in explain_outputs(graph, batch, outputs, on_host, options):
                found.setdefault(hazard.node, hazard)
    bounds = intervals(graph)
    nodes = {node.name: node for node in graph.nodes}
    for node in graph.nodes:
        if node.name in on_host or node.name in found:
            continue
        static = [*([] if batches else constant_findings(node, graph)), *bound_findings(node, bounds)]
        found.update((node.name, _hazard(node, each, (), (node.name,), nodes)) for each in static[:1])
    return tuple(found[name] for name in nodes if name in found)


def hazards_of_run(
    artifact: Artifact, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]
) -> tuple[Hazard, ...]:
    """The hazards that explain what is off in the outputs of one run.

    Args:
        artifact: what was run; it needs its graph, without one nothing is found.
        inputs: of the run.
        outputs: of the run.

    Raises:
        ModelError: an index that the model computes is out of range.
    """
    if artifact.graph is None:
        return ()
    graph = artifact.graph.repeatable_part
    if graph is not artifact.graph:
        graph = replace(graph, outputs=tuple(name for name in graph.outputs if name in outputs))
        inputs = {name: inputs[name] for name in graph.inputs if name in inputs}
    if matches(graph, inputs, outputs):
        return ()
    on_host = frozenset(n.name for step in artifact.plan.steps if isinstance(step, HostStep) for n in step.graph.nodes)
    found = explain_outputs(graph, inputs, outputs, on_host, artifact.options)
    return tuple(
        replace(each, source=HazardSource.RUN) if each.source is HazardSource.CALIBRATION else each for each in found
    )


def matches(graph: Graph, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]) -> bool:
    """Whether no output is noticeably off from the model in single precision, or infinite.

    The reference is run by onnxruntime where that is installed: it costs about as much as the simulator.
    """
    fitted = fit_inputs(graph.inputs, inputs, graph.name)
    if has_half_types(graph):
        values = ReferenceRun(graph, fitted).values
    else:
        values = {**graph.constants, **open_host(graph).run(fitted).outputs}
    return not any(is_wrong(outputs[name], values[name]) for name in graph.outputs)


def explain_outputs(
    graph: Graph,
    inputs: Mapping[str, np.ndarray],
    outputs: Mapping[str, np.ndarray] | None,
    on_host: frozenset[str] = frozenset(),
    options: Options | None = None,
) -> tuple[Hazard, ...]:
    """The hazards of the outputs that are off; each says in `outputs` which ones it explains.

    Args:
        graph: the model after the graph passes.
        inputs: one array per input.
        outputs: what came out, by name; None when nothing did.
        on_host: names of nodes that the host runs.
        options: of compilations; their `keep_on_host` and what they say of inputs have no meaning here.

    Returns:
        In the order of the nodes; then one for each output that is far off without any of them. An output that no
        hazard names is off by rounding, or not at all. With the hints of all of them together, the outputs that they
        explain are right: this was tried on the simulator.
    """
    chosen = options or Options()
    diagnosis = Diagnosis(ReferenceRun(graph, fit_inputs(graph.inputs, inputs, graph.name)), on_host, chosen)
    nodes = {node.name: node for node in graph.nodes}
    wrong = diagnosis.wrong(outputs)
    roots = list(diagnosis.roots(wrong))
    far = _far_off(outputs or {}, wrong, {name for root in roots for name in root.outputs})
    if far:
        roots += diagnosis.amplified(far)
    roots = with_working_remedies(diagnosis, roots, lambda kept: _outputs(graph, inputs, kept, chosen))
    rescaling = rescaling_remedies(diagnosis, roots, lambda other: _outputs(graph, inputs, on_host, other), inputs)
    found = [_of_root(root, nodes, rescaling.get(root.node.name, "")) for root in roots]
    for name, wanted in _far_off(outputs or {}, wrong, {name for hazard in found for name in hazard.outputs}).items():
        assert outputs is not None
        found.append(_unexplained(name, outputs[name], wanted, diagnosis.reference.producers.get(name)))
    return tuple(found)


def _far_off(
    outputs: Mapping[str, np.ndarray], wrong: Mapping[str, np.ndarray], named: set[str]
) -> dict[str, np.ndarray]:
    """The reference of the outputs that are far off and that no hazard names."""
    floats = {name: array for name, array in outputs.items() if name in wrong and array.dtype.kind == "f"}
    return {n: wrong[n] for n, array in floats.items() if n not in named and differs(array, wrong[n], FAR)}


def _unexplained(name: str, found: np.ndarray, wanted: np.ndarray, producer: Node | None) -> Hazard:
    """The hazard of an output that is far off though every layer alone is right."""
    error = measure([found], [wanted])
    value = f"off by {error.relative:.1%} of its largest value"
    if error.not_finite:
        value = f"{error.not_finite} values are not finite that should be, or differ in that"
    return Hazard(
        node=producer.name if producer is not None else name,
        layers=layers_of(producer) if producer is not None else (name,),
        operation=producer.operation.title if producer is not None else "output",
        kind=HazardKind.RANGE,
        source=HazardSource.CALIBRATION,
        what=f"output {name!r} is far off, and no layer alone explains it",
        value=value,
        limit=f"{FAR * NOTICEABLE:.0%} of its root mean square",
        hint="See how the error grows from layer to layer: openane compare.",
        outputs=(name,),
    )


def _outputs(
    graph: Graph, batch: Mapping[str, np.ndarray], on_host: frozenset[str], options: Options
) -> dict[str, np.ndarray] | None:
    """The outputs on the simulator; None when the model does not run."""
    try:
        artifact = build(graph, options.of_part(host=True, keep_on_host=on_host, calibration=options.calibration))
        with Execution(artifact) as execution:
            return execution.run(batch).outputs
    except OpenaneError:
        return None


def _of_root(root: Root, nodes: Mapping[str, Node], rescaling: str) -> Hazard:
    return _hazard(root.node, root.finding, root.outputs, root.keep, nodes, rescaling)


def _hazard(
    node: Node, found: Suspect, outputs: tuple[str, ...], keep: tuple[str, ...], nodes: Mapping[str, Node],
    rescaling: str = "",
) -> Hazard:  # fmt: skip
    kept = dict.fromkeys(layers_of(nodes[name])[-1] for name in keep)
    options = " ".join(f"--keep-on-host '{name}'" for name in kept)
    hint = f"eep {'it' if len(kept) == 1 else 'them'} on the host: {options}."
    return Hazard(
        node=node.name,
        layers=layers_of(node),
        operation=node.operation.title,
        kind=found.kind,
        source=found.source,
        what=found.what,
        value=f"{found.value:.4g}",
        limit=found.limit,
        hint=f"Compile with {rescaling}, or k{hint}" if rescaling else f"K{hint}",
        outputs=outputs,
        keep=keep,
    )
