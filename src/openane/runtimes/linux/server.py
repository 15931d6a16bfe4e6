"""The emulated driver as a server on a socket, for existing programs: `openane emulate -- PROGRAM`.

A small C library (`preload/interpose.c`, compiled on demand) is loaded between such a program and the C library. It
turns opening the device node into a connection to this server, and ioctl and mmap on that connection into messages;
buffers travel as file descriptors of anonymous memory, so both sides see the same bytes and nothing is copied.
"""

from __future__ import annotations

import array
import ctypes
import errno
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import Final

from openane.core.errors import InputError, UnavailableError
from openane.runtimes.device_nodes import LINUX_NODE
from openane.runtimes.linux import abi
from openane.runtimes.linux.emulation import EmulatedDriver, EmulatedNode

COMPILERS: Final = ("cc", "gcc", "clang")
NODE_VARIABLE: Final = "OPENANE_ANE_NODE"
SOCKET_VARIABLE: Final = "OPENANE_ANE_SOCKET"
PRELOAD_VARIABLE: Final = "LD_PRELOAD"

_MAP: Final = 0
_HEADER: Final = struct.Struct("<II")
_MAP_REQUEST: Final = struct.Struct("<QQ")
_VERSION_REPLY: Final = struct.Struct("<3i32s32s64s")
_LARGEST_MESSAGE: Final = _HEADER.size + 512
_STRUCTURES: Final[Mapping[int, type[ctypes.Structure]]] = {
    abi.BO_INIT: abi.BufferInit,
    abi.BO_FREE: abi.BufferFree,
    abi.SUBMIT: abi.Submit,
}


def build_library(folder: Path) -> Path:
    """Compiles the preloadable library with the system's C compiler.

    Raises:
        UnavailableError: this is not Linux, there is no C compiler, or it fails.
    """
    if os.uname().sysname != "Linux":
        raise UnavailableError(
            "the preloadable library works on Linux only",
            value=os.uname().sysname,
            hint="Use the simulator runtime directly.",
        )
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        raise UnavailableError(
            "there is no C compiler to build the preloadable library",
            limit=", ".join(COMPILERS),
            hint="Install one (Debian: apt install gcc).",
        )
    library = folder / "openane_interpose.so"
    source = resources.files("openane.runtimes.linux") / "preload" / "interpose.c"
    with resources.as_file(source) as path:
        command = [compiler, "-O2", "-fPIC", "-shared", "-o", str(library), str(path), "-ldl", "-lpthread"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise UnavailableError(
            "the preloadable library could not be compiled",
            where=compiler,
            value=done.stderr.strip().splitlines()[-1] if done.stderr.strip() else done.returncode,
        )
    return library


class Server:
    """Answers connections with the emulated driver until it is closed.

    Args:
        driver: shared by all connections.
        path: of the socket to make.
    """

    def __init__(self, driver: EmulatedDriver, path: Path) -> None:
        self._driver = driver
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(path))
        self._listener.listen()
        self._threads: list[threading.Thread] = []
        self._connections: set[socket.socket] = set()
        self._acceptor = threading.Thread(target=self._accept, name="openane emulated driver", daemon=True)
        self._acceptor.start()

    def close(self) -> None:
        """Ends every connection; their buffers are freed."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join()
        for connection in tuple(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.add(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads = [*(old for old in self._threads if old.is_alive()), thread]
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with ExitStack() as end, suppress(OSError):
            end.callback(self._connections.discard, connection)
            end.enter_context(connection)
            node = self._driver.open()
            end.callback(node.close)
            while message := connection.recv(_LARGEST_MESSAGE):
                try:
                    reply, files = _answer(self._driver, node, message)
                except OSError as error:
                    reply, files = _HEADER.pack(error.errno or errno.EIO, 0), []
                ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))] if files else []
                connection.sendmsg([reply], ancillary)


def _answer(driver: EmulatedDriver, node: EmulatedNode, message: bytes) -> tuple[bytes, list[int]]:
    """One reply, and the files that go with it. Raises OSError with the kernel's number."""
    if len(message) < _HEADER.size:
        raise OSError(errno.EINVAL, "short message")
    request, size = _HEADER.unpack_from(message)
    payload = message[_HEADER.size :]
    if request == _MAP and size == len(payload) == _MAP_REQUEST.size:
        driver.check_present()
        return _HEADER.pack(0, 0), [node.file_at(*_MAP_REQUEST.unpack(payload))]
    if request == abi.VERSION:
        driver.check_present()
        numbers, name, description = driver.version()
        reply = _VERSION_REPLY.pack(*numbers, name, b"0", description)
        return _HEADER.pack(0, len(reply)) + reply, []
    structure = _STRUCTURES.get(request)
    if structure is None:
        raise OSError(errno.ENOTTY, "unknown request")
    if len(payload) != ctypes.sizeof(structure):
        raise OSError(errno.EFAULT, "wrong size")
    argument = structure.from_buffer_copy(payload)
    node.ioctl(request, argument)
    reply = bytes(argument)
    return _HEADER.pack(0, len(reply)) + reply, []


@contextmanager
def emulated_environment(driver: EmulatedDriver, node_path: str = LINUX_NODE) -> Iterator[dict[str, str]]:
    """A running server, and the environment variables that make a program see it as the device.

    Args:
        driver: the emulated device.
        node_path: what the program will open.

    Raises:
        UnavailableError: the preloadable library cannot be built here.
    """
    with tempfile.TemporaryDirectory(prefix="openane-") as folder:
        library = build_library(Path(folder))
        path = Path(folder) / "ane"
        server = Server(driver, path)
        try:
            yield {
                PRELOAD_VARIABLE: str(library),
                NODE_VARIABLE: node_path,
                SOCKET_VARIABLE: str(path),
            }
        finally:
            server.close()


def run_program(
    command: Sequence[str], driver: EmulatedDriver, environment: Mapping[str, str], node_path: str = LINUX_NODE
) -> int:
    """Runs a program that finds the emulated device at `node_path`, and returns its exit status.

    Args:
        command: the program and its arguments.
        driver: the emulated device.
        environment: variables of the program, to which three are added; an LD_PRELOAD of its own is kept.
        node_path: of the device node.

    Raises:
        InputError: the program cannot be started.
        UnavailableError: the preloadable library cannot be built here.
    """
    with emulated_environment(driver, node_path) as added:
        merged = dict(environment) | added
        if PRELOAD_VARIABLE in environment:
            merged[PRELOAD_VARIABLE] = f"{added[PRELOAD_VARIABLE]} {environment[PRELOAD_VARIABLE]}"
        try:
            return subprocess.run(list(command), env=merged, check=False).returncode
        except OSError as error:
            raise InputError(
                f"the program cannot be started: {(error.strerror or str(error)).lower()}", where=command[0]
            ) from error
