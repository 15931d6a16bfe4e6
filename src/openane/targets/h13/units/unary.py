"""Functions of one element: one task on the MAC engine (ReLU, tables) or the planar engine (|x|, scale and bias)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from openane.net.net import TensorShape, Unit
from openane.net.units import Neuron, NeuronKind
from openane.targets.h13.plan import (
    Evidence,
    NeMode,
    NeWork,
    Nonlinearity,
    Operand,
    PeWork,
    TaskPlan,
    View,
)
from openane.targets.h13.packing import lane_count
from openane.targets.h13.units.family import Family, Query, rule
from openane.targets.h13.units.functions import PE_FUNCTIONS, PE_SQUARE, NeFunction, ne_function, with_table

if TYPE_CHECKING:
    from openane.targets.h13.lowering import Lowering


def table_task(function: NeFunction, shape: TensorShape, source: Operand, result: Operand) -> TaskPlan:
    """One NE task that passes every element through a function.

    Args:
        function: ReLU or a table with its scale.
        shape: of source and result.
        source, result: operands.
    """
    view = View.of(shape)
    kernel = None
    if function.table is not None:
        kernel = with_table(None, function.table, lane_count(shape.channels))
    work = NeWork(
        NeMode.BYPASS if function.accumulate_bias is None else NeMode.ACCUMULATE,
        function.nonlinearity,
        accumulate_bias=function.accumulate_bias or 0.0,
        post_scale=function.post_scale,
    )
    return TaskPlan(work, view, view, (source,), result, kernel, unicast=True, evidence=function.evidence)


def planar_task(work: PeWork, shape: TensorShape, sources: tuple[Operand, ...], result: Operand) -> TaskPlan:
    """One planar task on whole tensors of one shape."""
    view = View.of(shape)
    return TaskPlan(work, view, view, sources, result)


@rule(
    "h13.function",
    ", ".join(sorted(kind.value for kind in NeuronKind)),
    "Compute the function on the host, or fit a table for it.",
)
def known_function(query: Query) -> object | None:
    """The engine has no table or operation for this function."""
    params = query.params
    assert isinstance(params, Neuron)
    known = params.kind in PE_FUNCTIONS or params.kind in (NeuronKind.SQUARE, NeuronKind.PRELU)
    return None if known or ne_function(params) else params.kind.value


def lower_neuron(unit: Unit, lowering: Lowering) -> Iterator[TaskPlan]:
    """One task."""
    neuron = unit.params
    assert isinstance(neuron, Neuron)
    (bottom,) = unit.bottoms
    value = lowering.value(bottom)
    result = lowering.result(unit)
    if neuron.kind in PE_FUNCTIONS:
        yield planar_task(PE_FUNCTIONS[neuron.kind], value.shape, (value.operand,), result)
    elif neuron.kind is NeuronKind.SQUARE:
        yield planar_task(PE_SQUARE, value.shape, (value.operand, value.operand), result)
    else:
        function = ne_function(neuron)
        assert function is not None
        yield table_task(function, value.shape, value.operand, result)


FAMILIES = (Family("unary function", (Neuron,), lower_neuron, (known_function,)),)
