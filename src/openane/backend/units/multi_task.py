"""What the families of several steps share: one run of the steps, with its operands and the tensors between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from openane.backend.ir.plan import (
    PLAIN,
    Axis,
    KernelPlan,
    NeMode,
    NeWork,
    PeArithmetic,
    PeMode,
    PeWork,
    Strides,
    TaskOperand,
    TaskPlan,
    TensorPlace,
    Tuning,
    View,
)
from openane.backend.lowering import UnitLowering
from openane.backend.machine import MachineSpec
from openane.backend.target import KernelPacking
from openane.backend.units.copy import copy_task
from openane.backend.units.rows import bands, tile
from openane.net.net import TensorShape, Unit
from openane.net.units import Dimension

BY_RULE = Tuning()
COPY = NeWork(NeMode.BYPASS)
CHANNEL_MAX = NeWork(NeMode.CHANNEL_MAX)
PLANAR_COPY = PeWork(PeMode.UNARY)
MULTIPLY = PeWork(PeMode.BINARY, PeArithmetic.MULTIPLY)

COLUMNS, ROWS, CHANNELS = frozenset({Axis.WIDTH}), frozenset({Axis.HEIGHT}), frozenset({Axis.CHANNEL})


def elements(shape: TensorShape) -> int:
    """How many there are."""
    return shape.batch * shape.depth * shape.channels * shape.height * shape.width


def is_dense(operand: TaskOperand) -> bool:
    """Whether an operand shows a whole tensor, in its own order of axes."""
    whole = operand.offset == (0, 0, 0, 0) and operand.step == (1, 1, 1, 1) and not operand.swapped
    return whole and dict(operand.axes) == dict(PLAIN) and operand.dram is None


def seen_as(operand: TaskOperand, own: TensorShape, seen: TensorShape) -> TaskOperand:
    """A dense operand under another shape with the same rows."""
    return operand if seen == own else replace(operand, shape=seen)


class Ends:
    """Source and result of a unit as whole tensors, with the copies this takes.

    Args:
        unit: with one tensor bottom to be read as a whole, or more.
        lowering: knows the values.
    """

    def __init__(self, unit: Unit, lowering: UnitLowering) -> None:
        self._unit, self._lowering = unit, lowering
        self._before: list[TaskPlan] = []
        self._after: list[TaskPlan] = []

    def source(self, position: int = 0) -> TaskOperand:
        """A bottom; parts and turned views of tensors are copied first."""
        value = self._lowering.value(self._unit.bottoms[position])
        tensor = self._lowering.tensors[value.operand.tensor]
        # the first part of a split has offset 0 too
        alone = not tensor.part_of and elements(tensor.shape) == elements(value.shape)
        if is_dense(value.operand) and alone:
            return value.operand
        whole = self._lowering.tensor(f"{self._unit.name}/whole{position}", value.shape, TensorPlace.AUTO)
        self._before.append(copy_task(value.operand, value.shape, whole))
        return whole

    def result(self) -> TaskOperand:
        """The result; one that has its place inside another tensor is copied there at the end."""
        shape = self._lowering.shape(self._unit.name)
        result = self._lowering.result(self._unit)
        if not self._lowering.tensors[self._unit.name].part_of:
            return result
        whole = self._lowering.tensor(f"{self._unit.name}/result", shape, TensorPlace.AUTO)
        self._after.append(copy_task(whole, shape, result))
        return whole

    def around(self, tasks: Iterator[TaskPlan]) -> Iterator[TaskPlan]:
        """The tasks between the copies."""
        yield from self._before
        yield from tasks
        yield from self._after


@dataclass(frozen=True, slots=True)
class Band:
    """One run of the steps of a unit; a unit that does not fit into L2 at once has several.

    Attributes:
        name: prefix of its tensors.
        x, y: what it reads and writes, with axes and offset.
        lowering: takes the tensors.
    """

    name: str
    x: TaskOperand
    y: TaskOperand
    lowering: UnitLowering

    @property
    def machine(self) -> MachineSpec:
        """The generation's limits and constants."""
        return self.lowering.machine

    @property
    def packing(self) -> KernelPacking:
        """How the generation's kernels are packed."""
        return self.lowering.packing

    def tensor(
        self, name: str, shape: TensorShape, base: int, strides: Strides, place: TensorPlace = TensorPlace.RESIDENT
    ) -> TaskOperand:
        """An intermediate tensor at an address of the block."""
        return self.lowering.tensor(f"{self.name}/{name}", shape, place, l2_base=base, l2_strides=strides)

    def kept(self, shape: TensorShape) -> TaskOperand:
        """The staged copy of x that later steps read, in the axes of the step that stages it."""
        return self.lowering.tensor(f"{self.name}/x", shape)

    def task(
        self,
        work: NeWork | PeWork,
        view: View,
        sources: tuple[TaskOperand, ...],
        result: TaskOperand,
        kernel: KernelPlan | None = None,
        *,
        result_view: View | None = None,
        tuning: Tuning = BY_RULE,
    ) -> TaskPlan:
        """A task of the band; elementwise neural tasks take every channel for itself."""
        unicast = isinstance(work, NeWork) and work.mode is NeMode.BYPASS
        lane_inputs = view.channels if work == CHANNEL_MAX else None
        return TaskPlan(
            work,
            view,
            result_view or view,
            sources,
            result,
            kernel,
            unicast=unicast,
            lane_inputs=lane_inputs,
            tuning=tuning,
        )


AnyBand = TypeVar("AnyBand", bound=Band)


def axis_bands(
    run: AnyBand, shape: TensorShape, dimension: Dimension, fits: Callable[[int, int], bool]
) -> Iterator[tuple[AnyBand, View, bool]]:
    """A dimension before the columns as the channels of views of images, in parts that fit into L2.

    With rows after the dimension every item before it is an image; without, the items are the rows of one image,
    whose tensor has rows and channels turned.

    Args:
        run: on the whole tensor.
        shape: of the tensor.
        dimension: not Width.
        fits: whether a part of so many rows and columns fits.

    Yields:
        The part, its view, and whether it is turned.
    """
    extents, axis = shape.ndchw, dimension.axis
    outer, extent, inner = product(extents[:axis]), extents[axis], product(extents[axis + 1 : 4])
    turned = inner == 1 and outer > 1
    seen = TensorShape(1, outer, extent, shape.width) if turned else TensorShape(outer, extent, inner, shape.width)
    rows = outer if turned else inner
    height, width = tile(run.machine, rows, shape.width, fits)
    whole = seen == shape and (turned or outer == 1) and (height, width) == (rows, shape.width)
    for group in range(1 if turned else outer):
        for first, count in bands(rows, height):
            for column, columns in bands(shape.width, width):
                offset = (0, 0, first, 0) if turned else (group, 0, 0, first)
                x, y = (replace(seen_as(o, shape, seen), offset=offset, column=column) for o in (run.x, run.y))
                part = replace(run, x=x, y=y)
                if not whole:
                    name = f"{run.name}/{group}.{first}.{column}"
                    part = replace(part, name=name)
                yield part, View(columns, count, extent), turned


def product(extents: tuple[int, ...]) -> int:
    """The product of the extents, 1 for none."""
    result = 1
    for each in extents:
        result *= each
    return result
