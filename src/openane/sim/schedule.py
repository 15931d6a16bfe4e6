"""A program made ready to run: rows for the kernels, and the few things that only Python does in between."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from openane.sim.kernels.library import SLACK, KernelKind, Library, Rows, addresses
from openane.sim.memory import ExecutionArena, MemoryState

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Fp16Words = npt.NDArray[np.uint16]

Action = Callable[["RunState"], None]

_BLOCK_COST = 4000
"""Nanoseconds, roughly, that a block of units should take: several times what it costs to claim one and to wait."""
_MOST_BLOCKS = 64


@dataclass(eq=False, slots=True)
class RunState:
    """What one run writes; used again by the next one.

    Attributes:
        memory: DRAM buffers, L2, chain link.
        image: fp16 words of the padded input of a convolution.
        floats, integers: parameters; a copy of its own when run-time kernels change them.
        progress: counters of the rows.
        addresses: of the arrays that all threads share, in the order of `kernels.library.Arrays`.
        rows_address, progress_address: of the rows and the counters.
        started: when the run began, by the monotonic clock.
        helpers: threads that found nothing more to do, and may not have gone yet.
    """

    memory: MemoryState
    image: Fp16Words
    floats: Floats
    integers: Integers
    progress: Integers
    addresses: tuple[int, ...]
    rows_address: int
    progress_address: int
    started: float = 0.0
    helpers: list[Future[int]] = field(default_factory=list)

    def settle(self) -> None:
        """Waits for helpers: one that looks at counters which begin anew would work on what is not ready."""
        for helper in self.helpers:
            helper.result()
        self.helpers.clear()

    def begin(self) -> None:
        """Nothing is done yet."""
        self.settle()
        self.progress[:] = 0
        self.started = time.monotonic()

    @property
    def spent(self) -> int:
        """Nanoseconds of work, roughly, that were done."""
        return int(self.progress[0])


@dataclass(frozen=True, eq=False, slots=True)
class Schedule:
    """Rows and parameters, read-only.

    Attributes:
        arena: where operands lie.
        library: the kernels.
        rows: see `kernels/engine.h`.
        tasks: the parts of each task in order: runs of rows, and actions of Python.
        floats, integers, constants: parameters of the rows.
        image_size: fp16 words of the largest padded input.
        own_parameters: whether each run needs parameters of its own.
        joined: what `parts` has found.
    """

    arena: ExecutionArena
    library: Library
    rows: Rows
    tasks: tuple[tuple[range | Action, ...], ...]
    floats: Floats
    integers: Integers
    constants: Fp16Words
    image_size: int
    own_parameters: bool
    joined: dict[tuple[int, int | None], tuple[range | Action, ...]] = field(default_factory=dict)

    def allocate(self) -> RunState:
        """Memory for one run."""
        floats, integers = self.floats, self.integers
        if self.own_parameters:
            floats, integers = floats.copy(), integers.copy()
        image, memory = np.zeros(self.image_size, np.uint16), self.arena.allocate()
        progress = self.library.counters(len(self.rows))
        shared = addresses(memory.memory, image, self.constants, floats, integers)
        rows_address, progress_address = addresses(self.rows, progress)
        return RunState(memory, image, floats, integers, progress, shared, rows_address, progress_address)

    def parts(self, first: int, end: int | None) -> tuple[range | Action, ...]:
        """What is to be done for some of the tasks; runs of rows of neighboring tasks are joined."""
        found = self.joined.get((first, end))
        if found is None:
            found = self.joined[first, end] = tuple(_join(chain.from_iterable(self.tasks[first:end])))
        return found


def _join(parts: Iterable[range | Action]) -> Iterator[range | Action]:
    pending = range(0)
    for part in parts:
        if isinstance(part, range):
            pending = range(pending.start if pending else part.start, part.stop)
            continue
        if pending:
            yield pending
            pending = range(0)
        yield part
    if pending:
        yield pending


@dataclass(eq=False, slots=True)
class ScheduleBuilder:
    """Collects rows and parameters while the tasks are prepared.

    Attributes:
        arena: where operands lie; grows by areas for copies.
        library: the kernels.
        constant_count: fp16 words of all kernels that never change.
        fast: whether sums are float32.
        units: of a row that should be there at least, for all threads to share.
        own_parameters: set when a run-time kernel changes parameters.
        places: where run-time kernels find their weights, by shape; filled by `sim.kernel`.
    """

    arena: ExecutionArena
    library: Library
    constant_count: int
    fast: bool = False
    units: int = 1
    own_parameters: bool = False
    places: dict[str, int] = field(default_factory=dict)
    _rows: list[Rows] = field(default_factory=list)
    _tasks: list[tuple[range | Action, ...]] = field(default_factory=list)
    _parts: list[range | Action] = field(default_factory=list)
    _integers: _Pool = field(default_factory=lambda: _Pool(np.dtype(np.int64)))
    _floats: _Pool = field(default_factory=lambda: _Pool(np.dtype(np.float32)))
    _constants: Fp16Words = field(init=False)
    _constants_used: int = 0
    _image_size: int = 1
    _closed: int = 0
    _mappings: dict[bytes, int] = field(default_factory=dict)
    _areas: dict[tuple[str, int], int] = field(default_factory=dict)

    def integers(self, values: npt.ArrayLike, *, own: bool = False) -> int:
        """Place of integer parameters; `own` shares them with nobody."""
        return self._integers.add(np.array(values, np.int64).reshape(-1), own)

    def floats(self, values: npt.ArrayLike, *, own: bool = False) -> int:
        """Place of float parameters; `own` shares them with nobody."""
        return self._floats.add(np.array(values, np.float32).reshape(-1), own)

    def __post_init__(self) -> None:
        self._constants = np.zeros(self.constant_count + SLACK, np.uint16)

    def constants(self, count: int) -> tuple[int, Fp16Words]:
        """Place of so many fp16 words that never change, and where to write them."""
        place = self._constants_used
        self._constants_used += count
        return place, self._constants[place : self._constants_used]

    def mapping(self, key: bytes, make: Callable[[], Fp16Words]) -> int:
        """Place in the arena of the table of a function of one fp16 word; equal keys share it."""
        if key not in self._mappings:
            self._mappings[key] = self.arena.keep(make())
        return self._mappings[key]

    def image(self, size: int) -> None:
        """Asks for so many fp16 words for a padded input."""
        self._image_size = max(self._image_size, size)

    def area(self, purpose: str, fp16_words: int) -> int:
        """A place in the arena that lives until the next task asks for the same purpose."""
        size = 1 << max(6, (fp16_words - 1).bit_length())
        key = purpose, size
        if key not in self._areas:
            self._areas[key] = self.arena.add(size)
        return self._areas[key]

    def parameters(self) -> tuple[Floats, Integers]:
        """All float and integer parameters so far."""
        return self._floats.join(), self._integers.join()

    def row(self, kind: KernelKind, units: int, cost: float, fields: Mapping[str, Any]) -> None:
        """Adds a row.

        Args:
            kind: of work.
            units: that can be computed independently of each other.
            cost: nanoseconds, roughly.
            fields: the others by name.
        """
        row = np.zeros((), self.library.row)
        row["kind"], row["units"], row["blocks"], row["cost"] = kind, units, min(units, _blocks(cost)), int(cost)
        for name, value in fields.items():
            row[name] = value
        self._rows.append(row)

    def act(self, action: Action) -> None:
        """Adds something that Python does between the rows so far and the next ones."""
        self._close_rows()
        self._parts.append(action)

    def end_task(self) -> None:
        """The rows and actions of a task are complete."""
        self._close_rows()
        self._tasks.append(tuple(self._parts))
        self._parts.clear()

    def _close_rows(self) -> None:
        if self._closed < len(self._rows):
            self._parts.append(range(self._closed, len(self._rows)))
            self._closed = len(self._rows)

    def build(self) -> Schedule:
        """The schedule of all rows."""
        rows = np.array(self._rows, self.library.row)
        return Schedule(
            self.arena, self.library, rows, tuple(self._tasks), *self.parameters(), self._constants, self._image_size,
            self.own_parameters,
        )  # fmt: skip


def _blocks(cost: float) -> int:
    """Of a row; an even number, which two or four threads share evenly."""
    wanted = min(int(cost) // _BLOCK_COST, _MOST_BLOCKS)
    return max(1, wanted - wanted % (4 if wanted >= 4 else 2))


class _Pool:
    """Arrays one after the other; equal ones once."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self._parts: list[np.ndarray] = []
        self._places: dict[bytes, int] = {}
        self._size = 0

    def add(self, values: np.ndarray, own: bool = False) -> int:
        if not own:
            key = values.tobytes()
            known = self._places.get(key)
            if known is not None:
                return known
            self._places[key] = self._size
        place = self._size
        self._parts.append(values)
        self._size += values.size
        return place

    def join(self) -> np.ndarray:
        """All of them."""
        return np.concatenate((*self._parts, np.zeros(SLACK, self._dtype)))
