"""Addresses: L2 for residents and staging, scratch for spilled tensors, buffers for surfaces.

Residents come first, from address 0 upwards, and freed space is reused (encoding.md#l2-allocation); the staging of a
task is above them at the next free byte: first source, second source, result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from openane.backend.alloc import staging
from openane.backend.alloc.arena import Arena
from openane.backend.alloc.residency import Flow, axis_map, choose, flow, layout, tensor_bytes
from openane.backend.alloc.surfaces import dram_bytes, dram_strides, element_bytes, operand_base, walked
from openane.backend.ir.placement import NO_BUFFER, PlacedTask, Placement, Spot
from openane.backend.ir.plan import (
    Axis,
    NeMode,
    NeWork,
    PeMode,
    PeWork,
    PlannedTensor,
    ProgramPlan,
    Strides,
    TaskOperand,
    TaskPlan,
    TensorPlace,
    TileShape,
    quad,
)
from openane.backend.machine import Dialect, MachineSpec
from openane.backend.program_rules import block_fits_l2, resident_fits_l2, surface_count, tile_fits_l2
from openane.backend.target import CodeGenerator
from openane.core.deadline import check_deadline
from openane.core.errors import UnsupportedError

#: Placements that are tried before every value that need not be in L2 goes to scratch.
MOST_ATTEMPTS = 16


def surface_buffers(machine: MachineSpec, plan: ProgramPlan, dialect: Dialect) -> dict[str, int]:
    """Buffer index of each surface tensor, in the order of surfaces.

    Raises:
        UnsupportedError: more surfaces than buffer indices.
    """
    named = {name: name for name in plan.inputs} | dict(plan.outputs)
    if dialect.surface_order == "names":
        order = sorted(named, key=lambda name: name.encode())
    else:
        order = [*plan.outputs, *plan.inputs]
    if found := surface_count.check(machine, len(order)):
        raise UnsupportedError.of(surface_count, found, machine=machine, where=plan.name)
    return {named[name]: machine.buffers.first_surface + index for index, name in enumerate(order)}


def place(target: CodeGenerator, plan: ProgramPlan, dialect: Dialect, constant_offsets: Mapping[str, int]) -> Placement:
    """Gives every operand an address.

    Args:
        target: the generation.
        plan: the tasks.
        dialect: decides the order of buffers.
        constant_offsets: constant tensor -> byte offset in the constant section.

    Room is counted before it is given out, so what was chosen to stay in L2 rarely finds no hole. When it happens the
    values that are resident at that moment go to scratch, and the placement begins anew.

    Raises:
        UnsupportedError: a task does not fit into L2 even in the smallest tiles.
    """
    flowing = flow(target.spec, plan, explicit_layout=dialect.explicit_layout)
    spilled: frozenset[str] = frozenset()
    for _ in range(MOST_ATTEMPTS):
        placer = _Placer(target, plan, flowing, dialect, constant_offsets, spilled)
        try:
            return placer.run()
        except UnsupportedError:
            live = placer.live_by_choice()
            if not live:
                raise
            spilled |= live
    everything = frozenset(name for name, tensor in plan.tensors.items() if tensor.place is TensorPlace.AUTO)
    return _Placer(target, plan, flowing, dialect, constant_offsets, everything).run()


def _bank_slack(machine: MachineSpec, floating: Sequence[bool]) -> int:
    """Bytes that two staged sources may lie apart for the sake of L2's banks (encoding.md#l2-allocation)."""
    return 8 * machine.bank_bytes if sum(floating[:-1]) > 1 else 0


def _is_lone(floating: Sequence[bool]) -> bool:
    """Whether the result alone is staged; then it may have to keep away from address 0."""
    return floating[-1] and not any(floating[:-1])


