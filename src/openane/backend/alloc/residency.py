"""Which tensors stay in L2, and for how long each tensor lives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from openane.backend.alloc import staging
from openane.backend.alloc.surfaces import align
from openane.backend.ir.plan import (
    Axis,
    PeWork,
    PlannedTensor,
    ProgramPlan,
    Strides,
    TaskOperand,
    TaskPlan,
    TensorPlace,
)
from openane.backend.machine import MachineSpec
from openane.core.types import DType
from openane.net.net import TensorShape

#: A tensor that lives over more tasks than this goes to DRAM: the search for room stays linear.
LONGEST_LIFE_TASKS = 64


@dataclass(slots=True)
class Life:
    """First and last task that touch a tensor (and the tensors inside it)."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Flow:
    """The tasks of a plan in a row, with roots and lives of tensors.

    Attributes:
        tasks: all tasks.
        blocks: index of the block of each task.
        roots: tensor -> (the tensor whose memory it shares, offset (group, depth, channel, row) there).
        lives: root tensor -> its life.
        readers: root tensor -> the first task that reads it.
        block_bytes: block -> L2 bytes of the addresses that its family chose itself.
        spans: block -> the tasks that use these addresses, and those between them.
    """

    tasks: tuple[TaskPlan, ...]
    blocks: tuple[int, ...]
    roots: Mapping[str, tuple[str, tuple[int, int, int, int]]]
    lives: Mapping[str, Life]
    readers: Mapping[str, TaskPlan]
    block_bytes: Mapping[int, int]
    spans: Mapping[int, range]

    def own_bytes(self, index: int) -> int:
        """L2 bytes that the block of a task has for its own addresses at this task."""
        block = self.blocks[index]
        return self.block_bytes[block] if index in self.spans.get(block, ()) else 0


def flow(machine: MachineSpec, plan: ProgramPlan, *, explicit_layout: bool = False) -> Flow:
    """Flattens a plan.

    Args:
        plan: with tensors to place.
        explicit_layout: whether convolutions state the layout of their results (`staging.result_row`).
    """
    tasks = tuple(task for block in plan.blocks for task in block.tasks)
    blocks = tuple(index for index, block in enumerate(plan.blocks) for _ in block.tasks)
    roots = {name: _root(plan.tensors, name) for name in plan.tensors}
    lives: dict[str, Life] = {}
    for index, task in enumerate(tasks):
        for name in touched(task):
            life = lives.setdefault(roots[name][0], Life(index, index))
            life.last = index
    for task in tasks:
        for source in task.sources:
            if source.keep:  # a source that is resident anyway is kept by living as long as its staged copy would
                origin, kept = lives[roots[source.tensor][0]], lives[roots[source.keep][0]]
                origin.last = max(origin.last, kept.last)
    readers: dict[str, TaskPlan] = {}
    for task in tasks:
        for source in task.sources:
            readers.setdefault(roots[source.tensor][0], task)
    sizes = {
        number: explicit_bytes(machine, plan, block.tasks, readers, explicit_layout)
        for number, block in enumerate(plan.blocks)
    }
    block_bytes = {number: size for number, size in sizes.items() if size}
    spans: dict[int, range] = {}
    for index, (task, block) in enumerate(zip(tasks, blocks, strict=True)):
        if block in block_bytes and _has_own_addresses(plan, task):
            spans[block] = range(spans[block].start if block in spans else index, index + 1)
    return Flow(tasks, blocks, roots, lives, readers, block_bytes, spans)


def _has_own_addresses(plan: ProgramPlan, task: TaskPlan) -> bool:
    operands = (*task.sources, task.result)
    return any(each.staging_base is not None or plan.tensors[each.tensor].l2_base is not None for each in operands)


