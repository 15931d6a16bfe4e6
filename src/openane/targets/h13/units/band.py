"""What the families of several steps share: one run of the steps, with its operands and the tensors between them."""

from __future__ import annotations

from dataclasses import dataclass

from openane.net.net import TensorShape
from openane.targets.h13.lowering import Lowering
from openane.targets.h13.plan import (
    Axis,
    Evidence,
    Kernel,
    NeMode,
    NeWork,
    Operand,
    PeMode,
    PeOperation,
    PeWork,
    Place,
    Strides,
    TaskPlan,
    Tuning,
    View,
)

COPY = NeWork(NeMode.BYPASS)
CHANNEL_MAX = NeWork(NeMode.CHANNEL_MAX)
PLANAR_COPY = PeWork(PeMode.UNARY)
MULTIPLY = PeWork(PeMode.BINARY, PeOperation.MULTIPLY)

COLUMNS, ROWS, CHANNELS = frozenset({Axis.WIDTH}), frozenset({Axis.HEIGHT}), frozenset({Axis.CHANNEL})


@dataclass(frozen=True, slots=True)
class Band:
    """One run of the steps of a unit; a unit that does not fit into L2 at once has several.

    Attributes:
        name: prefix of its tensors.
        x, y: what it reads and writes, with axes and offset.
        evidence: of its tasks.
        lowering: takes the tensors.
    """

    name: str
    x: Operand
    y: Operand
    evidence: Evidence
    lowering: Lowering

    def tensor(self, name: str, shape: TensorShape, base: int, strides: Strides, place: Place = Place.RESIDENT) -> Operand:
        """An intermediate tensor at an address of the block."""
        return self.lowering.tensor(f"{self.name}/{name}", shape, place, l2_base=base, l2_strides=strides)

    def kept(self, shape: TensorShape) -> Operand:
        """The staged copy of x that later steps read, in the axes of the step that stages it."""
        return self.lowering.tensor(f"{self.name}/x", shape, kept_of=self.x.tensor)

    def task(
        self,
        work: NeWork | PeWork,
        view: View,
        sources: tuple[Operand, ...],
        result: Operand,
        kernel: Kernel | None = None,
        *,
        result_view: View | None = None,
        tuning: Tuning = Tuning(),
    ) -> TaskPlan:
        """A task of the band; elementwise neural tasks take every channel for itself."""
        unicast = isinstance(work, NeWork) and work.mode is NeMode.BYPASS
        group_config = view.channels << 16 | 0x4001 if work == CHANNEL_MAX else None
        return TaskPlan(
            work,
            view,
            result_view or view,
            sources,
            result,
            kernel,
            unicast=unicast,
            group_config=group_config,
            tuning=tuning,
            evidence=self.evidence,
        )
