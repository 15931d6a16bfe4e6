"""The table of families: which unit is lowered by whom."""

from __future__ import annotations

from collections.abc import Mapping

from openane.backend.ir.fused import Fused
from openane.backend.lowering import UnitLowering
from openane.backend.machine import MachineSpec
from openane.backend.rules import Family
from openane.core import rules
from openane.core.registry import merge, modules_of
from openane.core.rules import Limit
from openane.net.net import UnitParams

#: By class of the unit: the families of the modules of this package.
BY_PARAMS: Mapping[type[UnitParams], Family[UnitLowering]] = merge(
    *(
        dict.fromkeys(family.params, family)
        for module in modules_of(__package__)
        for family in getattr(module, "FAMILIES", ())
    )
)


def family_of(params: UnitParams) -> Family[UnitLowering] | None:
    """The family of a unit; a fused unit belongs to that of its main unit."""
    main = params.main if isinstance(params, Fused) else params
    return BY_PARAMS.get(type(main))


def limits(machine: MachineSpec) -> tuple[Limit, ...]:
    """Every rule of a generation: those of all tensors, units and programs first, then by family."""
    return rules.limits(machine, of_generation=True)
