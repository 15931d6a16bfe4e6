"""The hazards of one run, of whatever was run: a model with its layers, units, or a program from a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from openane.analysis.effects import differs
from openane.analysis.hazards import Hazard, HazardKind, HazardSource, hazards_of_run
from openane.analysis.isolated_run import run_loaded
from openane.analysis.stages import NetSteps
from openane.artifact.plan import Artifact
from openane.core.errors import OpenaneError
from openane.numerics.limits import HALF_LARGEST, HALF_SMALLEST_NORMAL
from openane.runtimes.execution import Execution

Arrays = Mapping[str, np.ndarray]


class Outputs(dict[str, np.ndarray]):
    """The outputs of a run by name, and what half precision did to them.

    Attributes:
        hazards: in the order of the layers; empty where nothing was found or looked for.
    """

    def __init__(self, outputs: Arrays, hazards: tuple[Hazard, ...] = ()) -> None:
        super().__init__(outputs)
        self.hazards = hazards


def run_hazards(
    execution: Execution, inputs: Arrays, outputs: Arrays, artifact: Artifact | None = None
) -> tuple[Hazard, ...]:
    """The hazards that explain what is off in the outputs of one run.

    A model is run once more in single precision, by onnxruntime where that is installed. Of a net.plist the units are
    evaluated. A program from a file has no reference: values that are not finite or too small are traced to its tasks.

    Args:
        execution: what was run.
        inputs, outputs: of the run.
        artifact: the same model with its graph, where that of the execution came from the cache.

    Returns:
        In the order of the layers; none when the reference cannot be run.
    """
    artifact = artifact or execution.artifact
    try:
        if artifact.graph is not None:
            return hazards_of_run(artifact, inputs, outputs)
        if _net_matches(artifact, inputs, outputs):
            return ()
        return tuple(_program_hazards(execution, inputs, outputs))
    except OpenaneError:
        return ()


def _net_matches(artifact: Artifact, inputs: Arrays, outputs: Arrays) -> bool:
    """Whether the artifact came from units, and these give the same outputs in single precision."""
    if len(artifact.plan.steps) != 1 or artifact.net is None:
        return False
    net = artifact.net
    values = NetSteps(net).run(inputs)
    return not any(differs(outputs[name], values[value].astype(np.float32)) for name, value in net.outputs.items())


def _program_hazards(execution: Execution, inputs: Arrays, outputs: Arrays) -> Iterator[Hazard]:
    for name, array in inputs.items():
        if array.dtype.kind != "f":
            continue
        largest = float(np.abs(np.where(np.isfinite(array), array, 0)).max(initial=0))
        if np.isnan(array).any():
            what = "it holds values that are not numbers, which the engine takes for infinity"
            yield _at(name, "input", HazardKind.NOT_A_NUMBER, what, int(np.isnan(array).sum()), "0", tuple(outputs))
        elif largest > HALF_LARGEST:
            what = "it holds values beyond half precision"
            yield _at(name, "input", HazardKind.OVERFLOW, what, largest, f"{HALF_LARGEST:.0f}", tuple(outputs))
    strange = {name: found for name, array in outputs.items() if (found := _strangeness(array)) is not None}
    if strange:
        yield from _by_task(execution, inputs, strange)


def _strangeness(array: np.ndarray) -> HazardKind | None:
    """What is strange about an array without knowing what it should be."""
    if array.dtype.kind != "f" or not array.size:
        return None
    if not np.isfinite(array).all():
        return HazardKind.OVERFLOW
    return HazardKind.UNDERFLOW if 0 < float(np.abs(array).max()) < HALF_SMALLEST_NORMAL else None


def _by_task(execution: Execution, inputs: Arrays, strange: Mapping[str, HazardKind]) -> Iterator[Hazard]:
    """The first task that stored values of each strange kind; the outputs where tasks do not show their results."""
    results = run_loaded(execution, inputs).results if _is_simulated(execution) else ()
    for kind in dict.fromkeys(strange.values()):
        names = tuple(name for name, each in strange.items() if each is kind)
        first = next((result for result in results if _strangeness(result.values) is kind), None)
        place = ", ".join(names) if first is None else " + ".join(first.layers) or f"task {first.task}"
        values = _peak_and_strange(first.values) if first is not None else (0.0, 0)
        if kind is HazardKind.OVERFLOW:
            what = "it stores values that are not finite"
            yield _at(place, "task", kind, what, values[1], f"finite values up to {HALF_LARGEST:.0f}", names)
        else:
            what = "the values it stores are too small for half precision"
            yield _at(place, "task", kind, what, values[0], f"above {HALF_SMALLEST_NORMAL:.2g}", names)


def _peak_and_strange(values: np.ndarray) -> tuple[float, int]:
    """The largest finite magnitude of an array, and how many values are not finite."""
    finite = np.isfinite(values)
    return float(np.abs(np.where(finite, values, 0)).max(initial=0)), int(values.size - np.count_nonzero(finite))


def _is_simulated(execution: Execution) -> bool:
    return all(session.inspectable for session in execution.sessions)


def _at(
    place: str, operation: str, kind: HazardKind, what: str, value: float, limit: str, outputs: tuple[str, ...]
) -> Hazard:
    return Hazard(
        place, (place,), operation, kind, HazardSource.RUN, what, f"{value:.4g}", limit,
        "Scale the inputs, or compile the model and keep this layer on the host.", outputs,
    )  # fmt: skip
