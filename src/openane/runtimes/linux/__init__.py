"""Runs programs on M1-family machines under Linux, through the DRM accel driver "ane" of eiln/ane and its forks.

Proved here: the whole path against an emulated driver that executes the submitted bytes in the simulator. Not proved
here: anything on real hardware; nobody has run this code on a Mac yet.
"""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np

from openane.core.errors import UnavailableError
from openane.program import Program
from openane.program.layout import read_surface, write_surface
from openane.runtimes.linux.command import CommandBuffer, build_command
from openane.runtimes.linux.device import BOOTSTRAP, Buffer, Device
from openane.runtimes.linux.discovery import Found, find_device
from openane.runtimes.linux.faults import translated
from openane.runtimes.linux.node import KernelSystem, System
from openane.runtimes.runtime import Availability, Session, SessionOptions


class LinuxSession(Session):
    """A program in the driver's buffers.

    Args:
        program: what runs.
        command: its form for the driver.
        device: open; belongs to the session from now on.
    """

    def __init__(self, program: Program, command: CommandBuffer, device: Device) -> None:
        super().__init__(program)
        self._command = command
        self._device = device
        self._buffers: dict[int, Buffer] = {}
        for index, size_bytes in command.buffer_bytes.items():
            self._buffers[index] = device.allocate(size_bytes)
        command.fill_command_buffer(self._buffers[0].mapping.memory)
        first = device.allocate(len(command.bootstrap))
        first.mapping.memory[: len(command.bootstrap)] = command.bootstrap
        self._buffers[BOOTSTRAP] = first

    def _execute(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        for surface in self.inputs:
            write_surface(surface, self._buffers[surface.buffer].mapping.memory, inputs[surface.name])
        command = self._command
        self._device.submit(command.stream_bytes, command.task_count, command.first_task_bytes, self._buffers)
        return {
            surface.name: read_surface(surface, self._buffers[surface.buffer].mapping.memory)
            for surface in self.outputs
        }

    def _release(self) -> None:
        self._device.close()
        self._buffers.clear()


class LinuxRuntime:
    """The runtime for the DRM accel driver.

    Args:
        system: the machine; tests and the emulator put another one in.
    """

    name = "linux"

    def __init__(self, system: System | None = None) -> None:
        self._system = system or KernelSystem()

    def probe(self) -> Availability:
        """Looks for a node whose driver is "ane"."""
        found = find_device(self._system)
        return Availability(bool(found.path), found.reason, found.hint, found.facts)

    def open(self, program: Program, options: SessionOptions | None = None) -> LinuxSession:
        """Loads a program into buffers of the driver.

        Raises:
            UnsupportedError: the program breaks a limit of the driver; nothing was sent to it.
            UnavailableError: no device, no permission, no memory.
        """
        options = options or SessionOptions()
        command = build_command(program, options.memory_limit_bytes)
        found = self._device(options.device)
        with ExitStack() as undo:
            with translated(found.path, "opening"):
                node = self._system.open(found.path)
            device = undo.enter_context(Device(node, found.path, options.timeout_seconds))
            session = LinuxSession(program, command, device)
            undo.pop_all()
        return session

    def _device(self, wanted: str) -> Found:
        found = find_device(self._system, wanted)
        if not found.path:
            raise UnavailableError(found.reason, where="runtime linux", hint=found.hint)
        return found


def runtime() -> LinuxRuntime:
    """The runtime for this machine."""
    return LinuxRuntime()
