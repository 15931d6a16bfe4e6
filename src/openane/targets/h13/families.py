"""The table of families: which unit is lowered by whom."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from openane.net.net import UnitParams
from openane.targets.h13.units import conv, copy, unary
from openane.targets.h13.units.family import Family

ALL: tuple[Family, ...] = (*conv.FAMILIES, *unary.FAMILIES, *copy.FAMILIES)

BY_PARAMS: Mapping[type[UnitParams], Family] = MappingProxyType(
    {params: family for family in ALL for params in family.params}
)
