"""The simulator as a runtime: the program's own task descriptors and bytes, executed on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from openane.program import Program
from openane.runtimes.inspection import Inspection
from openane.runtimes.runtime import Availability, Session, SessionOptions
from openane.targets import get


class SimulatorSession(Session):
    """A program loaded into the simulator."""

    def __init__(self, program: Program, options: SessionOptions) -> None:
        super().__init__(program)
        limit = min(options.memory_limit_bytes, options.simulation.memory_limit_bytes)
        simulation = replace(options.simulation, memory_limit_bytes=limit)
        self._machine = get(program.target).machine(program, simulation)

    @property
    def inspectable(self) -> bool:
        """True."""
        return True

    @property
    def inspection(self) -> Inspection:
        """See `Session`."""
        return self._machine

    def run_many(self, batches: Iterable[Mapping[str, np.ndarray]]) -> Iterator[dict[str, np.ndarray]]:
        """Runs the program for many inputs, several at a time; outputs come in the order of the inputs.

        Raises:
            As `run`, at the element that is at fault.
        """
        if self.closed:
            yield from super().run_many(batches)
        else:
            yield from self._machine.run_many(self._fit(inputs) for inputs in batches)

    def _fit(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As they are: the machine does the rest itself, with the processor's conversion."""
        self._check_names(inputs)
        return dict(inputs)

    def _execute(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self._machine.run(inputs)

    def _release(self) -> None:
        self._machine.close()


class SimulatorRuntime:
    """Needs nothing but this package."""

    name = "simulator"

    def probe(self) -> Availability:
        """Always available."""
        return Availability(True, "runs on any machine")

    def open(self, program: Program, options: SessionOptions | None = None) -> SimulatorSession:
        """Loads a program.

        Raises:
            FaultError: the program does something that the machine does not allow.
            InputError: there is no target of the program's name.
            UnsupportedError: programs of this generation are not simulated.
        """
        return SimulatorSession(program, options or SessionOptions())


def runtime() -> SimulatorRuntime:
    """The runtime of this file."""
    return SimulatorRuntime()
