"""The kernel driver, emulated: the same calls, checks and error numbers, real mappable memory, no hardware.

It replaces the kernel in two places: in this process, for tests of the Linux runtime, and as a server on a socket, for
existing programs that open the device node themselves (:mod:`openane.runtimes.linux.server`). Submitted bytes go to
an engine, normally the simulator.

Rules are those of the published driver. Where it is silent the emulation is strict: a bootstrap buffer that does not
carry the first task with network id 0x40, or a task count that differs from the chain, ends like an engine that never
answers (ETIMEDOUT); the reason is in :attr:`EmulatedDriver.log`, as it would be in the kernel's.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from openane.core.errors import OpenaneError
from openane.runtimes.device_nodes import LINUX_NODE
from openane.runtimes.linux import abi
from openane.runtimes.linux.node import DeviceNode, KernelMapping, NodeInfo
from openane.runtimes.linux.node import Mapping as MappedMemory

FIRST_OFFSET: Final = 0x1_0000_0000
"""Where the mmap offsets of DRM buffers begin, so that no offset is also a file position."""


class EmulatedEngine(Protocol):
    """What runs a submission."""

    def run(self, submission: Submission) -> None:
        """Executes the tasks, reading and writing the buffers in place.

        Raises:
            OpenaneError: the engine would hang or fault.
        """
        ...


@dataclass(frozen=True, slots=True)
class Submission:
    """What the driver hands to the engine.

    Attributes:
        first_task: bytes of the first descriptor, from the bootstrap buffer.
        task_count: descriptors that the caller announced.
        memory: bytes of every buffer by index, 0 (tasks) and 1 (constants, the tail of buffer 0) included.
    """

    first_task: memoryview
    task_count: int
    memory: Mapping[int, memoryview]


@dataclass(frozen=True, slots=True)
class DriverLimits:
    """How a driver differs from the published one.

    Attributes:
        version: what the version call answers.
        buffer_bytes: largest buffer; a fork's notes speak of 16 MiB.
        submissions: runs until the device stops to answer; a fork's notes speak of 250 programs per boot. None is
            no limit.
    """

    version: tuple[int, int, int] = (1, 0, 0)
    buffer_bytes: int = abi.IOVA_BYTES - abi.TILE_BYTES
    submissions: int | None = None


@dataclass(eq=False, slots=True)
class BufferObject:
    """A buffer of the emulated driver.

    Attributes:
        file: of anonymous memory, for other processes to map.
        size_bytes: whole pages.
        offset: what mmap takes.
        mapped: the driver's own mapping.
    """

    file: int
    size_bytes: int
    offset: int
    mapped: mmap.mmap

    def close(self) -> None:
        """Gives the memory back; mappings of others keep it until they end."""
        os.close(self.file)
        try:
            self.mapped.close()
        except BufferError:  # pragma: no cover - the engine keeps no views
            return


class EmulatedDriver:
    """One emulated device, open any number of times.

    Args:
        engine: what runs submissions.
        limits: of the driver.

    Attributes:
        log: what the kernel's log would say, oldest first.
    """

    def __init__(self, engine: EmulatedEngine, limits: DriverLimits | None = None) -> None:
        self.log: list[str] = []
        self._engine = engine
        self._limits = limits or DriverLimits()
        self._state = threading.Lock()
        self._engine_turn = threading.Lock()
        self._next_offset = FIRST_OFFSET
        self._used_bytes = 0
        self._submissions = 0
        self._gone = False

    @property
    def used_bytes(self) -> int:
        """Device address space of all buffers that were not freed, in pages of 16 KiB."""
        return self._used_bytes

    def open(self) -> EmulatedNode:
        """A new open file of the device."""
        self.check_present()
        return EmulatedNode(self)

    def unplug(self) -> None:
        """Takes the device away: from now on every call fails with ENODEV."""
        self._gone = True

    def check_present(self) -> None:
        """Raises ENODEV after `unplug`."""
        if self._gone:
            raise _error(errno.ENODEV)

    def new_buffer(self, size_bytes: int) -> BufferObject:
        """Memory in the device's address space, whole pages of this machine. Raises EINVAL, ENOSPC or ENOMEM."""
        if size_bytes <= 0 or size_bytes % mmap.PAGESIZE or size_bytes > self._limits.buffer_bytes:
            self.log.append(f"ane: BO_INIT: {size_bytes} bytes are not whole pages within the limit")
            raise _error(errno.EINVAL)
        with self._state:
            space_bytes = abi.align(size_bytes, abi.TILE_BYTES)
            if self._used_bytes + space_bytes > abi.IOVA_BYTES - abi.TILE_BYTES:
                self.log.append("ane: BO_INIT: the address space is full")
                raise _error(errno.ENOSPC)
            offset = self._next_offset
            self._next_offset += size_bytes
            self._used_bytes += space_bytes
        try:
            file = _anonymous_file(size_bytes)
        except OSError as error:
            with self._state:
                self._used_bytes -= space_bytes
            raise _error(errno.ENOMEM) from error
        return BufferObject(file, size_bytes, offset, mmap.mmap(file, size_bytes))

    def free_buffer(self, buffer: BufferObject) -> None:
        """Takes a buffer back, once no submission uses it."""
        with self._engine_turn, self._state:
            self._used_bytes -= abi.align(buffer.size_bytes, abi.TILE_BYTES)
            buffer.close()

    def submit(self, request: abi.Submit, buffers: Mapping[int, BufferObject]) -> None:
        """Checks a submission as the kernel does and runs it; one at a time.

        Raises:
            OSError: EINVAL for bad arguments, ETIMEDOUT when the engine would not finish, ENODEV.
        """
        with self._engine_turn:
            self.check_present()
            problem = submission_problem(request, buffers)
            if problem:
                self.log.append(f"ane: SUBMIT: {problem}")
                raise _error(errno.EINVAL)
            self._submissions += 1
            if self._limits.submissions is not None and self._submissions > self._limits.submissions:
                self.log.append(f"ane: no answer after {self._limits.submissions} programs")
                raise _error(errno.ETIMEDOUT)
            with _Views() as views:
                self._run(request, buffers, views)

    def version(self) -> tuple[tuple[int, int, int], bytes, bytes]:
        """What the version call answers: numbers, name and description."""
        return self._limits.version, abi.DRIVER_NAME.encode(), b"openane emulated neural engine"

    def _run(self, request: abi.Submit, buffers: Mapping[int, BufferObject], views: _Views) -> None:
        memory = {index: views.of(buffers[handle].mapped) for index, handle in enumerate(request.handles) if handle}
        constants = abi.align(request.tsk_size, abi.COMMAND_GRANULE_BYTES)
        memory[abi.CONSTANTS_BUFFER] = views.add(memory[abi.TASKS_BUFFER][constants:])
        memory[abi.TASKS_BUFFER] = views.add(memory[abi.TASKS_BUFFER][: request.tsk_size])
        first = views.add(views.of(buffers[request.btsp_handle].mapped)[: request.td_size])
        word = int.from_bytes(first[:4], "little")
        try:
            if word >> 16 & 0xFF != abi.NETWORK_ID:
                raise OpenaneError(
                    "the bootstrap buffer does not carry the network id",
                    value=f"{word >> 16 & 0xFF:#x}",
                    limit=f"{abi.NETWORK_ID:#x}",
                )
            if first[4:] != memory[abi.TASKS_BUFFER][4 : request.td_size]:
                raise OpenaneError("the bootstrap buffer differs from the first task of the command buffer")
            self._engine.run(Submission(first, request.td_count, memory))
        except OpenaneError as error:
            self.log.append(f"ane: the engine did not finish: {error}")
            raise _error(errno.ETIMEDOUT) from error


