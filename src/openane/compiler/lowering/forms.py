"""Which form a function of one element takes, by name."""

from __future__ import annotations

from enum import Enum

from openane.core.errors import InputError


class Functions(Enum):
    """Which form a function of one element takes when a Graph becomes a Net."""

    ACCURATE = "accurate"
    """The most accurate form whose encodings are on record."""
    APPLE = "apple"
    """One unit per function: the table that Apple's compiler writes. Where none is known, which no other choice
    uses, a table fitted here, or a composition of the back end."""


def functions_named(name: str) -> Functions:
    """The choice of a name.

    Raises:
        InputError: there is no such choice.
    """
    try:
        return Functions(name)
    except ValueError:
        known = ", ".join(choice.value for choice in Functions)
        raise InputError("no such form of functions", value=name, limit=known) from None
