"""What must hold between passes, whatever the pass: a pass that breaks it is found at once, by name."""

from __future__ import annotations

from collections.abc import Iterator

from openane.backend.compilation import Compilation
from openane.backend.ir.placement import NO_BUFFER, Placement
from openane.backend.ir.plan import ProgramPlan, TensorPlace
from openane.backend.machine import MachineSpec
from openane.core.errors import InternalError, ModelError
from openane.core.passes import Pass
from openane.net.net import Net


def verify(step: Pass[Compilation], before: Compilation, after: Compilation) -> None:
    """Checks the part that a pass has changed.

    Raises:
        InternalError: the pass made something that is not valid; names the pass and the first finding.
    """
    for finding in _findings(before, after):
        raise InternalError(
            f"the pass {step.name!r} made something that is not valid: {finding}",
            where=after.net.name,
            hint="This is a bug in openane: please report it with the model.",
        )


def _findings(before: Compilation, after: Compilation) -> Iterator[str]:
    if after.net is not before.net:
        yield from net_findings(before.net, after.net)
    if after.plan is not None and after.plan is not before.plan:
        yield from plan_findings(after.net, after.plan)
    if after.placement is not None and after.placement is not before.placement and after.plan is not None:
        yield from placement_findings(after.target.spec, after.plan, after.placement)


def net_findings(before: Net, after: Net) -> Iterator[str]:
    """An edit keeps inputs and outputs, and every unit takes what it reads."""
    if dict(after.inputs) != dict(before.inputs):
        yield "inputs differ"
    if list(after.outputs) != list(before.outputs):
        yield "outputs differ"
        return
    try:
        shapes = after.shapes
    except ModelError as error:
        yield str(error)
        return
    for name, source in before.outputs.items():
        if shapes[after.outputs[name]] != before.shapes[source]:
            yield f"output {name!r} has another shape"


def plan_findings(net: Net, plan: ProgramPlan) -> Iterator[str]:
    """Operands exist, are written before they are read, and every output is written."""
    written = {
        name for name, tensor in plan.tensors.items() if tensor.place in (TensorPlace.INPUT, TensorPlace.CONSTANT)
    }
    for number, task in enumerate(task for block in plan.blocks for task in block.tasks):
        names = [source.tensor for source in task.sources]
        if task.kernel is not None and task.kernel.source:
            names.append(task.kernel.source)
        for name in (*names, task.result.tensor):
            if name not in plan.tensors:
                yield f"task {number} uses {name!r}, which is not a tensor of the plan"
                return
        for name in names:
            if name not in written and not _parents(plan, name) & written:
                yield f"task {number} reads {name!r} before a task writes it"
        if not 1 <= len(task.sources) <= (1 if task.is_ne else 2):
            yield f"task {number} has {len(task.sources)} sources"
        written |= {task.result.tensor, *_parents(plan, task.result.tensor)}
        written.update(source.keep for source in task.sources if source.keep)
    if list(plan.outputs) != list(net.outputs):
        yield "outputs differ from those of the network"
    for name, tensor in plan.outputs.items():
        if tensor not in written:
            yield f"no task writes output {name!r}"


def _parents(plan: ProgramPlan, name: str) -> set[str]:
    """The tensors that this one is a part of."""
    found = set()
    while plan.tensors[name].part_of:
        name = plan.tensors[name].part_of
        found.add(name)
    return found


def placement_findings(machine: MachineSpec, plan: ProgramPlan, placement: Placement) -> Iterator[str]:
    """Every task has its addresses, inside L2 and in buffers that exist."""
    planned = [task for block in plan.blocks for task in block.tasks]
    if len(planned) != len(placement.tasks):
        yield f"{len(placement.tasks)} of {len(planned)} tasks are placed"
    for number, task in enumerate(placement.tasks):
        if len(task.sources) != len(task.plan.sources):
            yield f"task {number} has {len(task.sources)} of {len(task.plan.sources)} sources placed"
        for spot in (*task.sources, task.result):
            if not 0 <= spot.l2_base < machine.l2_bytes:
                yield f"task {number}: L2 address {spot.l2_base:#x} of {spot.tensor!r} is outside of L2"
            if spot.dma and not 0 <= spot.buffer < machine.buffers.count:
                yield f"task {number}: {spot.tensor!r} is in buffer {spot.buffer}"
            if not spot.dma and spot.buffer == NO_BUFFER and spot.dram_base:
                yield f"task {number}: {spot.tensor!r} has a DRAM address without a buffer"
