"""The border to macOS: functions of frameworks and messages to Objective-C objects, by ctypes.

Everything above talks to :class:`Bridge`, so that tests can record each call and answer in the system's place.
Objects are plain addresses (0 is nil). Nothing here is loaded before it is used.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

from openane.core.errors import UnavailableError

Scalar = (
    ctypes.c_int8
    | ctypes.c_int32
    | ctypes.c_uint32
    | ctypes.c_int64
    | ctypes.c_uint64
    | ctypes.c_double
    | ctypes.c_char_p
    | ctypes.c_void_p
)
Argument = int | Scalar
"""An object or address as an int, or a value whose ctypes type says how it is passed."""
ResultType = type[Scalar] | None

OBJECT: Final = ctypes.c_void_p
BOOL: Final = ctypes.c_int8


class Bridge(Protocol):
    """What the runtime needs of macOS."""

    def load(self, framework: str) -> None:
        """Loads a framework by name ("AppleNeuralEngine").

        Raises:
            UnavailableError: it is not on this system.
        """
        ...

    def call(self, name: str, *arguments: Argument, result: ResultType = OBJECT) -> Any:
        """Calls a C function of a loaded framework.

        Raises:
            UnavailableError: no loaded framework has it.
        """
        ...

    def class_named(self, name: str) -> int:
        """An Objective-C class.

        Raises:
            UnavailableError: it does not exist here.
        """
        ...

    def send(self, receiver: int, selector: str, *arguments: Argument, result: ResultType = OBJECT) -> Any:
        """Sends a message; nil answers 0.

        Raises:
            UnavailableError: the receiver does not understand it.
        """
        ...

    def out(self) -> ctypes.c_void_p:
        """Room for an object that a call gives back through a pointer; pass its `address`."""
        ...

    def block(self, function: Callable[..., None], *arguments: type[Scalar]) -> int:
        """An Objective-C block that calls `function`; lives as long as the bridge."""
        ...

    def read(self, address: int, size_bytes: int) -> bytes:
        """A copy of memory."""
        ...

    def memory(self, address: int, size_bytes: int) -> memoryview:
        """A writable view of memory that the system owns."""
        ...


def address(place: ctypes.c_void_p) -> ctypes.c_void_p:
    """The address of an `out` place, as an argument."""
    return ctypes.c_void_p(ctypes.addressof(place))


OBJECTIVE_C: Final = "/usr/lib/libobjc.A.dylib"
FRAMEWORK_FOLDERS: Final = (
    "/System/Library/Frameworks",
    "/System/Library/PrivateFrameworks",
)


class _BlockDescriptor(ctypes.Structure):
    _fields_ = (("reserved", ctypes.c_ulong), ("size", ctypes.c_ulong))


class _BlockLiteral(ctypes.Structure):
    _fields_ = (
        ("isa", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("reserved", ctypes.c_int),
        ("invoke", ctypes.c_void_p),
        ("descriptor", ctypes.POINTER(_BlockDescriptor)),
    )


_GLOBAL_BLOCK: Final = 1 << 28


class SystemBridge:
    """The real thing.

    Args:
        runtime: path of the Objective-C runtime; tests pass a stand-in of their own.
        folders: where frameworks are.

    Raises:
        UnavailableError: there is no Objective-C runtime here.
    """

    def __init__(self, runtime: str = OBJECTIVE_C, folders: Sequence[str] = FRAMEWORK_FOLDERS) -> None:
        self._folders = folders
        try:
            self._runtime = ctypes.CDLL(runtime)
        except OSError as error:
            raise UnavailableError("there is no Objective-C runtime here", hint="This needs macOS.") from error
        for name in ("objc_getClass", "sel_registerName", "object_getClass"):
            function = getattr(self._runtime, name)
            function.restype = ctypes.c_void_p
            function.argtypes = (ctypes.c_void_p if name == "object_getClass" else ctypes.c_char_p,)
        self._runtime.class_respondsToSelector.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
        self._runtime.class_respondsToSelector.restype = ctypes.c_bool
        self._libraries: dict[str, ctypes.CDLL] = {"objc": self._runtime}
        self._kept: list[object] = []

    def load(self, framework: str) -> None:
        """Loads a framework from the system's folders; those live in the shared cache, not as files."""
        if framework in self._libraries:
            return
        for folder in self._folders:
            try:
                self._libraries[framework] = ctypes.CDLL(f"{folder}/{framework}.framework/{framework}")
            except OSError:
                continue
            return
        raise UnavailableError(f"the framework {framework} is not on this system", hint="See `openane doctor`.")

    def call(self, name: str, *arguments: Argument, result: ResultType = OBJECT) -> Any:
        """Calls a C function."""
        for library in self._libraries.values():
            try:
                address_of = ctypes.cast(getattr(library, name), ctypes.c_void_p).value
            except AttributeError:
                continue
            return _invoke(address_of or 0, result, arguments)
        raise UnavailableError(
            f"the function {name} is not on this system",
            hint="This macOS version has renamed or removed it; see `openane doctor`.",
        )

    def class_named(self, name: str) -> int:
        """An Objective-C class."""
        found: int | None = self._runtime.objc_getClass(name.encode())
        if not found:
            raise UnavailableError(
                f"the class {name} is not on this system", hint="See `openane doctor` for the versions that have it."
            )
        return found

    def send(self, receiver: int, selector: str, *arguments: Argument, result: ResultType = OBJECT) -> Any:
        """Sends a message through a call with exactly the types of its arguments, as arm64 requires."""
        if not receiver:
            return 0
        registered = self._runtime.sel_registerName(selector.encode())
        if not self._runtime.class_respondsToSelector(self._runtime.object_getClass(receiver), registered):
            raise UnavailableError(
                f"this system does not know the message {selector}", hint="See `openane doctor` for versions."
            )
        function = ctypes.cast(self._runtime.objc_msgSend, ctypes.c_void_p).value or 0
        return _invoke(function, result, (receiver, registered, *arguments))

    def out(self) -> ctypes.c_void_p:
        """Room for a pointer, nil at first."""
        return ctypes.c_void_p()

    def block(self, function: Callable[..., None], *arguments: type[Scalar]) -> int:
        """A global block: it captures nothing but the Python function."""
        prototype = ctypes.CFUNCTYPE(None, ctypes.c_void_p, *arguments)
        invoke = prototype(lambda _block, *values: function(*values))
        descriptor = _BlockDescriptor(0, ctypes.sizeof(_BlockLiteral))
        isa = ctypes.addressof(ctypes.c_void_p.in_dll(self._runtime, "_NSConcreteGlobalBlock"))
        block = _BlockLiteral(
            isa, _GLOBAL_BLOCK, 0, ctypes.cast(invoke, ctypes.c_void_p).value, ctypes.pointer(descriptor)
        )
        self._kept += [invoke, descriptor, block]
        return ctypes.addressof(block)

    def read(self, address: int, size_bytes: int) -> bytes:
        """A copy of memory."""
        return ctypes.string_at(address, size_bytes)

    def memory(self, address: int, size_bytes: int) -> memoryview:
        """A writable view."""
        return memoryview((ctypes.c_uint8 * size_bytes).from_address(address)).cast("B")


def _invoke(function: int, result: ResultType, arguments: tuple[Argument, ...]) -> Any:
    types = [ctypes.c_void_p if isinstance(argument, int) else type(argument) for argument in arguments]
    value = ctypes.CFUNCTYPE(result, *types)(function)(*arguments)
    return 0 if value is None and result is ctypes.c_void_p else value


@contextmanager
def autorelease_pool(bridge: Bridge) -> Iterator[None]:
    """Temporary objects made inside are freed at the end."""
    pool = bridge.call("objc_autoreleasePoolPush")
    try:
        yield
    finally:
        bridge.call("objc_autoreleasePoolPop", pool, result=None)
