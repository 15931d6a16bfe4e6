"""The planar engine: elementwise tasks, row pairs, reductions, pooling."""

from __future__ import annotations

import math
from typing import Any

from openane.core.errors import InputError
from openane.sim.addressing import Address, add_result, add_source, result_address
from openane.sim.arrange import arrange
from openane.sim.decoded_task import DecodedTask, PlanarReduction, PlanarWork
from openane.sim.kernels.library import LINE, STRIP, KernelKind
from openane.sim.memory import Fp16Words
from openane.sim.schedule import ScheduleBuilder

_ELEMENT_COST, _WINDOW_COST, _REDUCTION_COST = 0.3, 0.1, 0.5
"""Nanoseconds an element, an element of a window, an element that is reduced."""
_LARGEST_WINDOW = 1024


def add_planar(schedule: ScheduleBuilder, task: DecodedTask, constants: Fp16Words) -> None:
    """Adds the rows of a task whose engine is a PlanarWork.

    Args:
        constants: fp16 words of the constant section.

    Raises:
        InputError: a window or stride that is too large.
    """
    work = task.engine
    assert isinstance(work, PlanarWork)
    in_place = work.reduction is PlanarReduction.NONE
    first = add_source(schedule, task, 0, constants, in_place=in_place)
    second = add_source(schedule, task, 1, constants, in_place=in_place and not work.rows)
    result = result_address(schedule, task)
    columns = {"operation": work.reduction.value, **_settings(schedule, task, work)}
    if work.rows:
        columns["row_of_factors"] = second.strides[3]
        second = Address(second.base, (*second.strides[:3], 0, 0))
    if work.reduction is PlanarReduction.NONE:
        shape = arrange(task.view, first.strides, second.strides, result.strides)
        columns |= shape.columns(first=first.base, second=second.base, result=result.base)
        schedule.row(KernelKind.ELEMENTWISE, shape.units, _ELEMENT_COST * task.elements, columns)
    else:
        for name, place in (("first", first), ("second", second), ("result", result)):
            columns |= {name: place.base, f"{name}_strides": place.strides}
        _add_reduction(schedule, task, work, columns | {"view": task.view})
    add_result(schedule, task, result)


def _add_reduction(schedule: ScheduleBuilder, task: DecodedTask, work: PlanarWork, columns: dict[str, Any]) -> None:
    if work.window is None:
        units = min(task.view[0], task.view[2]) * -(-max(task.view[0], task.view[2]) // STRIP)
        schedule.row(KernelKind.REDUCE, units, _REDUCTION_COST * task.elements, columns)
        return
    if max(*work.window, *work.stride) > _LARGEST_WINDOW:
        value = (*work.window, *work.stride)
        raise InputError("the pooling window or stride is too large", value=value, limit=_LARGEST_WINDOW)
    *outer, width = task.result_view
    part = min(width, (LINE - work.window[1]) // work.stride[1] + 1)
    columns |= {
        "extents": (*outer, width, 1, part), "window": work.window, "stride": work.stride, "pad": work.pad,
    }  # fmt: skip
    cost = _WINDOW_COST * math.prod(task.result_view) * math.prod(work.window) + _ELEMENT_COST * task.elements
    schedule.row(KernelKind.POOL, math.prod(outer) * -(-width // part), cost, columns)


def _settings(schedule: ScheduleBuilder, task: DecodedTask, work: PlanarWork) -> dict[str, Any]:
    """Numbers and flags in the order of `planar.h`."""
    numbers = work.pre_scale, work.scale, work.bias, work.final_scale, work.epsilon
    flags = (
        work.operation.value, work.negate_first, work.negate_second, len(task.sources) > 1, work.rows, work.absolute,
        work.function.value, work.relu, work.relu_first, work.relu_second,
    )  # fmt: skip
    return {"numbers": schedule.floats(numbers), "flags": schedule.integers(flags)}