class _Placer:
    def __init__(
        self,
        target: CodeGenerator,
        plan: ProgramPlan,
        flowing: Flow,
        dialect: Dialect,
        constant_offsets: Mapping[str, int],
        spilled: frozenset[str],
    ) -> None:
        self.machine = target.spec
        self.tiling = target.tiling
        self.plan = plan
        self.flow = flowing
        self.places = choose(self.machine, plan, flowing, spilled)
        self.index = 0
        self.explicit_layout = dialect.explicit_layout
        self.buffers = surface_buffers(self.machine, plan, dialect)
        self.constant_offsets = constant_offsets
        self.l2 = Arena(self.machine.l2_bytes, self.machine.bank_bytes)
        self.scratch = Arena(None, self.machine.dma_alignment_bytes)
        self.l2_at: dict[str, tuple[int, Strides, int]] = {}
        self.scratch_at: dict[str, int] = {}
        self.ending: dict[int, list[str]] = {}
        for name, life in self.flow.lives.items():
            self.ending.setdefault(life.last, []).append(name)
        self.origins: dict[int, tuple[int, int]] = {}
        self.unkept: dict[str, TaskOperand] = {}
        self.handed_over: set[str] = set()

    def run(self) -> Placement:
        tasks = []
        for index, task in enumerate(self.flow.tasks):
            check_deadline()
            self.index = index
            try:
                tasks.append(self._task(index, task))
            except UnsupportedError as error:
                raise error.at(f"{self.plan.name}: {task.origin or self._unit(index)}") from error
            self.handed_over.update(spot.tensor for spot in tasks[-1].sources)
            self._release(index)
        return Placement(tuple(tasks), self.buffers, self.places, self.scratch.peak_bytes)

    def live_by_choice(self) -> frozenset[str]:
        """The values that are in L2 now and need not be."""
        return frozenset(
            name
            for name, place in self.places.items()
            if place is TensorPlace.RESIDENT
            and self.plan.tensors[name].place is TensorPlace.AUTO
            and name in self.flow.lives
            and self.flow.lives[name].first <= self.index <= self.flow.lives[name].last
        )

    def _unit(self, index: int) -> str:
        return self.plan.blocks[self.flow.blocks[index]].unit

    # -- one task -------------------------------------------------------------------------------------------

    def _task(self, index: int, task: TaskPlan) -> PlacedTask:
        origin = self._origin(index)
        task = self._resident_second(self._read_again(task))
        result_root = self.flow.roots[task.result.tensor][0]
        self._settle(result_root, origin)
        tile = self._tile(task)
        if not tile.whole:
            task = self._let_go(task)
        bases, result_base = self._stage(task, tile, origin)
        sources = tuple(self._source(task, number, base, tile) for number, base in enumerate(bases))
        result = self._result(task, result_base, tile)
        buffer, base = self._kernel(task)
        return PlacedTask(task, sources, result, tile, self.flow.blocks[index], buffer, base)

    def _tile(self, task: TaskPlan) -> TileShape:
        """The tile for the largest hole; for the last one where the result has to be there."""
        floating = self._floating(task)
        slack, last = _bank_slack(self.machine, floating), self.l2.last_hole()[1]
        slack += self.machine.bank_bytes if _is_lone(floating) else 0
        room = self.l2.largest_hole()
        tile = self.tiling.choose(
            task, floating, room - slack, explicit_layout=self.explicit_layout, room_at_end=last == room
        )
        if self._is_at_end(task, tile) and last < room:
            tile = self.tiling.choose(
                task, floating, last - slack, explicit_layout=self.explicit_layout, room_at_end=True
            )
        return tile

    def _is_at_end(self, task: TaskPlan, tile: TileShape) -> bool:
        """Whether the staged result takes all of L2 after it (execution.md#staging): strips, and tiles of columns."""
        return bool(tile.result_rows) or (bool(tile.columns) and self._floating(task)[-1] and not self.explicit_layout)

    def _let_go(self, task: TaskPlan) -> TaskPlan:
        """A task in tiles cannot keep its sources: later tasks read them from DRAM again."""
        sources = []
        for source in task.sources:
            if source.keep and self._in_dram(source.tensor):
                self.unkept[source.keep] = source
                source = replace(source, keep="", staging=None, staging_base=None, read_again=True)
            sources.append(source)
        return replace(task, sources=tuple(sources))

    def _read_again(self, task: TaskPlan) -> TaskPlan:
        """The task with sources that were not kept after all read from DRAM."""
        if not any(source.tensor in self.unkept for source in task.sources):
            return task
        sources = []
        for source in task.sources:
            if source.tensor in self.unkept:
                first = self.unkept[source.tensor]
                axes = {view: first.axes[kept] for view, kept in source.axes.items() if kept in first.axes}
                source = replace(
                    source, tensor=first.tensor, axes=axes, shape=first.shape, offset=first.offset,
                    step=first.step, dram=first.dram, l2=None, reread=True,
                )  # fmt: skip
            sources.append(source)
        again = isinstance(task.work, NeWork) and task.work.mode is NeMode.CONVOLUTION
        return replace(task, sources=tuple(sources), new_group=task.new_group or again)

    def _resident_second(self, task: TaskPlan) -> TaskPlan:
        """A sum or product of a resident and a DRAM operand streams the latter, as on record."""
        work = task.work
        if not isinstance(work, PeWork) or work.mode is not PeMode.BINARY or work.subtract or work.pre_scale != 1.0:
            return task
        first, second = task.sources
        if self._in_dram(first.tensor) or not self._in_dram(second.tensor):
            return task
        return replace(task, sources=(second, first))

    def _origin(self, index: int) -> int:
        """L2 address of the block's relative addresses: room for all of them is taken before the first is used."""
        block, size = self.flow.blocks[index], self.flow.own_bytes(index)
        if not size:
            return 0
        if block not in self.origins:
            start = self.l2.allocate(size)
            if start is None:
                found = block_fits_l2.check(size, self.l2.largest_hole())
                raise UnsupportedError.of(block_fits_l2, found, machine=self.machine)
            self.origins[block] = (start, size)
        return self.origins[block][0]

    def _settle(self, name: str, origin: int) -> None:
        """Gives a root tensor its L2 address or scratch offset when it is written first."""
        tensor = self.plan.tensors[name]
        place = self.places[name]
        resident = place in (TensorPlace.RESIDENT, TensorPlace.HANDOVER)
        if resident and name not in self.l2_at:
            strides = layout(self.machine, tensor, self.flow.readers.get(name))
            size = tensor_bytes(self.machine, replace(tensor, l2_strides=strides), None)
            if tensor.l2_base is not None:
                self.l2_at[name] = (origin + tensor.l2_base, strides, 0)
            else:
                start = self.l2.allocate(size)
                if start is None and tensor.place is TensorPlace.AUTO:
                    self.places[name] = place = TensorPlace.SCRATCH
                elif start is None:
                    found = resident_fits_l2.check(size, self.l2.largest_hole())
                    raise UnsupportedError.of(resident_fits_l2, found, machine=self.machine)
                else:
                    self.l2_at[name] = (start, strides, size)
        if place in (TensorPlace.SCRATCH, TensorPlace.HANDOVER) and name not in self.scratch_at:
            size = dram_bytes(self.machine, tensor.shape, element_bytes(tensor), tensor.interleave)
            offset = self.scratch.allocate(size)
            assert offset is not None
            self.scratch_at[name] = offset

    def _staged(self, task: TaskPlan) -> tuple[bool, ...]:
        """Which operands (sources, then the result) pass through a staging area of the task."""
        names = [source.tensor for source in task.sources] + [task.result.tensor]
        return tuple(self._in_dram(name) for name in names)

    def _floating(self, task: TaskPlan) -> tuple[bool, ...]:
        """Which of these areas have no address of their own inside the block's range."""
        operands = (*task.sources, task.result)
        return tuple(
            through and operand.staging_base is None
            for through, operand in zip(self._staged(task), operands, strict=True)
        )

    def _in_dram(self, name: str) -> bool:
        return self.places[self.flow.roots[name][0]] not in (TensorPlace.RESIDENT, TensorPlace.HANDOVER)

    def _stage(self, task: TaskPlan, tile: TileShape, origin: int) -> tuple[list[int], int]:
        """L2 addresses of the staged operands; 0 for the others."""
        staged = self._staged(task)
        sizes = self.tiling.staging_bytes(task, staged, tile, explicit_layout=self.explicit_layout)
        explicit = [
            origin + operand.staging_base if operand.staging_base is not None else None
            for operand in (*task.sources, task.result)
        ]
        wanted = sum(size for size, base in zip(sizes, explicit, strict=True) if base is None)
        wanted += _bank_slack(self.machine, self._floating(task))
        start = self.l2.last_hole()[0] if self._is_at_end(task, tile) else self.l2.find(wanted)
        if start is None:
            found = tile_fits_l2.check(wanted, self.l2.largest_hole())
            raise UnsupportedError.of(tile_fits_l2, found, machine=self.machine)
        if start == 0 and _is_lone(self._floating(task)):
            start = self._past_zero(wanted)
        cursor = start
        bases = []
        for number, source in enumerate(task.sources):
            given = explicit[number]
            if not staged[number]:
                bases.append(0)
                continue
            if given is not None:
                bases.append(given)
            else:
                if cursor > start:
                    cursor = start + staging.second_base(self.machine, cursor - start)
                bases.append(cursor)
                cursor += sizes[number]
            if source.keep:
                self._keep(task, number, bases[-1], sizes[number], owned=given is None)
        if staged[-1] and task.result.staging_base is not None:
            return bases, origin + task.result.staging_base
        return bases, cursor if staged[-1] else 0

    def _past_zero(self, wanted: int) -> int:
        """Where a result is staged whose sources are not: with base and row stride 0 a task states no room (A27).

        No recorded result for DRAM has base 0. Without room for one more bank it stays there.
        """
        start = self.l2.find(wanted + self.machine.bank_bytes)
        return 0 if start is None else start or self.machine.bank_bytes

    def _keep(self, task: TaskPlan, number: int, base: int, size: int, *, owned: bool) -> None:
        name = task.sources[number].keep
        strides = staging.staged_source(self.machine, task, number)
        self.l2_at[name] = (base, strides, size if owned else 0)
        if owned:
            self.l2.take(base, size)

    def _release(self, index: int) -> None:
        for name in self.ending.get(index, ()):
            if name in self.l2_at:
                start, _, size = self.l2_at[name]
                if size:
                    self.l2.release(start, size)
            if name in self.scratch_at:
                tensor = self.plan.tensors[name]
                self.scratch.release(
                    self.scratch_at[name],
                    dram_bytes(self.machine, tensor.shape, element_bytes(tensor), tensor.interleave),
                )
        block = self.flow.blocks[index]
        if block in self.origins and index + 1 == self.flow.spans[block].stop:
            self.l2.release(*self.origins[block])

    # -- operands -------------------------------------------------------------------------------------------

    def _source(self, task: TaskPlan, number: int, staged_base: int, tile: TileShape) -> Spot:
        operand = task.sources[number]
        spot = self._spot(operand)
        if not spot.dma:
            if operand.keep:
                self.l2_at[operand.keep] = (spot.l2_base, spot.l2, 0)
            return spot
        return replace(spot, l2_base=staged_base, l2=self.tiling.tile_strides(task, number, tile))

    def _result(self, task: TaskPlan, staged_base: int, tile: TileShape) -> Spot:
        spot = self._spot(task.result)
        if not spot.dma:
            return spot
        ragged = None if self.explicit_layout or not tile.whole else staging.ragged_result(self.machine, task)
        return replace(spot, l2_base=staged_base, l2=task.result.staging or ragged or Strides())

    def _spot(self, operand: TaskOperand) -> Spot:
        root, offset = self.flow.roots[operand.tensor]
        tensor = self.plan.tensors[root]
        place = self.places[root]
        shown = replace(operand, offset=quad(map(sum, zip(operand.offset, offset, strict=True))))
        buffer, dram_base, dram = NO_BUFFER, 0, Strides()
        if place is not TensorPlace.RESIDENT and not (place is TensorPlace.HANDOVER and root in self.handed_over):
            buffer, dram_base, dram = self._dram(shown, tensor, place)
        if place in (TensorPlace.RESIDENT, TensorPlace.HANDOVER):
            base, strides, _ = self.l2_at[root]
            shown = _in_axes_of(shown, tensor)
            base += operand_base(shown, strides)
            l2 = operand.l2 or walked(shown, strides, missing=strides.row)
            return Spot(root, False, buffer, dram_base, dram, base, l2)
        return Spot(root, True, buffer, dram_base, dram, 0, Strides(), tensor.interleave)

    def _dram(self, operand: TaskOperand, tensor: PlannedTensor, place: TensorPlace) -> tuple[int, int, Strides]:
        size = element_bytes(tensor)
        strides = dram_strides(self.machine, operand.shape or tensor.shape, size, tensor.interleave)
        base = operand_base(operand, strides)
        words = operand.dram or walked(
            operand, strides, missing=dram_bytes(self.machine, tensor.shape, size, tensor.interleave)
        )
        if place is TensorPlace.CONSTANT:
            return self.machine.buffers.constants, base + self.constant_offsets[tensor.name], words
        if place in (TensorPlace.SCRATCH, TensorPlace.HANDOVER):
            return self.machine.buffers.scratch, base + self.scratch_at[tensor.name], words
        return self.buffers[tensor.name], base, words

    def _kernel(self, task: TaskPlan) -> tuple[int, int]:
        if task.kernel is None or not task.kernel.source:
            return self.machine.buffers.constants, 0
        root, offset = self.flow.roots[task.kernel.source]
        buffer, base, _ = self._dram(TaskOperand(root, offset=offset), self.plan.tensors[root], self.places[root])
        return buffer, base + task.kernel.source_offset_bytes


def _in_axes_of(operand: TaskOperand, tensor: PlannedTensor) -> TaskOperand:
    """The operand with axes, offset and step of the tensor itself, when it was seen under another shape."""
    if operand.shape is None or operand.shape == tensor.shape:
        return operand
    mapped = axis_map(tensor.shape, operand.shape)
    assert mapped is not None, "a resident tensor is seen under a shape that does not keep its axes"
    order = (Axis.GROUP, Axis.DEPTH, Axis.CHANNEL, Axis.HEIGHT)
    axes = {view: mapped[seen] for view, seen in operand.axes.items() if seen in mapped}
    offset, step = [0, 0, 0, 0], [1, 1, 1, 1]
    for position, axis in enumerate(order):
        if axis in mapped:
            target = order.index(mapped[axis])
            offset[target], step[target] = operand.offset[position], operand.step[position]
    return replace(operand, axes=axes, shape=None, offset=quad(offset), step=quad(step))
