"""Where a compiled model's numbers leave the reference: layer by layer, alone and in the run of the whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from openane.analysis.causes import LayerEvidence, causes
from openane.analysis.choices import TOLERANCE
from openane.analysis.isolated_run import IsolatedLayer, load_isolated, run_whole
from openane.analysis.layer_map import map_layers
from openane.analysis.layers import Group
from openane.analysis.measure import Error, ValueRange, half, measure, range_of, saturated
from openane.analysis.stages import NetSteps, Values
from openane.artifact.plan import Artifact, EngineStep
from openane.core.report import Column, Report
from openane.runtimes.runtime import SessionOptions
from openane.targets import attach

LEAST_COSINE = 0.999
_NOTICEABLE = 0.05
"""Causes are looked for from this share of the tolerance on, and wherever fp16 alone does not explain the error."""


@dataclass(frozen=True, slots=True)
class LayerComparison:
    """One layer: the user's layers that one group of tasks computes.

    Attributes:
        name, operation: of the layer.
        where: engines, "host", or "" for a layer that leaves no task (folded away, or only a view).
        tasks: numbers over all programs of the plan.
        range: of the reference's results.
        ideal_isolated, engine_isolated: error of the layer fed with the reference's operands: every step rounded to
            fp16 by numpy, and the layer compiled and run alone (None where it cannot stand alone).
        ideal, net, engine: accumulated error: everything before it computed the same way; `net` is the ideal on the
            units, None where no unit has the value's name.
        source: where `engine` was read: "program" (what its tasks stored), "layer alone" (the layer compiled alone and
            fed with the accumulated operands), "host", "output", or "ideal" (nothing else was possible).
        wrong: the accumulated error is beyond the tolerance; values beyond fp16 count up to its range while all outputs
            are right, as those of a mask do.
        causes: what makes it inexact, most certain first.
    """

    name: str
    operation: str
    where: str
    tasks: tuple[int, ...]
    range: ValueRange
    ideal_isolated: Error
    engine_isolated: Error | None
    ideal: Error
    net: Error | None
    engine: Error
    source: str
    wrong: bool
    causes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OutputComparison:
    """One output of the model: errors of the ideal and of the engine against the reference."""

    name: str
    range: ValueRange
    ideal: Error
    engine: Error


@dataclass(frozen=True, slots=True)
class ModelComparison:
    """Reference (float32), ideal fp16 and an engine on the same inputs.

    Attributes:
        model, target, runtime: what ran where.
        layers: in execution order.
        outputs: of the model.
        first_wrong: index of the first wrong layer, None when all are right.
        tolerance: see `analysis.choices`.
        notes: what the reader must know to trust the table.
    """

    model: str
    target: str
    runtime: str
    layers: tuple[LayerComparison, ...]
    outputs: tuple[OutputComparison, ...]
    first_wrong: int | None
    tolerance: float
    notes: tuple[str, ...] = field(default=())

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame`, one row per layer.

        Raises:
            UnavailableError: pandas is not installed.
        """
        return self.report().to_pandas()

    def report(self) -> Report:
        """One row per layer."""
        rows = [(*_summary(layer), *_flat(layer).values()) for layer in self.layers]
        flat = _flat(self.layers[0]) if self.layers else {"layer": ""}
        records = (Column(name, in_tables=False) for name in flat)
        return Report(f"{self.model} on {self.runtime} against float32", (*_SUMMARY_COLUMNS, *records), rows)

    def _repr_html_(self) -> str:
        return self.report().to_html()


_SUMMARY_COLUMNS = tuple(
    Column(name, numeric=3 <= i < 8, in_records=False)
    for i, name in enumerate(
        (
            "layer",
            "where",
            "wanted",
            "ideal fp16, ulp",
            "chip, ulp",
            "chip alone, ulp",
            "chip, max",
            "chip, cosine",
            "verdict",
            "why",
        )
    )
)


def _summary(layer: LayerComparison) -> tuple[str, ...]:
    """What people read of a layer, under _SUMMARY_COLUMNS."""
    return (
        layer.name,
        layer.where,
        f"{layer.range.least:.4g} .. {layer.range.largest:.4g}",
        f"{layer.ideal.max_ulp:.1f}",
        f"{layer.engine.max_ulp:.1f}",
        f"{layer.engine_isolated.max_ulp:.1f}" if layer.engine_isolated else "",
        f"{layer.engine.max_abs:.3g}",
        f"{layer.engine.cosine:.6f}",
        "wrong" if layer.wrong else "",
        "; ".join(layer.causes),
    )