def explicit_bytes(
    machine: MachineSpec,
    plan: ProgramPlan,
    tasks: Sequence[TaskPlan],
    readers: Mapping[str, TaskPlan],
    explicit_layout: bool,
) -> int:
    """The end of the L2 area that a block's own addresses cover."""
    end = 0
    for task in tasks:
        for number, source in enumerate(task.sources):
            if source.staging_base is not None:
                rows = staging.staged_source(machine, task, number).row * task.view.height
                end = max(end, source.staging_base + rows)
        if task.result.staging_base is not None:
            row = staging.result_row(machine, task, explicit_layout=explicit_layout)
            whole = task.result.staging_base + row * task.result_view.height
            patch = task.result.staging_base + machine.segment_bytes * task.result_view.channels
            # a result needs room for one patch: the rest of it may reach over the end of L2
            end = max(end, min(whole, max(patch, machine.l2_bytes)))
        for operand in (*task.sources, task.result):
            tensor = plan.tensors[operand.tensor]
            if tensor.l2_base is not None:
                end = max(end, tensor.l2_base + tensor_bytes(machine, tensor, readers.get(tensor.name)))
    return end


def tensor_bytes(machine: MachineSpec, tensor: PlannedTensor, reader: TaskPlan | None) -> int:
    """L2 bytes from the first element of a resident tensor to the end of its last row."""
    strides, shape = layout(machine, tensor, reader), tensor.shape
    rows = strides.row * (shape.height - 1) + strides.channel * (shape.channels - 1)
    rows += strides.depth * (shape.depth - 1) + strides.group * (shape.batch - 1) + 2 * shape.width
    return max(align(rows, machine.bank_bytes), strides.row * shape.height)


def touched(task: TaskPlan) -> Iterator[str]:
    """Names of the tensors a task reads, keeps or writes."""
    for source in task.sources:
        yield source.tensor
        if source.keep:
            yield source.keep
    if task.kernel and task.kernel.source:
        yield task.kernel.source
    yield task.result.tensor


def _root(tensors: Mapping[str, PlannedTensor], name: str) -> tuple[str, tuple[int, int, int, int]]:
    offset = (0, 0, 0, 0)
    while tensors[name].part_of:
        own = tensors[name].part_offset
        offset = (offset[0] + own[0], offset[1] + own[1], offset[2] + own[2], offset[3] + own[3])
        name = tensors[name].part_of
    return name, offset


