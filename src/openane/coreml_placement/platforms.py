"""The platforms that Core ML distinguishes: engine generation, cost constants, and the names people use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from openane.core.errors import InputError
from openane.program.fields import suggest

MEASURED_SYSTEM = 27
"""The macOS release on which the decision rule and the supported lists were measured (27.0.1)."""


class Backend(Enum):
    """What Core ML's segmenter chooses from; the value is its name in Core ML's analysis files."""

    ANE = "ane"
    BNNS = "bnns"
    CLASSIC_CPU = "classic_cpu"


class Units(Enum):
    """The compute units that an app allows; the value is the spelling of the command line."""

    ALL = "all"
    CPU_AND_NE = "cpu-and-ne"
    CPU_AND_GPU = "cpu-and-gpu"


@dataclass(frozen=True, slots=True)
class Throughput:
    """What a backend can do at most, by the estimator's file.

    Attributes:
        gflops: billions of floating-point operations per second.
        gbytes: bytes per second, in units of 2^30.
    """

    gflops: float
    gbytes: float


@dataclass(frozen=True, slots=True)
class Platform:
    """A chip as Core ML sees it.

    Attributes:
        name: of the estimator's file ("h13g"), or of the chip where no file is known.
        generation: of the engine, which sets the limits.
        chips: that it stands for.
        throughput: constants of the estimator's file by backend; empty where they are not known.
        measured: whether placements were measured on this chip.
        evidence: where the constants are from.
    """

    name: str
    generation: str
    chips: str
    throughput: Mapping[Backend, Throughput]
    measured: bool
    evidence: str


def _constants(*rates: tuple[float, float]) -> Mapping[Backend, Throughput]:
    """GFLOP/s and GB/s of each backend, in order."""
    return MappingProxyType({backend: Throughput(*pair) for backend, pair in zip(Backend, rates, strict=True)})


_FILE = "constants of Core ML's estimator file (placement.md#constants)"
_MEASURED = f"{_FILE}; placements measured on macOS 27.0.1"
_NO_FILE = "no constants are known for this chip"
_H13 = _constants((12000, 68), (729.24, 56.667), (634, 56.667))
_H14 = _constants((17200, 68), (754.54, 56.667), (656, 56.667))
_H16 = _constants((19400, 68), (754.54, 56.667), (656, 56.667))
_H19 = _constants((16900, 58), (968.48, 51), (842, 42.5))
_NONE: Mapping[Backend, Throughput] = MappingProxyType({})

PLATFORMS: Mapping[str, Platform] = MappingProxyType(
    {
        platform.name: platform
        for platform in (
            Platform("h13g", "h13", "M1", _H13, False, _FILE),
            Platform("h14g", "h14", "M2", _H14, False, _FILE),
            Platform("h15g", "h15", "M3", _NONE, False, _NO_FILE),
            Platform("h16g", "h16", "M4", _H16, True, _MEASURED),
            Platform("h17g", "h17", "M5", _NONE, False, "single estimates only (placement.md#estimates)"),
            Platform("h18g", "h18", "M6", _H16, True, _MEASURED),
            Platform("h19", "h19", "no chip is named", _H19, False, _FILE),
            *(
                Platform(name, generation, chips, _NONE, False, _NO_FILE)
                for name, generation, chips in (
                    ("a14", "h13", "A14"),
                    ("a15", "h14", "A15"),
                    ("a16", "h15", "A16"),
                    ("a17pro", "h16", "A17 Pro"),
                    ("a18", "h17", "A18, A18 Pro"),
                    ("a19", "h18", "A19, A19 Pro"),
                    *(
                        (f"m{number}{size}", f"h{12 + number}", f"M{number} {size.capitalize()}")
                        for number in range(1, 6)
                        for size in ("pro", "max", "ultra")
                    ),
                )
            ),
        )
    }
)
"""By name. A chip without constants gets no estimates: those of another chip are never used in their place."""

_CHIPS = MappingProxyType(
    {**{f"m{number}": f"h{12 + number}g" for number in range(1, 7)}, "a18pro": "a18", "a19pro": "a19"}
)
_DEVICES: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("iphone12", "iphone12mini", "iphone12pro", "iphone12promax", "ipadair4", "ipad10"), "a14"),
        **dict.fromkeys(
            ("iphone13", "iphone13mini", "iphone13pro", "iphone13promax", "iphone14", "iphone14plus"), "a15"
        ),
        **dict.fromkeys(("iphonese3", "ipadmini6"), "a15"),
        **dict.fromkeys(("iphone14pro", "iphone14promax", "iphone15", "iphone15plus", "ipad11"), "a16"),
        **dict.fromkeys(("iphone15pro", "iphone15promax", "ipadmini7"), "a17pro"),
        **dict.fromkeys(("iphone16", "iphone16plus", "iphone16e", "iphone16pro", "iphone16promax"), "a18"),
        **dict.fromkeys(("iphone17", "iphoneair", "iphone17pro", "iphone17promax"), "a19"),
        **dict.fromkeys(("ipadair5", "ipadpro2021"), "h13g"),
        **dict.fromkeys(("ipadair6", "ipadpro2022", "visionpro"), "h14g"),
        **dict.fromkeys(("ipadpro2024",), "h16g"),
    }
)
_MAC = re.compile(r"(?:macbook(?:air|pro)?|macmini|macstudio|imac|mac|ipadpro|ipadair)(m\d(?:pro|max|ultra)?)$")


def platform(name: str) -> Platform:
    """The platform of that name: "h16g", "M4", "iPhone 12", "MacBook Air M2".

    Raises:
        InputError: an unknown name; lists the known platforms.
    """
    plain = re.sub(r"[^a-z0-9]", "", name.lower()) if len(name) <= 64 else ""
    if machine := _MAC.match(plain):
        plain = machine.group(1)
    plain = _DEVICES.get(plain, _CHIPS.get(plain, plain))
    found = PLATFORMS.get(plain)
    if found is None:
        known = (*PLATFORMS, *_CHIPS, *_DEVICES)
        raise InputError(
            f"unknown platform {name!r}",
            limit=", ".join((*PLATFORMS, *_CHIPS)) + ", or a device such as 'iPhone 12'",
            hint=suggest(plain, known),
        )
    return found


def of_generation(generation: str) -> Platform:
    """The platform that stands for an engine generation where the user names none: the Mac with the plain chip.

    Raises:
        InputError: no platform of that generation.
    """
    return platform(f"{generation}g")
