"""The chips whose cost is known, of every generation."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from openane.core.errors import InputError
from openane.core.suggestions import suggest
from openane.targets.chip import Chip
from openane.targets.registry import DEFAULT_CHIP, GENERATIONS

__all__ = ["CHIPS", "DEFAULT_CHIP", "Chip", "chip"]

CHIPS: Mapping[str, Chip] = MappingProxyType(
    {chip.name: chip for generation in GENERATIONS.values() for chip in generation.chip_costs}
)
"""By name as on the command line."""


def chip(name: str) -> Chip:
    """The chip of that name, or of a machine ("M1 Air").

    Raises:
        InputError: there is none.
    """
    wanted = _plain(name)
    found = CHIPS.get(wanted) or next((each for each in CHIPS.values() if wanted in _machines(each)), None)
    if found is None:
        raise InputError(f"there is no chip {name!r}", limit=", ".join(CHIPS), hint=suggest(name, CHIPS))
    return found


def _plain(name: str) -> str:
    return name.lower().replace(" ", "").replace("-", "")


def _machines(known: Chip) -> list[str]:
    return [_plain(machine) for machine in known.machine.split(",")]
