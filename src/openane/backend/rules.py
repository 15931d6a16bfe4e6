"""What a unit family is made of: rules that refuse, and a lowering that makes task plans.

A rule is one function. Its docstring is the sentence that the user sees, the line in `explain` and the row in the
generated table of limits; it returns the offending value, or None when the unit is fine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from openane.core.errors import Diagnostic, UnsupportedError
from openane.net.net import TensorShape, Unit, UnitParams

if TYPE_CHECKING:
    from openane.backend.ir.plan import TaskPlan
    from openane.backend.lowering import Lowering


@dataclass(frozen=True, slots=True)
class Query:
    """A unit with the shapes around it, as rules see it.

    Attributes:
        params: of the unit; fused units show the whole.
        bottoms: shapes of its inputs.
        result: shape of its result.
    """

    params: UnitParams
    bottoms: tuple[TensorShape, ...]
    result: TensorShape


Check = Callable[[Query], object | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """A limit of the hardware or of this back end.

    Attributes:
        name: stable, for messages and tables ("h13.tensor-width").
        check: returns the offending value, or None.
        limit: what is accepted, as text.
        hint: what the user may do.
        evidence: where the limit comes from.
    """

    name: str
    check: Check
    limit: str
    hint: str = ""
    evidence: str = ""

    @property
    def text(self) -> str:
        """The sentence of the rule: the docstring of its check."""
        return " ".join((self.check.__doc__ or "").split()).rstrip(".")

    def diagnostic(self, value: object, where: str) -> Diagnostic:
        """The finding that a unit breaks this rule."""
        return Diagnostic(self.text, where, self.name, self.limit, str(value), self.hint)


def rule(name: str, limit: str, hint: str = "", evidence: str = "") -> Callable[[Check], Rule]:
    """Makes a :class:`Rule` of a check function."""

    def make(check: Check) -> Rule:
        return Rule(name, check, limit, hint, evidence)

    return make


@dataclass(frozen=True, slots=True)
class Family:
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
    lower: Callable[[Unit, Lowering], Iterator[TaskPlan]]
    rules: tuple[Rule, ...] = ()
    writes: Callable[[Query], bool] = lambda query: True


def unknown_unit(params: UnitParams, where: str) -> Diagnostic:
    """The finding that no family takes a unit."""
    return Diagnostic(
        f"h13 has no lowering for {type(params).__name__}",
        where,
        "h13.known-unit",
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
    others = tuple(entry.diagnostic(found, where) for entry, found in rest)
    raise UnsupportedError(
        first.text,
        where=where,
        rule=first.name,
        limit=first.limit,
        value=value,
        hint=first.hint,
        others=others,
    )