def compare_layers(
    artifact: Artifact,
    inputs: Mapping[str, np.ndarray],
    on: str = "simulator",
    tolerance: float = TOLERANCE,
    options: SessionOptions | None = None,
) -> ModelComparison:
    """Runs reference, ideal and engine, and measures every layer.

    Args:
        artifact: compiled from a model or a net; a program read from a file has no reference.
        inputs: one array per input, in the model's shape.
        on: runtime by name.
        tolerance: largest error as a share of a layer's largest value.
        options: of the runtime's sessions.

    Raises:
        InputError: there is no reference, or the inputs do not fit.
        UnavailableError: the runtime cannot be used here.
    """
    return _Comparer(artifact, inputs, on, tolerance, options).compare()


class _Comparer:
    """The runs, and what is measured on them."""

    def __init__(
        self,
        artifact: Artifact,
        inputs: Mapping[str, np.ndarray],
        on: str,
        tolerance: float,
        options: SessionOptions | None,
    ) -> None:
        self.artifact, self.on, self.tolerance, self.options = artifact, on, tolerance, options
        self.map = map_layers(artifact)
        self.level, self.hosted, self.tasks, self.nets = self.map.level, self.map.hosted, self.map.tasks, self.map.nets
        self.engines = _engines(artifact)
        self.whole = run_whole(artifact, inputs, on, options)
        given = {name: np.asarray(inputs[name]) for name in self.level.inputs}
        self.reference = self.level.run(given)
        self.ideal = self.level.run(given, self.hosted, halves=True)
        self.units = self._run_units()
        self.engine: Values = {name: half(self.ideal[name]) for name in self.level.inputs}
        self.first_wrong: str | None = None
        self.outputs_are_right = not any(self._is_wrong(each.engine) for each in self._outputs())

    def compare(self) -> ModelComparison:
        layers = tuple(self._layer(group) for group in self.map.groups)
        wrong = [number for number, layer in enumerate(layers) if layer.wrong]
        outputs = tuple(self._outputs())
        return ModelComparison(
            self.artifact.plan.name,
            self.artifact.target,
            self.on,
            layers,
            outputs,
            wrong[0] if wrong else None,
            self.tolerance,
            tuple(self._notes(layers, outputs)),
        )

    def _run_units(self) -> Values:
        """The ideal on the units of every program, by the value's name."""
        values: Values = {}
        if isinstance(self.level, NetSteps):
            return values
        for number, net in self.nets.items():
            step = self.artifact.plan.steps[number]
            assert isinstance(step, EngineStep)
            steps = NetSteps(net)
            found = steps.run({name: self._crossing(values, value) for name, value in step.inputs.items()}, halves=True)
            values.update((name, array) for name, array in found.items() if name in self.reference)
            values.update((value, found[net.outputs[name]]) for name, value in step.outputs.items())
        return values

    def _crossing(self, values: Values, name: str) -> np.ndarray:
        return values[name] if name in values else self.ideal[name]

    def _layer(self, group: Group) -> LayerComparison:
        wanted = {name: self.reference[name] for name in group.makes}
        operands = {name: self.reference[name] for name in group.reads}
        isolated = {name: half(array) for name, array in operands.items()}
        hosted = any(step.name in self.hosted for step in group.steps)
        self.level.run_steps(group.steps, isolated, self.hosted, halves=True)
        ideal_isolated = self._measure(isolated, wanted)
        alone = None
        if not hosted:
            alone = load_isolated(self.level, group, self.artifact, self.on, self.options, operands)
        try:
            fed_alone = alone.run(operands, group) if alone is not None else None
            source = self._accumulate(group, alone)
        finally:
            if alone is not None and alone.execution is not None:
                alone.execution.close()
        engine_isolated = self._measure(fed_alone, wanted) if fed_alone is not None else None
        error = self._measure(self.engine, wanted)
        wrong = self._is_wrong(error)
        if wrong and self.outputs_are_right:
            wrong = self._is_wrong(self._measure_saturated(wanted))
        has_unit = bool(group.makes) and all(name in self.units for name in group.makes)
        numbers = tuple(i for i, layers in enumerate(self.tasks) if not hosted and set(layers) & set(group.layers))
        where = "host" if hosted else " + ".join(sorted({self.engines[i] for i in numbers}))
        evidence = LayerEvidence(self.level, group, operands, wanted, fed_alone, ideal_isolated, engine_isolated, alone)
        return LayerComparison(
            group.name,
            group.operation,
            where,
            numbers,
            range_of(list(wanted.values())),
            ideal_isolated,
            engine_isolated,
            self._measure(self.ideal, wanted),
            self._measure(self.units, wanted) if has_unit else None,
            error,
            source,
            wrong,
            self._causes(group, evidence, wrong),
        )

    def _causes(self, group: Group, evidence: LayerEvidence, wrong: bool) -> tuple[str, ...]:
        isolated = evidence.engine_error or evidence.ideal_error
        at_fault = self._is_wrong(isolated)
        large = isolated.relative > _NOTICEABLE * self.tolerance or bool(isolated.not_finite)
        noticeable = large or evidence.beyond_rounding
        found = list(causes(evidence)) if noticeable and evidence.group.steps[0].name not in self.hosted else []
        if wrong and not at_fault:
            blame = (
                f"inherited from {self.first_wrong!r}" if self.first_wrong else "grown from smaller errors before it"
            )
            found.insert(0, f"{blame}; alone the layer is right")
        if wrong and self.first_wrong is None:
            self.first_wrong = group.name
        return tuple(found)

    # What the engine computes ---------------------------------------------------------------------------------------

    def _accumulate(self, group: Group, alone: IsolatedLayer | None) -> str:
        """Puts the engine's values of a layer in place; returns where they are from."""
        if all(name in self.whole.values for name in group.makes):
            for name in group.makes:
                self.engine[name] = self.whole.values[name].reshape(self.reference[name].shape)
            return "host" if alone is None else "output"
        read = {name: self.map.stored(self.whole, group, name) for name in group.makes}
        if alone is not None and all(array is not None for array in read.values()):
            self.engine.update((name, array) for name, array in read.items() if array is not None)
            return "program"
        found = alone.run(self.engine, group) if alone is not None else None
        if found is not None:
            self.engine.update((name, array.reshape(self.reference[name].shape)) for name, array in found.items())
            return "layer alone"
        self.level.run_steps(group.steps, self.engine, self.hosted, halves=alone is not None)
        return "host" if alone is None else "ideal"

    # Measuring ------------------------------------------------------------------------------------------------------

    def _measure(self, found: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]) -> Error:
        return measure([found[name] for name in wanted], list(wanted.values()))

    def _measure_saturated(self, wanted: Values) -> Error:
        """The accumulated error up to the range of fp16: what counts where a mask beyond it spoils no output."""
        return self._measure(
            {n: saturated(self.engine[n]) for n in wanted}, {n: saturated(a) for n, a in wanted.items()}
        )

    def _is_wrong(self, error: Error) -> bool:
        return bool(error.not_finite) or error.relative > self.tolerance or error.cosine < LEAST_COSINE

    def _outputs(self) -> Iterator[OutputComparison]:
        shown = self.level.outputs
        for name, value in zip(self.artifact.plan.outputs, shown, strict=False):
            wanted, engine = self.reference[value], self.whole.values[name]
            yield OutputComparison(
                name, range_of([wanted]), measure([self.ideal[value]], [wanted]), measure([engine], [wanted])
            )

    def _notes(self, layers: Sequence[LayerComparison], outputs: Sequence[OutputComparison]) -> Iterator[str]:
        substitutes = sum(layer.source == "layer alone" for layer in layers)
        if substitutes:
            yield (
                f"layers without a value of their own in the program's memory: {substitutes}; theirs are from the "
                "layer compiled alone and fed with the values before it"
            )
        guessed = sum(layer.source == "ideal" for layer in layers)
        if guessed:
            yield f"layers neither read from the program nor run alone, whose ideal fp16 is in: {guessed}"
        if any(self._is_wrong(each.engine) for each in outputs) and not any(layer.wrong for layer in layers):
            yield "an output is wrong although no layer is: the program does something else than its layers"


