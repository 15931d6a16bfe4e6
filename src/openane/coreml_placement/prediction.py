"""The prediction: for every operation whether the engine can run it, and where Core ML will run it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from openane.coreml_placement.cost import BackendEstimate, estimate
from openane.coreml_placement.eligibility import EligibilityVerdict, verdict
from openane.coreml_placement.platforms import MEASURED_SYSTEM, Units
from openane.coreml_placement.program import PlacedOperation, PlacedProgram
from openane.coreml_placement.segmenter import TIE_MS, Chain, ChainStep, cheapest_chain
from openane.targets.core_ml import Backend, Platform


class AppleDevice(Enum):
    """Where Core ML runs an operation, as its compute plan names it."""

    ANE = "ANE"
    CPU = "CPU"
    GPU = "GPU"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class PredictedPlacement:
    """One operation.

    Attributes:
        operation: of the program.
        verdict: whether the engine may run it.
        device: where Core ML runs it.
        tie: whether another device costs the same.
        estimates: the operation's own time by backend, whether it may run there or not.
        chains_ms: the cost of the cheapest chain of the whole program with the operation on each device.
        margin_ms: by how much the chosen device is cheaper than the next one; None where there is no choice.
        unknown: why the device is not known; empty where it is.
    """

    operation: PlacedOperation
    verdict: EligibilityVerdict
    device: AppleDevice
    tie: bool
    estimates: Mapping[Backend, BackendEstimate]
    chains_ms: Mapping[AppleDevice, float]
    margin_ms: float | None
    unknown: str = ""

    def time_ms(self, device: AppleDevice) -> float | None:
        """The operation's own time on a device: of the CPU's two libraries the faster; None where it is not known."""
        if device is AppleDevice.ANE:
            return self.estimates[Backend.ANE].ms
        if device is AppleDevice.CPU:
            known = [self.estimates[backend].ms for backend in (Backend.BNNS, Backend.CLASSIC_CPU)]
            return min((ms for ms in known if ms is not None), default=None)
        return None


@dataclass(frozen=True, slots=True)
class Prediction:
    """A program on a platform.

    Attributes:
        program: that was asked about.
        platform: of which chip.
        units: that the app allows.
        system: release of macOS.
        placements: one per operation, in file order.
        cost_ms: of the cheapest chain; None where it is not known.
        notes: what limits the statement.
    """

    program: PlacedProgram
    platform: Platform
    units: Units
    system: int
    placements: tuple[PredictedPlacement, ...]
    cost_ms: float | None
    notes: tuple[str, ...]

    @property
    def ane_share(self) -> float | None:
        """Share of the operations that Core ML runs on the engine, 0 to 1; None where any is not known."""
        if any(each.device is AppleDevice.UNKNOWN for each in self.placements):
            return None
        total = len(self.placements)
        return sum(each.device is AppleDevice.ANE for each in self.placements) / total if total else 1.0


_GPU = "the GPU's times are not known: where it competes, the prediction is between CPU and engine only"


def predict(
    program: PlacedProgram, platform: Platform, units: Units = Units.ALL, system: int = MEASURED_SYSTEM
) -> Prediction:
    """Where Core ML runs each operation of a program.

    Args:
        program: as Core ML sees it.
        platform: whose constants decide.
        units: that the app allows. The times of the GPU are not known: with all units it is left out of the
            comparison, with CPU and GPU only nothing can be said of operations that the GPU supports.
        system: release of macOS; the rule was measured on 27.
    """
    verdicts = [verdict(operation, platform, system) for operation in program.operations]
    return _predict(program, verdicts, platform, units, system)


def with_engine(prediction: Prediction, places: frozenset[int]) -> Prediction:
    """The same prediction, were the operations at these places supported by the engine."""
    verdicts = [
        replace(each.verdict, supported=True) if place in places else each.verdict
        for place, each in enumerate(prediction.placements)
    ]
    return _predict(prediction.program, verdicts, prediction.platform, prediction.units, prediction.system)


def _predict(
    program: PlacedProgram, verdicts: list[EligibilityVerdict], platform: Platform, units: Units, system: int
) -> Prediction:
    operations = program.operations
    estimates = [{b: estimate(operation, platform, b) for b in Backend} for operation in operations]
    notes = [*program.notes]
    if units is Units.ALL:
        notes.append(_GPU)
    guessed = sorted({o.kind for o, times in zip(operations, estimates, strict=True) if _assumed(times)})
    if guessed:
        notes.append(f"assumed times: {', '.join(guessed)} (how {platform.name}'s estimator takes them is not known)")
    reason = _undecidable(platform, system)
    if reason or units is Units.CPU_AND_GPU:
        if reason:
            notes.append(reason)
        placed = [
            _undecided(operation, said, times, units, reason)
            for operation, said, times in zip(operations, verdicts, estimates, strict=True)
        ]
        return Prediction(program, platform, units, system, tuple(placed), None, tuple(notes))
    counts = program.output_counts()
    cautious = _chain(verdicts, estimates, counts, doubtful=False)
    hopeful = cautious
    if any(said.supported is None for said in verdicts):
        hopeful = _chain(verdicts, estimates, counts, doubtful=True)
    placements = tuple(
        _placement(operations[i], verdicts[i], estimates[i], i, cautious, hopeful) for i in range(len(operations))
    )
    return Prediction(program, platform, units, system, placements, cautious.cost_ms, tuple(notes))


def _assumed(times: Mapping[Backend, BackendEstimate]) -> bool:
    return any(each.evidence == "assumed" for each in times.values())


def _undecidable(platform: Platform, system: int) -> str:
    """Why nothing can be predicted; empty where it can."""
    if not platform.throughput:
        return f"unknown: {platform.evidence} ({platform.name}); the constants of another chip are not used for it"
    if system != MEASURED_SYSTEM:
        return f"unknown: the decision rule was measured on macOS {MEASURED_SYSTEM} only, not on {system}"
    return ""


def _undecided(
    operation: PlacedOperation,
    said: EligibilityVerdict,
    times: Mapping[Backend, BackendEstimate],
    units: Units,
    reason: str,
) -> PredictedPlacement:
    """A placement where no chain can be compared: certain only where a single device is left."""
    others = [name for name in said.devices if name == "GPU" and units is not Units.CPU_AND_NE]
    others += ["ANE"] if said.supported is not False and units is not Units.CPU_AND_GPU else []
    if not others:
        return PredictedPlacement(operation, said, AppleDevice.CPU, False, times, {}, None)
    why = reason or "the times of the GPU are not known"
    return PredictedPlacement(operation, said, AppleDevice.UNKNOWN, False, times, {}, None, why)


def _chain(
    verdicts: list[EligibilityVerdict],
    estimates: list[dict[Backend, BackendEstimate]],
    counts: list[int],
    *,
    doubtful: bool,
) -> Chain:
    """The cheapest chain, with or without the engine for operations of which nobody knows whether it runs them."""
    steps = []
    for said, times, count in zip(verdicts, estimates, counts, strict=True):
        on_engine = said.supported or (doubtful and said.supported is None)
        own = {
            backend: times[backend].ms or 0.0
            for backend in Backend
            if backend is not Backend.ANE or (on_engine and times[backend].ms is not None)
        }
        steps.append(ChainStep(own, count))
    return cheapest_chain(steps)


def _device(backend: Backend) -> AppleDevice:
    return AppleDevice.ANE if backend is Backend.ANE else AppleDevice.CPU


def _placement(
    operation: PlacedOperation,
    said: EligibilityVerdict,
    times: Mapping[Backend, BackendEstimate],
    place: int,
    cautious: Chain,
    hopeful: Chain,
) -> PredictedPlacement:
    device = _device(cautious.backends[place])
    chains: dict[AppleDevice, float] = {}
    for backend, cost in cautious.best_ms[place].items():
        owner = _device(backend)
        chains[owner] = min(cost, chains.get(owner, cost))
    others = [cost for owner, cost in chains.items() if owner is not device]
    margin = max(0.0, min(others) - chains[device]) if others else None
    tie = margin is not None and margin <= TIE_MS
    if _device(hopeful.backends[place]) is not device:
        why = "unknown: it depends on whether the engine runs an operation of which nothing is known"
        return PredictedPlacement(operation, said, AppleDevice.UNKNOWN, False, times, chains, None, why)
    return PredictedPlacement(operation, said, device, tie, times, chains, margin)
