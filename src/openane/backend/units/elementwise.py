"""Two tensors element by element, scalars, per-channel scale and bias, broadcasts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from openane.backend.alloc.residency import resident_bytes
from openane.backend.alloc.staging import resident
from openane.backend.functions import tables
from openane.backend.ir.fused import FusedElementWise
from openane.backend.ir.plan import (
    Axis,
    NeMode,
    NeWork,
    Nonlinearity,
    PeArithmetic,
    PeMode,
    PeWork,
    Strides,
    TaskOperand,
    TaskPlan,
    TensorPlace,
    View,
)
from openane.backend.machine import MachineSpec
from openane.backend.rules import Family
from openane.backend.units.comparison import COMPARISONS, difference, lower_select, step_tasks
from openane.backend.units.copy import copy_task
from openane.backend.units.functions import NeFunction, with_table
from openane.backend.units.multi_task import is_dense
from openane.backend.units.unary import planar_task, table_task
from openane.net.net import TensorShape, Unit
from openane.net.units import Dimension, ElementWiseKind, ElementWiseParams, SelectParams

if TYPE_CHECKING:
    from openane.backend.lowering import UnitLowering, UnitValue

PLANAR: Mapping[ElementWiseKind, PeArithmetic] = MappingProxyType(
    {
        ElementWiseKind.ADD: PeArithmetic.ADD,
        ElementWiseKind.SUB: PeArithmetic.ADD,
        ElementWiseKind.MULT: PeArithmetic.MULTIPLY,
        ElementWiseKind.DIV: PeArithmetic.MULTIPLY,
        ElementWiseKind.MAX: PeArithmetic.MAX,
        ElementWiseKind.MIN: PeArithmetic.MIN,
        ElementWiseKind.SUM_SQUARE: PeArithmetic.SQUARE_SUM,
    }
)
#: Channels side by side in a constant that is copied into L2 (encoding.md#planar-constants).
_INTERLEAVED_CHANNELS = 8
#: Lanes that load the table of a task that swaps channels and columns (encoding.md#kernel-registers).
SWAPPED_TABLE_LANES = 8
_AXES: Mapping[Dimension, Axis] = MappingProxyType(
    {
        Dimension.BATCH: Axis.GROUP,
        Dimension.DEPTH: Axis.DEPTH,
        Dimension.CHANNEL: Axis.CHANNEL,
        Dimension.HEIGHT: Axis.HEIGHT,
        Dimension.WIDTH: Axis.WIDTH,
    }
)


def as_fused(params: object, shape: TensorShape) -> FusedElementWise:
    """A plain unit as a fused one without extras."""
    if isinstance(params, FusedElementWise):
        return params
    assert isinstance(params, ElementWiseParams)
    return FusedElementWise(params, shape)


def repeated_axes(shape: TensorShape, full: TensorShape) -> frozenset[Axis]:
    """The axes along which an operand is repeated."""
    return frozenset(
        axis for dimension, axis in _AXES.items() if dimension.extent(shape) == 1 != dimension.extent(full)
    )


def lower_elementwise(unit: Unit, lowering: UnitLowering) -> Iterator[TaskPlan]:
    """One planar task; before it a copy of a repeated operand into L2, or the reciprocal of a divisor."""
    shape = lowering.shape(unit.name)
    fused = as_fused(unit.params, shape)
    first, second = (lowering.value(name) for name in unit.bottoms)
    result = lowering.result(unit)
    kind = fused.main.kind
    if kind is ElementWiseKind.POW:
        yield from _power(unit.name, fused, first, second, result, lowering)
        return
    comparison = COMPARISONS.get(kind)
    if comparison is None:
        yield from _planar(unit.name, fused, (first, second), result, lowering)
        return
    target = lowering.tensor(f"{unit.name}/difference", shape, TensorPlace.AUTO)
    operands = (second, first) if comparison.turned else (first, second)
    tasks = list(_planar(unit.name, difference(fused, comparison), operands, target, lowering))
    last = tasks.pop()
    assert isinstance(last.work, PeWork)
    yield from tasks
    yield replace(last, work=replace(last.work, absolute=comparison.absolute))
    yield from step_tasks(unit.name, fused, comparison, target, result, lowering)


def _planar(
    name: str, fused: FusedElementWise, values: tuple[UnitValue, UnitValue], result: TaskOperand, lowering: UnitLowering
) -> Iterator[TaskPlan]:
    """The planar task of two values and what prepares them."""
    shape, kind = fused.shape, fused.main.kind
    first, second = values
    operands = []
    commutes = kind not in (ElementWiseKind.SUB, ElementWiseKind.DIV)
    order = [0, 1]
    if commutes and repeated_axes(first.shape, shape) and not repeated_axes(second.shape, shape):
        order = [1, 0]  # the full operand streams, the repeated one stays in L2
    for position in order:
        operand, tasks = _prepared(name, position, values[position], shape, lowering, kind)
        yield from tasks
        operands.append(replace(operand, relu=fused.source_relu[position]))
    work = PeWork(
        PeMode.BINARY,
        PLANAR[kind],
        relu=fused.relu,
        subtract=kind is ElementWiseKind.SUB,
        scale=fused.main.scale,
        bias=fused.bias,
    )
    yield planar_task(work, shape, tuple(operands), result)


def _prepared(
    name: str,
    position: int,
    value: UnitValue,
    full: TensorShape,
    lowering: UnitLowering,
    kind: ElementWiseKind,
) -> tuple[TaskOperand, list[TaskPlan]]:
    """An operand ready for the planar engine, and the tasks that make it so."""
    repeats = repeated_axes(value.shape, full)
    if kind is ElementWiseKind.DIV and position == 1:
        operand, task = _reciprocal(name, value, lowering)
        return replace(operand, repeats=repeats), [task]
    if not repeats:
        return value.operand, []
    if _repeats_in_dram(lowering.machine, value, full):
        return replace(value.operand, repeats=repeats), []  # staged from DRAM tile by tile
    target = lowering.tensor(f"{name}/repeated{position}", value.shape, TensorPlace.RESIDENT)
    source = _interleaved(f"{name}/interleaved{position}", value, lowering)
    return replace(target, repeats=repeats), [copy_task(source, value.shape, target)]


def _interleaved(name: str, value: UnitValue, lowering: UnitLowering) -> TaskOperand:
    """The value; a constant of several channels with eight of them side by side (encoding.md#planar-constants)."""
    tensor = lowering.tensors[value.operand.tensor]
    whole = is_dense(value.operand) and tensor.shape == value.shape and tensor.constant is not None
    if not whole or value.shape.channels % _INTERLEAVED_CHANNELS or value.shape.batch * value.shape.depth > 1:
        return value.operand
    assert tensor.constant is not None
    return lowering.constant(name, tensor.constant, interleave=_INTERLEAVED_CHANNELS)


def _repeats_in_dram(machine: MachineSpec, value: UnitValue, full: TensorShape) -> bool:
    """Whether a repeated operand is too large to be copied into L2 first, with room for the others."""
    repeats = repeated_axes(value.shape, full)
    return bool(repeats) and Axis.GROUP not in repeats and resident_bytes(machine, value.shape) > machine.l2_bytes // 2


def _reciprocal(name: str, value: UnitValue, lowering: UnitLowering) -> tuple[TaskOperand, TaskPlan]:
    """1 / divisor in L2; of a 1x1 image channels lie side by side, as Apple's compiler writes it."""
    machine = lowering.machine
    function = NeFunction(Nonlinearity.TABLE, tables.reciprocal())
    shape = value.shape
    if (shape.width, shape.height, shape.depth, shape.batch) != (1, 1, 1, 1):
        target = lowering.tensor(f"{name}/reciprocal", shape, TensorPlace.AUTO)
        return target, table_task(machine, function, shape, value.operand, target)
    target = lowering.tensor(f"{name}/reciprocal", TensorShape(width=shape.channels), TensorPlace.RESIDENT)
    task = table_task(machine, function, shape, value.operand, replace(target, swapped=True))
    kernel = with_table(None, tables.reciprocal(), min(max(shape.width, SWAPPED_TABLE_LANES), machine.lanes))
    return replace(target, swapped=True), replace(task, kernel=kernel)


def _power(
    name: str,
    fused: FusedElementWise,
    base: UnitValue,
    exponent: UnitValue,
    result: TaskOperand,
    lowering: UnitLowering,
) -> Iterator[TaskPlan]:
    """2^(exponent * log2(base)) by tables; for positive bases, as Apple's compiler does it."""
    shape = fused.shape
    plain = base.shape == exponent.shape == shape and shape.batch == shape.depth == 1 and fused.main.scale == 1.0
    tasks = _power_of_pairs if plain else _power_by_product
    yield from tasks(name, fused, base, exponent, result, lowering)


def _power_of_pairs(
    name: str,
    fused: FusedElementWise,
    base: UnitValue,
    exponent: UnitValue,
    result: TaskOperand,
    lowering: UnitLowering,
) -> Iterator[TaskPlan]:
    """Exponent and logarithm as neighboring channels in L2, multiplied in pairs before the exp2 table."""
    machine = lowering.machine
    shape = fused.shape
    paired = replace(shape, channels=2 * shape.channels)
    strides = resident(machine, paired, pe_reader=False)
    pairs = lowering.tensor(f"{name}/pairs", paired, TensorPlace.RESIDENT, l2_strides=strides)
    even, odd = (replace(pairs, offset=(0, 0, first, 0), step=(1, 1, 2, 1)) for first in (0, 1))
    yield copy_task(exponent.operand, shape, replace(even, l2=_pair_words(strides)))
    logarithm = NeFunction(Nonlinearity.TABLE, tables.log2())
    yield table_task(machine, logarithm, shape, base.operand, replace(odd, l2=_pair_words(strides)))
    work = NeWork(NeMode.MULTIPLY, Nonlinearity.TABLE)
    kernel = with_table(None, tables.exp2(), machine.lane_count(shape.channels))
    yield TaskPlan(work, View.of(paired), View.of(shape), (pairs,), result, kernel, lane_inputs=2)


def _pair_words(strides: Strides) -> Strides:
    return replace(strides, channel=2 * strides.channel)


def _power_by_product(
    name: str,
    fused: FusedElementWise,
    base: UnitValue,
    exponent: UnitValue,
    result: TaskOperand,
    lowering: UnitLowering,
) -> Iterator[TaskPlan]:
    """The same with the product on the planar engine, for broadcasts."""
    shape = fused.shape
    logarithm = lowering.tensor(f"{name}/log2", base.shape, TensorPlace.AUTO)
    product = lowering.tensor(f"{name}/product", shape, TensorPlace.AUTO)
    yield table_task(
        lowering.machine, NeFunction(Nonlinearity.TABLE, tables.log2()), base.shape, base.operand, logarithm
    )
    operands = [replace(logarithm, repeats=repeated_axes(base.shape, shape))]
    operand, tasks = _prepared(name, 1, exponent, shape, lowering, ElementWiseKind.MULT)
    yield from tasks
    operands.append(operand)
    work = PeWork(PeMode.BINARY, PeArithmetic.MULTIPLY)
    yield planar_task(work, shape, tuple(operands), product)
    function = NeFunction(Nonlinearity.TABLE, tables.exp2(), fused.main.scale)
    yield table_task(lowering.machine, function, shape, product, result)


FAMILIES = (
    Family("elementwise", (ElementWiseParams, FusedElementWise), lower_elementwise),
    Family("selection", (SelectParams,), lower_select),
)
