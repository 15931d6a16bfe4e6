"""What a unit family is made of: rules that refuse, and a lowering that makes task plans.

A rule is one function. Its docstring is the sentence that the user sees, the line in `explain` and the row in the
generated table of limits; it returns the offending value, or None when the unit is fine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from openane.backend.ir.plan import TaskPlan
from openane.backend.machine import MachineSpec
from openane.core.errors import Diagnostic, UnsupportedError
from openane.net.net import TensorShape, Unit, UnitParams


@dataclass(frozen=True, slots=True)
class Query:
    """A unit with the shapes around it, as rules see it.

    Attributes:
        machine: the generation.
        params: of the unit; fused units show the whole.
        bottoms: shapes of its inputs.
        result: shape of its result.
    """

    machine: MachineSpec
    params: UnitParams
    bottoms: tuple[TensorShape, ...]
    result: TensorShape


Check = Callable[[Query], object | None]
LimitText = str | Callable[[MachineSpec], str]


@dataclass(frozen=True, slots=True)
class Rule:
    """A limit of the hardware or of this back end.

    Attributes:
        name: stable, without the generation ("tensor-width"); messages and tables put the generation in front.
        check: returns the offending value, or None.
        accepts: what is accepted: a text, or one made of the generation's numbers.
        hint: what the user may do.
        evidence: where the limit comes from.
    """

    name: str
    check: Check
    accepts: LimitText
    hint: str = ""
    evidence: str = ""

    @property
    def text(self) -> str:
        """The sentence of the rule: the docstring of its check."""
        return " ".join((self.check.__doc__ or "").split()).rstrip(".")

    def limit(self, machine: MachineSpec) -> str:
        """What a generation accepts, as text."""
        return self.accepts if isinstance(self.accepts, str) else self.accepts(machine)

    def diagnostic(self, machine: MachineSpec, value: object, where: str) -> Diagnostic:
        """The finding that a unit breaks this rule."""
        return Diagnostic(self.text, where, machine.rule(self.name), self.limit(machine), str(value), self.hint)


def rule(name: str, limit: LimitText, hint: str = "", evidence: str = "") -> Callable[[Check], Rule]:
    """Makes a :class:`Rule` of a check function."""

    def make(check: Check) -> Rule:
        return Rule(name, check, limit, hint, evidence)

    return make


@dataclass(frozen=True, slots=True)
class Limit:
    """One rule of a generation, as `openane limits` and the docs show it.

    Attributes:
        family: the units it is about ("every tensor", "convolution").
        name: of the rule, as messages have it.
        text: what is refused.
        limit: what is accepted.
        hint: what the user may do.
        evidence: where the limit comes from.
    """

    family: str
    name: str
    text: str
    limit: str
    hint: str
    evidence: str


Context = TypeVar("Context")
"""What a family may ask and add while it lowers a unit: `backend.lowering.Lowering`, which knows this file."""


@dataclass(frozen=True, slots=True)
class Family(Generic[Context]):
    """How one kind of unit is compiled.

    Attributes:
        name: for tables ("convolution").
        params: the parameter classes it takes.
        lower: yields the tasks of a unit, or nothing when the unit only renames (a view; it then calls `alias`).
        rules: checked in order before lowering.
        writes: whether its result is written by tasks, so that a concat may give it a place; False for views.
    """

    name: str
    params: tuple[type[UnitParams], ...]
    lower: Callable[[Unit, Context], Iterator[TaskPlan]]
    rules: tuple[Rule, ...] = ()
    writes: Callable[[Query], bool] = lambda query: True


def unknown_unit(machine: MachineSpec, params: UnitParams, where: str) -> Diagnostic:
    """The finding that no family takes a unit."""
    return Diagnostic(
        f"{machine.name} has no lowering for {type(params).__name__}",
        where,
        machine.rule("known-unit"),
        hint="Run this layer on the host, or express it by other units.",
    )


def violations(rules: Sequence[Rule], query: Query) -> tuple[tuple[Rule, object], ...]:
    """Every rule that the unit breaks, with the offending value."""
    found = ((entry, entry.check(query)) for entry in rules)
    return tuple((entry, value) for entry, value in found if value is not None)


def refuse(rules: Sequence[Rule], query: Query, where: str) -> None:
    """Refuses a unit that breaks a rule.

    Raises:
        UnsupportedError: names the first broken rule with limit, value and hint; further ones follow.
    """
    broken = violations(rules, query)
    if not broken:
        return
    (first, value), *rest = broken
    others = tuple(entry.diagnostic(query.machine, found, where) for entry, found in rest)
    raise UnsupportedError(
        first.text,
        where=where,
        rule=query.machine.rule(first.name),
        limit=first.limit(query.machine),
        value=value,
        hint=first.hint,
        others=others,
    )
