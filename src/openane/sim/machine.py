"""A program loaded into the simulator: decoded, checked and prepared once, run many times."""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from openane.core.errors import FaultError, InputError
from openane.numerics.profile import Profile
from openane.program import Program
from openane.program.layout import read_surface
from openane.sim.addressing import add_kept
from openane.sim.check import check_addresses, check_operations
from openane.sim.check.memory import check_memory
from openane.sim.decoded_task import DecodedOperand, DecodedTask, MacWork, MemorySpace
from openane.sim.defined import ByDefinition
from openane.sim.inputs import bind_input
from openane.sim.inspection import Callback, Hook, Hooks, MachineState
from openane.sim.kernel import constant_count
from openane.sim.kernels import library
from openane.sim.layout import BufferMap, MemoryLayout, layout_of
from openane.sim.mac import add_mac
from openane.sim.memory import ExecutionArena, Fp16Words
from openane.sim.planar import add_planar
from openane.sim.schedule import RunState, Schedule, ScheduleBuilder
from openane.sim.statistics import Statistics, count
from openane.sim.trace import lines
from openane.sim.workers import Workers

_PORTION_COST = 50_000_000
"""Nanoseconds of work, roughly, between two looks at the clock and at signals."""


@dataclass(frozen=True, slots=True)
class ExecutionOptions:
    """How to execute.

    Attributes:
        profile: arithmetic.
        fast: sums of convolutions are float32, within a bound of the exact ones (docs/simulator.md).
        threads: worker threads; 0 takes one per core.
        memory_limit_bytes: of buffers, copies and parameters of one run.
        until: run this many tasks only; None runs all.
        operation_limit: largest number of multiply-adds and elements of a program.
        time_limit_seconds: of the clock for one run; None waits as long as it takes.
        partial_outputs: accept outputs of which the tasks write only some elements.
        instruction_set: of the kernels; "" takes the best one of the processor. The bits do not depend on it.
    """

    profile: Profile
    fast: bool = False
    threads: int = 0
    memory_limit_bytes: int = 8 << 30
    until: int | None = None
    operation_limit: int = 10**13
    time_limit_seconds: float | None = None
    partial_outputs: bool = False
    instruction_set: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class LiveTensor:
    """A tensor that is in memory when execution stops.

    Attributes:
        name: "task3-result" or the surface's name.
        operand: where it is.
        values: float16 (or integers), (groups, depth, channels, height, width).
    """

    name: str
    operand: DecodedOperand
    values: np.ndarray


