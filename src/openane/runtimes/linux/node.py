"""The border to the kernel: a device node, and what the system says about nodes.

Everything above talks to the two protocols, so the emulated driver can stand in for the kernel.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from openane.runtimes.linux import abi


class Mapping(Protocol):
    """Memory of a buffer object, mapped into this process."""

    @property
    def memory(self) -> memoryview:
        """The bytes, writable."""
        ...

    def close(self) -> None:
        """Ends the mapping."""
        ...


class DeviceNode(Protocol):
    """An open device node. Every failure is an OSError with the kernel's number."""

    def ioctl(self, request: int, argument: ctypes.Structure) -> None:
        """One call; `argument` is read and written in place."""
        ...

    def map(self, offset: int, size_bytes: int) -> Mapping:
        """Maps a buffer object by the offset that BO_INIT gave."""
        ...

    def close(self) -> None:
        """Closes the node; the kernel frees what it still owns."""
        ...


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """A node of /dev/accel as seen from outside.

    Attributes:
        path: of the device node.
        driver: kernel driver bound to it, empty when the system does not say.
        compatible: device-tree names of the device, most specific first.
        readable: whether this user may read and write it.
        owner: "user:group mode" ("root:render 660"), for messages.
    """

    path: str
    driver: str
    compatible: tuple[str, ...]
    readable: bool
    owner: str


class System(Protocol):
    """The machine, as far as finding and opening devices goes."""

    @property
    def platform(self) -> str:
        """`platform.system()`: "Linux", "Darwin", ..."""
        ...

    def nodes(self) -> tuple[NodeInfo, ...]:
        """Nodes of /dev/accel in the order of their numbers."""
        ...

    def board(self) -> tuple[str, ...]:
        """Device-tree names of the machine, most specific first; empty on other machines."""
        ...

    def open(self, path: str) -> DeviceNode:
        """Opens a node for reading and writing. Raises OSError."""
        ...


class KernelMapping:
    """A mapping by mmap."""

    def __init__(self, mapped: mmap.mmap) -> None:
        self._mapped = mapped
        self._memory = memoryview(mapped)

    @property
    def memory(self) -> memoryview:
        """The bytes, writable."""
        return self._memory

    def close(self) -> None:
        """Ends the mapping. Arrays that are still in use keep the pages; the last of them unmaps."""
        with contextlib.suppress(BufferError):
            self._memory.release()
            self._mapped.close()


class KernelNode:
    """A real device node.

    Args:
        path: of the node.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def ioctl(self, request: int, argument: ctypes.Structure) -> None:
        """One call, repeated when a signal interrupts it."""
        while True:
            try:
                fcntl.ioctl(self._file, request, memoryview(argument).cast("B"), True)
            except InterruptedError:
                continue
            return

    def map(self, offset: int, size_bytes: int) -> Mapping:
        """Maps a buffer object, shared and writable."""
        return KernelMapping(mmap.mmap(self._file, size_bytes, offset=offset))

    def close(self) -> None:
        """Closes the node; a second call does nothing."""
        if self._file >= 0:
            file, self._file = self._file, -1
            os.close(file)


class KernelSystem:
    """This machine.

    Args:
        root: where the file system begins; tests point it elsewhere.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    @property
    def platform(self) -> str:
        """`platform.system()`."""
        return platform.system()

    def nodes(self) -> tuple[NodeInfo, ...]:
        """Nodes of /dev/accel in the order of their numbers."""
        folder = self._root / "dev/accel"
        try:
            found = [path for path in folder.iterdir() if path.name.removeprefix("accel").isdigit()]
        except OSError:
            # Containers may hand in the node alone; and the emulated one is in no folder.
            first = folder / "accel0"
            found = [first] if os.access(first, os.F_OK) else []
        found.sort(key=lambda path: int(path.name.removeprefix("accel")))
        return tuple(self._describe(path) for path in found)

    def board(self) -> tuple[str, ...]:
        """Device-tree names of the machine."""
        return _device_tree_names(self._root / "proc/device-tree/compatible")

    def open(self, path: str) -> DeviceNode:
        """Opens a node."""
        return KernelNode(path)

    def _describe(self, path: Path) -> NodeInfo:
        device = self._root / "sys/class/accel" / path.name / "device"
        try:
            status = path.stat()
            owner = f"{path.owner()}:{path.group()} {status.st_mode & 0o777:o}"
        except KeyError:
            owner = f"{status.st_uid}:{status.st_gid} {status.st_mode & 0o777:o}"
        except OSError as error:
            owner = errno.errorcode.get(error.errno or 0, "unknown")
        try:
            driver = (device / "driver").resolve(strict=True).name
        except OSError:
            driver = ""
        return NodeInfo(
            path=str(path),
            driver=driver,
            compatible=_device_tree_names(device / "of_node/compatible"),
            readable=os.access(path, os.R_OK | os.W_OK),
            owner=owner,
        )


def _device_tree_names(path: Path) -> tuple[str, ...]:
    try:
        return tuple(name for name in path.read_bytes().decode("ascii", "replace").split("\0") if name)
    except OSError:
        return ()


@dataclass(frozen=True, slots=True)
class DriverVersion:
    """What the driver says about itself.

    Attributes:
        name: "ane" for the driver this runtime speaks to.
        version: (major, minor, patch level).
        description: free text.
    """

    name: str
    version: tuple[int, int, int]
    description: str

    def __str__(self) -> str:
        return f"{self.name} {'.'.join(map(str, self.version))}"


def driver_version(node: DeviceNode) -> DriverVersion:
    """Asks a DRM driver for its name and version.

    Raises:
        OSError: the node is not a DRM device.
    """
    limit_bytes = 256
    name, description = (ctypes.create_string_buffer(limit_bytes) for _ in range(2))
    version = abi.Version(
        name_len=limit_bytes,
        name=ctypes.addressof(name),
        desc_len=limit_bytes,
        desc=ctypes.addressof(description),
    )
    node.ioctl(abi.VERSION, version)
    numbers = (version.version_major, version.version_minor, version.version_patchlevel)
    texts = [
        buffer.raw[: min(length, limit_bytes)].rstrip(b"\0").decode("ascii", "replace")
        for buffer, length in ((name, version.name_len), (description, version.desc_len))
    ]
    return DriverVersion(texts[0], numbers, texts[1])
