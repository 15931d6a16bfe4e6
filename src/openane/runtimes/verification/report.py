"""The result file of a self-test: everything needed to answer the questions, nothing about the person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from typing import Any

from openane.runtimes.doctor import DoctorReport
from openane.runtimes.registry import Choice
from openane.runtimes.verification.check import CaseResult
from openane.runtimes.verification.questions import answers

FORMAT = 2
MACHINE_AREAS = ("machine", "linux", "macos")


def result_document(
    results: Sequence[CaseResult], report: DoctorReport, choice: Choice, *, is_rehearsal: bool = False
) -> dict[str, Any]:
    """The result file as plain values, ready for JSON.

    Args:
        results: of the cases that were looked at.
        report: of the doctor.
        choice: the runtime that ran the cases, and why it was taken.
        is_rehearsal: no device ran; nothing is settled.
    """
    return {
        "format": FORMAT,
        "openane": _version(),
        "dry_run": is_rehearsal,
        "runtime": choice.runtime.name,
        "reason": choice.reason,
        "device": dict(choice.availability.facts),
        "machine": {
            f"{finding.area}: {finding.name}": finding.value
            for finding in report.findings
            if finding.area in MACHINE_AREAS
        },
        "summary": summary(results),
        "assumptions": [] if is_rehearsal else answers(results),
        "cases": [_case(result) for result in results],
    }


def summary(results: Sequence[CaseResult]) -> Mapping[str, int]:
    """Number of cases by outcome."""
    counts: dict[str, int] = {}
    for result in results:
        counts[result.outcome.value] = counts.get(result.outcome.value, 0) + 1
    return counts


def _case(result: CaseResult) -> dict[str, Any]:
    case = result.case
    return {
        "name": case.name,
        "group": case.group,
        "question": case.question,
        "encoding": case.standing.value,
        "outcome": result.outcome.value,
        "message": result.message,
        "seconds": round(result.seconds, 6),
        "elements": result.elements,
        "differing": result.differing,
        "largest_ulp": result.largest_ulp,
        "differences": [asdict(difference) for difference in result.differences],
        "agrees_with": list(result.agrees_with),
        "sha256": result.digest,
        "found": dict(result.found),
    }


def _version() -> str:
    try:
        return metadata.version("openane")
    except metadata.PackageNotFoundError:
        return "unknown"
