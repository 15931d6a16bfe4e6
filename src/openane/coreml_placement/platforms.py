"""The platforms that Core ML distinguishes, by their names and by those that people use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from openane.core.errors import InputError
from openane.core.suggestions import suggest
from openane.targets.core_ml import ESTIMATOR_FILE, NO_FILE, Backend, CoreMl, Platform, throughputs
from openane.targets.registry import GENERATIONS

__all__ = ["MEASURED_SYSTEM", "PLATFORMS", "Backend", "Platform", "Units", "core_ml", "of_generation", "platform"]

MEASURED_SYSTEM = 27
"""The macOS release on which the decision rule and the supported lists were measured (27.0.1)."""


class Units(Enum):
    """The compute units that an app allows; the value is the spelling of the command line."""

    ALL = "all"
    CPU_AND_NE = "cpu-and-ne"
    CPU_AND_GPU = "cpu-and-gpu"


_DECLARED = tuple(found for each in GENERATIONS.values() if (found := each.core_ml) is not None)
_NEXT = Platform(
    "h19",
    "no chip is named",
    (),
    "h19",
    throughputs((16900, 58), (968.48, 51), (842, 42.5)),
    evidence=ESTIMATOR_FILE,
)
"""An estimator file of a generation of which nothing else is known."""

PLATFORMS: Mapping[str, Platform] = MappingProxyType(
    {each.name: each for each in (*(each for found in _DECLARED for each in found.platforms), _NEXT)}
)
"""By name. A chip without constants gets no estimates: those of another chip are never used in their place."""

_NAMES = MappingProxyType({name: each.name for each in PLATFORMS.values() for name in each.names})
_MAC = re.compile(r"(?:macbook(?:air|pro)?|macmini|macstudio|imac|mac|ipadpro|ipadair)(m\d(?:pro|max|ultra)?)$")


def platform(name: str) -> Platform:
    """The platform of that name: of an estimator file, of a chip ("M4"), or of a device ("iPhone 12").

    Raises:
        InputError: an unknown name; lists the known platforms.
    """
    plain = re.sub(r"[^a-z0-9]", "", name.lower()) if len(name) <= 64 else ""
    if machine := _MAC.match(plain):
        plain = machine.group(1)
    found = PLATFORMS.get(_NAMES.get(plain, plain))
    if found is None:
        raise InputError(
            f"unknown platform {name[:64]!r}",
            limit=f"{', '.join(PLATFORMS)}, or the name of a chip or device such as 'iPhone 12'",
            hint=suggest(plain, (*PLATFORMS, *_NAMES)),
        )
    return found


def of_generation(generation: str) -> Platform:
    """The default platform of an engine generation: the Mac with the plain chip."""
    known = core_ml(generation)
    return known.platforms[0] if known else Platform(generation, "no chip is named", (), generation, evidence=NO_FILE)


def core_ml(generation: str) -> CoreMl | None:
    """What Core ML does with the engine of a generation; None when nothing is known."""
    found = GENERATIONS.get(generation)
    return found.core_ml if found is not None else None
