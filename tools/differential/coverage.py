"""What a campaign reached: operations, units, kinds of tasks, register fields and lookup tables."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from openane.artifact.plan import Artifact, EngineStep
from openane.backend.functions.recipes import kinds as neuron_recipes
from openane.compiler.lowering import HANDLERS
from openane.graph import ops
from openane.net import UnitParams, units
from openane.net.units import ElementWiseKind, NeuronKind, PoolingKind, ReductionKind
from openane.numerics.tables import LookupTable, SignRule, TableMode
from openane.program import Program, Task
from openane.program.fields import Field
from openane.targets import attach, generation

VALUES_KEPT = 64
"""Distinct values of one field that are distinguished; more count as so many."""
_NUMBERS = re.compile(r" -?\d[-+\dx.e]*")
"""Window sizes and factors in the summary of a task."""


@dataclass
class Reached:
    """What some programs cover.

    Attributes:
        units: names of unit kinds -> how often.
        tasks: kinds of tasks -> how often.
        tables: "mode, sign" of lookup tables -> how often.
        fields: register field -> values.
        programs: number of programs.
    """

    units: Counter[str] = field(default_factory=Counter)
    tasks: Counter[str] = field(default_factory=Counter)
    tables: Counter[str] = field(default_factory=Counter)
    fields: dict[str, set[int]] = field(default_factory=dict)
    programs: int = 0

    def new(self, more: Reached) -> dict[str, list[int]]:
        """The values of fields that `more` adds; from now on they are known."""
        added = {}
        for name, values in more.fields.items():
            known = self.fields.setdefault(name, set())
            fresh = sorted(values - known)[: max(0, VALUES_KEPT - len(known))]
            known.update(fresh)
            if fresh:
                added[name] = fresh
        return added


def reached(artifact: Artifact) -> Reached:
    """What the programs of a compiled network cover."""
    result = Reached()
    for step in artifact.plan.steps:
        if not isinstance(step, EngineStep):
            continue
        result.programs += 1
        if step.net is not None:
            result.units.update(unit_name(unit.params) for unit in step.net.units)
        program = attach(step.program)
        assert program.codec is not None
        for task in program.tasks:
            summary = program.codec.summarize(task)
            result.tasks[f"{summary.engine} {_NUMBERS.sub('', summary.operation)}"] += 1
            _fields(task, result.fields)
            table = _table(task, program)
            if table is not None:
                result.tables[table_name(table.mode, table.sign)] += 1
    return result


def unit_name(params: UnitParams) -> str:
    """A unit with the kind of what it does: "Neuron Sigmoid"."""
    kind = getattr(params, "kind", None)
    name = params.label
    if getattr(params, "transposed", False):
        name += " transposed"
    return f"{name} {kind.value}" if isinstance(kind, Enum) else name


def all_units() -> list[str]:
    """Every unit that a net can be made of and the engine has a form for."""
    several: dict[str, Iterable[Enum]] = {
        "Neuron": (*neuron_recipes(), NeuronKind.PRELU),
        "ElementWise": ElementWiseKind,
        "Pooling": PoolingKind,
        "Reduction": ReductionKind,
    }
    classes = [each for each in vars(units).values() if isinstance(each, type) and issubclass(each, UnitParams)]
    kinds = [each.plist_type for each in classes]
    names = [f"{name} {kind.value}" for name in kinds for kind in several.get(name, ())]
    return sorted({*names, *(name for name in kinds if name not in several), "Conv transposed"})


def table_name(mode: TableMode, sign: SignRule) -> str:
    """A way to read a table: "CENTERED" or "DIRECT ODD"."""
    rule = "" if sign is SignRule.NONE else " " + (sign.name or hex(sign)).replace("|", " ")
    return mode.name + rule


def _fields(task: Task, seen: dict[str, set[int]]) -> None:
    assert task.map is not None
    for address, word in task.registers().items():
        register = task.map.register_at(address)
        for each in register.fields:
            if not each.reserved:
                seen.setdefault(f"{register.path}.{each.name}", set()).add(each.get(word))
    for register, word in zip(task.map.header.registers, task.header, strict=False):
        for each in register.fields:
            if not each.reserved:
                seen.setdefault(f"{register.path}.{each.name}", set()).add(each.get(word))


def _table(task: Task, program: Program) -> LookupTable | None:
    """The table that a task loads with its kernel."""
    assert task.map is not None
    words = task.registers()

    def get(register: str, name: str) -> int:
        declared = task.map[register]  # type: ignore[index]
        return declared[name].get(words.get(declared.address, 0))

    on_engine = get("Common.Cfg", "TaskType") == 0
    if not on_engine or task.map["NE.MACCfg"]["NonlinearMode"].values.get(get("NE.MACCfg", "NonlinearMode")) != "table":
        return None
    lane = next(lane for lane in range(16) if get(f"KernelDMASrc.CoeffDMAConfig[{lane}]", "En"))
    offset = get(f"KernelDMASrc.CoeffBaseAddr[{lane}]", "Addr")
    image = bytes(program.constants[offset : offset + 128])
    return LookupTable.decode(image) if len(image) == 128 else None


def declared_fields() -> dict[str, Field]:
    """Every field of every register of H13 by path, header words included."""
    registers = generation("h13").codec.registers
    blocks = (registers.header, *registers.blocks)
    return {
        f"{register.path}.{each.name}": each
        for block in blocks
        for register in block.registers
        for each in register.fields
        if not each.reserved
    }


def operations_with_a_form() -> list[str]:
    """Operations that the engine has a form for."""
    return sorted(operation.__name__ for operation in HANDLERS)


def other_operations() -> list[str]:
    """Operations that the host runs."""
    return sorted(name for name, operation in ops.OPERATIONS.items() if operation not in HANDLERS)


def table_names() -> list[str]:
    """Every reading of a table that the back end's recipes use."""
    from openane.backend.functions.recipes import recipe
    from openane.backend.functions.steps import TableStep

    found = set()
    for kind in neuron_recipes():
        alpha, beta = (0.5, 0.5) if kind is not NeuronKind.CLAMP else (-0.5, 0.5)
        for step in recipe(kind, alpha, beta).steps:
            if isinstance(step, TableStep):
                found.add(table_name(step.table.mode, step.table.sign))
    return sorted(found)
