"""The table of families: which unit is lowered by whom."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from openane.backend.ir.fused import Fused
from openane.backend.lowering import Lowering
from openane.backend.machine import MachineSpec
from openane.backend.rules import Family
from openane.backend.units import (
    attention,
    chains,
    concat,
    convolution,
    elementwise,
    linear,
    matmul,
    normalization,
    pooling,
    reduction,
    scale,
    shape,
    softmax,
    unary,
)
from openane.core import rules
from openane.core.rules import Limit
from openane.net.net import UnitParams

ALL: tuple[Family[Lowering], ...] = (
    *convolution.FAMILIES,
    *elementwise.FAMILIES,
    *scale.FAMILIES,
    *unary.FAMILIES,
    *pooling.FAMILIES,
    *linear.FAMILIES,
    *matmul.FAMILIES,
    *chains.FAMILIES,
    *attention.FAMILIES,
    *reduction.FAMILIES,
    *softmax.FAMILIES,
    *normalization.FAMILIES,
    *concat.FAMILIES,
    *shape.FAMILIES,
)

BY_PARAMS: Mapping[type[UnitParams], Family[Lowering]] = MappingProxyType(
    {params: family for family in ALL for params in family.params}
)


def family_of(params: UnitParams) -> Family[Lowering] | None:
    """The family of a unit; a fused unit belongs to that of its main unit."""
    main = params.main if isinstance(params, Fused) else params
    return BY_PARAMS.get(type(main))


def limits(machine: MachineSpec) -> tuple[Limit, ...]:
    """Every rule of a generation: those of all tensors, units and programs first, then by family."""
    return rules.limits(machine, of_generation=True)
