"""Comparisons and selection by arithmetic: the engine's own encoding of them is not on record.

A comparison is the step function of a difference, which is exact: two different fp16 numbers have a difference that is
not zero. Selection multiplies by 0 and 1 and adds, exact for finite operands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from openane.backend.functions import tables
from openane.backend.ir.fused import FusedElementWise
from openane.backend.ir.plan import (
    Nonlinearity,
    PeArithmetic,
    PeMode,
    PeWork,
    TaskOperand,
    TaskPlan,
    TensorPlace,
)
from openane.backend.units.functions import NeFunction
from openane.backend.units.unary import planar_task, table_task
from openane.net.net import TensorShape, Unit
from openane.net.units import ElementWiseKind, ElementWiseParams

if TYPE_CHECKING:
    from openane.backend.lowering import UnitLowering


@dataclass(frozen=True, slots=True)
class ComparisonTables:
    """step(d) or 1 - step(d) of a difference d.

    Attributes:
        turned: d = b - a instead of a - b.
        absolute: of |d|.
        negated: 1 - step.
    """

    turned: bool = False
    absolute: bool = False
    negated: bool = False


COMPARISONS: Mapping[ElementWiseKind, ComparisonTables] = MappingProxyType(
    {
        ElementWiseKind.GREATER: ComparisonTables(),
        ElementWiseKind.LESS: ComparisonTables(turned=True),
        ElementWiseKind.LESS_EQUAL: ComparisonTables(negated=True),
        ElementWiseKind.GREATER_EQUAL: ComparisonTables(turned=True, negated=True),
        ElementWiseKind.NOT_EQUAL: ComparisonTables(absolute=True),
        ElementWiseKind.EQUAL: ComparisonTables(absolute=True, negated=True),
    }
)


def difference(params: FusedElementWise, comparison: ComparisonTables) -> FusedElementWise:
    """The subtraction before the step; the caller exchanges the operands when `turned`."""
    relus = params.source_relu[::-1] if comparison.turned else params.source_relu
    return FusedElementWise(ElementWiseParams(ElementWiseKind.SUB), params.shape, source_relu=relus)


def step_tasks(
    name: str,
    params: FusedElementWise,
    comparison: ComparisonTables,
    source: TaskOperand,
    result: TaskOperand,
    lowering: UnitLowering,
) -> Iterator[TaskPlan]:
    """1 where the difference is above zero, else 0; turned round, scaled and shifted as the unit says."""
    step = NeFunction(Nonlinearity.TABLE, tables.step())
    scale, bias = params.main.scale, params.bias
    if comparison.negated:
        scale, bias = -scale, bias + scale
    plain = (scale, bias) == (1.0, 0.0)
    target = result if plain else lowering.tensor(f"{name}/step", params.shape, TensorPlace.AUTO)
    yield table_task(lowering.machine, step, params.shape, source, target)
    if not plain:
        work = PeWork(PeMode.UNARY, scale=scale, bias=bias, relu=params.relu)
        yield planar_task(work, params.shape, (target,), result)


def lower_select(unit: Unit, lowering: UnitLowering) -> Iterator[TaskPlan]:
    """a * c + b * (1 - c) with c = 1 where the condition is not 0."""
    condition, first, second = (lowering.value(name).operand for name in unit.bottoms)
    shape = lowering.shape(unit.name)
    result = lowering.result(unit)

    def tensor(name: str) -> TaskOperand:
        return lowering.tensor(f"{unit.name}/{name}", shape, TensorPlace.AUTO)

    size, chosen, other, left, right = map(tensor, ("size", "chosen", "other", "left", "right"))
    step = NeFunction(Nonlinearity.TABLE, tables.step())
    yield planar_task(PeWork(PeMode.UNARY, absolute=True), shape, (condition,), size)
    yield table_task(lowering.machine, step, shape, size, chosen)
    yield planar_task(PeWork(PeMode.UNARY, scale=-1.0, bias=1.0), shape, (chosen,), other)
    yield _product(shape, first, chosen, left)
    yield _product(shape, second, other, right)
    yield planar_task(PeWork(PeMode.BINARY, PeArithmetic.ADD), shape, (left, right), result)


def _product(shape: TensorShape, first: TaskOperand, second: TaskOperand, result: TaskOperand) -> TaskPlan:
    return planar_task(PeWork(PeMode.BINARY, PeArithmetic.MULTIPLY), shape, (first, second), result)
