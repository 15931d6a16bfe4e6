"""Replaces units whose tasks no record shows by other units whose tasks are on record, where there are some.

Which tasks are on record is not decided here: every unit and every form of it is compiled by itself, and the generation
says what backs its tasks. The form of the fewest tasks is taken. A unit without such a form stays; what compiles the
network refuses it then (`program_rules.on_record`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from openane.backend.machine import MachineSpec
from openane.backend.passes.recorded_forms import (
    Form,
    UnitSite,
    biases,
    broadcasts,
    channels,
    filled,
    functions,
    halves,
    products,
    strides,
    whole_images,
)
from openane.backend.passes.recorded_windows import nonnegative, windows
from openane.core.deadline import check_deadline
from openane.core.errors import UnsupportedError
from openane.net.net import Net, TensorShape, Unit
from openane.net.units import ConstantParams

TasksOnRecord = Callable[[Net], int | None]
"""The number of tasks that a network compiles to if all of them are on record, else None.

Raises:
    UnsupportedError: the network cannot be compiled.
"""

_FORMS: tuple[Callable[[UnitSite], Iterator[Form]], ...] = (
    windows,
    functions,
    biases,
    whole_images,
    strides,
    channels,
    filled,
    products,
    broadcasts,
    halves,
)
"""In the order in which they are tried: a form is replaced further only by what comes later, or by its own kind."""
_DEEPEST = 6
"""Replacements inside replacements; each takes away one thing that is not on record."""
Found = tuple[int, tuple[Unit, ...]]
"""The number of tasks, and the units."""


def on_record(net: Net, machine: MachineSpec, tasks: TasksOnRecord) -> Net:
    """The network with units replaced by forms whose tasks are on record.

    Args:
        net: after fusion.
        machine: the generation that is compiled for.
        tasks: compiles and counts.
    """
    positive = nonnegative(net)
    search = _Search(net, machine, tasks)
    units: list[Unit] = []
    for unit in net.units:
        check_deadline()
        if isinstance(unit.params, ConstantParams) or not unit.bottoms:
            units.append(unit)
            continue
        shapes = {name: net.shapes[name] for name in (*unit.bottoms, unit.name)}
        found = search.best(unit, shapes, unit.bottoms[0] in positive, _Bounds())
        units += found[1] if found is not None else (unit,)
    return replace(net, units=tuple(units))


@dataclass(frozen=True, slots=True)
class _Bounds:
    """What a search inside a search may still do.

    Attributes:
        depth: replacements that are left.
        first: the first kind of form that is tried.
        most: tasks; a form with as many or more is of no use.
    """

    depth: int = _DEEPEST
    first: int = 0
    most: float = math.inf


class _Search:
    """Looks for the form of a unit that has the fewest tasks, all of them on record."""

    def __init__(self, net: Net, machine: MachineSpec, tasks: TasksOnRecord) -> None:
        self.machine, self.tasks = machine, tasks
        self.constants = {unit.name: unit for unit in net.units if isinstance(unit.params, ConstantParams)}

    def best(self, unit: Unit, shapes: dict[str, TensorShape], positive: bool, bounds: _Bounds) -> Found | None:
        """The number of tasks and the units; None if no form within the bounds is on record.

        Args:
            unit: to be looked at; it stays if its own tasks are on record.
            shapes: of its operands and its result.
            positive: whether no element of its first operand is negative.
            bounds: of the search.
        """
        own = self._alone(unit, shapes)
        if own is not None:
            return (own, (unit,)) if own < bounds.most else None
        if not bounds.depth or bounds.most <= 1:
            return None
        site = UnitSite(unit, shapes, self.machine, positive, bounds.depth)
        found: Found | None = None
        for kind, make in enumerate(_FORMS[bounds.first :], bounds.first):
            for form in make(site):
                inner = _Bounds(bounds.depth - 1, kind, bounds.most if found is None else found[0])
                found = self._form(form, shapes, positive, inner) or found
        return found

    def _form(self, form: Form, shapes: dict[str, TensorShape], positive: bool, bounds: _Bounds) -> Found | None:
        """The form with each of its units replaced where needed; None beyond the bounds."""
        known = dict(shapes)
        total, units = 0, list[Unit]()
        for unit in form:
            if isinstance(unit.params, ConstantParams):
                self.constants[unit.name] = unit
                known[unit.name] = TensorShape.of(unit.params.array.shape)
                units.append(unit)
                continue
            known[unit.name] = unit.params.infer([known[name] for name in unit.bottoms])
            own = {name: known[name] for name in (*unit.bottoms, unit.name)}
            found = self.best(unit, own, positive, replace(bounds, most=bounds.most - total))
            if found is None:
                return None
            total += found[0]
            units += found[1]
        return total, tuple(units)

    def _alone(self, unit: Unit, shapes: dict[str, TensorShape]) -> int | None:
        """The tasks of a unit by itself, when all are on record."""
        constants = [self.constants[name] for name in dict.fromkeys(unit.bottoms) if name in self.constants]
        inputs = {name: shapes[name] for name in unit.bottoms if name not in self.constants}
        net = Net("part", inputs, {"result": unit.name}, (*constants, unit))
        try:
            return self.tasks(net)
        except UnsupportedError:
            return None