class Simulator:
    """A loaded program, ready to run many times. Safe to share between threads.

    Args:
        program: surfaces, constants, scratch size.
        works: its decoded tasks.
        buffers: meaning of buffer indices.
        execution: choices.

    Raises:
        FaultError: some task does what the machine does not allow; no task has run then.
        InputError: `until` is not a number of tasks of the program.
    """

    def __init__(
        self, program: Program, works: Sequence[DecodedTask], buffers: BufferMap, execution: ExecutionOptions
    ) -> None:
        if execution.until is not None and not 0 <= execution.until <= len(works):
            raise InputError("there is no such task to stop after", value=execution.until, limit=f"0 to {len(works)}")
        self.program = program
        self.works = tuple(works)
        self.execution = execution
        self.layout = layout_of(program, self.works, buffers)
        _check(program, self.works, self.layout, buffers, execution)
        self._schedule = _prepare(self.works, ExecutionArena(self.layout, buffers.constants), program, execution)
        self._workers = Workers(execution.threads)
        self._states: queue.SimpleQueue[RunState] = queue.SimpleQueue()
        self._hooks = Hooks(self.layout)

    @property
    def _chosen(self) -> tuple[DecodedTask, ...]:
        return self.works[: self.execution.until]

    @property
    def statistics(self) -> Statistics:
        """Work and traffic of the whole program."""
        return count(self.works)

    def trace_lines(self) -> Iterator[str]:
        """The log of effects as JSON lines."""
        return lines(self._chosen)

    def hook_add(
        self, kind: Hook, callback: Callback, *, tasks: Container[int] | None = None, watch: str | None = None,
        offset: int = 0, size_bytes: int | None = None,
    ) -> int:  # fmt: skip
        """Calls a function at points of every later run.

        Args:
            kind: when; see `Hook`.
            callback: gets the state of the machine and the task. What it raises ends the run and reaches the caller.
            tasks: numbers of the tasks in question; all for None.
            watch: for READ and WRITE the memory: the name of a surface, "constants", "scratch" or "L2".
            offset, size_bytes: the bytes of it that are watched; to its end for None.

        Returns:
            The number by which `hook_delete` knows the hook.

        Raises:
            InputError: there is no such memory, or no such bytes in it; or a memory is missing, or given without need.
        """
        return self._hooks.add(kind, callback, tasks, watch, offset, size_bytes)

    def hook_delete(self, number: int) -> None:
        """Removes a hook.

        Raises:
            InputError: there is no such hook.
        """
        self._hooks.delete(number)

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs the program once.

        Args:
            inputs: one (N, D, C, H, W) array per input surface, by surface name.

        Returns:
            One array per output surface, by surface name. With `until`, outputs that no task has written are zero.

        Raises:
            InputError: a missing or unknown input, a wrong shape or type.
            FaultError: a run-time kernel is damaged, or the time limit is reached.
        """
        return self._run(inputs, self._workers)

    def run_many(self, batches: Iterable[Mapping[str, np.ndarray]]) -> Iterator[dict[str, np.ndarray]]:
        """Runs the program for many inputs, several at a time, one thread each; outputs come in order.

        Raises:
            As `run`.
        """
        if self._workers.count == 1 or self._hooks:  # hooks are called in order, by the caller's thread
            yield from (self.run(inputs) for inputs in batches)
            return
        alone = Workers(1)
        with ThreadPoolExecutor(self._workers.count) as pool:
            waiting: list[Future[dict[str, np.ndarray]]] = []
            for inputs in batches:
                waiting.append(pool.submit(self._run, inputs, alone))
                if len(waiting) > 2 * self._workers.count:
                    yield waiting.pop(0).result()
            for future in waiting:
                yield future.result()

    def live_tensors(self, inputs: Mapping[str, np.ndarray]) -> list[LiveTensor]:
        """Runs the program (up to `until`) and returns every result that is still whole in memory.

        Raises:
            As `run`.
        """
        state = self._state()
        self._bind(state, inputs)
        self._execute(state, 0, self.execution.until, self._workers)
        live: dict[str, DecodedOperand] = {}
        for work in self._chosen:
            live = {name: operand for name, operand in live.items() if not _touches(operand, work)}
            live[f"task{work.index}-result"] = work.result
            if work.kept is not None:
                live[f"task{work.index}-kept"] = work.kept
        return [LiveTensor(name, operand, state.memory.elements(operand)) for name, operand in live.items()]

    def results(self, inputs: Mapping[str, np.ndarray]) -> Iterator[LiveTensor]:
        """Runs the program task by task; every result is given just after its task has stored it.

        Raises:
            As `run`.
        """
        state = self._state()
        self._bind(state, inputs)
        for number, work in enumerate(self._chosen):
            self._execute(state, number, number + 1, self._workers)
            yield LiveTensor(f"task{work.index}-result", work.result, state.memory.elements(work.result))

    def close(self) -> None:
        """Ends the threads and frees the buffers."""
        self._workers.close()
        self._states = queue.SimpleQueue()

    def _run(self, inputs: Mapping[str, np.ndarray], workers: Workers) -> dict[str, np.ndarray]:
        state = self._state()
        self._bind(state, inputs)
        done = 0
        for count_done, task, callbacks in self._hooks.stops(self._chosen) if self._hooks else ():
            self._execute(state, done, count_done, workers)
            done = count_done
            for callback in callbacks:
                callback(MachineState(self.program, self.layout, state.memory), task)
        self._execute(state, done, self.execution.until, workers)
        memory = state.memory
        outputs = {
            surface.name: read_surface(surface, memory.buffer_bytes(surface.buffer)) for surface in self.program.outputs
        }
        self._states.put(state)
        return outputs

    def _state(self) -> RunState:
        try:
            return self._states.get_nowait()
        except queue.Empty:
            return self._schedule.allocate()

    def _bind(self, state: RunState, inputs: Mapping[str, np.ndarray]) -> None:
        """Writes the inputs, and begins to count the work."""
        wanted = {surface.name: surface for surface in self.program.inputs}
        unknown, missing = sorted(inputs.keys() - wanted.keys()), sorted(wanted.keys() - inputs.keys())
        if unknown or missing:
            raise InputError(
                "the inputs do not match the program",
                where=self.program.name,
                value="; ".join([f"missing {name}" for name in missing] + [f"unknown {name}" for name in unknown]),
                limit=", ".join(wanted),
            )
        for name, surface in wanted.items():
            bind_input(surface, state.memory.buffer_bytes(surface.buffer), inputs[name])
        state.begin()

    def _execute(self, state: RunState, begin: int, end: int | None, workers: Workers) -> None:
        """Runs some of the tasks. Between portions of the work the interpreter can stop it, and so can the clock."""
        for part in self._schedule.parts(begin, end):
            if not isinstance(part, range):
                part(state)
                continue
            first = part.start
            while first < part.stop:
                first = workers.run(self._schedule, state, range(first, part.stop), state.spent + _PORTION_COST)
                self._check_time(state)

    def _check_time(self, state: RunState) -> None:
        limit = self.execution.time_limit_seconds
        if limit is not None and time.monotonic() - state.started > limit:
            raise FaultError(
                "the run takes longer than it may",
                where=self.program.name,
                value=f"{time.monotonic() - state.started:.1f} s",
                limit=f"{limit:g} s",
                hint="Raise the time limit if this is meant.",
            )


def _prepare(
    works: Sequence[DecodedTask], arena: ExecutionArena, program: Program, execution: ExecutionOptions
) -> Schedule:
    """Rows and parameters of all tasks."""
    constants, profile = _fp16_words(program.constants), execution.profile
    defined = profile != Profile()  # options have no kernels
    count = 0 if defined else sum(constant_count(work, arena.constants) for work in works)
    threads = execution.threads or os.cpu_count() or 1
    units = 1 if threads == 1 else 3 * threads
    schedule = ScheduleBuilder(arena, library(execution.instruction_set), count, execution.fast, units)
    for work in works:
        if work.kept is not None:
            add_kept(schedule, work, constants)
        if defined:
            schedule.act(ByDefinition(work, profile, constants.view(np.uint8), arena.constants))
        elif isinstance(work.engine, MacWork):
            add_mac(schedule, work, constants)
        else:
            add_planar(schedule, work, constants)
        schedule.end_task()
    return schedule.build()


def _fp16_words(data: bytes | memoryview) -> Fp16Words:
    values = np.frombuffer(data, np.uint8)
    return (np.append(values, np.uint8(0)) if values.size % 2 else values).view(np.uint16)


def _check(
    program: Program,
    works: Sequence[DecodedTask],
    layout: MemoryLayout,
    buffers: BufferMap,
    execution: ExecutionOptions,
) -> None:
    """Proves that every run stays within the rules; the maps that this takes are given up before anything runs."""
    check_operations(works, execution.operation_limit)
    threads, limit_bytes = execution.threads or os.cpu_count() or 1, execution.memory_limit_bytes
    check_memory(works, layout, buffers.constants, threads, limit_bytes, program.name)
    complete = None if execution.until is not None else () if execution.partial_outputs else program.outputs
    check_addresses(program, works, layout, buffers, limit_bytes, complete)


def _touches(operand: DecodedOperand, work: DecodedTask) -> bool:
    """Whether a task overwrites some of the range of an operand."""
    writes = [work.result] + ([work.kept] if work.kept else [])
    passing = [*work.staging, *([work.result_staging] if work.result_staging else [])]
    staged = operand.space is MemorySpace.L2 and any(s.base < operand.end and operand.base < s.end for s in passing)
    return staged or any(
        (other.space, other.buffer) == (operand.space, operand.buffer)
        and other.base < operand.end
        and operand.base < other.end
        for other in writes
    )
