"""The convolution family: every image of a batch by the form that fits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from openane.backend.ir.plan import TaskPlan
from openane.backend.rules import Family
from openane.backend.units.conv import RULES, image, job, parts
from openane.backend.units.conv_forms import Site, convolve, transposed
from openane.net.net import Unit
from openane.net.units import ConvParams

if TYPE_CHECKING:
    from openane.backend.lowering import UnitLowering


def lower_conv(unit: Unit, lowering: UnitLowering) -> Iterator[TaskPlan]:
    """The tasks of each image of the batch."""
    conv, fused = parts(unit.params)
    value = lowering.value(unit.bottoms[0])
    result = lowering.result(unit)
    form = transposed if conv.transposed else convolve
    task = job(conv, fused)
    shape, result_shape = (replace(each, batch=1, depth=1) for each in (value.shape, lowering.shape(unit.name)))
    for batch in range(value.shape.batch):
        for depth in range(value.shape.depth):
            source, target = image(value.operand, batch, depth), image(result, batch, depth)
            name = unit.name if value.shape.batch == value.shape.depth == 1 else f"{unit.name}/{batch}.{depth}"
            site = Site(name, shape, source, result_shape, target, lowering)
            yield from form(task, site)


FAMILIES = (Family("convolution", (ConvParams,), lower_conv, RULES),)
