"""The table of families: which unit is lowered by whom."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from openane.backend.ir.fused import Fused
from openane.backend.lowering import Lowering
from openane.backend.machine import MachineSpec
from openane.backend.rules import Family, Limit
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
from openane.backend.units.tensor import TENSOR_RULES
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
    """Every rule, in the order in which they are checked; a rule that several families share stands once."""
    rows: dict[str, Limit] = {}
    for name, rules in (("every tensor", TENSOR_RULES), *((family.name, family.rules) for family in ALL)):
        for rule in rules:
            rows.setdefault(
                rule.name,
                Limit(name, machine.rule(rule.name), rule.text, rule.limit(machine), rule.hint, rule.evidence),
            )
    return tuple(rows.values())