def choose(
    machine: MachineSpec, plan: ProgramPlan, flow: Flow, spilled: frozenset[str] = frozenset()
) -> dict[str, TensorPlace]:
    """The place of every root tensor; AUTO tensors stay in L2 when there is room over their whole life.

    Greedy in order of appearance. Room is counted in bytes a task; every task keeps what it needs to stage the tensors
    it moves from and to DRAM, at most half of L2 (it then works in tiles).

    Args:
        plan: with tensors to place.
        flow: of the plan.
        spilled: AUTO tensors that must not stay in L2.
    """
    places = {name: tensor.place for name, tensor in plan.tensors.items() if not tensor.part_of}
    barred = _barred(plan, flow) | spilled
    staged = [_staged_tensors(machine, task, flow) for task in flow.tasks]
    need = [sum(sizes.values()) for sizes in staged]
    used = [flow.own_bytes(index) for index in range(len(flow.tasks))]
    for name, place in places.items():
        if place is TensorPlace.RESIDENT and name in flow.lives and plan.tensors[name].l2_base is None:
            _occupy(used, flow.lives[name], resident_bytes(machine, plan.tensors[name].shape))
    for name, place in places.items():
        if place is not TensorPlace.AUTO:
            continue
        life = flow.lives.get(name)
        if life is None or name in barred or life.last - life.first > LONGEST_LIFE_TASKS:
            places[name] = TensorPlace.SCRATCH
            continue
        size = resident_bytes(machine, plan.tensors[name].shape)
        span = range(life.first, life.last + 1)
        others = [min(need[index] - staged[index].get(name, 0), machine.l2_bytes // 2) for index in span]
        fits = all(used[index] + other + size <= machine.l2_bytes for index, other in zip(span, others, strict=True))
        places[name] = TensorPlace.RESIDENT if fits else TensorPlace.SCRATCH
        if fits:
            _occupy(used, life, size)
            for index in span:
                need[index] -= staged[index].pop(name, 0)
    return places


def _staged_tensors(machine: MachineSpec, task: TaskPlan, flow: Flow) -> dict[str, int]:
    """Root tensor -> L2 bytes that the task needs to stage it when it is in DRAM."""
    sizes: dict[str, int] = {}
    for number, source in enumerate(task.sources):
        root = flow.roots[source.tensor][0]
        sizes[root] = sizes.get(root, 0) + task.view.height * staging.staged_source(machine, task, number).row
    root = flow.roots[task.result.tensor][0]
    sizes[root] = sizes.get(root, 0) + task.result_view.height * staging.result_row(
        machine, task, explicit_layout=False
    )
    return sizes


def _occupy(used: list[int], life: Life, size_bytes: int) -> None:
    for index in range(life.first, life.last + 1):
        used[index] += size_bytes


def resident_bytes(machine: MachineSpec, shape: TensorShape) -> int:
    """L2 bytes of a tensor, with the larger padding of its two possible readers."""
    return shape.height * staging.resident(machine, shape, pe_reader=False).row


def staged_bytes(machine: MachineSpec, task: TaskPlan) -> int:
    """L2 bytes that a task needs when all its tensors are in DRAM and none is tiled."""
    sources = sum(
        task.view.height * staging.staged_source(machine, task, index).row for index in range(len(task.sources))
    )
    return sources + task.result_view.height * staging.result_row(machine, task, explicit_layout=False)


def _barred(plan: ProgramPlan, flow: Flow) -> set[str]:
    """AUTO tensors that must be in DRAM: seen under another shape, read as kernel, batched, or not fp16."""
    barred = set()
    for name, tensor in plan.tensors.items():
        root = flow.roots[name][0]
        if tensor.shape.batch > 1 or tensor.shape.depth > 1 or tensor.dtype is not DType.FLOAT16:
            barred.add(root)
    for task in flow.tasks:
        for operand in (*task.sources, task.result):
            if (operand.dram is not None and operand.l2 is None) or not reshapes_in_place(
                operand, plan.tensors[operand.tensor]
            ):
                barred.add(flow.roots[operand.tensor][0])
        if task.kernel and task.kernel.source:
            barred.add(flow.roots[task.kernel.source][0])
    return barred


def reshapes_in_place(operand: TaskOperand, tensor: PlannedTensor) -> bool:
    """Whether an operand's shape keeps every axis of the tensor, so that L2 strides can be carried over."""
    return operand.shape is None or axis_map(tensor.shape, operand.shape) is not None


def axis_map(tensor: TensorShape, shape: TensorShape) -> dict[Axis, Axis] | None:
    """Axis of `shape` -> axis of `tensor`, when the shapes differ only in the places of extent-1 axes; else None."""
    order = (Axis.GROUP, Axis.DEPTH, Axis.CHANNEL, Axis.HEIGHT, Axis.WIDTH)
    if tensor.width != shape.width:
        return None
    own = [(axis, extent) for axis, extent in zip(order, tensor.ndchw, strict=True) if extent > 1]
    new = [(axis, extent) for axis, extent in zip(order, shape.ndchw, strict=True) if extent > 1]
    if [extent for _, extent in own] != [extent for _, extent in new]:
        return None
    mapped = {axis: source for (axis, _), (source, _) in zip(new, own, strict=True)}
    return mapped | {Axis.WIDTH: Axis.WIDTH}


def layout(machine: MachineSpec, tensor: PlannedTensor, reader: TaskPlan | None) -> Strides:
    """L2 strides of a resident tensor in its own axes (encoding.md#bank-rule and #resident-layouts)."""
    if tensor.l2_strides is not None:
        return tensor.l2_strides
    if reader is None:
        return staging.resident(machine, tensor.shape, pe_reader=False)
    work = reader.work
    if isinstance(work, PeWork):
        return staging.resident(machine, tensor.shape, pe_reader=True)
    return staging.resident(
        machine, tensor.shape, pe_reader=False, width_out=reader.result_view.width, stride=work.stride[1]
    )
