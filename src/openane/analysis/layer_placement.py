"""Three answers per layer: can the engine run it, will Core ML run it there, and what openane does with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from openane.analysis.explain import ExplainedLayer, Explanation, Location
from openane.core.errors import OpenaneError
from openane.coreml_placement.compute_plan import Match, PlanComparison, compare, read_plan
from openane.coreml_placement.from_graph import program_of_graph
from openane.coreml_placement.platforms import Platform, Units, core_ml
from openane.coreml_placement.prediction import AppleDevice, PredictedPlacement, Prediction, predict
from openane.coreml_placement.program import PlacedProgram
from openane.coreml_placement.read import is_open, with_shapes
from openane.coreml_placement.reasons import reasons
from openane.coreml_placement.remedies import Remedy, remedies
from openane.coreml_placement.traps import traps
from openane.graph import Graph

MIXED = "mixed"
"""The backend of a layer whose operations Core ML runs in several places."""


@dataclass(frozen=True, slots=True)
class EngineAnswer:
    """Whether hardware and compiler of a generation run a layer.

    Attributes:
        can: None where nobody knows.
        reason: why not; empty where it can.
        limit, value: what is allowed and what the layer has; empty where there is no number.
        evidence: what the answer rests on.
    """

    can: bool | None
    reason: str
    limit: str
    value: str
    evidence: str


@dataclass(frozen=True, slots=True)
class CoreMlAnswer:
    """Where Core ML runs a layer.

    Attributes:
        backend: "ANE", "CPU", "GPU", "mixed" or "unknown".
        tie: whether another backend costs the same.
        times_ms: the layer's own estimated time by backend; None where it is not known.
        margin_ms: how much more the cheapest chain with the layer elsewhere costs; None without a choice.
        reason: one sentence.
        supported: devices that Core ML lists for all its operations.
        evidence: what times and answer rest on.
        operations: the MIL operations of the layer.
    """

    backend: str
    tie: bool
    times_ms: dict[str, float | None]
    margin_ms: float | None
    reason: str
    supported: tuple[str, ...]
    evidence: str
    operations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OpenaneAnswer:
    """What openane does with a layer.

    Attributes:
        where: "NE", "PE", "host" and so on; "unknown" where openane does not compile the model.
        tasks: numbers of the task descriptors that it has a part in.
        reason: why it is not on the engine, or what it costs.
    """

    where: str
    tasks: tuple[int, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class LayerPlacement:
    """One layer with its three answers.

    Attributes:
        name, operation: as in the model.
        layer: as openane compiled it; None where it did not.
        measured: the device of a measured plan; empty without one.
    """

    name: str
    operation: str
    engine: EngineAnswer
    core_ml: CoreMlAnswer
    openane: OpenaneAnswer
    layer: ExplainedLayer | None
    measured: str = ""


@dataclass(frozen=True, slots=True)
class ModelPlacement:
    """The answers for a model.

    Attributes:
        prediction: on the program that Core ML sees.
        layers: in the order of the model; of MIL programs, layers of openane that have no operation come last.
        inserted: casts that conversion adds at inputs and outputs, which are not layers of the model.
        warnings: known traps.
        remedies: changes that were tried; empty unless asked for.
        comparison: with a measured plan; None without one.
    """

    prediction: Prediction
    layers: tuple[LayerPlacement, ...]
    inserted: tuple[LayerPlacement, ...]
    warnings: tuple[str, ...]
    remedies: tuple[Remedy, ...] = ()
    comparison: PlanComparison | None = None

    def count(self, backend: str) -> int:
        """How many operations of the program are predicted to run on a backend."""
        return sum(each.device.value == backend for each in self.prediction.placements)


def place_layers(
    program: PlacedProgram | None,
    graph: Graph | None,
    explanation: Explanation | None,
    *,
    platform: Platform,
    units: Units,
    system: int,
    failure: OpenaneError | None = None,
    plan: Path | None = None,
    what_if: bool = False,
) -> ModelPlacement:
    """The three answers for every layer of a model.

    Args:
        program: of the file, where Core ML takes it as it is; None for other formats.
        graph: as openane reads the file; needed where `program` is None.
        explanation: what openane does; None where it does not compile the model.
        platform, units, system: that Core ML decides for.
        failure: why openane does not compile the model.
        plan: a measured plan.
        what_if: whether to try remedies.

    Raises:
        FormatError, InputError: the plan is damaged or of another model.
    """
    own = program is not None
    if program is None:
        assert graph is not None, "a model is a program or a graph"
        program = program_of_graph(graph)
    elif graph is not None and is_open(program):
        program = with_shapes(program, {name: kind.shape for name, kind in graph.types.items()})
    prediction = predict(program, platform, units, system)
    comparison = compare(prediction, read_plan(plan), str(plan)) if plan is not None else None
    join = _Join(prediction, comparison, failure)
    inserted: tuple[LayerPlacement, ...] = ()
    if own:
        layers = join.operations(explanation)
    else:
        assert graph is not None and explanation is not None, "only programs can be asked about without openane"
        layers, inserted = join.nodes(graph, explanation)
    tried = remedies(prediction) if what_if else ()
    return ModelPlacement(prediction, layers, inserted, traps(prediction), tried, comparison)


class _Join:
    """Brings operations and layers of openane together by name."""

    def __init__(self, prediction: Prediction, comparison: PlanComparison | None, failure: OpenaneError | None) -> None:
        self._prediction = prediction
        self._sentences = reasons(prediction)
        self._matches: Sequence[Match | None] = comparison.matches if comparison else [None] * len(self._sentences)
        self._failure = failure

    def operations(self, explanation: Explanation | None) -> tuple[LayerPlacement, ...]:
        """One entry per operation of the program; layers of openane that belong to none come last."""
        compiled: dict[str, list[ExplainedLayer]] = {}
        for layer in explanation.layers if explanation else ():
            compiled.setdefault(layer.name, []).append(layer)
        names = [each.operation.name for each in self._prediction.placements]
        found = [self._entry(name, [place], compiled.get(name, [])) for place, name in enumerate(names)]
        own = set(names)
        rest = [_outside(layer) for name, layers in compiled.items() if name not in own for layer in layers]
        return (*found, *rest)

    def nodes(
        self, graph: Graph, explanation: Explanation
    ) -> tuple[tuple[LayerPlacement, ...], tuple[LayerPlacement, ...]]:
        """One entry per node of the model, and those of inserted operations."""
        places: dict[str, list[int]] = {}
        for place, each in enumerate(self._prediction.placements):
            for name in each.operation.layers:
                places.setdefault(name, []).append(place)
        found = []
        for node, layer in zip(graph.nodes, explanation.layers, strict=True):
            own = places.pop(node.name, [])
            found.append(self._entry(layer.name, own, [layer]) if own else _outside(layer))
        return tuple(found), tuple(self._entry(name, own, []) for name, own in places.items())

    def _entry(self, name: str, places: Sequence[int], layers: Sequence[ExplainedLayer]) -> LayerPlacement:
        placements = [self._prediction.placements[place] for place in places]
        matches = [self._matches[place] for place in places]
        measured = [match.measured.device.value for match in matches if match and match.measured]
        return LayerPlacement(
            name,
            layers[0].operation if len(layers) == 1 else placements[0].operation.kind,
            _engine(placements),
            _core_ml(placements, [self._sentences[place] for place in places], self._prediction),
            _openane(layers, self._failure),
            _merged(layers),
            ", ".join(dict.fromkeys(measured)),
        )


def _engine(placements: Sequence[PredictedPlacement]) -> EngineAnswer:
    said = [each.verdict for each in placements]
    first = next((each for each in said if each.can is False), None) or next(
        (each for each in said if each.can is None), said[0]
    )
    return EngineAnswer(first.can, first.reason, first.limit, first.value, first.evidence)


def _core_ml(
    placements: Sequence[PredictedPlacement], sentences: Sequence[str], prediction: Prediction
) -> CoreMlAnswer:
    devices = {each.device for each in placements}
    backend = next(iter(devices)).value if len(devices) == 1 else MIXED
    if AppleDevice.UNKNOWN in devices:
        backend = AppleDevice.UNKNOWN.value
    margins = [each.margin_ms for each in placements if each.margin_ms is not None]
    kinds = tuple(each.operation.kind for each in placements)
    reason = sentences[0]
    if len(set(sentences)) > 1:
        reason = "; ".join(f"{kind}: {text}" for kind, text in zip(kinds, sentences, strict=True))
    return CoreMlAnswer(
        backend,
        any(each.tie for each in placements),
        {device.value: _total(placements, device) for device in (AppleDevice.ANE, AppleDevice.CPU, AppleDevice.GPU)},
        min(margins, default=None),
        reason,
        tuple(name for name in ("CPU", "GPU", "ANE") if all(name in each.verdict.devices for each in placements)),
        _evidence(placements, prediction),
        kinds,
    )


def _total(placements: Sequence[PredictedPlacement], device: AppleDevice) -> float | None:
    """Time of all operations; None where one is not known, or does not run there."""
    times = [
        None if device is AppleDevice.ANE and each.verdict.supported is not True else each.time_ms(device)
        for each in placements
    ]
    return None if None in times else sum(time for time in times if time is not None)


def _evidence(placements: Sequence[PredictedPlacement], prediction: Prediction) -> str:
    if prediction.cost_ms is None:
        return "unknown"
    kinds = {each.estimates[backend].evidence for each in placements for backend in each.estimates}
    weakest = next((word for word in ("assumed", "formula", "measured") if word in kinds), "unknown")
    known = core_ml(prediction.platform.generation)
    rule = known.rule if known is not None else "unknown"
    return f"{rule}; times: {weakest}; {prediction.platform.evidence}"


def _openane(layers: Sequence[ExplainedLayer], failure: OpenaneError | None) -> OpenaneAnswer:
    if failure is not None:
        return OpenaneAnswer("unknown", (), str(failure))
    if not layers:
        return OpenaneAnswer(Location.FOLDED.value, (), "nothing of it is left in the compiled model")
    tasks = tuple(dict.fromkeys(number for layer in layers for number in layer.tasks))
    where = " + ".join(dict.fromkeys(layer.where.value for layer in layers))
    reason = next((str(layer.reason) for layer in layers if layer.reason is not None), "")
    if not reason and len(tasks) > 1:
        reason = f"runs as {len(tasks)} tasks"
    return OpenaneAnswer(where, tasks, reason)


def _merged(layers: Sequence[ExplainedLayer]) -> ExplainedLayer | None:
    """The layers of one name as one."""
    if len(layers) < 2:
        return layers[0] if layers else None
    answer = _openane(layers, None)
    where = layers[0].where if len({layer.where for layer in layers}) == 1 else Location.BOTH
    reason = next((layer.reason for layer in layers if layer.reason is not None), None)
    where = (
        Location.HOST if reason is not None and not answer.tasks else Location.PARTLY if reason is not None else where
    )
    return ExplainedLayer(
        layers[0].name,
        layers[0].operation,
        where,
        answer.tasks,
        sum(layer.macs for layer in layers),
        reason,
        sum(layer.host_macs for layer in layers),
    )


def _outside(layer: ExplainedLayer) -> LayerPlacement:
    """A layer that openane compiled and Core ML's program does not have: it became part of others, or constants."""
    folded = "the program that Core ML sees has no such operation: it is part of others or a constant"
    return LayerPlacement(
        layer.name,
        layer.operation,
        EngineAnswer(None, folded, "", "", "the program"),
        CoreMlAnswer("none", False, {"ANE": None, "CPU": None, "GPU": None}, None, folded, (), "the program", ()),
        _openane([layer], None),
        layer,
    )
