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
        """Runs the program and returns every result that is complete in memory at the end.

        Raises:
            OpenaneError: as for `Session.run`.
        """
        ...

    def hook_add(
        self, kind: Hook, callback: Callback, *, tasks: Container[int] | None = None, watch: str | None = None,
        offset: int = 0, size_bytes: int | None = None,
    ) -> int:  # fmt: skip
        """Registers a function that is called at certain points of every later run.

        Args:
            kind: before or after tasks, or when watched bytes are read or written.
            callback: receives the machine state and the task. An exception in it stops the run and propagates.
            tasks: numbers of the tasks; None for all.
            watch: for READ and WRITE, the memory to watch: the name of a surface, "constants", "scratch" or "L2".
            offset: first watched byte.
            size_bytes: number of watched bytes; None for all bytes up to the end.

        Returns:
            The number of the hook, for `hook_delete`.

        Raises:
            InputError: the memory or the bytes do not exist, or `watch` is missing or not allowed for this kind.
        """
        ...

    def hook_delete(self, number: int) -> None:
        """Removes a hook.

        Raises:
            InputError: there is no such hook.
        """
        ...
