"""Errors are part of the product: what is wrong, where, the limit, the value, and what to do.

Every fault of the *user's* input is an :class:`OpenaneError`; the command line prints its one line and
leaves with a status that is not 0. Anything else that escapes is a bug of ours and may show a traceback.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace

from openane.core.rules import Rule, RuleGeneration, Subject, is_registered

LONGEST_TEXT = 1000
"""Characters of one part of a message; names in files may be as long as the file."""


def printable(text: str, keep: str = "\t\n") -> str:
    """Untrusted text, fit for a terminal: control characters and reversed writing are shown as escapes.

    Args:
        text: of any characters.
        keep: those that stay as they are all the same.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in keep else ascii(char)[1:-1] for char in text)


def valid(text: str) -> str:
    """A text that every encoding can hold: bytes of file names that are not UTF-8 stand in it as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def _shown(value: object) -> str:
    """A value as text; long ones are cut, and integers that Python refuses to write in decimal are only measured."""
    try:
        text = str(value)
    except ValueError:
        text = (
            f"an integer of {value.bit_length()} bits" if isinstance(value, int) else "numbers of thousands of digits"
        )
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}..."


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding about the user's input.

    Attributes:
        what: what is wrong, a short clause without a final full stop.
        where: the place, from the outside in ("model.onnx: node 'conv_3'", "a.hwx: load command 4 at 0x120").
        rule: the name of the rule that decided, for `openane limits` and the docs; empty for plain faults.
        limit: what would be accepted ("at most 16384").
        value: what was found.
        hint: what to do next.
    """

    what: str
    where: str = ""
    rule: str = ""
    limit: str = ""
    value: str = ""
    hint: str = ""

    @classmethod
    def of(
        cls,
        rule: Rule[...],
        value: object,
        *,
        machine: RuleGeneration | None = None,
        where: str = "",
        detail: str = "",
        limit: str = "",
        hint: str = "",
    ) -> Diagnostic:
        """The finding that a rule is broken.

        Args:
            rule: that is broken.
            value: what its check returned.
            machine: the generation, for rules that belong to one.
            where: the place.
            detail: what exactly, after the text of the rule.
            limit, hint: in place of those of the rule, where more is known.
        """
        return cls(
            f"{rule.text}: {detail}" if detail else rule.text,
            where,
            rule.full_name(machine),
            limit or rule.limit(machine),
            _shown(value),
            hint or rule.hint,
        )

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        details = []
        if self.value:
            details.append(f"found {self.value}")
        if self.limit:
            details.append(f"allowed: {self.limit}")
        if self.rule:
            details.append(f"rule {self.rule}")
        if details:
            text += f" ({'; '.join(details)})"
        if self.hint:
            text += f". {self.hint}"
        return printable(" ".join(text.split()))


class OpenaneError(Exception):
    """Base of every error that is about the user's input or surroundings.

    Args:
        what: the finding, or its `what`, where `where`, `limit`, `value` and `hint` give the rest of it: see
            :class:`Diagnostic`; `limit` and `value` may be any object.
        others: further findings of the same kind, shown after the first.

    Raises:
        ValueError: a finding names a rule that is not registered.
    """

    def __init__(
        self,
        what: str | Diagnostic,
        *,
        where: str = "",
        limit: object = "",
        value: object = "",
        hint: str = "",
        others: tuple[Diagnostic, ...] = (),
    ) -> None:
        if isinstance(what, str):
            what = Diagnostic(_shown(what), _shown(where), limit=_shown(limit), value=_shown(value), hint=_shown(hint))
        self.diagnostic = what
        self.others = others
        for each in self.diagnostics:
            if each.rule and not is_registered(each.rule):
                raise ValueError(f"the rule {each.rule!r} is not registered")
        super().__init__(str(self.diagnostic))

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """All findings, the first one first."""
        return (self.diagnostic, *self.others)

    def renamed(self, old: str, new: str) -> OpenaneError:
        """The same error with another name for a place inside of `where`: for files that are made elsewhere first."""
        return self._changed(where=self.diagnostic.where.replace(old, new))

    def hinted(self, hint: str) -> OpenaneError:
        """The same error with a further sentence of what to do after its own."""
        return self._changed(hint=f"{self.diagnostic.hint} {hint}".strip())

    def at(self, where: str) -> OpenaneError:
        """The same error with an outer place put before its own."""
        inner = self.diagnostic.where
        return self._changed(where=f"{where}: {inner}" if inner else where)

    def _changed(self, **parts: str) -> OpenaneError:
        other = copy(self)
        other.diagnostic = replace(self.diagnostic, **{name: _shown(part) for name, part in parts.items()})
        other.args = (str(other.diagnostic),)
        return other


class FormatError(OpenaneError):
    """The bytes of a file are not what the format says: truncated, damaged, hostile, or another format."""


class InputError(OpenaneError):
    """An argument, an input array or a file name does not fit."""


class ModelError(OpenaneError):
    """A model is inconsistent: shapes that do not fit, cycles, missing weights."""


class UnsupportedError(OpenaneError):
    """A valid model asks for what the target cannot do, or what openane cannot do yet; always says which.

    What the compiler refuses is made by :meth:`of`, or by :func:`require`, of a registered rule.
    """

    @classmethod
    def of(
        cls,
        rule: Rule[...],
        value: object,
        *,
        machine: RuleGeneration | None = None,
        where: str = "",
        detail: str = "",
        limit: str = "",
        hint: str = "",
    ) -> UnsupportedError:
        """The refusal by a rule; for the arguments see :meth:`Diagnostic.of`."""
        return cls(Diagnostic.of(rule, value, machine=machine, where=where, detail=detail, limit=limit, hint=hint))


class FaultError(OpenaneError):
    """A program did something the machine does not allow: an address outside a buffer, a read of unwritten memory."""


class WrongProgramError(FaultError):
    """A program was checked against its model, and it faults or computes something else: a verdict, not a failure."""


class InternalError(OpenaneError):
    """openane made something that its own checks refuse: a bug of ours, never of the input."""


class UnavailableError(OpenaneError):
    """Something outside is missing: an optional package, a device, a permission."""


def require(rule: Rule[Subject], *args: Subject.args, **kwargs: Subject.kwargs) -> None:
    """Checks a rule that holds for every generation.

    Raises:
        UnsupportedError: the rule is broken.
    """
    value = rule.check(*args, **kwargs)
    if value is not None:
        raise UnsupportedError.of(rule, value)
