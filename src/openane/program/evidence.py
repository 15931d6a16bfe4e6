"""How well the words of a task are backed by programs that Apple's compiler is on record with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum


class EncodingEvidence(IntEnum):
    """How well an encoding is backed; a task is as good as its weakest finding."""

    RECORDED = 0  # a recorded task has this computation, and recorded tasks have these operands and sizes
    EXTRAPOLATED = 1  # known fields and rules, outside of the recorded combinations or sizes
    ASSUMED = 2  # rests on a meaning that no record shows

    @property
    def text(self) -> str:
        """As shown to people."""
        return ("as emitted by Apple", "extrapolated", "assumed")[self]


@dataclass(frozen=True, slots=True)
class EvidenceFinding:
    """One thing about a task that no record shows.

    Attributes:
        level: extrapolated or assumed.
        field: path of the register field: "NE.MACCfg.NonlinearMode".
        found: what the task has there.
        recorded: what recorded tasks have, and which records; for an assumption, its meaning.
        assumption: "A1" and so on, a row of docs/assumptions.md; empty if extrapolated.
    """

    level: EncodingEvidence
    field: str
    found: str
    recorded: str
    assumption: str = ""

    def __str__(self) -> str:
        if self.assumption:
            return f"assumption {self.assumption}: {self.found} ({self.field})"
        return f"{self.found} ({self.field}); on record: {self.recorded}"


@dataclass(frozen=True, slots=True)
class TaskEvidence:
    """What backs the words of one task.

    Attributes:
        computation: what the task computes, as the rules of the generation name it: "convolution, 1x1, bias".
        records: a recorded program that has this computation; empty if none has.
        findings: everything that no record shows; empty for a task as emitted by Apple.
    """

    computation: str
    records: str = ""
    findings: tuple[EvidenceFinding, ...] = ()

    @property
    def level(self) -> EncodingEvidence:
        """The weakest finding."""
        return max((finding.level for finding in self.findings), default=EncodingEvidence.RECORDED)


def levels_text(levels: Iterable[EncodingEvidence], time_shares: Mapping[EncodingEvidence, float] | None = None) -> str:
    """How tasks are backed, in one line: "63 of 70 tasks as emitted by Apple (81% of the time), 7 extrapolated (19%)".

    Args:
        levels: of each task.
        time_shares: of all tasks of a level, 0 to 1; None to leave them out.
    """
    found, parts = list(levels), list[str]()
    for level in EncodingEvidence:
        count = found.count(level)
        if count:
            share = "" if time_shares is None else f" ({time_shares[level]:.0%}{'' if parts else ' of the time'})"
            parts.append(f"{count}{'' if parts else f' of {len(found)} tasks'} {level.text}{share}")
    return ", ".join(parts)
