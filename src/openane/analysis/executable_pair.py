"""Two of anything that can be run, on the same inputs: models, nets, programs, onnxruntime, devices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from openane.analysis.choices import EXECUTORS, IDEAL, ONNXRUNTIME, REFERENCE, RUNTIMES
from openane.analysis.isolated_run import WholeRun, run_whole
from openane.analysis.measure import Error, ValueRange, measure, range_of
from openane.analysis.stages import Values, logical_inputs, steps_of
from openane.artifact.plan import Artifact
from openane.compiler.driver import Options, build, load_chosen
from openane.compiler.generated_inputs import host_graphs
from openane.core.errors import InputError, UnavailableError
from openane.core.report import Column, Report, numbers, texts
from openane.formats.sniff import FileKind, sniff
from openane.graph import Graph, TensorType
from openane.net import Net
from openane.program import Program
from openane.runtimes.runtime import SessionOptions

LEAST_COSINE = 0.999

Inputs = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Executable:
    """Something that can be run.

    Attributes:
        name: for people: the file and how it is executed.
        inputs: what it takes, by name.
        run: the inputs, by its own names, to its outputs and to all values that it can tell.
        graphs: in which the inputs are used as indices.
    """

    name: str
    inputs: Mapping[str, TensorType]
    run: Callable[[Inputs], tuple[Values, Values]]
    graphs: Sequence[Graph] = ()


@dataclass(frozen=True, slots=True)
class ValueComparison:
    """A value that both sides have.

    Attributes:
        name: on the first side, and on the second where that differs.
        shape: on the first side.
        output: whether it is an output.
        range: on the first side.
        error: of the second side against the first.
        wrong: beyond the tolerance.
    """

    name: str
    shape: tuple[int, ...]
    output: bool
    range: ValueRange
    error: Error
    wrong: bool


@dataclass(frozen=True, slots=True)
class PairComparison:
    """Two sides on the same inputs.

    Attributes:
        first, second: what was run; the first is the reference.
        values: common values in the order of the first side; outputs last.
        first_wrong: index of the first wrong value.
        tolerance: largest error as a share of the value's largest magnitude.
    """

    first: str
    second: str
    values: tuple[ValueComparison, ...]
    first_wrong: int | None
    tolerance: float

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame`, one row per value.

        Raises:
            UnavailableError: pandas is not installed.
        """
        return self.report().to_pandas()

    def report(self) -> Report:
        """One row per value."""
        columns = (
            *texts("value"),
            Column("output", in_tables=False),
            *numbers("max_abs", form="{:.3g}"),
            *numbers("max_ulp", form="{:.1f}"),
            *numbers("cosine", form="{:.6f}"),
            Column("wrong", show=lambda wrong: "wrong" if wrong else ""),
        )
        rows = [(v.name, v.output, v.error.max_abs, v.error.max_ulp, v.error.cosine, v.wrong) for v in self.values]
        return Report(f"{self.second} against {self.first}", columns, rows)

    def _repr_html_(self) -> str:
        return self.report().to_html()


def executable_of(
    path: Path,
    executor: str = "",
    *,
    options: Options | None = None,
    sessions: SessionOptions | None = None,
) -> Executable:
    """A file as a side.

    Args:
        path: a file of any level.
        executor: one of EXECUTORS; empty takes the reference of a model or net, and the simulator for a program.
        options: of the compilation.
        sessions: options of the sessions of a runtime.

    Raises:
        InputError: the file has no such executor, or cannot be read.
        UnavailableError: the executor is not installed.
    """
    options = options or Options()
    if sniff(path) is FileKind.BUNDLE:
        return _bundle_executable(path, executor or RUNTIMES[-1], options, sessions)
    level = load_chosen(path, options)
    executor = executor or ("simulator" if isinstance(level, Program) else REFERENCE)
    name = f"{path.name} ({executor})"
    if executor == ONNXRUNTIME:
        return _onnxruntime_executable(path, name, level)
    if executor in (REFERENCE, IDEAL):
        if isinstance(level, Program):
            raise InputError("a compiled program has no reference", where=str(path), limit=", ".join(RUNTIMES))
        return _numpy_executable(name, level, executor == IDEAL)
    if executor not in RUNTIMES:
        raise InputError("nothing runs by that name", value=executor, limit=", ".join(EXECUTORS))
    artifact = build(path if isinstance(level, Graph) else level, options)
    return _engine_executable(name, artifact, executor, sessions)


def compare_executables(first: Executable, second: Executable, inputs: Inputs, tolerance: float) -> PairComparison:
    """Runs two sides on the same inputs and measures every value that both can tell.

    Args:
        first, second: the first is the reference.
        inputs: by the names of the first side; the second takes them by name, else in order.
        tolerance: largest error as a share of a value's largest magnitude.

    Raises:
        InputError: the sides do not take the same inputs or do not give the same outputs.
    """
    outputs_a, values_a = first.run(inputs)
    outputs_b, values_b = second.run(_translate(first, second, inputs))
    if [array.size for array in outputs_a.values()] != [array.size for array in outputs_b.values()]:
        raise InputError(
            "the outputs of the two do not match",
            value=f"{_sizes(outputs_a)} in {first.name}, {_sizes(outputs_b)} in {second.name}",
            hint="Compare two forms of the same model.",
        )
    inner = [
        (name, array, values_b[name])
        for name, array in values_a.items()
        if name not in outputs_a and name in values_b and values_b[name].size == array.size
    ]
    rows = [_row(name, a, b, False, tolerance) for name, a, b in inner]
    for (name, a), (other, b) in zip(_paired(outputs_a, outputs_b), _paired(outputs_b, outputs_a), strict=True):
        rows.append(_row(name if name == other else f"{name} / {other}", a, b, True, tolerance))
    wrong = [index for index, row in enumerate(rows) if row.wrong]
    return PairComparison(first.name, second.name, tuple(rows), wrong[0] if wrong else None, tolerance)


