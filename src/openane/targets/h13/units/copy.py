"""Moving elements: copies, concatenation, slices and other views."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from openane.net.net import TensorShape, Unit
from openane.net.units import Concat, Dimension
from openane.targets.h13.limits import DMA_ALIGNMENT_BYTES
from openane.targets.h13.plan import Evidence, NeWork, Operand, TaskPlan, View
from openane.targets.h13.units.family import Family, Query, rule

if TYPE_CHECKING:
    from openane.targets.h13.lowering import Lowering

#: Columns that make a whole 64-byte DMA unit.
ALIGNED_COLUMNS = DMA_ALIGNMENT_BYTES // 2


def copy_task(source: Operand, shape: TensorShape, result: Operand) -> TaskPlan:
    """A plain NE copy of a tensor or a part of it (goldens: concat)."""
    view = View.of(shape)
    evidence = Evidence.RECORDED if shape.batch == shape.depth == 1 else Evidence.EXTRAPOLATED
    return TaskPlan(NeWork(), view, view, (source,), result, unicast=True, evidence=evidence)


def concat_places(
    unit: Unit, shapes: Mapping[str, TensorShape]
) -> Iterator[tuple[str, tuple[int, int, int, int]]]:
    """(bottom, offset (group, depth, channel, row)) of each bottom of a concat that a view can show in place."""
    if not isinstance(unit.params, Concat) or unit.params.dimension is Dimension.WIDTH:
        return
    axis = [Dimension.BATCH, Dimension.DEPTH, Dimension.CHANNEL, Dimension.HEIGHT].index(unit.params.dimension)
    start = 0
    for bottom in unit.bottoms:
        offset = [0, 0, 0, 0]
        offset[axis] = start
        yield bottom, (offset[0], offset[1], offset[2], offset[3])
        start += unit.params.dimension.extent(shapes[bottom])


@rule(
    "h13.concat-width",
    f"parts of a multiple of {ALIGNED_COLUMNS} columns, or one channel axis to swap with",
    "Concatenate along channels or rows.",
    "DMA addresses are multiples of 64 bytes (h13-semantics 2)",
)
def concat_width(query: Query) -> object | None:
    """Columns can only be joined at multiples of 64 bytes."""
    params = query.params
    if not isinstance(params, Concat) or params.dimension is not Dimension.WIDTH:
        return None
    odd = [shape.width for shape in query.bottoms[:-1] if shape.width % ALIGNED_COLUMNS]
    return f"parts of {odd} columns" if odd else None


def lower_concat(unit: Unit, lowering: Lowering) -> Iterator[TaskPlan]:
    """One copy for each bottom whose producer does not write in place already."""
    result = lowering.result(unit)
    for bottom, offset in concat_places(unit, lowering.net.shapes):
        if not lowering.is_placed(unit.name, bottom):
            value = lowering.value(bottom)
            yield copy_task(value.operand, value.shape, replace(result, offset=offset))


FAMILIES = (Family("concat", (Concat,), lower_concat, (concat_width,)),)