def _engines(artifact: Artifact) -> list[str]:
    found: list[str] = []
    for program in artifact.programs:
        codec = attach(program).codec
        assert codec is not None
        found.extend(codec.summarize(task).engine for task in program.tasks)
    return found


def _flat(layer: LayerComparison) -> dict[str, object]:
    """One row of plain values."""
    row: dict[str, object] = {
        "layer": layer.name,
        "operation": layer.operation,
        "where": layer.where,
        "tasks": list(layer.tasks),
        "least": layer.range.least,
        "largest": layer.range.largest,
        "smallest_magnitude": layer.range.smallest,
        "source": layer.source,
        "wrong": layer.wrong,
        "causes": list(layer.causes),
    }
    kinds = ("ideal_isolated", "engine_isolated", "ideal", "net", "engine")
    for kind in kinds:
        error: Error | None = getattr(layer, kind)
        for measured in ("max_abs", "max_ulp", "mean_ulp", "cosine", "relative", "not_finite"):
            row[f"{kind}_{measured}"] = getattr(error, measured) if error is not None else None
    return row


def as_values(found: ModelComparison) -> dict[str, Any]:
    """The comparison as plain values, for JSON and pages."""
    return {
        "model": found.model,
        "target": found.target,
        "runtime": found.runtime,
        "tolerance": found.tolerance,
        "first_wrong": None if found.first_wrong is None else found.layers[found.first_wrong].name,
        "layers": [_flat(layer) for layer in found.layers],
        "outputs": [
            {"name": each.name, "ideal": _error(each.ideal), "engine": _error(each.engine)} for each in found.outputs
        ],
        "notes": list(found.notes),
    }


def _error(error: Error) -> dict[str, Any]:
    return {name: getattr(error, name) for name in Error.__dataclass_fields__}
