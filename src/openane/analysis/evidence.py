"""What backs the tasks of compiled programs, task by task and layer by layer, with counts and shares of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openane.artifact.plan import Artifact
from openane.core.errors import UnsupportedError
from openane.cost.chips import CHIPS, DEFAULT_CHIP
from openane.cost.program import cost_of_program
from openane.program import Program
from openane.program.evidence import EncodingEvidence, EvidenceFinding, TaskEvidence, levels_text
from openane.targets import attach


@dataclass(frozen=True, slots=True)
class EvidenceOfTask:
    """One task of a plan.

    Attributes:
        program, task: numbers from 0.
        layers: the user's layers it is part of; empty for programs of a file.
        evidence: what backs it.
        time_us: estimated time; None where this generation has no estimate.
    """

    program: int
    task: int
    layers: tuple[str, ...]
    evidence: TaskEvidence
    time_us: float | None


@dataclass(frozen=True, slots=True)
class FindingSummary:
    """One thing that no record shows, and the tasks that have it.

    Attributes:
        finding: what.
        tasks: numbers over all programs of the plan.
        time_share: of the time of all tasks, 0 to 1; None without an estimate.
    """

    finding: EvidenceFinding
    tasks: tuple[int, ...]
    time_share: float | None


@dataclass(frozen=True, slots=True)
class EvidenceReport:
    """What backs the programs of a model.

    Attributes:
        tasks: in order of execution.
    """

    tasks: tuple[EvidenceOfTask, ...]

    @property
    def counts(self) -> dict[EncodingEvidence, int]:
        """Tasks of each level."""
        return {level: len(self._of(level)) for level in EncodingEvidence}

    @property
    def time_shares(self) -> dict[EncodingEvidence, float] | None:
        """Share of the time of all tasks for each level, 0 to 1; None without an estimate."""
        shares = {level: self._share(self._of(level)) for level in EncodingEvidence}
        known = {level: share for level, share in shares.items() if share is not None}
        return known if len(known) == len(shares) else None

    @property
    def text(self) -> str:
        """In one line: "63 of 70 tasks as emitted by Apple (81% of the time), 7 extrapolated (19%)"."""
        return levels_text((task.evidence.level for task in self.tasks), self.time_shares)

    def findings(self) -> tuple[FindingSummary, ...]:
        """Everything that no record shows: assumptions first, then by number of tasks."""
        found: dict[EvidenceFinding, list[int]] = {}
        for number, task in enumerate(self.tasks):
            for finding in task.evidence.findings:
                found.setdefault(finding, []).append(number)
        rows = [
            FindingSummary(finding, tuple(numbers), self._share([self.tasks[number] for number in numbers]))
            for finding, numbers in found.items()
        ]
        return tuple(sorted(rows, key=lambda row: (-row.finding.level, -len(row.tasks))))

    def layers(self) -> dict[str, EncodingEvidence]:
        """The weakest task of each layer, by name."""
        weakest: dict[str, EncodingEvidence] = {}
        for task in self.tasks:
            for layer in task.layers:
                weakest[layer] = max(weakest.get(layer, EncodingEvidence.RECORDED), task.evidence.level)
        return weakest

    def values(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        shares = self.time_shares
        return {
            "text": self.text,
            "tasks": {level.text: count for level, count in self.counts.items()},
            "time_shares": None if shares is None else {level.text: share for level, share in shares.items()},
            "layers": {layer: level.text for layer, level in self.layers().items()},
            "findings": [
                {**finding_values(row.finding), "tasks": list(row.tasks), "time_share": row.time_share}
                for row in self.findings()
            ],
        }

    def _of(self, level: EncodingEvidence) -> list[EvidenceOfTask]:
        return [task for task in self.tasks if task.evidence.level is level]

    def _share(self, tasks: Sequence[EvidenceOfTask]) -> float | None:
        total = _time(self.tasks)
        own = _time(tasks)
        return None if total is None or own is None else own / total if total else 0.0


def _time(tasks: Sequence[EvidenceOfTask]) -> float | None:
    times = [task.time_us for task in tasks]
    known = [time for time in times if time is not None]
    return sum(known) if len(known) == len(times) else None


def finding_values(finding: EvidenceFinding) -> dict[str, str]:
    """A finding as plain values."""
    return {
        "level": finding.level.text,
        "field": finding.field,
        "found": finding.found,
        "recorded": finding.recorded,
        "assumption": finding.assumption,
    }


def evidence_of_model(artifact: Artifact) -> EvidenceReport | None:
    """What backs the programs of a compiled model; None where no records of the generation are at hand."""
    return evidence_of_programs(artifact.programs)


def evidence_of_programs(programs: Sequence[Program]) -> EvidenceReport | None:
    """What backs programs that run one after the other; None where no records of the generation are at hand."""
    tasks: list[EvidenceOfTask] = []
    for number, program in enumerate(map(attach, programs)):
        found = _tasks(number, program)
        if found is None:
            return None
        tasks += found
    return EvidenceReport(tuple(tasks)) if tasks else None


def _tasks(number: int, program: Program) -> list[EvidenceOfTask] | None:
    assert program.codec is not None
    times = _times(program)
    rows = []
    for index, task in enumerate(program.tasks):
        evidence = program.codec.evidence_of(task)
        if evidence is None:
            return None
        rows.append(EvidenceOfTask(number, index, task.origin.layers, evidence, times.get(index)))
    return rows


def _times(program: Program) -> Mapping[int, float]:
    try:
        costs = cost_of_program(program, CHIPS[DEFAULT_CHIP]).tasks
    except UnsupportedError:
        return {}
    return {index: cost.time_us for index, cost in enumerate(costs)}
