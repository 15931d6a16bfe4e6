"""Looking into a run: hooks before and after tasks, watched memory, and the machine as it is then.

    def show(machine, task):
        print(task.where, machine.tensor(task.result).max())

    hook = simulator.hook_add(Hook.AFTER_TASK, show)
    simulator.run(inputs)
    simulator.hook_delete(hook)

Without hooks a run is as fast as before; with hooks the tasks between two calls still run in one piece.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from openane.core.errors import InputError
from openane.core.types import DType
from openane.program import Program
from openane.sim.check.footprint import shared
from openane.sim.decoded_task import DecodedOperand, DecodedTask, MacWork, MemorySpace
from openane.sim.layout import MemoryLayout
from openane.sim.memory import MemoryState, stored_elements

CONSTANTS = "constants"
L2 = "L2"
"""The name of L2 among the memories; buffers have the names of their surfaces, or "constants" and "scratch"."""


class Hook(Enum):
    """When a callback is called."""

    BEFORE_TASK = "before a task"
    AFTER_TASK = "after a task"
    READ = "before a task that reads watched bytes"
    WRITE = "after a task that has written watched bytes"


class MachineState:
    """The machine between two tasks; valid until the callback returns.

    Args:
        program: that runs; `program.tasks[task.index]` has the registers of a task.
        layout: its memories.
        memory: their bytes now.
    """

    def __init__(self, program: Program, layout: MemoryLayout, memory: MemoryState) -> None:
        self.program = program
        self._layout, self._memory = layout, memory

    @property
    def memories(self) -> tuple[str, ...]:
        """Names that `read` takes."""
        return memory_names(self._layout)

    def read(self, name: str, offset: int = 0, size_bytes: int | None = None) -> bytes:
        """Bytes of a buffer or of L2.

        Args:
            name: one of `memories`.
            offset: of the first byte.
            size_bytes: how many; all that follow for None.

        Raises:
            InputError: there is no such memory, or it is smaller.
        """
        watched = area(self._layout, name, offset, size_bytes)
        if self._is_constant(watched):
            return bytes(self.program.constants[watched.base : watched.end])
        return self._memory.area_bytes(watched.space, watched.buffer)[watched.base : watched.end].tobytes()

    def tensor(self, operand: DecodedOperand) -> np.ndarray:
        """The elements of an operand of a task, of its element type: (groups, depth, channels, height, width)."""
        if not self._is_constant(operand):
            return self._memory.elements(operand)
        constants = bytes(self.program.constants) + b"\0"
        fp16_words = np.frombuffer(constants[: len(constants) // 2 * 2], np.uint16)
        return stored_elements(fp16_words, operand)

    def _is_constant(self, place: Area | DecodedOperand) -> bool:
        return place.space is MemorySpace.DRAM and self._layout.names.get(place.buffer) == CONSTANTS


@dataclass(frozen=True, slots=True)
class Area:
    """Bytes of a memory, from `base` to before `end`."""

    space: MemorySpace
    buffer: int
    base: int
    end: int


Callback = Callable[[MachineState, DecodedTask], None]


@dataclass(frozen=True, eq=False, slots=True)
class _Registered:
    kind: Hook
    callback: Callback
    tasks: Container[int] | None
    watched: Area | None

    def wants(self, task: DecodedTask) -> bool:
        if self.tasks is not None and task.index not in self.tasks:
            return False
        if self.watched is None:
            return True
        return any(_touches(self.watched, each) for each in _operands(task, self.kind))


class Hooks:
    """The hooks of a loaded program.

    Args:
        layout: its memories.
    """

    def __init__(self, layout: MemoryLayout) -> None:
        self._layout = layout
        self._numbers = itertools.count(1)
        self._registered: dict[int, _Registered] = {}

    def __bool__(self) -> bool:
        return bool(self._registered)

    def add(
        self, kind: Hook, callback: Callback, tasks: Container[int] | None, watch: str | None, offset: int,
        size_bytes: int | None,
    ) -> int:  # fmt: skip
        """See `Simulator.hook_add`."""
        watches = kind in (Hook.READ, Hook.WRITE)
        if watches != (watch is not None):
            raise InputError(
                "hooks on reads and writes need the memory to watch, other hooks take none",
                value=f"{kind.name}, watch={watch!r}",
                limit="watch=NAME with Hook.READ and Hook.WRITE only",
            )
        watched = None if watch is None else area(self._layout, watch, offset, size_bytes)
        number = next(self._numbers)
        self._registered = {**self._registered, number: _Registered(kind, callback, tasks, watched)}
        return number

    def delete(self, number: int) -> None:
        """See `Simulator.hook_delete`."""
        if number not in self._registered:
            known = ", ".join(map(str, self._registered)) or "no hooks"
            raise InputError("there is no such hook", value=number, limit=known)
        self._registered = {key: each for key, each in self._registered.items() if key != number}

    def stops(self, tasks: Sequence[DecodedTask]) -> Iterator[tuple[int, DecodedTask, tuple[Callback, ...]]]:
        """Where a run stops for callbacks: how many tasks have run by then, the task in question, what to call."""
        registered = tuple(self._registered.values())
        for number, task in enumerate(tasks):
            wanted = [each for each in registered if each.wants(task)]
            for kinds, done in (((Hook.BEFORE_TASK, Hook.READ), number), ((Hook.AFTER_TASK, Hook.WRITE), number + 1)):
                callbacks = tuple(each.callback for each in wanted if each.kind in kinds)
                if callbacks:
                    yield done, task, callbacks


def memory_names(layout: MemoryLayout) -> tuple[str, ...]:
    """Names of the memories of a program: its buffers by tensor, and L2."""
    return (*(layout.names[index] for index in layout.buffers if index in layout.names), L2)


def area(layout: MemoryLayout, name: str, offset: int, size_bytes: int | None) -> Area:
    """A range of bytes of a memory.

    Raises:
        InputError: there is no such memory, or it is smaller.
    """
    names = {layout.names[index]: index for index in layout.buffers if index in layout.names}
    if name != L2 and name not in names:
        raise InputError(
            f"the program has no memory {name!r}", limit=", ".join(memory_names(layout)), hint="Take one of these."
        )
    space, buffer = (MemorySpace.L2, 0) if name == L2 else (MemorySpace.DRAM, names[name])
    whole = layout.l2_bytes if name == L2 else layout.buffers[buffer]
    size = whole - offset if size_bytes is None else size_bytes
    if offset < 0 or size < 0 or offset + size > whole:
        raise InputError(
            "the range is not in the memory", where=name, value=f"{size} bytes at {offset}", limit=f"{whole} bytes"
        )
    return Area(space, buffer, offset, offset + size)


def _operands(task: DecodedTask, kind: Hook) -> Iterator[DecodedOperand]:
    """What a task reads, kernels included, or what it writes; L2 that it only stages through counts as written."""
    if kind is Hook.READ:
        yield from task.sources
        kernel = task.engine.kernel if isinstance(task.engine, MacWork) else None
        for source in (kernel, task.unused_kernel):
            for lane in source.lanes if source is not None else ():
                if lane.size_bytes:
                    yield _bytes(MemorySpace.DRAM, source.buffer if source else 0, lane.offset, lane.size_bytes)
        return
    yield task.result
    if task.kept is not None:
        yield task.kept
    for staging in (*task.staging, task.result_staging):
        if staging is not None and staging.end > staging.base:
            yield _bytes(MemorySpace.L2, 0, staging.base, staging.end - staging.base)


def _bytes(space: MemorySpace, buffer: int, base: int, size: int) -> DecodedOperand:
    return DecodedOperand("bytes", space, buffer, base, (1, 1, 1, 1, size), (size, size, size, size, 1), DType.UINT8)


def _touches(watched: Area, operand: DecodedOperand) -> bool:
    """Whether an element of the operand has a watched byte."""
    if (operand.space, operand.buffer if operand.space is MemorySpace.DRAM else 0) != (watched.space, watched.buffer):
        return False
    base, end = max(watched.base, operand.base), min(watched.end, operand.end)
    return base < end and shared(_bytes(operand.space, operand.buffer, base, end - base), operand, _allow) is not None


def _allow(size_bytes: int) -> None:
    """Memory for the comparison of two tensors, which the limit of the program has covered."""