def _paired(outputs: Values, others: Values) -> list[tuple[str, np.ndarray]]:
    """Outputs by name where both sides have the same names, else in order."""
    names = sorted(outputs) if outputs.keys() == others.keys() else list(outputs)
    return [(name, outputs[name]) for name in names]


def _row(name: str, a: np.ndarray, b: np.ndarray, output: bool, tolerance: float) -> ValueComparison:
    error = measure([b], [a])
    wrong = bool(error.not_finite) or error.relative > tolerance or error.cosine < LEAST_COSINE
    return ValueComparison(name, a.shape, output, range_of([a]), error, wrong)


def _sizes(arrays: Values) -> str:
    return ", ".join(f"{name} {'x'.join(map(str, array.shape))}" for name, array in arrays.items()) or "none"


def _translate(first: Executable, second: Executable, inputs: Inputs) -> Inputs:
    """The inputs by the names and shapes of the second side."""
    if len(first.inputs) != len(second.inputs):
        raise InputError(
            "the two do not take the same inputs",
            value=f"{', '.join(first.inputs)} in {first.name}, {', '.join(second.inputs)} in {second.name}",
        )
    same = first.inputs.keys() == second.inputs.keys()
    names = {name: name for name in second.inputs} if same else dict(zip(second.inputs, first.inputs, strict=True))
    found = {}
    for name, kind in second.inputs.items():
        array = np.asarray(inputs[names[name]])
        if array.size != kind.size:
            raise InputError(
                f"input {name!r} of {second.name} has another size", value=kind, limit=f"{array.size} elements"
            )
        found[name] = array.reshape(kind.shape).astype(kind.dtype.numpy)
    return found


# The kinds of sides ------------------------------------------------------------


def _numpy_executable(name: str, level: Graph | Net, halves: bool) -> Executable:
    steps = steps_of(level)

    def run(inputs: Inputs) -> tuple[Values, Values]:
        values = steps.run(inputs, halves=halves)
        shown = (
            zip(level.outputs, level.outputs.values(), strict=True)
            if isinstance(level, Net)
            else ((each, each) for each in level.outputs)
        )
        return {out: values[source] for out, source in shown}, values

    return Executable(name, logical_inputs(level), run, (level,) if isinstance(level, Graph) else ())


def _engine_executable(name: str, artifact: Artifact, on: str, options: SessionOptions | None) -> Executable:
    def run(inputs: Inputs) -> tuple[Values, Values]:
        whole = run_whole(artifact, inputs, on, options)
        outputs = {each: whole.values[each] for each in artifact.plan.outputs}
        return outputs, {**_told(whole), **outputs}

    return Executable(name, artifact.plan.inputs, run, host_graphs(artifact.plan))


def _bundle_executable(path: Path, executor: str, options: Options, sessions: SessionOptions | None) -> Executable:
    if executor not in RUNTIMES:
        raise InputError("a bundle of compiled models has no reference", where=str(path), limit=", ".join(RUNTIMES))
    return _engine_executable(f"{path.name} ({executor})", build(path, options), executor, sessions)


def _told(whole: WholeRun) -> Values:
    """What the tasks stored, by number: two programs with the same tasks are compared task by task."""
    return {f"task {result.task}": result.values for result in whole.results}


def _onnxruntime_executable(path: Path, name: str, level: Graph | Net | Program) -> Executable:
    if sniff(path) is not FileKind.ONNX or not isinstance(level, Graph):
        raise InputError("onnxruntime runs ONNX models", where=str(path))
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise UnavailableError("onnxruntime is not installed", hint="pip install 'openane[demo]'") from error

    def run(inputs: Inputs) -> tuple[Values, Values]:
        model = onnx.load(str(path))
        known = {value.name for value in model.graph.output}
        inner = dict.fromkeys(out for node in model.graph.node for out in node.output if out and out not in known)
        model.graph.output.extend(onnx.ValueInfoProto(name=each) for each in inner)
        names = [*level.outputs, *(each for each in inner if each in level.types)]
        try:
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 4
            session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
            fed = {each: np.asarray(inputs[each]).astype(kind.dtype.numpy) for each, kind in level.inputs.items()}
            values = dict(zip(names, session.run(names, fed), strict=True))
        except Exception as error:
            raise InputError(
                "onnxruntime refuses the model", where=str(path), value=" ".join(str(error).split())[:200]
            ) from error
        return {each: values[each] for each in level.outputs}, values

    return Executable(name, level.inputs, run, (level,))


def pair_values(found: PairComparison) -> dict[str, Any]:
    """The comparison as plain values, for JSON."""
    return {
        "first": found.first,
        "second": found.second,
        "tolerance": found.tolerance,
        "first_wrong": None if found.first_wrong is None else found.values[found.first_wrong].name,
        "values": [
            {
                "name": value.name,
                "shape": list(value.shape),
                "output": value.output,
                "wrong": value.wrong,
                **{each: getattr(value.error, each) for each in Error.__dataclass_fields__},
            }
            for value in found.values
        ],
    }
