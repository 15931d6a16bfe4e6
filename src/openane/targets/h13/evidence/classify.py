"""What backs one task: its features and sizes against those on record, and the assumptions it depends on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

from openane.program import Task
from openane.program.evidence import EncodingEvidence, EvidenceFinding, TaskEvidence
from openane.targets.h13.evidence.assumptions import ASSUMPTIONS
from openane.targets.h13.evidence.features import Feature, computation_features, operand_forms, text_of
from openane.targets.h13.evidence.recorded import COMPUTATIONS, NE_RANGES, OPERANDS, PE_RANGES
from openane.targets.h13.read import TaskFields

_KINDS = frozenset({"depthwise", "run-time kernel", "groups"})
"""Features that make another operation of a convolution: the nearest one on record has the same, if there is one."""


def evidence_of(task: Task) -> TaskEvidence:
    """What backs a task.

    Args:
        task: of any compiler.

    Returns:
        The findings: assumptions first, then what is extrapolated.
    """
    words = TaskFields.of(task)
    computation = computation_features(words)
    assumed = tuple(_assumed(words))
    fields = {finding.field for finding in assumed}
    extrapolated = (
        finding
        for finding in (*_computation(computation), *_operands(words), *_ranges(words))
        if finding.field not in fields
    )
    name = text_of(computation)
    return TaskEvidence(name, COMPUTATIONS.get(name, ""), (*assumed, *extrapolated))


def _assumed(words: TaskFields) -> Iterator[EvidenceFinding]:
    for each in ASSUMPTIONS:
        for field in each.fields_of(words):
            path, name = field.rsplit(".", 1)
            found = f"{name} {words.name(path, name)}"
            yield EvidenceFinding(EncodingEvidence.ASSUMED, field, found, each.subject, each.name)


def _computation(features: tuple[Feature, ...]) -> Iterator[EvidenceFinding]:
    """What a computation has that the nearest one on record does not have, or the other way round."""
    name = text_of(features)
    if name in COMPUTATIONS:
        return
    operation = features[0]
    own = {feature.text for feature in features}
    same = [known for known in COMPUTATIONS if _parts(known)[0] == operation.text]
    if not same:
        yield EvidenceFinding(EncodingEvidence.EXTRAPOLATED, operation.field, f"{name!r}", "no task of this operation")
        return
    nearest = min(same, key=lambda known: (len(_KINDS & (own ^ set(_parts(known)))), len(own ^ set(_parts(known)))))
    known, recorded = set(_parts(nearest)), f"{nearest!r} in {COMPUTATIONS[nearest]}"
    for feature in features:
        if feature.text not in known:
            yield EvidenceFinding(EncodingEvidence.EXTRAPOLATED, feature.field, f"{name!r}: {feature.text}", recorded)
    if not own - known:  # it is the nearest one without something
        missing = ", ".join(part for part in _parts(nearest) if part not in own)
        found = f"{name!r}: without {missing}"
        yield EvidenceFinding(EncodingEvidence.EXTRAPOLATED, operation.field, found, recorded)


@cache
def _parts(computation: str) -> tuple[str, ...]:
    return tuple(computation.split(", "))


def _operands(words: TaskFields) -> Iterator[EvidenceFinding]:
    for role, features in operand_forms(words):
        form = text_of(features)
        if form not in OPERANDS[role]:
            recorded = "; ".join(OPERANDS[role])
            found = f"{role.value}: {form}"
            yield EvidenceFinding(EncodingEvidence.EXTRAPOLATED, features[-1].field, found, recorded)


def _ranges(words: TaskFields) -> Iterator[EvidenceFinding]:
    ranges: Mapping[str, tuple[int, int]] = NE_RANGES if words.is_ne else PE_RANGES
    for field, (low, high) in ranges.items():
        path, name = field.rsplit(".", 1)
        value = words(path, name)
        if not low <= value <= high:
            recorded = str(low) if low == high else f"{low} to {high}"
            yield EvidenceFinding(EncodingEvidence.EXTRAPOLATED, field, f"{name} {value}", recorded)
