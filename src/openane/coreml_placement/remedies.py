"""What would move layers to the engine: changes to the program, each tested by predicting again with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from openane.coreml_placement.prediction import AppleDevice, PredictedPlacement, Prediction, predict
from openane.coreml_placement.program import PlacedOperation, PlacedProgram, PlacedTensor

MOST_GROUPS = 8
"""Groups of refused operations that are tried; each costs a few predictions."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """A change and what it does.

    Attributes:
        layers: names of the operations that it changes.
        change: what is done to them.
        ane_before, ane_after: operations that Core ML runs on the engine without and with it.
        operations_after: operations of the changed program.
        cost_before_ms, cost_after_ms: cost of the cheapest chain; of several models together after a cut.
    """

    layers: tuple[str, ...]
    change: str
    ane_before: int
    ane_after: int
    operations_after: int
    cost_before_ms: float
    cost_after_ms: float

    @property
    def helps(self) -> bool:
        """Whether more runs on the engine than before."""
        return self.ane_after > self.ane_before


Change = Callable[[PlacedProgram, frozenset[int]], Sequence[PlacedProgram]]


def remedies(prediction: Prediction) -> tuple[Remedy, ...]:
    """Changes that were tried, those that help most first; empty where nothing can be predicted.

    For every group of operations that one rule keeps off the engine: rewriting them, other types, smaller sizes, moving
    them to an end, and cutting the model there. For a program that is too small: the same program at four times the
    batch.
    """
    if prediction.cost_ms is None:
        return ()
    found = []
    for places in _groups(prediction.placements)[:MOST_GROUPS]:
        rule = prediction.placements[min(places)].verdict.rule
        for change, apply in _changes(rule, prediction.placements[min(places)]):
            found.append(_tested(prediction, places, change, apply(prediction.program, places)))
    if not found and all(each.device is AppleDevice.CPU for each in prediction.placements) and prediction.placements:
        everything = frozenset(range(len(prediction.placements)))
        found.append(
            _tested(prediction, everything, "run four inputs at once (batch 4)", [_batched(prediction.program)])
        )
    return tuple(sorted(found, key=lambda each: (-each.ane_after / max(1, each.operations_after), each.cost_after_ms)))


def _groups(placements: Sequence[PredictedPlacement]) -> list[frozenset[int]]:
    """Refused operations by rule, and by kind where the kind is the reason; the largest groups first."""
    groups: dict[tuple[str, str], list[int]] = {}
    for place, each in enumerate(placements):
        if each.verdict.supported is False:
            kind = "" if each.verdict.rule in _TYPES else each.operation.kind
            groups.setdefault((each.verdict.rule, kind), []).append(place)
    return sorted((frozenset(places) for places in groups.values()), key=lambda places: (-len(places), min(places)))


_TYPES = frozenset({"integer_type", "single_precision", "cast_to_bytes"})
_SIZES = frozenset(
    {"dimension", "matmul_inner", "kernel_width", "kernel_height", "max_pool_window", "average_window", "rank"}
)


def _changes(rule: str, sample: PredictedPlacement) -> Iterator[tuple[str, Change]]:
    limit = sample.verdict.limit
    if rule in _TYPES:
        yield "compute it in fp16", _in_half
    elif rule in _SIZES:
        yield f"keep to the limit ({limit}), in pieces if need be", _rewritten
    else:
        yield f"rewrite {sample.operation.kind} in operations that the engine has", _rewritten
    yield "move it to the end of the model", _moved_to_end
    yield "move it to the start of the model", _moved_to_start
    yield "cut the model there, into models of their own", _cut


def _tested(prediction: Prediction, places: frozenset[int], change: str, programs: Sequence[PlacedProgram]) -> Remedy:
    after = [
        predict(program, prediction.platform, prediction.units, prediction.system)
        for program in programs
        if program.operations
    ]
    return Remedy(
        tuple(prediction.placements[place].operation.name for place in sorted(places)),
        change,
        _on_engine(prediction),
        sum(map(_on_engine, after)),
        sum(len(each.placements) for each in after),
        prediction.cost_ms or 0.0,
        sum(each.cost_ms or 0.0 for each in after),
    )


def _on_engine(prediction: Prediction) -> int:
    return sum(each.device is AppleDevice.ANE for each in prediction.placements)


# Changes ---------------------------------------------------------------------------------------------------------


def _half(tensor: PlacedTensor) -> PlacedTensor:
    return tensor if tensor.dtype in ("string", "bool") else replace(tensor, dtype="fp16")


def _in_half(program: PlacedProgram, places: frozenset[int]) -> list[PlacedProgram]:
    """The values of these operations in fp16, for those who make and read them, too."""
    touched = {
        tensor.name
        for place in places
        for tensor in (*program.operations[place].data, *program.operations[place].results)
    }

    def typed(tensor: PlacedTensor) -> PlacedTensor:
        return _half(tensor) if tensor.name in touched and tensor.name else tensor

    operations = tuple(
        replace(
            each,
            inputs={key: tuple(map(typed, tensors)) for key, tensors in each.inputs.items()},
            results=tuple(map(typed, each.results)),
        )
        for each in program.operations
    )
    return [replace(program, operations=operations)]


def _rewritten(program: PlacedProgram, places: frozenset[int]) -> list[PlacedProgram]:
    """An elementwise operation of the same operands and result in place of each."""

    def plain(operation: PlacedOperation) -> PlacedOperation:
        inputs = {f"x{i}": (_half(tensor),) for i, tensor in enumerate(operation.data)}
        return replace(operation, kind="abs", inputs=inputs, results=tuple(map(_half, operation.results)))

    operations = tuple(plain(each) if i in places else each for i, each in enumerate(program.operations))
    return [replace(program, operations=operations)]


def _moved_to_end(program: PlacedProgram, places: frozenset[int]) -> list[PlacedProgram]:
    kept = [each for i, each in enumerate(program.operations) if i not in places]
    moved = [each for i, each in enumerate(program.operations) if i in places]
    outputs = tuple(result.name for result in moved[-1].results) if moved else program.outputs
    return [replace(program, operations=(*kept, *moved), outputs=outputs)]


def _moved_to_start(program: PlacedProgram, places: frozenset[int]) -> list[PlacedProgram]:
    kept = [each for i, each in enumerate(program.operations) if i not in places]
    moved = [each for i, each in enumerate(program.operations) if i in places]
    outputs = program.outputs if kept and len(program.operations) - 1 not in places else ()
    outputs = outputs or (tuple(result.name for result in kept[-1].results) if kept else program.outputs)
    return [replace(program, operations=(*moved, *kept), outputs=outputs)]


def _cut(program: PlacedProgram, places: frozenset[int]) -> list[PlacedProgram]:
    """Models before, between and after the operations; each hands its last result on."""
    programs, part = [], list[PlacedOperation]()
    for i, each in enumerate(program.operations):
        if part and (i in places) != (i - 1 in places):
            programs.append(part)
            part = []
        part.append(each)
    programs.append(part)
    wanted = set(program.outputs)
    return [
        replace(
            program,
            operations=tuple(part),
            outputs=tuple(
                result.name
                for place, each in enumerate(part)
                for result in each.results
                if result.name in wanted or place == len(part) - 1
            ),
        )
        for part in programs
    ]


def _batched(program: PlacedProgram) -> PlacedProgram:
    """The program on four times as many inputs."""

    def larger(tensor: PlacedTensor) -> PlacedTensor:
        if tensor.constant or not tensor.shape:
            return tensor
        return replace(tensor, shape=(4 * tensor.shape[0], *tensor.shape[1:]))

    operations = tuple(
        replace(
            each,
            inputs={key: tuple(map(larger, tensors)) for key, tensors in each.inputs.items()},
            results=tuple(map(larger, each.results)),
        )
        for each in program.operations
    )
    return replace(program, operations=operations)
