"""The chip generations, found by name or by the cpu subtype that containers carry; code is imported on use.

This table and the folders below `targets` are the only places that know which generations there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

from openane.core.errors import InputError, UnsupportedError
from openane.core.suggestions import suggest
from openane.numerics.profile import IntegerPath, Profile, TableIndex, Winograd, WithoutWeights

if TYPE_CHECKING:
    from openane.backend.task_cost import Work
    from openane.program import Task
    from openane.program.program import StreamCodec
    from openane.targets.chip import Chip
    from openane.targets.core_ml import CoreMl
    from openane.targets.target import Target

DEFAULT_TARGET = "h13"
"""The generation that is compiled for when nobody says otherwise."""
DEFAULT_CHIP = "m1"
"""The chip whose times are shown, and whose costs decide what is worth moving to the engine."""
LINUX_TARGET = "h13"
"""The generation that the published Linux driver binds to."""
LINUX_CHIPS = "M1-family"
"""Its chips that Linux runs on, in one word."""
_WITH_CORE_ML = ("h13", "h14", "h15", "h16", "h17", "h18")
_WITH_COSTS = ("h13", "h14", "h15", "h16", "h17", "h18")


@dataclass(frozen=True, slots=True)
class Generation:
    """A chip generation.

    Attributes:
        name: as on the command line, and the name of its folder in `openane.targets`.
        cpu_subtype: in the header of its .hwx files.
        chips: marketing names.
        executable: whether openane compiles for it and simulates it; else it only reads its programs.
        standing: how well its declarations are verified, one sentence.
        arithmetic: numerics profile of its chips.
        measured: what the profile rests on, one sentence.
    """

    name: str
    cpu_subtype: int
    chips: str
    executable: bool
    standing: str
    arithmetic: Profile
    measured: str

    @property
    def codec(self) -> StreamCodec:
        """The stream codec, which also has the register map."""
        codec: StreamCodec = import_module(f"openane.targets.{self.name}.stream").STREAM
        return codec

    @property
    def chip_costs(self) -> tuple[Chip, ...]:
        """What is known of its chips' cost; empty when nothing is."""
        if self.name not in _WITH_COSTS:
            return ()
        found: tuple[Chip, ...] = import_module(f"openane.targets.{self.name}.chips").CHIPS
        return found

    @property
    def core_ml(self) -> CoreMl | None:
        """What Core ML does with its engine; None when nothing is known."""
        if self.name not in _WITH_CORE_ML:
            return None
        found: CoreMl = import_module(f"openane.targets.{self.name}.core_ml").CORE_ML
        return found

    @property
    def device_trees(self) -> Mapping[str, str]:
        """Device-tree name of a machine that Linux runs on -> its chip."""
        if self.name not in _WITH_COSTS:
            return {}
        found: Mapping[str, str] = getattr(import_module(f"openane.targets.{self.name}.chips"), "DEVICE_TREES", {})
        return found

    @property
    def target(self) -> Target:
        """The object that compiles and simulates.

        Raises:
            UnsupportedError: openane only reads programs of this generation.
        """
        if not self.executable:
            raise UnsupportedError(
                f"programs for {self.name} can be read, not compiled or run",
                limit=", ".join(each.name for each in GENERATIONS.values() if each.executable),
            )
        target: Target = import_module(f"openane.targets.{self.name}.engine").TARGET
        return target

    @property
    def work_of(self) -> Callable[[Task], Work]:
        """What a task moves and computes.

        Raises:
            UnsupportedError: openane only reads programs of this generation.
        """
        if not self.executable:
            raise UnsupportedError(
                f"the cost of programs for {self.name} is not known",
                limit=", ".join(each.name for each in GENERATIONS.values() if each.executable),
            )
        work_of: Callable[[Task], Work] = import_module(f"openane.targets.{self.name}.task_cost").work_of
        return work_of


GENERATIONS: Mapping[str, Generation] = MappingProxyType(
    {
        each.name: each
        for each in (
            Generation(
                "h11",
                1,
                "A12",
                False,
                "one source, no program; block addresses are not known",
                Profile(),
                "assumed: as H13",
            ),
            Generation(
                "h13",
                4,
                "A14, M1",
                True,
                "every word of every available program is decoded and encoded",
                Profile(),
                "errors of an M1 Air and an M1 Max, to 12 digits and more",
            ),
            Generation(
                "h14",
                5,
                "A15, M2",
                False,
                "one source that contradicts itself, no program",
                Profile(),
                "errors of an M2 Pro and an M2 Max, to 12 digits and more",
            ),
            Generation(
                "h15",
                6,
                "A16, M3",
                False,
                "one thin source, no program; addresses are the reliable part",
                Profile(),
                "assumed: as H14 and H16",
            ),
            Generation(
                "h16",
                7,
                "A17 Pro, M4",
                False,
                "one source, no program; shares the layout of H17",
                Profile(),
                "106 single outputs and the errors of an M4, an M4 Pro and an M4 Max",
            ),
            Generation(
                "h17",
                9,
                "A18, M5",
                False,
                "one source; 87 registers agree with a published program",
                Profile(winograd=Winograd.COLUMNS),
                "errors of an M5 and an M5 Pro, to 12 digits and more",
            ),
            Generation(
                "h18",
                10,
                "A19",
                False,
                "one source, no program; tile DMA mapped only in part",
                Profile(
                    winograd=Winograd.COLUMNS,
                    integers=IntegerPath.INTEGER,
                    table_index=TableIndex.FP16,
                    without_weights=WithoutWeights.ACCUMULATOR,
                ),
                "401 single outputs, the errors and the largest errors of eight functions of an M6",
            ),
        )
    }
)


def generation(name: str) -> Generation:
    """The generation of that name.

    Raises:
        InputError: there is none.
    """
    found = GENERATIONS.get(name.lower())
    if found is None:
        raise InputError(f"there is no target {name!r}", limit=", ".join(GENERATIONS), hint=suggest(name, GENERATIONS))
    return found


def generation_of(cpu_subtype: int) -> Generation:
    """The generation whose files carry that cpu subtype.

    Raises:
        UnsupportedError: nobody has described it.
    """
    for each in GENERATIONS.values():
        if each.cpu_subtype == cpu_subtype:
            return each
    known = ", ".join(f"{each.cpu_subtype} ({each.name})" for each in GENERATIONS.values())
    raise UnsupportedError(
        "the registers of this chip generation are not known", value=f"cpu subtype {cpu_subtype}", limit=known
    )
