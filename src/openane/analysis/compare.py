"""Where a compiled model's numbers leave the reference: layer by layer, alone and in the run of the whole."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from openane.analysis.causes import LayerEvidence, causes
from openane.analysis.choices import TOLERANCE
from openane.analysis.comparison import LayerComparison, ModelComparison, OutputComparison
from openane.analysis.expected import explains
from openane.analysis.isolated_run import IsolatedLayer, WholeRun, load_isolated, run_whole
from openane.analysis.judgment import LayerFacts, judge
from openane.analysis.layer_map import map_layers
from openane.analysis.layers import Group
from openane.analysis.measure import Error, half, measure, range_of, saturated
from openane.analysis.selections import Selection, passed_on, positions_of, selections
from openane.analysis.stages import NetSteps, Values
from openane.analysis.verdicts import is_spoiled
from openane.artifact.plan import Artifact, EngineStep
from openane.core.errors import FaultError, WrongProgramError
from openane.program import Program
from openane.runtimes.runtime import SessionOptions
from openane.targets import attach

_NOTICEABLE = 0.001
"""Causes are looked for from this share of a layer's largest value on, and wherever fp16 does not explain the error."""

_TASK = re.compile(r"\btask (\d+)")

Progress = Callable[[int, int], None]


def compare_layers(
    artifact: Artifact,
    inputs: Mapping[str, np.ndarray],
    on: str = "simulator",
    tolerance: float = TOLERANCE,
    options: SessionOptions | None = None,
    progress: Progress | None = None,
) -> ModelComparison:
    """Runs reference, ideal and engine, and measures and judges every layer.

    Args:
        artifact: compiled from a model or a net; a program read from a file has no reference.
        inputs: one array per input, in the model's shape.
        on: runtime by name.
        tolerance: noticeable error of an output, as a share of its size (`verdicts.is_spoiled`).
        options: of the runtime's sessions.
        progress: called before every layer with its number and the number of layers.

    Raises:
        InputError: there is no reference, or the inputs do not fit.
        UnavailableError: the runtime cannot be used here.
        WrongProgramError: a task of the program does what the machine does not allow.
    """
    return _Comparer(artifact, inputs, on, tolerance, options).compare(progress)


