"""Net -> Plan: walks the fused network and asks each unit's family for its tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from openane.backend.ir.fused import Fused
from openane.backend.ir.plan import L2Block, PlannedTensor, ProgramPlan, TaskOperand, TaskPlan, TensorPlace
from openane.backend.machine import Dialect, MachineSpec
from openane.backend.program_rules import task_count
from openane.backend.rules import Family, Query, known_unit, refuse
from openane.backend.target import CodeGenerator, KernelPacking
from openane.backend.units import copy
from openane.backend.units.tensor import TENSOR_RULES
from openane.core.deadline import check_deadline, in_time
from openane.core.errors import UnsupportedError
from openane.core.types import DType
from openane.net.net import Net, TensorShape, Unit, UnitParams
from openane.net.units import ConvParams
from openane.numerics.fp16 import to_fp16

FamilyOf = Callable[[UnitParams], "Family[UnitLowering] | None"]


@dataclass(frozen=True, slots=True)
class UnitValue:
    """What a unit or input name means: a tensor, a part of one, or one under another shape."""

    shape: TensorShape
    operand: TaskOperand


class UnitLowering:
    """What a family may ask and add while it lowers one unit.

    Attributes:
        machine: the generation's limits and constants.
        packing: how its kernels are packed.
        net: the fused network.
        dialect: whose habits to follow.
        tensors: every tensor by name, in order of appearance.
    """

    def __init__(self, target: CodeGenerator, net: Net, dialect: Dialect, family_of: FamilyOf) -> None:
        self.machine: MachineSpec = target.spec
        self.packing: KernelPacking = target.packing
        self.net = net
        self.dialect = dialect
        self.tensors: dict[str, PlannedTensor] = {}
        self._family_of = family_of
        self._values: dict[str, UnitValue] = {}
        self._views: dict[str, UnitValue] = {}
        self._before: list[TaskPlan] = []
        self._units = {unit.name: unit for unit in net.units}
        self._surfaces = self._choose_surfaces()
        self._parts = self._choose_parts()
        self._uses = _count_uses(net)

    # -- asking ---------------------------------------------------------------------------------------------

    def value(self, name: str) -> UnitValue:
        """The value of an input or of a unit that has been lowered, in its own axes.

        A value that is so far only a view with other axes is copied out first; the copy precedes the unit's tasks.
        """
        if name not in self._values:
            view = self._views[name]
            target = self.tensor(name, view.shape, TensorPlace.AUTO)
            self._before.append(copy.copy_task(view.operand, view.shape, target))
            self._values[name] = UnitValue(view.shape, target)
        return self._values[name]

    def view(self, name: str) -> UnitValue:
        """The same, but a view with other axes stays one: for units that can walk any way."""
        return self._views.get(name) or self._values[name]

    def operand(self, name: str) -> TaskOperand:
        """The plain operand of a value, to be adapted with `dataclasses.replace`."""
        return self.value(name).operand

    def shape(self, name: str) -> TensorShape:
        """The shape of an input or unit."""
        return self.net.shapes[name]

    def unit(self, name: str) -> Unit | None:
        """The unit of that name; None for inputs."""
        return self._units.get(name)

    def uses(self, name: str) -> int:
        """How many bottoms and outputs show the value."""
        return self._uses.get(name, 0)

    def is_placed(self, concat: str, bottom: str) -> bool:
        """Whether the producer of `bottom` writes straight into the result of `concat`."""
        return self._parts.get(bottom, ("",))[0] == concat

    # -- adding ---------------------------------------------------------------------------------------------

    def result(self, unit: Unit) -> TaskOperand:
        """Makes the tensor that a unit's last task writes, and the value that later units read."""
        shape = self.net.shapes[unit.name]
        place = TensorPlace.OUTPUT if unit.name in self._surfaces else TensorPlace.AUTO
        parent, offset = self._parts.get(unit.name, ("", (0, 0, 0, 0)))
        tensor = PlannedTensor(unit.name, shape, place, unit.dtype, part_of=parent, part_offset=offset)
        if parent:
            self._ensure_parent(parent)
        if unit.name not in self.tensors:
            self.tensors[unit.name] = tensor
        operand = TaskOperand(unit.name)
        self._values[unit.name] = UnitValue(shape, operand)
        return operand

    def _ensure_parent(self, name: str) -> None:
        if name not in self.tensors:
            self.result(self._units[name])

    def alias(self, unit: Unit, operand: TaskOperand) -> None:
        """The unit's value is this view of an existing tensor; no task is needed."""
        self._values[unit.name] = UnitValue(self.net.shapes[unit.name], operand)

    def alias_axes(self, unit: Unit, operand: TaskOperand) -> None:
        """The same, for a view whose axes walk along other axes of the tensor."""
        self._views[unit.name] = UnitValue(self.net.shapes[unit.name], operand)

    def tensor(
        self,
        name: str,
        shape: TensorShape,
        place: TensorPlace = TensorPlace.RESIDENT,
        **details: object,
    ) -> TaskOperand:
        """Makes an intermediate tensor of a block; `details` are further fields of :class:`PlannedTensor`."""
        if name in self.tensors:
            raise ValueError(f"tensor {name!r} exists already")
        self.tensors[name] = PlannedTensor(name, shape, place, **details)  # type: ignore[arg-type]
        return TaskOperand(name)

    def constant(self, name: str, values: np.ndarray, *, interleave: int = 1) -> TaskOperand:
        """Makes a constant tensor (N, D, C, H, W) that tasks read from the constant section."""
        batch, depth, channels, height, width = values.shape
        shape = TensorShape(batch, channels, height, width, depth)
        return self.tensor(name, shape, TensorPlace.CONSTANT, constant=to_fp16(values), interleave=interleave)

    # -- walking --------------------------------------------------------------------------------------------

    def run(self) -> ProgramPlan:
        """Lowers every unit and binds the outputs.

        Raises:
            UnsupportedError: a unit breaks a rule, or has no family.
        """
        conversions: list[L2Block] = []
        for name, shape in self.net.inputs.items():
            dtype = self.net.input_dtypes.get(name, DType.FLOAT16)
            self.tensors[name] = PlannedTensor(name, shape, TensorPlace.INPUT, dtype)
            self._values[name] = UnitValue(shape, TaskOperand(name))
            conversions += self._converted(name, dtype)
            refuse(TENSOR_RULES, Query(self.machine, UnitParams(), (), shape), f"{self.net.name}: input {name!r}")
        blocks, count = conversions, 0
        for unit in self.net.units:
            block = self._block(unit)
            count += len(block.tasks)
            if count and task_count.check(self.machine, count):  # again after linking; here, before many more are made
                found = f"{count} and more"
                raise UnsupportedError.of(task_count, found, machine=self.machine, where=self.net.name)
            if block.tasks:
                blocks.append(block)
        blocks += self._output_copies()
        surfaces = {surface: name for name, surface in self._surfaces.items()}
        outputs = {name: surfaces_of(name, surfaces) for name in self.net.outputs}
        return ProgramPlan(self.net.name, tuple(blocks), self.tensors, tuple(self.net.inputs), outputs)

    def _converted(self, name: str, dtype: DType) -> Iterator[L2Block]:
        """An 8-bit input becomes fp16 by a copy, unless only convolutions read it: those take it as it is."""
        readers = [unit.params for unit in self.net.units if name in unit.bottoms]
        mains = [params.main if isinstance(params, Fused) else params for params in readers]
        if dtype is DType.FLOAT16 or (
            mains and all(isinstance(main, ConvParams) and not main.transposed for main in mains)
        ):
            return
        value = self._values[name]
        target = self.tensor(f"{name}/fp16", value.shape, TensorPlace.AUTO)
        yield L2Block((copy.copy_task(value.operand, value.shape, target),), name)
        self._values[name] = UnitValue(value.shape, target)

    def _block(self, unit: Unit) -> L2Block:
        check_deadline()
        family = self._family_of(unit.params)
        where = f"{self.net.name}: unit {unit.name!r} ({unit.params.plist_type})"
        if family is None:
            found = known_unit.check(unit.params, family)
            raise UnsupportedError.of(known_unit, found, machine=self.machine, where=where)
        refuse((*TENSOR_RULES, *family.rules), self._query(unit), where)
        try:
            self._before = []
            lowered = tuple(in_time(family.lower(unit, self)))
            tasks = tuple(task.with_origin(unit.origin) for task in (*self._before, *lowered))
        except UnsupportedError as error:
            raise error.at(where) from error
        return L2Block(tasks, unit.name)

    def _output_copies(self) -> Iterator[L2Block]:
        """Copies for outputs that no task writes directly: inputs, views, and values shown twice."""
        written = set(self._surfaces.values())
        for surface, source in self.net.outputs.items():
            if surface in written:
                continue
            name = f"{surface}/surface" if surface in self.tensors else surface
            value = self.view(source)
            self.tensors[name] = PlannedTensor(name, value.shape, TensorPlace.OUTPUT)
            self._surfaces[name] = surface
            task = copy.copy_task(value.operand, value.shape, TaskOperand(name))
            unit = self._units.get(source)
            yield L2Block((task.with_origin(unit.origin) if unit else task,), source)

    # -- deciding before the walk ---------------------------------------------------------------------------

    def _writes(self, name: str) -> bool:
        unit = self._units.get(name)
        if unit is None:
            return False
        family = self._family_of(unit.params)
        return family is not None and family.writes(self._query(unit))

    def _query(self, unit: Unit) -> Query:
        bottoms = tuple(self.net.shapes[name] for name in unit.bottoms)
        return Query(self.machine, unit.params, bottoms, self.net.shapes[unit.name])

    def _choose_surfaces(self) -> dict[str, str]:
        """Unit name -> the output surface it writes straight into; the first output that shows it."""
        chosen: dict[str, str] = {}
        for surface, source in self.net.outputs.items():
            if self._writes(source) and source not in chosen:
                chosen[source] = surface
        return chosen

    def _choose_parts(self) -> dict[str, tuple[str, tuple[int, int, int, int]]]:
        """Unit name -> the concat whose memory it writes into, and where (group, depth, channel, row)."""
        parts: dict[str, tuple[str, tuple[int, int, int, int]]] = {}
        for unit in self.net.units:
            for bottom, offset in copy.concat_places(unit, self.net.shapes):
                free = bottom not in parts and bottom not in self._surfaces
                if free and self._writes(bottom) and unit.bottoms.count(bottom) == 1:
                    parts[bottom] = (unit.name, offset)
        return parts


def surfaces_of(output: str, surfaces: Mapping[str, str]) -> str:
    """The tensor that is the surface of an output."""
    return surfaces[output]


def _count_uses(net: Net) -> dict[str, int]:
    uses: dict[str, int] = {}
    for name in (*(bottom for unit in net.units for bottom in unit.bottoms), *net.outputs.values()):
        uses[name] = uses.get(name, 0) + 1
    return uses


def lower(target: CodeGenerator, net: Net, dialect: Dialect, family_of: FamilyOf) -> ProgramPlan:
    """Lowers a fused network.

    Raises:
        UnsupportedError: a unit breaks a rule, or has no family.
    """
    return UnitLowering(target, net, dialect, family_of).run()


def seen(operand: TaskOperand, **changes: object) -> TaskOperand:
    """The operand with other axes, flags or hints."""
    return replace(operand, **changes)  # type: ignore[arg-type]
