"""The choice between all encodings of tasks and recorded ones."""

from __future__ import annotations

from enum import Enum

from openane.core.errors import InputError


class AllowedEncodings(Enum):
    """Which encodings of tasks a compilation may use."""

    ANY = "any"
    """Also extrapolated ones, and those that depend on an assumption."""
    RECORDED = "recorded"
    """Only those that programs of Apple's compiler show; other forms of a layer, or the host, do the rest."""

    @classmethod
    def named(cls, name: str) -> AllowedEncodings:
        """The choice of a name.

        Raises:
            InputError: there is no such choice.
        """
        try:
            return cls(name)
        except ValueError:
            known = ", ".join(choice.value for choice in cls)
            raise InputError("no such choice of encodings", value=name, limit=known) from None