def submission_problem(request: abi.Submit, buffers: Mapping[int, BufferObject]) -> str:
    """What the kernel would refuse in a submission; empty when nothing."""
    handles = list(request.handles)
    if request.pad:
        return "pad is not 0"
    if not handles[abi.TASKS_BUFFER]:
        return "there is no command buffer in handles[0]"
    if handles[abi.CONSTANTS_BUFFER]:
        return "handles[1] is not 0"
    unknown = [handle for handle in (*handles, request.btsp_handle) if handle and handle not in buffers]
    if unknown:
        return f"handle {unknown[0]} is not a buffer"
    if not request.btsp_handle:
        return "there is no bootstrap buffer"
    if buffers[handles[abi.TASKS_BUFFER]].size_bytes <= request.tsk_size:
        return "the command buffer is not longer than tsk_size"
    if not request.td_count or request.td_size < 4 or request.td_size > request.tsk_size:
        return "td_count or td_size is out of range"
    if buffers[request.btsp_handle].size_bytes < request.td_size:
        return "the bootstrap buffer is shorter than td_size"
    return ""


class EmulatedNode:
    """An open file of the emulated device, with the buffers made through it."""

    def __init__(self, driver: EmulatedDriver) -> None:
        self._driver = driver
        self._buffers: dict[int, BufferObject] = {}
        self._next_handle = 1
        self._closed = False
        self._calls: dict[int, Callable[[ctypes.Structure], None]] = {
            abi.VERSION: self._version,
            abi.BO_INIT: self._init,
            abi.BO_FREE: self._free,
            abi.SUBMIT: self._submit,
        }

    def ioctl(self, request: int, argument: ctypes.Structure) -> None:
        """One call, as the kernel would answer it."""
        if self._closed:
            raise _error(errno.EBADF)
        self._driver.check_present()
        call = self._calls.get(request)
        if call is None:
            raise _error(errno.ENOTTY)
        call(argument)

    def map(self, offset: int, size_bytes: int) -> MappedMemory:
        """A mapping of a buffer into this process."""
        return KernelMapping(mmap.mmap(self.file_at(offset, size_bytes), size_bytes))

    def file_at(self, offset: int, size_bytes: int) -> int:
        """The anonymous file of the buffer at an mmap offset. Raises EINVAL where the kernel would."""
        for buffer in self._buffers.values():
            if buffer.offset == offset and 0 < size_bytes <= buffer.size_bytes:
                return buffer.file
        raise _error(errno.EINVAL)

    def close(self) -> None:
        """Frees every buffer that is left."""
        self._closed = True
        for handle in list(self._buffers):
            self._driver.free_buffer(self._buffers.pop(handle))

    def _version(self, argument: ctypes.Structure) -> None:
        assert isinstance(argument, abi.Version)
        numbers, name, description = self._driver.version()
        argument.version_major, argument.version_minor, argument.version_patchlevel = numbers
        for field_name, text in (("name", name), ("date", b"0"), ("desc", description)):
            address, room = getattr(argument, field_name), getattr(argument, f"{field_name}_len")
            if address:
                ctypes.memmove(address, text, min(room, len(text)))
            setattr(argument, f"{field_name}_len", len(text))

    def _init(self, argument: ctypes.Structure) -> None:
        assert isinstance(argument, abi.BufferInit)
        if argument.pad:
            raise _error(errno.EINVAL)
        buffer = self._driver.new_buffer(argument.size)
        argument.handle, argument.offset = self._next_handle, buffer.offset
        self._buffers[self._next_handle] = buffer
        self._next_handle += 1

    def _free(self, argument: ctypes.Structure) -> None:
        assert isinstance(argument, abi.BufferFree)
        if argument.pad or argument.handle not in self._buffers:
            raise _error(errno.EINVAL)
        self._driver.free_buffer(self._buffers.pop(argument.handle))

    def _submit(self, argument: ctypes.Structure) -> None:
        assert isinstance(argument, abi.Submit)
        self._driver.submit(argument, dict(self._buffers))