def with_program(artifact: Artifact, program: Program) -> Artifact | None:
    """A compiled model with another form of its program, such as a patched file; None where the two do not match.

    Args:
        artifact: of one program.
        program: with as many tasks and the same surfaces; its tasks are taken for those of the same layers.
    """
    (step, *others) = artifact.plan.steps
    if others or not isinstance(step, EngineStep) or len(step.program.tasks) != len(program.tasks):
        return None
    if [(s.name, s.role, s.shape) for s in step.program.surfaces] != [
        (s.name, s.role, s.shape) for s in program.surfaces
    ]:
        return None
    pairs = zip(program.tasks, step.program.tasks, strict=True)
    program = replace(program, tasks=tuple(replace(task, origin=own.origin) for task, own in pairs))
    return replace(artifact, plan=replace(artifact.plan, steps=(replace(step, program=program),)))


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
        self.level, self.hosted, self.nets = self.map.level, self.map.hosted, self.map.nets
        self.engines = _engines(artifact)
        self.whole = self._run(inputs)
        given = {name: np.asarray(inputs[name]) for name in self.level.inputs}
        self.reference = self.level.run(given)
        self.ideal = self.level.run(given, self.hosted, halves=True)
        self.units = self._run_units()
        self.engine: Values = {name: half(self.ideal[name]) for name in self.level.inputs}
        self.selected: dict[str, Selection] = {}

    def compare(self, progress: Progress | None) -> ModelComparison:
        found = []
        for number, group in enumerate(self.map.groups):
            if progress is not None:
                progress(number, len(self.map.groups))
            found.append(self._layer(group))
        facts = [fact for _, fact in found]
        outputs = tuple(self._outputs())
        spoiled = {each.value for each in outputs if self._is_spoiled(each)}
        findings = judge(self.map.groups, facts, spoiled, self._is_cleared)
        judged = tuple(
            replace(layer, verdict=each.verdict, causes=(*each.reasons, *layer.causes))
            for (layer, _), each in zip(found, findings.layers, strict=True)
        )
        wrong = [number for number, layer in enumerate(judged) if layer.wrong]
        return ModelComparison(
            self.artifact.plan.name,
            self.artifact.target,
            self.on,
            judged,
            tuple(replace(each, wrong=each.value in findings.wrong_outputs) for each in outputs),
            wrong[0] if wrong else None,
            self.tolerance,
            tuple(self._notes(judged, facts)),
        )

    def _run(self, inputs: Mapping[str, np.ndarray]) -> WholeRun:
        """The run of the whole; a fault names the layers of its task."""
        try:
            return run_whole(self.artifact, inputs, self.on, self.options)
        except FaultError as error:
            found = _TASK.search(error.diagnostic.where)
            programs = self.artifact.programs
            if found is None or len(programs) != 1 or int(found[1]) >= len(programs[0].tasks):
                raise
            hint = f"{error.diagnostic.hint} The task belongs to {programs[0].tasks[int(found[1])].origin}.".strip()
            raise WrongProgramError(replace(error.diagnostic, hint=hint), others=error.others) from error

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

    def _layer(self, group: Group) -> tuple[LayerComparison, LayerFacts]:
        wanted = {name: self.reference[name] for name in group.makes}
        operands = {name: self.reference[name] for name in group.reads}
        isolated = {name: half(array) for name, array in operands.items()}
        hosted = any(step.name in self.hosted for step in group.steps)
        self.level.run_steps(group.steps, isolated, self.hosted, halves=True)
        alone = None
        if not hosted:
            alone = load_isolated(self.level, group, self.artifact, self.on, self.options, operands)
        try:
            fed_alone = alone.run(operands, group) if alone is not None else None
            explained = fed_alone is None or self._is_explained(group, alone, wanted, isolated, fed_alone)
            source, differing = self._accumulate(group, alone)
        finally:
            if alone is not None and alone.execution is not None:
                alone.execution.close()
        self._select(group)
        ideal_isolated = self._measure(isolated, wanted)
        engine_isolated = self._measure(fed_alone, wanted) if fed_alone is not None else None
        evidence = LayerEvidence(self.level, group, operands, wanted, fed_alone, ideal_isolated, engine_isolated, alone)
        layer = LayerComparison(
            name=group.name,
            operation=group.operation,
            where=self._where(group, hosted),
            tasks=self.map.tasks_of(group),
            range=range_of(list(wanted.values())),
            ideal_isolated=ideal_isolated,
            engine_isolated=engine_isolated,
            ideal=self._accumulated(self.ideal, "ideal", wanted),
            net=self._measure(self.units, wanted) if self._has_units(group) else None,
            engine=self._accumulated(self.engine, "engine", wanted),
            source=source,
            near_ties=sum(self.selected[name].near_ties for name in group.makes if name in self.selected),
            causes=self._causes(evidence),
        )
        return layer, self._facts(layer, wanted, differing, not explained)

    def _facts(self, layer: LayerComparison, wanted: Values, differing: int | None, unexplained: bool) -> LayerFacts:
        """What the verdict on a layer depends on."""
        within = {name: saturated(self.engine[name]) for name in wanted}
        engine, peak = self._measure(within, {n: saturated(a) for n, a in wanted.items()}), layer.range.peak
        spoiled = is_spoiled(layer.engine, layer.ideal, peak, self.tolerance)
        alone, ideal = layer.engine_isolated or layer.ideal_isolated, layer.ideal_isolated
        return LayerFacts(
            readable=layer.source in ("program", "output"),
            differing=differing,
            unexplained=unexplained,
            at_fault=bool(ideal.not_finite) or is_spoiled(alone, ideal, peak, self.tolerance),
            spoiled=spoiled,
            spoiled_within=spoiled and is_spoiled(engine, layer.ideal, peak, self.tolerance),
            near_ties=layer.near_ties,
        )

    def _where(self, group: Group, hosted: bool) -> str:
        return "host" if hosted else " + ".join(sorted({self.engines[i] for i in self.map.tasks_of(group)}))

    def _has_units(self, group: Group) -> bool:
        return bool(group.makes) and all(name in self.units for name in group.makes)

    def _causes(self, evidence: LayerEvidence) -> tuple[str, ...]:
        isolated = evidence.engine_error or evidence.ideal_error
        noticeable = isolated.relative > _NOTICEABLE or bool(isolated.not_finite) or evidence.beyond_rounding
        if not noticeable or evidence.group.steps[0].name in self.hosted:
            return ()
        return causes(evidence)

    def _is_explained(self, group: Group, alone: IsolatedLayer | None, *runs: Values) -> bool:
        """Whether the arithmetic of a layer explains its results alone (the last of `runs`)."""
        if alone is None or alone.execution is None:
            return True
        positions = {step.makes[i] for step in group.steps for i in positions_of(step)}
        reference, ideal, engine = ({name: run[name] for name in group.makes if name not in positions} for run in runs)
        operands = {name: self.reference[name] for name in group.reads}
        return explains(alone.execution.artifact, operands, (reference, ideal, engine))

    # What the engine computes ---------------------------------------------------------------------------------------

    def _accumulate(self, group: Group, alone: IsolatedLayer | None) -> tuple[str, int | None]:
        """Puts the engine's values of a layer in place.

        Returns:
            Where they are from, and how many of them differ from those of the layer alone on the same operands; None
            where that is not known.
        """
        read = self.map.values(self.whole, group)
        if alone is None:
            if read is None:
                self.level.run_steps(group.steps, self.engine, self.hosted)
            self.engine.update(read or {})
            return "host", None
        found = alone.run(self.engine, group)
        if found is not None:
            found = {name: array.reshape(self.reference[name].shape) for name, array in found.items()}
        if read is not None:
            self.engine.update(read)
            is_output = all(name in self.whole.values for name in group.makes)
            return "output" if is_output else "program", None if found is None else _differing(read, found)
        if found is not None:
            self.engine.update(found)
            return "layer alone", self._stored_otherwise(group, found)
        self.level.run_steps(group.steps, self.engine, self.hosted, halves=True)
        return "ideal", None

    def _stored_otherwise(self, group: Group, found: Values) -> int | None:
        """How many elements the last task of a layer stores that are not among its results, in whatever order.

        None where no task of the layer alone stores as many elements as its only result has.
        """
        tasks = self.map.tasks_of(group)
        own = self.map.labels(group)
        if len(found) != 1 or not tasks or not own.issuperset(self.map.tasks[tasks[-1]]):
            return None
        (wanted,) = found.values()
        stored = [each.values for each in self.whole.results if each.task == tasks[-1]]
        if not stored or stored[0].size != wanted.size:
            return None
        return _differing({"": np.sort(stored[0], axis=None)}, {"": np.sort(wanted, axis=None)})

    def _is_cleared(self, number: int) -> bool:
        """Whether the tasks of a layer store what they store when it runs alone, in any order of the elements."""
        group = self.map.groups[number]
        operands = {name: self.reference[name] for name in group.reads}
        alone = load_isolated(self.level, group, self.artifact, self.on, self.options, operands)
        if alone.execution is None:
            return False
        with alone.execution:
            stored = {_sorted(each.values) for each in alone.run_tasks(self.engine)}
        tasks = self.map.tasks_of(group)
        own = [_sorted(each.values) for each in self.whole.results if each.task in tasks]
        return len(own) == len(tasks) and stored.issuperset(own)

    # Measuring ------------------------------------------------------------------------------------------------------

    def _select(self, group: Group) -> None:
        """Remembers what positions among the results of a layer select."""
        for step in group.steps:
            runs = (self.reference, self.ideal, self.engine)
            if all(name in self.engine for name in step.makes if name):
                self.selected |= selections(step, *runs) | passed_on(step, self.selected, *runs)

    def _accumulated(self, values: Mapping[str, np.ndarray], run: str, wanted: Values) -> Error:
        """The accumulated error of a run; positions count as what they select."""
        found, right = {}, {}
        for name, array in wanted.items():
            selected = self.selected.get(name)
            found[name] = getattr(selected, run) if selected is not None else values[name]
            right[name] = selected.wanted if selected is not None else array
        return self._measure(found, right)

    def _measure(self, found: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]) -> Error:
        return measure([found[name] for name in wanted], list(wanted.values()))

    def _outputs(self) -> Iterator[OutputComparison]:
        for name, value in zip(self.artifact.plan.outputs, self.level.outputs, strict=False):
            wanted = {value: self.reference[value]}
            engine = {value: self.whole.values[name]}
            selected = self.selected.get(value)
            yield OutputComparison(
                name,
                value,
                range_of([wanted[value]]),
                self._accumulated(self.ideal, "ideal", wanted),
                self._accumulated(engine, "engine", wanted),
                near_ties=selected.near_ties if selected is not None else 0,
            )

    def _is_spoiled(self, output: OutputComparison) -> bool:
        return is_spoiled(output.engine, output.ideal, output.range.peak, self.tolerance)

    def _notes(self, layers: Sequence[LayerComparison], facts: Sequence[LayerFacts]) -> Iterator[str]:
        substitutes = sum(layer.source == "layer alone" for layer in layers)
        if substitutes:
            yield (
                f"layers without a value of their own in the program's memory: {substitutes}; theirs are from the "
                "layer compiled alone and fed with the values before it, and are checked where a later layer reads them"
            )
        guessed = sum(layer.source == "ideal" for layer in layers)
        if guessed:
            yield f"layers neither read from the program nor run alone, whose ideal fp16 is in: {guessed}"
        checked = sum(fact.differing == 0 for fact in facts)
        if checked:
            yield f"layers whose bits in the program are those of the layer alone on the same operands: {checked}"


def _engines(artifact: Artifact) -> list[str]:
    found: list[str] = []
    for program in artifact.programs:
        codec = attach(program).codec
        assert codec is not None
        found.extend(codec.summarize(task).engine for task in program.tasks)
    return found


def _differing(found: Values, wanted: Values) -> int:
    """How many elements differ; NaN equals NaN."""
    pairs = ((found[name].astype(np.float64), array.astype(np.float64)) for name, array in wanted.items())
    return sum(int(np.count_nonzero((a != b) & ~(np.isnan(a) & np.isnan(b)))) for a, b in pairs)


def _sorted(array: np.ndarray) -> bytes:
    return np.sort(array.astype(np.float32), axis=None).tobytes()
