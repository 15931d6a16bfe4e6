"""Choices that are given as a member or by name."""

from __future__ import annotations

from enum import Enum
from typing import Any, ClassVar, Self

from openane.core.errors import InputError


class NamedChoice(Enum):
    """The base of such choices: `class Functions(NamedChoice, subject="form of functions")`."""

    _subject: ClassVar[str]

    def __init_subclass__(cls, *, subject: str, **others: Any) -> None:
        super().__init_subclass__(**others)
        cls._subject = subject

    @classmethod
    def named(cls, choice: Self | str) -> Self:
        """The choice itself, or the one of a name.

        Raises:
            InputError: an unknown name.
        """
        try:
            return cls(choice)
        except ValueError:
            known = ", ".join(each.value for each in cls)
            raise InputError(f"no such {cls._subject}", value=choice, limit=known) from None


class AllowedEncodings(NamedChoice, subject="choice of encodings"):
    """Which encodings of tasks a compilation may use."""

    ANY = "any"
    """Also extrapolated ones, and those that depend on an assumption."""
    RECORDED = "recorded"
    """Only those that programs of Apple's compiler show; other forms of a layer, or the host, do the rest."""
