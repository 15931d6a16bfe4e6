"""Functions of one element: NE tasks (ReLU, tables) and planar tasks (|x|, scale and bias) after their recipes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from openane.backend.functions.recipes import find_recipe, known_function
from openane.backend.functions.steps import PlanarStep, PlanarStepOperation, Recipe, Step
from openane.backend.ir.plan import (
    NeMode,
    NeWork,
    Nonlinearity,
    PeArithmetic,
    PeMode,
    PeWork,
    TaskOperand,
    TaskPlan,
    TensorPlace,
    View,
)
from openane.backend.machine import MachineSpec
from openane.backend.rules import Family
from openane.backend.units.channel_scale import channel_scale
from openane.backend.units.functions import (
    NeFunction,
    ne_function,
    planar_work,
    table_function,
    with_table,
)
from openane.net.net import TensorShape, Unit
from openane.net.units import NeuronParams

if TYPE_CHECKING:
    from openane.backend.lowering import UnitLowering


def table_task(
    machine: MachineSpec, function: NeFunction, shape: TensorShape, source: TaskOperand, result: TaskOperand
) -> TaskPlan:
    """One NE task that passes every element through a function.

    Args:
        function: ReLU or a table with its scale.
        shape: of source and result.
        source, result: operands.
    """
    view = View.of(shape)
    kernel = None
    if function.table is not None:
        kernel = with_table(None, function.table, machine.lane_count(shape.channels))
    work = NeWork(
        NeMode.ACCUMULATE if function.accumulate_bias else NeMode.BYPASS,
        function.nonlinearity,
        accumulate_bias=function.accumulate_bias,
        post_scale=function.post_scale,
    )
    return TaskPlan(work, view, view, (source,), result, kernel, unicast=True)


def planar_task(
    work: PeWork,
    shape: TensorShape,
    sources: tuple[TaskOperand, ...],
    result: TaskOperand,
) -> TaskPlan:
    """One planar task on whole tensors of one shape."""
    view = View.of(shape)
    return TaskPlan(work, view, view, sources, result)


def lower_neuron(unit: Unit, lowering: UnitLowering) -> Iterator[TaskPlan]:
    """One task, or the steps of the function's recipe with intermediates between them."""
    neuron = unit.params
    assert isinstance(neuron, NeuronParams)
    (bottom,) = unit.bottoms
    value = lowering.value(bottom)
    result = lowering.result(unit)
    if neuron.slopes is not None:
        yield from prelu(unit.name, neuron.slopes, value.shape, value.operand, result, lowering)
        return
    function = ne_function(neuron)
    if function is not None:
        yield table_task(lowering.machine, function, value.shape, value.operand, result)
        return
    found = find_recipe(neuron)
    assert found is not None
    yield from run_recipe(found, unit.name, value.shape, value.operand, result, lowering)


def run_recipe(
    found: Recipe,
    name: str,
    shape: TensorShape,
    source: TaskOperand,
    result: TaskOperand,
    lowering: UnitLowering,
) -> Iterator[TaskPlan]:
    """The tasks of a recipe; operand 0 is the source, operand n the result of step n."""
    operands = [source]
    for number, step in enumerate(found.steps, 1):
        last = number == len(found.steps)
        target = result if last else lowering.tensor(f"{name}/{number}", shape, TensorPlace.AUTO)
        yield step_task(lowering.machine, step, shape, operands, target)
        operands.append(target)


def step_task(
    machine: MachineSpec,
    step: Step,
    shape: TensorShape,
    operands: Sequence[TaskOperand],
    result: TaskOperand,
) -> TaskPlan:
    """One step of a recipe."""
    if isinstance(step, PlanarStep):
        used = [operands[step.first]]
        if step.operation is not PlanarStepOperation.ONE:
            used.append(operands[step.second])
        return planar_task(planar_work(step), shape, tuple(used), result)
    return table_task(machine, table_function(step), shape, operands[step.operand], result)


def prelu(
    name: str, slopes: np.ndarray, shape: TensorShape, source: TaskOperand, result: TaskOperand, lowering: UnitLowering
) -> Iterator[TaskPlan]:
    """max(x, 0) + slope * min(x, 0) = x + (slope - 1) * min(x, 0), written as relu(x) - slope * relu(-x).

    A ReLU, a depthwise 1x1 convolution of relu(-x) by -slope, and a sum; no record shows Apple's form.
    """
    positive = lowering.tensor(f"{name}/positive", shape, TensorPlace.AUTO)
    negative = lowering.tensor(f"{name}/negative", shape, TensorPlace.AUTO)
    scaled = lowering.tensor(f"{name}/scaled", shape, TensorPlace.AUTO)
    yield table_task(lowering.machine, NeFunction(Nonlinearity.RELU), shape, source, positive)
    yield table_task(lowering.machine, NeFunction(Nonlinearity.RELU, post_scale=-1.0), shape, source, negative)
    yield from channel_scale(lowering, -slopes, None, shape, negative, scaled)
    yield planar_task(PeWork(PeMode.BINARY, PeArithmetic.ADD), shape, (positive, scaled), result)


FAMILIES = (Family("unary function", (NeuronParams,), lower_neuron, (known_function,)),)
