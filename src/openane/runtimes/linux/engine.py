"""The simulator as the engine after the emulated driver: it sees the submitted bytes and nothing else."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import replace
from typing import Final

import numpy as np

from openane import targets
from openane.core.types import DType
from openane.program import Program, Role, Surface, Task
from openane.runtimes.linux import abi
from openane.runtimes.linux.emulation import Submission
from openane.sim.machine import Simulator
from openane.targets.registry import LINUX_TARGET
from openane.targets.target import RunOptions

KEPT_MACHINES: Final = 16
"""Loaded programs that are kept for the next submission of the same bytes."""


class SimulatedEngine:
    """Runs submissions in the simulator.

    The task stream is parsed out of the buffers; every other buffer becomes a flat tensor of bytes, so that only
    addresses and registers decide what is read and written, as on the device.

    Args:
        options: of the simulated runs.
    """

    def __init__(self, options: RunOptions | None = None) -> None:
        self._options = replace(options or RunOptions(), partial_outputs=True)  # gaps in a layout are bytes too
        self._machines: OrderedDict[bytes, tuple[Program, Simulator]] = OrderedDict()

    def run(self, submission: Submission) -> None:
        """Executes the tasks on the buffers.

        Raises:
            FormatError: the bytes are not a task stream.
            FaultError: the tasks do something the machine does not allow.
        """
        program, machine = self._load(submission)
        memory = {f"buffer {index}": np.frombuffer(view, np.uint8) for index, view in submission.memory.items()}
        inputs = {surface.name: memory[surface.name].reshape(surface.shape) for surface in program.inputs}
        for name, result in machine.run(inputs).items():
            memory[name][:] = result.reshape(-1)

    def _load(self, submission: Submission) -> tuple[Program, Simulator]:
        """The program in the buffers, loaded; the last ones are kept, because programs run many times."""
        text = bytes(submission.first_task) + bytes(submission.memory[abi.TASKS_BUFFER][len(submission.first_task) :])
        constants = bytes(submission.memory[abi.CONSTANTS_BUFFER])
        sizes = {index: len(view) for index, view in submission.memory.items()}
        key = hashlib.sha256(text + repr((submission.task_count, len(submission.first_task), sizes)).encode())
        key.update(constants)
        digest = key.digest()
        if digest not in self._machines:
            program = _program(text, constants, sizes, submission)
            self._machines[digest] = program, targets.get(LINUX_TARGET).machine(program, self._options)
            while len(self._machines) > KEPT_MACHINES:
                self._machines.popitem(last=False)
        self._machines.move_to_end(digest)
        return self._machines[digest]


def _program(text: bytes, constants: bytes, sizes: dict[int, int], submission: Submission) -> Program:
    codec = targets.generation(LINUX_TARGET).codec
    stream = codec.read(
        text, first_bytes=len(submission.first_task), count=submission.task_count, where="command buffer"
    )
    written = {task.get("Header.Bases.WBase") for task in stream.tasks if _writes(task)}
    private = (abi.TASKS_BUFFER, abi.CONSTANTS_BUFFER, abi.SCRATCH_BUFFER)
    surfaces = tuple(
        _bytes_surface(index, size, Role.OUTPUT if index in written else Role.INPUT)
        for index, size in sizes.items()
        if index not in private
    )
    scratch = sizes.get(abi.SCRATCH_BUFFER, 0)
    return Program(LINUX_TARGET, stream.tasks, stream.offsets, surfaces, constants, scratch, "submission", codec=codec)


def _writes(task: Task) -> bool:
    """Whether the task's result goes to a buffer."""
    return bool(task.get("Header.Bases.WBE") and task.get("TileDMADst.DMAConfig.En"))


def _bytes_surface(index: int, size_bytes: int, role: Role) -> Surface:
    """A buffer as a flat tensor of bytes."""
    strides = (size_bytes, size_bytes, size_bytes, size_bytes, 1)
    return Surface(f"buffer {index}", role, (1, 1, 1, 1, size_bytes), strides, size_bytes, index, DType.UINT8)
