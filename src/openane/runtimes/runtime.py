"""The contract of everything that can run a program: the simulator, a Linux device, a Mac.

A runtime is one file of this package, named as on the command line; its module has a function `runtime()`
that returns an object with the methods of :class:`Runtime`. Sessions derive from :class:`Session`, which does
once what must not differ between runtimes: checks of names, shapes and element types, timing, closing.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from openane.core.closing import Closing
from openane.core.errors import InputError
from openane.program import Program, Surface
from openane.program.layout import fit_array
from openane.targets.target import RunOptions

if TYPE_CHECKING:
    from openane.runtimes.inspection import Inspection


@dataclass(frozen=True, slots=True)
class Availability:
    """What a probe found.

    Attributes:
        available: whether `open` can be tried at all.
        reason: why, or why not, in one clause.
        hint: what to do next; empty when nothing is needed.
        facts: further findings by name, for `openane doctor` ("node" -> "/dev/accel/accel0").
    """

    available: bool
    reason: str
    hint: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """Choices of a session; a runtime ignores what has no meaning for it.

    Attributes:
        timeout_seconds: longest wait for one run on a device before the session gives up.
        memory_limit_bytes: largest sum of buffers that may be allocated.
        device: node or device name to use; empty takes the first one that fits.
        simulation: choices of the simulator.
    """

    timeout_seconds: float = 60.0
    memory_limit_bytes: int = 8 << 30
    device: str = ""
    simulation: RunOptions = field(default_factory=RunOptions)


@dataclass(frozen=True, slots=True)
class Timing:
    """Wall time of the runs of one session, in seconds, copies of inputs and outputs included.

    Attributes:
        runs: completed runs.
        last_seconds: the last of them; 0 before the first.
        total_seconds: all of them.
    """

    runs: int = 0
    last_seconds: float = 0.0
    total_seconds: float = 0.0


class Session(Closing, ABC):
    """A program loaded into a runtime, ready to run many times.

    Safe to share between threads: runs take turns.

    A runtime implements `_execute` and `_release`.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self._timing = Timing()
        self._turn = threading.RLock()
        self._closed = False

    @property
    def inputs(self) -> tuple[Surface, ...]:
        """What `run` takes, by name."""
        return self.program.inputs

    @property
    def outputs(self) -> tuple[Surface, ...]:
        """What `run` returns, by name."""
        return self.program.outputs

    @property
    def inspectable(self) -> bool:
        """Whether `inspection` can be used."""
        return False

    @property
    def inspection(self) -> Inspection:
        """The inside of the runs: tasks, hooks, memory.

        Raises:
            InputError: this runtime does not show it.
        """
        raise InputError(
            "only the simulator can be traced, stopped and inspected",
            where=self.program.name,
            value=type(self).__name__,
            hint='Run on the simulator: on="simulator", or --on simulator.',
        )

    @property
    def timing(self) -> Timing:
        """Runs so far and their wall time."""
        return self._timing

    @property
    def last_seconds(self) -> float:
        """Wall time of the last run in seconds, 0 before the first."""
        return self._timing.last_seconds

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs the program once.

        Args:
            inputs: one (N, D, C, H, W) array per input surface, by surface name. Floating-point arrays are
                rounded to the surface's fp16 (nearest even); integers must fit its int8 or uint8.

        Returns:
            One new, contiguous (N, D, C, H, W) array per output surface, of its element type, by name.

        Raises:
            InputError: a name, shape or element type does not fit, or the session is closed.
            FaultError: the program did something the machine does not allow, or the device reported a fault.
            UnavailableError: the device went away or did not answer in time.
        """
        with self._turn:
            if self._closed:
                raise InputError("the session is closed", where=self.program.name, hint="Open a new one.")
            arrays = self._fit(inputs)
            start = time.perf_counter()
            outputs = self._execute(arrays)
            seconds = time.perf_counter() - start
            timing = self._timing
            self._timing = Timing(timing.runs + 1, seconds, timing.total_seconds + seconds)
            return outputs

    def run_many(self, batches: Iterable[Mapping[str, np.ndarray]]) -> Iterator[dict[str, np.ndarray]]:
        """Runs the program once per element of `batches`, in order, one at a time.

        Raises:
            OpenaneError: as for `run`, when the faulty element is reached.
        """
        for inputs in batches:
            yield self.run(inputs)

    def close(self) -> None:
        """Frees what the session holds. A second call does nothing."""
        with self._turn:
            if not self._closed:
                self._closed = True
                self._release()

    def _check_names(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Every missing or unknown input is part of one error."""
        wanted = {surface.name for surface in self.inputs}
        if wanted == inputs.keys():
            return
        missing, unknown = sorted(wanted - inputs.keys()), sorted(inputs.keys() - wanted)
        parts = [f"missing {', '.join(missing)}"] if missing else []
        parts += [f"unknown {', '.join(unknown)}"] if unknown else []
        raise InputError(
            "the inputs do not match the program",
            where=self.program.name,
            value="; ".join(parts),
            limit=", ".join(surface.name for surface in self.inputs) or "no input at all",
        )

    def _fit(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The inputs in the element types of their surfaces."""
        self._check_names(inputs)
        return {surface.name: fit_array(surface, inputs[surface.name]) for surface in self.inputs}

    @abstractmethod
    def _execute(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One run; names, shapes and element types of `inputs` are already right."""

    @abstractmethod
    def _release(self) -> None:
        """Frees everything; called once."""


class Runtime(Protocol):
    """A way to run programs on this machine."""

    @property
    def name(self) -> str:
        """As on the command line and as its file: "simulator", "linux", "macos"."""
        ...

    def probe(self) -> Availability:
        """Whether it can be used here, and why; quick, without side effects, never raises."""
        ...

    def open(self, program: Program, options: SessionOptions | None = None) -> Session:
        """Loads a program.

        Raises:
            UnavailableError: the runtime cannot be used here; the same reason and hint as `probe`.
            UnsupportedError: the program breaks a limit of this runtime.
        """
        ...
