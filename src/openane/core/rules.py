"""Rules by which the compiler refuses: each is declared once, with its check, limit, hint and evidence.

A rule is one function. Its docstring is the sentence that the user sees, the line in `explain` and the row in the
generated table of limits; it returns the offending value, or None when there is nothing to refuse. A rule registers
itself when its module is imported, and a refusal names a rule of the registry (:mod:`openane.core.errors`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any, Generic, ParamSpec, Protocol

Subject = ParamSpec("Subject")
"""What a check takes: a unit with the shapes around it, an operation, a shape."""


class RuleKind(Enum):
    """What a rule is a limit of; see `MEANINGS`."""

    ENGINE = "engine"
    COMPILER = "compiler"
    CHOICE = "choice"


MEANINGS: Mapping[RuleKind, str] = MappingProxyType(
    {
        RuleKind.ENGINE: "the hardware does not do it, or no register can express it",
        RuleKind.COMPILER: "openane has no form for it; the engine may be able to compute it",
        RuleKind.CHOICE: "the engine can compute it, but the host is more exact or faster",
    }
)
"""Each kind in a sentence, for tables."""


class RuleGeneration(Protocol):
    """What a rule that differs between generations reads; `backend.machine.MachineSpec` in the compiler."""

    @property
    def name(self) -> str:
        """As on the command line."""
        ...


LimitText = str | Callable[[Any], str]
"""What a rule accepts: a text, or one that is made of the numbers of a generation."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Rule(Generic[Subject]):
    """A limit of the engine or of the compiler.

    Attributes:
        name: stable, without the generation ("tensor-width").
        check: returns the offending value, or None.
        family: the units or operations it is about ("convolution", "every tensor").
        kind: what it is a limit of.
        accepts: what is accepted.
        hint: what the user may do; `{operand}` and `{type}` are those of the first operand that is computed at run
            time, where the rule is about an operation.
        evidence: where the limit comes from, with an anchor of docs/hardware for a fact about the hardware.
        of_generation: whether the limit belongs to a generation, whose name then precedes that of the rule.

    Raises:
        ValueError: on definition, if another rule has the name, or a part is missing.
    """

    name: str
    check: Callable[Subject, object | None]
    family: str
    kind: RuleKind
    accepts: LimitText
    hint: str
    evidence: str
    of_generation: bool

    def __post_init__(self) -> None:
        if self.name in _registered:
            raise ValueError(f"two rules are named {self.name!r}")
        if not (self.text and self.family and self.accepts and self.hint and self.evidence):
            raise ValueError(f"the rule {self.name!r} is not complete")
        _registered[self.name] = self

    @property
    def text(self) -> str:
        """The sentence of the rule: the docstring of its check."""
        return " ".join((self.check.__doc__ or "").split()).rstrip(".")

    def full_name(self, machine: RuleGeneration | None) -> str:
        """The name that messages and `openane limits` show, with that of the generation ("GENERATION.tensor-width")."""
        return f"{machine.name}.{self.name}" if self.of_generation and machine is not None else self.name

    def limit(self, machine: RuleGeneration | None) -> str:
        """What is accepted, as text; empty where it depends on a generation and none is given."""
        if isinstance(self.accepts, str):
            return self.accepts
        return self.accepts(machine) if machine is not None else ""


_registered: dict[str, Rule[...]] = {}

RULES: Mapping[str, Rule[...]] = MappingProxyType(_registered)
"""Every rule of the modules that are imported, by name."""


def is_registered(full_name: str) -> bool:
    """Whether a name, with or without a generation in front, is that of a rule."""
    return full_name.rpartition(".")[2] in RULES


def rule(
    name: str, *, family: str, kind: RuleKind, limit: LimitText, hint: str, evidence: str, of_generation: bool = False
) -> Callable[[Callable[Subject, object | None]], Rule[Subject]]:
    """Makes a :class:`Rule` of a check function; see there for the arguments."""

    def make(check: Callable[Subject, object | None]) -> Rule[Subject]:
        return Rule(
            name=name,
            check=check,
            family=family,
            kind=kind,
            accepts=limit,
            hint=hint,
            evidence=evidence,
            of_generation=of_generation,
        )

    return make


@dataclass(frozen=True, slots=True)
class Limit:
    """One rule as `openane limits` and the docs show it.

    Attributes:
        family: the units or operations it is about ("every tensor", "convolution").
        name: of the rule, as messages have it.
        text: what is refused.
        limit: what is accepted.
        hint: what the user may do.
        evidence: where the limit comes from.
        kind: "engine", "compiler" or "choice", see :class:`RuleKind`.
    """

    family: str
    name: str
    text: str
    limit: str
    hint: str
    evidence: str
    kind: str


def limits(machine: RuleGeneration, *, of_generation: bool) -> tuple[Limit, ...]:
    """The rules of a generation, or those that hold in all of them: general ones first, then by family and name."""
    chosen = [each for each in RULES.values() if each.of_generation is of_generation]
    chosen.sort(key=lambda each: (not each.family.startswith("every "), each.family, each.name))
    return tuple(
        Limit(
            each.family,
            each.full_name(machine),
            each.text,
            each.limit(machine),
            each.hint.replace(" ({type})", "").replace("{operand}", "the operand"),
            each.evidence,
            each.kind.value,
        )
        for each in chosen
    )
