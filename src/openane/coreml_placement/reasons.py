"""Why Core ML runs an operation where it does: one sentence per operation, with the times that decided."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from openane.coreml_placement.platforms import Units
from openane.coreml_placement.prediction import AppleDevice, PredictedPlacement, Prediction, with_engine
from openane.coreml_placement.segmenter import LAUNCH_MS, OUTPUT_MS, SWITCH_MS


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbors in file order that the engine may run, from `first` up to `end`.

    Attributes:
        saved_ms: how much less they take on the engine than on the CPU.
        needed_ms: what the segment itself costs: start, changes of backend, outputs.
    """

    first: int
    end: int
    saved_ms: float
    needed_ms: float


def reasons(prediction: Prediction) -> tuple[str, ...]:
    """The sentence of each operation, in order."""
    placements = prediction.placements
    runs = _runs(placements, prediction.program.output_counts())
    freed = _freed(prediction)
    segments = _segments(placements)
    found = []
    for place, each in enumerate(placements):
        if each.device is AppleDevice.UNKNOWN:
            found.append(each.unknown)
        elif each.device is AppleDevice.ANE:
            found.append(_on_engine(each, segments[place], placements))
        elif each.verdict.supported is False:
            found.append(_refused(each))
        elif prediction.units is Units.CPU_AND_GPU:
            found.append("the engine is not allowed")
        else:
            found.append(_cheaper(place, runs[place], freed, placements))
    return tuple(_with_tie(sentence, each) for sentence, each in zip(found, placements, strict=True))


def _with_tie(sentence: str, each: PredictedPlacement) -> str:
    if not each.tie:
        return sentence
    other = next(device for device in each.chains_ms if device is not each.device)
    return f"{sentence}; a tie: the {_words(other)} costs the same, either is seen"


def _words(device: AppleDevice) -> str:
    return "engine" if device is AppleDevice.ANE else device.value


def _refused(each: PredictedPlacement) -> str:
    said = each.verdict
    numbers = f" ({said.value}, allowed: {said.limit})" if said.limit else ""
    return f"{said.reason}{numbers}"


def _on_engine(each: PredictedPlacement, run: Run, placements: Sequence[PredictedPlacement]) -> str:
    count = run.end - run.first
    own, cpu = each.time_ms(AppleDevice.ANE), each.time_ms(AppleDevice.CPU)
    if count > 1 and own is not None and cpu is not None and own >= cpu:
        return f"not faster on the engine, pulled along by its segment of {count} operations"
    return f"its segment of {count} operations saves {run.saved_ms:.3g} ms and pays {run.needed_ms:.3g} ms"


def _cheaper(
    place: int, run: Run | None, freed: Sequence[AppleDevice], placements: Sequence[PredictedPlacement]
) -> str:
    if run is None:
        return "not known on the engine"
    count = run.end - run.first
    who = f"its run of {count} operations" if count > 1 else "it"
    text = f"{who} would save {run.saved_ms:.3g} ms on the engine and needs {run.needed_ms:.3g} ms"
    text += " to pay for the start, changes of backend and outputs"
    if freed[place] is not AppleDevice.ANE:
        return f"cheaper elsewhere: {text}"
    blockers = [i for i in (run.first - 1, run.end) if 0 <= i < len(placements)]
    names = " and ".join(f"{placements[i].operation.name!r} ({_refused(placements[i])})" for i in blockers)
    return f"pulled along by {names}: {text}" if names else f"cheaper elsewhere: {text}"


def _runs(placements: Sequence[PredictedPlacement], outputs: Sequence[int]) -> list[Run | None]:
    """The run of each operation; None for those that the engine does not run."""
    found: list[Run | None] = [None] * len(placements)
    for first, end in _stretches([each.verdict.supported is True for each in placements]):
        found[first:end] = [_run(placements, outputs, first, end)] * (end - first)
    return found


def _segments(placements: Sequence[PredictedPlacement]) -> dict[int, Run]:
    """By operation, the segment of the engine that it is in."""
    found: dict[int, Run] = {}
    for first, end in _stretches([each.device is AppleDevice.ANE for each in placements]):
        found.update(dict.fromkeys(range(first, end), _run(placements, [0] * len(placements), first, end)))
    return found


def _stretches(flags: Sequence[bool]) -> Iterator[tuple[int, int]]:
    first = 0
    for place in range(len(flags) + 1):
        if place == len(flags) or not flags[place]:
            if place > first:
                yield first, place
            first = place + 1


def _run(placements: Sequence[PredictedPlacement], outputs: Sequence[int], first: int, end: int) -> Run:
    saved = 0.0
    for each in placements[first:end]:
        own, cpu = each.time_ms(AppleDevice.ANE), each.time_ms(AppleDevice.CPU)
        saved += (cpu or 0.0) - (own or 0.0)
    at_head, at_tail = first == 0, end == len(placements)
    needed = LAUNCH_MS + (0 if at_head else SWITCH_MS) + (OUTPUT_MS if at_tail else SWITCH_MS)
    needed += OUTPUT_MS * sum(outputs[first : end - 1 if at_tail else end])
    return Run(first, end, saved, needed)


def _freed(prediction: Prediction) -> list[AppleDevice]:
    """Where everything would run if the engine ran every operation."""
    if prediction.cost_ms is None:
        return [each.device for each in prediction.placements]
    refused = [place for place, each in enumerate(prediction.placements) if each.verdict.supported is False]
    return (
        [each.device for each in with_engine(prediction, frozenset(refused)).placements]
        if refused
        else [each.device for each in prediction.placements]
    )
