"""Plan -> Plan, before places are chosen: fewer moves, and no task that is too large for L2.

Copies of what is resident anyway go, inputs that several tasks read stay in L2, and tasks with very many channels are
cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from openane.backend.alloc.residency import choose, flow, resident_bytes
from openane.backend.ir.plan import (
    PLAIN,
    Axis,
    L2Block,
    NeMode,
    NeWork,
    Nonlinearity,
    PeMode,
    ProgramPlan,
    TaskOperand,
    TaskPlan,
    TensorPlace,
    View,
)
from openane.backend.machine import MachineSpec
from openane.backend.target import CodeGenerator
from openane.backend.units.copy import part
from openane.core.deadline import in_time
from openane.core.types import DType

#: An input stays in L2 when it takes at most a quarter of it and its readers follow within so many tasks.
KEPT_TASKS = 16


def is_whole(operand: TaskOperand) -> bool:
    """Whether the operand shows a whole tensor in its own axes and nothing special is said about it."""
    bare = TaskOperand(operand.tensor, axes=operand.axes, repeats=operand.repeats, relu=operand.relu)
    return operand == bare and operand.axes == PLAIN


def elide_copies(target: CodeGenerator, plan: ProgramPlan) -> ProgramPlan:
    """Readers of a resident copy read the original when that is resident too."""
    flowing = flow(target.spec, plan)
    places = choose(target.spec, plan, flowing)
    writers: dict[str, int] = {}
    for task in flowing.tasks:
        writers[task.result.tensor] = writers.get(task.result.tensor, 0) + 1
    stand_in: dict[str, str] = {}
    for task in in_time(flowing.tasks):
        source, copied = task.sources[0].tensor, task.result.tensor
        if _is_copy(task) and writers[copied] == 1 and _may_stand_in(plan, places, source, copied):
            stand_in[copied] = stand_in.get(source, source)
    if not stand_in:
        return plan
    blocks = tuple(
        L2Block(
            tuple(_redirected(task, stand_in) for task in block.tasks if task.result.tensor not in stand_in), block.unit
        )
        for block in plan.blocks
    )
    tensors = {name: tensor for name, tensor in plan.tensors.items() if name not in stand_in}
    return replace(plan, blocks=tuple(block for block in blocks if block.tasks), tensors=tensors)


def _is_copy(task: TaskPlan) -> bool:
    work = task.work
    plain = isinstance(work, NeWork) and work == NeWork(NeMode.BYPASS, Nonlinearity.NONE)
    source = task.sources[0]
    return plain and task.kernel is None and not source.repeats and is_whole(source) and is_whole(task.result)


def _may_stand_in(plan: ProgramPlan, places: Mapping[str, TensorPlace], source: str, target: str) -> bool:
    original, copy = plan.tensors[source], plan.tensors[target]
    free = copy.place is TensorPlace.RESIDENT and copy.l2_base is None and copy.l2_strides is None
    resident = original.place is TensorPlace.AUTO and not original.part_of and places[source] is TensorPlace.RESIDENT
    return free and resident and not copy.part_of and original.shape == copy.shape and not _repeats_groups(plan, target)


def _repeats_groups(plan: ProgramPlan, name: str) -> bool:
    """Whether a task repeats a tensor over a batch, which only a copy in L2 can be: values may be spilled."""
    sources = (source for block in plan.blocks for task in block.tasks for source in task.sources)
    return any(source.tensor == name and Axis.GROUP in source.repeats for source in sources)


def _redirected(task: TaskPlan, stand_in: Mapping[str, str]) -> TaskPlan:
    if not any(source.tensor in stand_in for source in task.sources):
        return task
    sources = tuple(replace(source, tensor=stand_in.get(source.tensor, source.tensor)) for source in task.sources)
    return replace(task, sources=sources)


def keep_inputs(target: CodeGenerator, plan: ProgramPlan) -> ProgramPlan:
    """The staged copy of an input stays in L2 for the tasks after its first reader.

    Only source 1 can be kept: SourceType says so, and there is no such field for source 2.
    """
    tasks = [task for block in plan.blocks for task in block.tasks]
    readers: dict[str, list[tuple[int, int]]] = {}
    for index, task in enumerate(tasks):
        for number, source in enumerate(task.sources):
            readers.setdefault(source.tensor, []).append((index, number))
    tensors = dict(plan.tensors)
    for name, places in in_time(readers.items()):
        if not _worth_keeping(target.spec, plan, tasks, name, places):
            continue
        kept = f"{name}/kept"
        tensors[kept] = replace(plan.tensors[name], name=kept, place=TensorPlace.RESIDENT)
        first = places[0][0]
        for index, number in places:
            sources = list(tasks[index].sources)
            if index == first:
                sources[number] = replace(sources[number], keep=kept)
            else:
                sources[number] = replace(sources[number], tensor=kept)
            tasks[index] = replace(
                tasks[index],
                sources=tuple(sources),
            )
    left = iter(tasks)
    blocks = tuple(L2Block(tuple(next(left) for _ in block.tasks), block.unit) for block in plan.blocks)
    return replace(plan, blocks=blocks, tensors=tensors)


def _worth_keeping(
    machine: MachineSpec, plan: ProgramPlan, tasks: list[TaskPlan], name: str, places: list[tuple[int, int]]
) -> bool:
    tensor = plan.tensors[name]
    indices = {index for index, _ in places}
    if tensor.place is not TensorPlace.INPUT or tensor.dtype is not DType.FLOAT16 or len(indices) < 2:
        return False
    first, shape = tasks[places[0][0]], tensor.shape
    alone = [index for index, _ in places].count(places[0][0]) == 1
    whole = all(is_whole(tasks[index].sources[number]) for index, number in places)
    near = max(indices) - min(indices) <= KEPT_TASKS
    plain = first.view == View.of(shape) and shape.batch == shape.depth == 1 and places[0][1] == 0
    return alone and whole and near and plain and resident_bytes(machine, shape) <= machine.l2_bytes // 4


def split_channels(target: CodeGenerator, plan: ProgramPlan) -> ProgramPlan:
    """Tasks on single elements whose smallest tile does not fit into L2 work on some of the channels at a time."""
    if not any(_too_many_channels(target, task) for block in plan.blocks for task in block.tasks):
        return plan
    blocks = tuple(
        L2Block(tuple(piece for task in block.tasks for piece in _pieces(target, task)), block.unit)
        for block in plan.blocks
    )
    return replace(plan, blocks=blocks)


def _too_many_channels(target: CodeGenerator, task: TaskPlan) -> bool:
    return target.tiling.smallest_bytes(task) > target.spec.l2_bytes // 2 and _is_by_element(task)


def _is_by_element(task: TaskPlan) -> bool:
    """Whether every channel is for itself and nothing but extents and operands says so."""
    work = task.work
    if isinstance(work, NeWork):
        alone = work.mode is NeMode.BYPASS and task.unicast and (task.kernel is None or task.kernel.table_lanes > 0)
    else:
        alone = work.mode in (PeMode.UNARY, PeMode.BINARY, PeMode.POOLING)
    operands = (*task.sources, task.result)
    plain = all(operand.axes == PLAIN and not operand.swapped and not operand.keep for operand in operands)
    return alone and plain and task.lane_inputs is None


def _pieces(target: CodeGenerator, task: TaskPlan) -> Iterator[TaskPlan]:
    if not _too_many_channels(target, task):
        yield task
        return
    half = task.view.channels // 2
    for first, count in ((0, half), (half, task.view.channels - half)):
        sources = tuple(
            source if Axis.CHANNEL in source.repeats else part(source, Axis.CHANNEL, first) for source in task.sources
        )
        yield from _pieces(
            target,
            replace(
                task,
                view=replace(task.view, channels=count),
                result_view=replace(task.result_view, channels=count),
                sources=sources,
                result=part(task.result, Axis.CHANNEL, first),
            ),
        )
