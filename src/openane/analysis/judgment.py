"""Which layers are to blame: from facts about single layers to one verdict and its reasons each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from openane.analysis.layers import Group
from openane.analysis.verdicts import Verdict

_FEW = 4
"""Layers that are listed where one of several is wrong."""


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """What the verdict on a layer depends on.

    Attributes:
        readable: the run of the program gave all its values, for the layers after it.
        differing: how many of them differ in bits from those of the layer alone on the same operands; None if unknown.
        unexplained: alone on the reference's operands, it is further off than its arithmetic explains.
        at_fault: alone on the reference's operands, its error is noticeable and far beyond ideal fp16.
        spoiled: so is its accumulated error.
        spoiled_within: so it is also when values beyond fp16 count as its largest numbers.
        near_ties: positions that differ from the reference's.
    """

    readable: bool
    differing: int | None
    unexplained: bool
    at_fault: bool
    spoiled: bool
    spoiled_within: bool
    near_ties: int


@dataclass(frozen=True, slots=True)
class Judgment:
    """A verdict on a layer, and its reasons, one clause each."""

    verdict: Verdict = Verdict.RIGHT
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Findings:
    """The verdicts on a model.

    Attributes:
        layers: one judgment per group.
        wrong_outputs: values of the outputs that count as wrong.
    """

    layers: tuple[Judgment, ...]
    wrong_outputs: frozenset[str]


def judge(
    groups: Sequence[Group],
    facts: Sequence[LayerFacts],
    spoiled_outputs: Collection[str],
    is_cleared: Callable[[int], bool],
) -> Findings:
    """The verdicts on the layers of a model.

    Args:
        groups, facts: the layers, in execution order.
        spoiled_outputs: values of the outputs whose error is noticeable and far beyond ideal fp16.
        is_cleared: whether all tasks of a layer store what they store when it runs alone; asked where the program
            differs after several layers whose values it does not keep.
    """
    return _Judge(groups, facts).findings(spoiled_outputs, is_cleared)


@dataclass(eq=False)
class _Judge:
    groups: Sequence[Group]
    facts: Sequence[LayerFacts]
    found: dict[int, Judgment] = field(default_factory=dict)

    def findings(self, spoiled_outputs: Collection[str], is_cleared: Callable[[int], bool]) -> Findings:
        self._programs(is_cleared)
        for number, each in enumerate(self.facts):
            if each.unexplained and number not in self.found:
                reason = "alone, the layer is further off than its arithmetic explains"
                self.found[number] = Judgment(Verdict.UNEXPLAINED, (reason,))
        tied = self._after_near_ties()
        wrong = frozenset(spoiled_outputs) - tied
        self._precision(wrong, tied)
        for number, each in enumerate(self.facts):
            if each.near_ties and number not in self.found:
                reason = f"{each.near_ties} positions differ, and select values as large as the reference's"
                self.found[number] = Judgment(Verdict.NEAR_TIE, (reason,))
        return Findings(tuple(self.found.get(i, Judgment()) for i in range(len(self.groups))), wrong)

    def _programs(self, is_cleared: Callable[[int], bool]) -> None:
        """Layers whose values in the program are not those of the layer alone."""
        suspects: dict[str, frozenset[int]] = {}
        for number, (group, each) in enumerate(zip(self.groups, self.facts, strict=True)):
            before = frozenset[int]().union(*(suspects.get(name, frozenset()) for name in group.reads))
            if each.differing:
                self._blame(sorted(before | {number}), each.differing, is_cleared)
            if not each.readable and each.differing != 0:
                suspects.update(dict.fromkeys(group.makes, before | {number}))

    def _blame(self, suspects: list[int], differing: int, is_cleared: Callable[[int], bool]) -> None:
        known = [each for each in suspects[:-1] if each in self.found]
        if known:
            reason = f"inherited from {self.groups[known[0]].name!r}"
            self.found.setdefault(suspects[-1], Judgment(Verdict.INHERITED, (reason,)))
            return
        if len(suspects) > 1:
            suspects = [each for each in suspects if not is_cleared(each)] or suspects[-1:]
        reason = f"the program stores {differing} other values than the layer computes alone on the same operands"
        if len(suspects) > 1:
            names = ", ".join(repr(self.groups[each].name) for each in suspects[:_FEW])
            more = f" and {len(suspects) - _FEW} more" if len(suspects) > _FEW else ""
            reason = f"{reason}: this layer, or one of {names}{more}"
        for each in suspects:
            self.found.setdefault(each, Judgment(Verdict.PROGRAM, (reason,)))

    def _after_near_ties(self) -> frozenset[str]:
        """Values that depend on positions which differ."""
        sources: set[str] = set()
        found: set[str] = set()
        for group, each in zip(self.groups, self.facts, strict=True):
            if each.near_ties:
                sources.update(group.makes)
            elif (sources | found).intersection(group.reads):
                found.update(group.makes)
        return frozenset(found)

    def _precision(self, wrong: frozenset[str], tied: frozenset[str]) -> None:
        """Layers whose error reaches an output that is wrong."""
        upstream = self._upstream(wrong)
        bad: set[int] = set()
        bad_values: set[str] = set()
        for number in sorted(upstream, reverse=True):
            group, each = self.groups[number], self.facts[number]
            if tied.intersection(group.makes):
                continue
            is_output = bool(wrong.intersection(group.makes))
            is_read_badly = bool(bad_values.intersection(group.makes))
            if is_output or each.spoiled_within or (each.spoiled and is_read_badly):
                bad.add(number)
                bad_values.update(group.reads)
        first: str | None = None
        for number, group in enumerate(self.groups):
            if number in self.found and self.found[number].verdict.is_wrong:
                first = first or group.name
            elif number in bad:
                self.found[number] = self._imprecise(number, first)
                first = first or group.name

    def _imprecise(self, number: int, first: str | None) -> Judgment:
        if self.facts[number].at_fault:
            return Judgment(Verdict.PRECISION)
        if first is not None:
            return Judgment(Verdict.INHERITED, (f"inherited from {first!r}; alone the layer is right",))
        return Judgment(Verdict.PRECISION, ("grown from smaller errors before it; alone the layer is right",))

    def _upstream(self, values: Collection[str]) -> set[int]:
        wanted, found = set(values), set()
        for number in reversed(range(len(self.groups))):
            if wanted.intersection(self.groups[number].makes):
                found.add(number)
                wanted.update(self.groups[number].reads)
        return found
