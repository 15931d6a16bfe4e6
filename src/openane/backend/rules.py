"""What a unit family is made of: rules that refuse, and a lowering that makes task plans.

See :mod:`openane.core.rules` for what a rule is; those of units take a :class:`Query`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from openane.backend.ir.plan import TaskPlan
from openane.backend.machine import MachineSpec
from openane.core import rules
from openane.core.errors import Diagnostic, UnsupportedError
from openane.core.rules import Rule, RuleKind, Subject
from openane.net.net import TensorShape, Unit, UnitParams

__all__ = ["Family", "Query", "RuleKind", "UnitRule", "known_unit", "refuse", "rule", "violations"]


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


UnitRule = Rule[[Query]]


def rule(
    name: str, *, family: str, kind: RuleKind, limit: str | Callable[[MachineSpec], str], hint: str, evidence: str
) -> Callable[[Callable[Subject, object | None]], Rule[Subject]]:
    """Makes a rule of a generation of a check function; for the arguments see :class:`~openane.core.rules.Rule`."""
    return rules.rule(name, family=family, kind=kind, limit=limit, hint=hint, evidence=evidence, of_generation=True)


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
    rules: tuple[UnitRule, ...] = ()
    writes: Callable[[Query], bool] = lambda query: True


@rule(
    "known-unit",
    family="every unit",
    kind=RuleKind.COMPILER,
    limit="units that a family of the back end takes",
    hint="Run this layer on the host, or express it by other units.",
    evidence="openane.backend.units",
)
def known_unit(params: UnitParams, family: Family[Context] | None) -> object | None:
    """The back end has no lowering for this unit."""
    return params.label if family is None else None


def violations(unit_rules: Sequence[UnitRule], query: Query, where: str) -> tuple[Diagnostic, ...]:
    """Every rule that a unit breaks, in the order of the rules."""
    found = ((each, each.check(query)) for each in unit_rules)
    return tuple(
        Diagnostic.of(each, value, machine=query.machine, where=where) for each, value in found if value is not None
    )


def refuse(unit_rules: Sequence[UnitRule], query: Query, where: str) -> None:
    """Refuses a unit that breaks a rule.

    Raises:
        UnsupportedError: names the first broken rule with limit, value and hint; further ones follow.
    """
    broken = violations(unit_rules, query, where)
    if broken:
        raise UnsupportedError(broken[0], others=broken[1:])
