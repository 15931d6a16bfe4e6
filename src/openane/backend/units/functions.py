"""Functions of one element in the engine's terms: the last step of a NE task, or the steps of a recipe."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from openane.backend.functions.recipes import find_recipe
from openane.backend.functions.steps import PlanarStep, PlanarStepOperation, TableStep
from openane.backend.ir.plan import KernelPlan, Nonlinearity, PeArithmetic, PeMode, PeWork
from openane.net.units import NeuronKind, NeuronParams
from openane.numerics.tables import LookupTable


@dataclass(frozen=True, slots=True)
class NeFunction:
    """The last step of a NE task: nonlinearity((v + accumulate_bias) * post_scale).

    Attributes:
        nonlinearity: none, ReLU or table.
        table: of TABLE.
        post_scale: factor before the table.
        accumulate_bias: added before that; 0 for most.
    """

    nonlinearity: Nonlinearity = Nonlinearity.NONE
    table: LookupTable | None = None
    post_scale: float = 1.0
    accumulate_bias: float = 0.0


def is_relu(neuron: NeuronParams) -> bool:
    """Whether the function is max(x, 0), however it is written."""
    clamp = neuron.kind is NeuronKind.CLAMP and neuron.alpha == 0.0 and math.isinf(neuron.beta)
    leaky = neuron.kind is NeuronKind.LEAKY_RELU and neuron.alpha == 0.0
    return neuron.kind is NeuronKind.RELU or clamp or leaky


def ne_function(neuron: NeuronParams) -> NeFunction | None:
    """How one NE task computes the function; None when it takes more steps, or another engine."""
    if is_relu(neuron):
        return NeFunction(Nonlinearity.RELU)
    if neuron.kind is NeuronKind.IDENTITY:
        return NeFunction()
    found = find_recipe(neuron)
    if found is None or len(found.steps) != 1 or not isinstance(found.steps[0], TableStep):
        return None
    return table_function(found.steps[0])


def table_function(step: TableStep) -> NeFunction:
    """A table step as the last step of a NE task."""
    return NeFunction(Nonlinearity.TABLE, step.table, step.scale, step.bias)


_OPERATIONS: Mapping[PlanarStepOperation, PeArithmetic] = MappingProxyType(
    {
        PlanarStepOperation.ONE: PeArithmetic.ADD,
        PlanarStepOperation.ADD: PeArithmetic.ADD,
        PlanarStepOperation.MULTIPLY: PeArithmetic.MULTIPLY,
        PlanarStepOperation.MAXIMUM: PeArithmetic.MAX,
        PlanarStepOperation.MINIMUM: PeArithmetic.MIN,
    }
)


def planar_work(step: PlanarStep) -> PeWork:
    """A planar step as the words of a planar task."""
    one = step.operation is PlanarStepOperation.ONE
    return PeWork(
        PeMode.UNARY if one else PeMode.BINARY,
        _OPERATIONS[step.operation],
        relu=step.relu,
        absolute=step.magnitude,
        scale=step.scale,
        bias=step.bias,
        pre_scale=step.pre_scale,
    )


def with_table(kernel: KernelPlan | None, table: LookupTable, lanes: int) -> KernelPlan:
    """A kernel whose lanes also load a table: alone they share one, with weights it is before each lane."""
    image = table.encode()
    if kernel is None:
        return KernelPlan((image,), table_lanes=lanes, pole=table.has_pole)
    return KernelPlan(
        tuple(image + lane for lane in kernel.lanes),
        sparse=kernel.sparse,
        bias=kernel.bias,
        group_channels=kernel.group_channels,
        part=kernel.part,
        pole=table.has_pole,
    )
