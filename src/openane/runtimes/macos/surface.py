"""IOSurfaces: the memory in which macOS hands tensors to the engine."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from openane.core.errors import FaultError
from openane.program import Surface
from openane.program.layout import extent_bytes
from openane.runtimes.macos.foundation import system_error, to_object
from openane.runtimes.macos.objc import Bridge

PIXEL_FORMAT: Final = int.from_bytes(b"L00h", "big")
"""One channel of half floats; what the published samples use."""
SMALLEST_BYTES: Final = 0x4000
"""Allocations below this are refused or raised (published samples)."""
READ_ONLY: Final = 1


class SharedSurface:
    """An IOSurface with the memory of one program surface.

    Args:
        bridge: to the system.
        surface: its layout.
        allocation_bytes: at least the surface's own bytes; 0 takes those.
    """

    def __init__(self, bridge: Bridge, surface: Surface, allocation_bytes: int = 0) -> None:
        self.surface = surface
        self._bridge = bridge
        needed = max(surface.size_bytes, extent_bytes(surface), allocation_bytes, SMALLEST_BYTES)
        self.size_bytes = needed
        row_bytes = max(surface.strides_bytes[3], 64)
        bridge.load("IOSurface")
        properties = {
            "IOSurfaceWidth": 1,
            "IOSurfaceHeight": -(-needed // row_bytes),
            "IOSurfaceBytesPerElement": surface.dtype.numpy.itemsize,
            "IOSurfaceBytesPerRow": row_bytes,
            "IOSurfacePixelFormat": PIXEL_FORMAT,
            "IOSurfaceAllocSize": needed,
        }
        self.reference: int = bridge.call("IOSurfaceCreate", to_object(bridge, properties))
        if not self.reference:
            raise FaultError("macOS could not make a surface", where=f"surface {surface.name}", value=f"{needed} bytes")

    @contextmanager
    def locked(self, *, read_only: bool) -> Iterator[memoryview]:
        """The memory, while no one else may use it."""
        options = ctypes.c_uint32(READ_ONLY if read_only else 0)
        status = self._bridge.call("IOSurfaceLock", self.reference, options, 0, result=ctypes.c_int32)
        if status:
            raise system_error(f"locking surface {self.surface.name}", status)
        try:
            base = self._bridge.call("IOSurfaceGetBaseAddress", self.reference)
            yield self._bridge.memory(base, self.size_bytes)
        finally:
            self._bridge.call("IOSurfaceUnlock", self.reference, options, 0, result=ctypes.c_int32)

    def close(self) -> None:
        """Gives the surface back; a second call does nothing."""
        if self.reference:
            reference, self.reference = self.reference, 0
            self._bridge.call("CFRelease", reference, result=None)
