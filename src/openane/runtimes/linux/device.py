"""One open device: buffers that cannot leak, calls that cannot hang their caller."""

from __future__ import annotations

import contextlib
import ctypes
import queue
import threading
from collections.abc import Callable
from collections.abc import Mapping as Mapped
from dataclasses import dataclass
from typing import Final

from openane.core.closing import Closing
from openane.core.errors import UnavailableError
from openane.runtimes.linux import abi
from openane.runtimes.linux.faults import translate, translated
from openane.runtimes.linux.node import DeviceNode, Mapping

BOOTSTRAP: Final = -1
"""Key of the bootstrap buffer next to the numbered ones."""

Action = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Buffer:
    """A buffer object of the driver, mapped into this process.

    Attributes:
        handle: the driver's number for it, never 0.
        size_bytes: whole pages.
        mapping: its memory.
    """

    handle: int
    size_bytes: int
    mapping: Mapping


class Device(Closing):
    """An open node and the buffers made through it; closing frees all of them.

    Args:
        node: open; belongs to this object from now on.
        path: for messages.
        timeout_seconds: longest wait for one call.
    """

    def __init__(self, node: DeviceNode, path: str, timeout_seconds: float) -> None:
        self._node = node
        self._path = path
        self._caller = _Caller(path, timeout_seconds)
        self._buffers: list[Buffer] = []
        self._closed = False

    def allocate(self, size_bytes: int) -> Buffer:
        """A new buffer, mapped and zero.

        Raises:
            UnavailableError, FaultError: the driver refused; nothing is left after.
        """
        size_bytes = abi.align(size_bytes, abi.TILE_BYTES)
        request = abi.BufferInit(size=size_bytes)
        doing = f"buffer of {size_bytes} bytes"
        self._call(abi.BO_INIT, request, doing)
        try:
            with translated(self._path, f"mapping a {doing}"):
                mapping = self._node.map(request.offset, size_bytes)
        except BaseException:
            self._free(request.handle)
            raise
        buffer = Buffer(request.handle, size_bytes, mapping)
        self._buffers.append(buffer)
        return buffer

    def submit(self, stream_bytes: int, tasks: int, first_task_bytes: int, buffers: Mapped[int, Buffer]) -> None:
        """Runs a command buffer and waits until it is done.

        Args:
            stream_bytes: length of the task stream in buffer 0.
            tasks: number of descriptors.
            first_task_bytes: length of the first one.
            buffers: by buffer index; the bootstrap buffer under -1.

        Raises:
            FaultError: the engine stopped or did not finish.
            UnavailableError: the device is gone, or the kernel did not come back in time.
        """
        request = abi.Submit(
            tsk_size=stream_bytes,
            td_count=tasks,
            td_size=first_task_bytes,
            btsp_handle=buffers[BOOTSTRAP].handle,
        )
        for index, buffer in buffers.items():
            if index != BOOTSTRAP:
                request.handles[index] = buffer.handle
        self._call(abi.SUBMIT, request, f"run of {tasks} tasks")

    def close(self) -> None:
        """Frees the buffers and closes the node; a second call does nothing.

        When a call is still stuck in the kernel the node stays open, because the engine may still write to the
        buffers; the kernel takes everything back when the process ends.
        """
        if self._closed:
            return
        self._closed = True
        stuck = self._caller.stuck
        for buffer in reversed(self._buffers):
            buffer.mapping.close()
            if not stuck:
                self._free(buffer.handle)
        self._buffers.clear()
        self._caller.close()
        if not stuck:
            with contextlib.suppress(OSError):
                self._node.close()

    def _call(self, number: int, argument: ctypes.Structure, doing: str) -> None:
        try:
            self._caller.call(lambda: self._node.ioctl(number, argument))
        except OSError as error:
            raise translate(error, self._path, f"{doing} ({abi.REQUEST_NAMES[number]})") from error

    def _free(self, handle: int) -> None:
        """Gives a buffer back; a device that is gone has forgotten it already."""
        with contextlib.suppress(OSError, UnavailableError):
            self._caller.call(lambda: self._node.ioctl(abi.BO_FREE, abi.BufferFree(handle=handle)))


class _Call:
    """One call on its way through the worker thread."""

    def __init__(self, action: Action) -> None:
        self.action = action
        self.done = threading.Event()
        self.error: BaseException | None = None


class _Caller:
    """Makes kernel calls on a thread of its own, so that a call that never returns does not take the caller along.

    The thread is a daemon: a stuck driver does not keep the process alive.
    """

    def __init__(self, where: str, timeout_seconds: float) -> None:
        self._where = where
        self._timeout_seconds = timeout_seconds
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self.stuck = False

    def call(self, action: Action) -> None:
        """Runs `action` and re-raises what it raised.

        Raises:
            UnavailableError: it did not return in time; every later call fails at once.
        """
        if self.stuck:
            raise self._timed_out()
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name=f"openane {self._where}", daemon=True)
            self._thread.start()
        call = _Call(action)
        self._calls.put(call)
        if not call.done.wait(self._timeout_seconds):
            self.stuck = True
            raise self._timed_out()
        if call.error is not None:
            raise call.error

    def close(self) -> None:
        """Ends the thread as soon as it is idle."""
        self._calls.put(None)

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                call.action()
            except BaseException as error:
                call.error = error
            call.done.set()

    def _timed_out(self) -> UnavailableError:
        return UnavailableError(
            "the driver did not answer in time",
            where=self._where,
            limit=f"{self._timeout_seconds:g} s",
            hint="The engine or its driver hangs. Look at `dmesg`; a restart of the machine may be needed.",
        )
