"""What a session shows of the inside of a run, on runtimes that can."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np

from openane.sim.decoded_task import DecodedTask
from openane.sim.inspection import Callback, Hook, MachineState
from openane.sim.machine import LiveTensor
from openane.sim.statistics import Statistics

__all__ = ["Callback", "DecodedTask", "Hook", "Inspection", "LiveTensor", "MachineState", "Statistics"]


class Inspection(Protocol):
    """Tasks, hooks and memory of a loaded program. `Session.run` calls the hooks.

    Attributes:
        works: the decoded tasks.
    """

    works: tuple[DecodedTask, ...]

    @property
    def statistics(self) -> Statistics:
        """Work and traffic of the whole program."""
        ...

    def trace_lines(self) -> Iterator[str]:
        """The log of effects as JSON lines."""
        ...

    def live_tensors(self, inputs: Mapping[str, np.ndarray]) -> Sequence[LiveTensor]:
        """Runs the program and returns every result that is whole in memory at the end.

        Raises:
            As `Session.run`.
        """
        ...

    def hook_add(
        self, kind: Hook, callback: Callback, *, tasks: Container[int] | None = None, watch: str | None = None,
        offset: int = 0, size_bytes: int | None = None,
    ) -> int:  # fmt: skip
        """Calls a function at points of every later run.

        Args:
            kind: before or after tasks, or where watched bytes are read or written.
            callback: gets the state of the machine and the task. What it raises ends the run and reaches the caller.
            tasks: numbers of the tasks in question; all for None.
            watch: for READ and WRITE the memory: the name of a surface, "constants", "scratch" or "L2".
            offset, size_bytes: the bytes of it that are watched; to its end for None.

        Returns:
            The number by which `hook_delete` knows the hook.

        Raises:
            InputError: there is no such memory, or no such bytes in it; or a memory is missing or given in vain.
        """
        ...

    def hook_delete(self, number: int) -> None:
        """Removes a hook.

        Raises:
            InputError: there is no such hook.
        """
        ...
