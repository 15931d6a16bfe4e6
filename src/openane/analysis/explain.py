"""Which of the user's layers run where, and why: the decisions of the compiler, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from openane.analysis.estimate import estimate
from openane.analysis.evidence import EvidenceReport, evidence_of_model
from openane.analysis.hazards import Hazard
from openane.analysis.kernel_forms import LayerWeights, layer_weights
from openane.analysis.mac_loss import MacLoss
from openane.artifact.plan import Artifact, Crossing, EngineStep, HostStep
from openane.compiler.eligibility import layers_of
from openane.compiler.op_counts import macs
from openane.compiler.partition import host_us
from openane.core.errors import Diagnostic, UnsupportedError
from openane.core.report import Report, numbers, texts
from openane.graph import Graph, Node
from openane.program.evidence import EncodingEvidence
from openane.targets import attach


class Location(Enum):
    """Who runs a layer."""

    NE = "NE"
    PE = "PE"
    BOTH = "NE + PE"
    COPY = "copy"
    FOLDED = "folded"
    HOST = "host"
    PARTLY = "engine + host"


@dataclass(frozen=True, slots=True)
class ExplainedLayer:
    """One layer of the user's model.

    Attributes:
        name: as in the file.
        operation: what it is.
        where: who runs it; folded into others or into constants when nothing of it is left.
        tasks: numbers of the task descriptors it has a part in, over all programs of the plan.
        macs: multiply-adds of convolutions, matrix products and recurrent layers.
        reason: for a host layer: rule, limit, value and hint.
        host_macs: those of `macs` that the host computes.
        evidence: how the encoding of its tasks is backed, by the weakest one; None without tasks or records.
    """

    name: str
    operation: str
    where: Location
    tasks: tuple[int, ...]
    macs: int
    reason: Diagnostic | None = None
    host_macs: int = 0
    evidence: EncodingEvidence | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer to "does my layer run on the Neural Engine, and if not, why?".

    Attributes:
        model: name of the model.
        target: chip generation.
        layers: in the order of the model.
        programs: number of engine programs.
        crossings: values that move between engine and host, in order.
        engine_us: estimated time of the programs, dispatch included; None where this generation has no estimate.
        host_us: estimated time of the host steps, from round guesses.
        hazards: of half precision, where they were looked for.
        mac_losses: what the MAC array is expected to lose, the worst layer first.
        warnings: of the compilation.
        evidence: what backs the tasks; None where no records of the generation are at hand.
        weights: how the kernels of each layer are stored.
    """

    model: str
    target: str
    layers: tuple[ExplainedLayer, ...]
    programs: int
    crossings: tuple[Crossing, ...]
    engine_us: float | None
    host_us: float
    hazards: tuple[Hazard, ...] = field(default=())
    mac_losses: tuple[MacLoss, ...] = field(default=())
    warnings: tuple[str, ...] = field(default=())
    evidence: EvidenceReport | None = None
    weights: tuple[LayerWeights, ...] = field(default=())

    @property
    def engine_share(self) -> float:
        """Share of the multiply-adds on the engine, 0 to 1; of the layers that are left where there are none."""
        total = sum(layer.macs for layer in self.layers)
        if total:
            return 1 - sum(layer.host_macs for layer in self.layers) / total
        left = [layer for layer in self.layers if layer.where is not Location.FOLDED]
        return sum(layer.where not in _ON_HOST for layer in left) / len(left) if left else 1.0

    @property
    def crossing_bytes(self) -> int:
        """Bytes of all crossings, padding of the surfaces included."""
        return sum(crossing.moved_bytes for crossing in self.crossings)

    @property
    def host_layers(self) -> int:
        """How many layers the host runs, or has a part in."""
        return sum(layer.where in _ON_HOST for layer in self.layers)

    def _repr_html_(self) -> str:
        return self.report().to_html()

    def report(self) -> Report:
        """One row per layer: where it runs, and why."""
        rows = [
            (
                layer.name,
                layer.operation,
                layer.where.value,
                ", ".join(map(str, layer.tasks)),
                layer.macs,
                "" if layer.evidence is None else layer.evidence.text,
                "" if layer.reason is None else str(layer.reason),
            )
            for layer in self.layers
        ]
        columns = (*texts("layer", "operation", "where", "tasks"), *numbers("macs"), *texts("encoding", "reason"))
        return Report(
            f"{self.model} on {self.target}: {self.engine_share:.1%} of the work on the engine", columns, rows
        )

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame`, one row per layer.

        Raises:
            UnavailableError: pandas is not installed.
        """
        return self.report().to_pandas()


_ON_HOST = (Location.HOST, Location.PARTLY)


def explain(
    artifact: Artifact, source: Graph, hazards: tuple[Hazard, ...] = (), mac_losses: tuple[MacLoss, ...] = ()
) -> Explanation:
    """Reports where each layer of a compiled model runs.

    Args:
        artifact: the compiled model.
        source: the model as it was read, before any pass.
        hazards: to be reported with it, from `openane.analysis.hazards`.
        mac_losses: the same, from `openane.analysis.mac_loss`.
    """
    engines: dict[str, set[str]] = {}
    tasks: dict[str, list[int]] = {}
    hosts: dict[str, Diagnostic | None] = {}
    host_macs: dict[str, int] = {}
    number = 0
    for step in artifact.plan.steps:
        if isinstance(step, HostStep):
            for node in step.graph.nodes:
                for layer in layers_of(node):
                    hosts[layer] = hosts.get(layer) or step.reasons.get(node.name)
                    host_macs[layer] = host_macs.get(layer, 0) + macs(node, step.graph)
            continue
        codec = attach(step.program).codec
        assert codec is not None
        for task in step.program.tasks:
            summary = codec.summarize(task)
            engine = "copy" if summary.operation.startswith("copy") else summary.engine
            for layer in task.origin.layers:
                engines.setdefault(layer, set()).add(engine)
                tasks.setdefault(layer, []).append(number)
            number += 1
    evidence = evidence_of_model(artifact)
    found = (_layer(node, source, engines, tasks, hosts, host_macs) for node in source.nodes)
    layers = tuple(_backed(layer, evidence) for layer in found)
    steps = artifact.plan.steps
    return Explanation(
        model=artifact.plan.name,
        target=artifact.target,
        layers=layers,
        programs=sum(isinstance(step, EngineStep) for step in steps),
        crossings=artifact.plan.crossings,
        engine_us=_engine_us(artifact),
        host_us=sum(host_us(step.graph.nodes, step.graph) for step in steps if isinstance(step, HostStep)),
        hazards=hazards,
        mac_losses=mac_losses,
        warnings=artifact.warnings,
        evidence=evidence,
        weights=layer_weights(artifact.programs),
    )


def _backed(layer: ExplainedLayer, evidence: EvidenceReport | None) -> ExplainedLayer:
    """The layer with the weakest evidence of its tasks."""
    if evidence is None or not layer.tasks:
        return layer
    return replace(layer, evidence=max(evidence.tasks[number].evidence.level for number in layer.tasks))


def _engine_us(artifact: Artifact) -> float | None:
    try:
        return estimate(artifact).time_us
    except UnsupportedError:
        return None


def _layer(
    node: Node,
    source: Graph,
    engines: Mapping[str, set[str]],
    tasks: Mapping[str, list[int]],
    hosts: Mapping[str, Diagnostic | None],
    host_macs: Mapping[str, int],
) -> ExplainedLayer:
    names = layers_of(node)
    used = set().union(*(engines.get(name, set()) for name in names))
    numbers = tuple(dict.fromkeys(number for name in names for number in tasks.get(name, ())))
    on_host = [name for name in names if name in hosts]
    reason = next((hosts[name] for name in on_host if hosts[name]), None)
    where, whole = _where(used, on_host), macs(node, source)
    on_host_too = whole if where is Location.HOST else min(whole, sum(host_macs.get(name, 0) for name in names))
    return ExplainedLayer(names[-1], node.operation.title, where, numbers, whole, reason, on_host_too)


def _where(used: set[str], on_host: list[str]) -> Location:
    if on_host:
        return Location.PARTLY if used else Location.HOST
    if not used:
        return Location.FOLDED
    working = used - {"copy"}
    return Location(next(iter(working or used))) if len(working) < 2 else Location.BOTH