@dataclass(frozen=True, slots=True)
class EmulatedSystem:
    """A Linux machine with one emulated device.

    Attributes:
        driver: of the device.
        compatible: device-tree name of the device.
    """

    driver: EmulatedDriver
    compatible: str = abi.COMPATIBLE[0]
    platform: str = field(default="Linux", init=False)

    def nodes(self) -> tuple[NodeInfo, ...]:
        """The one node."""
        return (NodeInfo(LINUX_NODE, abi.DRIVER_NAME, (self.compatible,), True, "0:0 666"),)

    def board(self) -> tuple[str, ...]:
        """Nothing: this is not an Apple machine."""
        return ()

    def open(self, path: str) -> DeviceNode:
        """Opens the node. Raises ENOENT for every other path."""
        if path != LINUX_NODE:
            raise _error(errno.ENOENT)
        return self.driver.open()


class _Views:
    """Memory views of mappings that end together, so that the mappings can be closed."""

    def __init__(self) -> None:
        self._views: list[memoryview] = []

    def of(self, mapped: mmap.mmap) -> memoryview:
        return self.add(memoryview(mapped))

    def add(self, view: memoryview) -> memoryview:
        self._views.append(view)
        return view

    def __enter__(self) -> _Views:
        return self

    def __exit__(self, *error: object) -> None:
        for view in reversed(self._views):
            view.release()


def _anonymous_file(size_bytes: int) -> int:
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("openane-buffer", os.MFD_CLOEXEC)
    else:  # pragma: no cover - the emulator in this process works on any system with mmap
        with tempfile.TemporaryFile() as temporary:
            file = os.dup(temporary.fileno())
    try:
        os.ftruncate(file, size_bytes)
    except OSError:
        os.close(file)
        raise
    return file


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
