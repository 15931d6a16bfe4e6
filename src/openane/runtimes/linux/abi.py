"""The user-space interface of the Linux driver "ane" (DRM accel), declared once.

Source: the published header of eiln/ane (2023-24), see runtimes.md#linux; its forks keep these calls. All
requests are `_IOWR('d', 0x40 + n, struct)` with n from 1. A test checks every number and size against
the published values.
"""

from __future__ import annotations

import ctypes
from typing import Final

from openane.program import buffers

U32 = ctypes.c_uint32
U64 = ctypes.c_uint64

BUFFERS: Final = 32
"""Buffer indices (BARs) of one submission."""
TILE_BYTES: Final = 0x4000
"""Unit of buffer sizes in an .anec header, and the page of the chips' IOMMU."""
COMMAND_GRANULE_BYTES: Final = 16
"""Constants start at the next multiple of this after the tasks (CMD_GRAN)."""
NETWORK_ID: Final = 0x40
"""Network id that the first task carries in the bootstrap buffer (FIFO_NID)."""
HEADER_KEEP_MASK: Final = 0x0F00FFFF
"""Bits of header word 0 that survive the patch of the network id."""
IOVA_BYTES: Final = 0xE0000000
"""Size of the device address space."""
DRIVER_NAME: Final = "ane"
"""What the DRM version call answers."""
COMPATIBLE: Final = ("apple,t8103-ane", "apple,t6000-ane")
"""Device-tree names that the published driver binds to: M1, and M1 Pro, Max and Ultra."""

_INDICES = buffers.BUFFERS
TASKS_BUFFER: Final = 0
CONSTANTS_BUFFER: Final = _INDICES.constants
SECOND_SCRATCH_BUFFER: Final = _INDICES.second_scratch
SCRATCH_BUFFER: Final = _INDICES.scratch
FIRST_SURFACE_BUFFER: Final = _INDICES.first_surface


class BufferInit(ctypes.Structure):
    """BO_INIT: makes a buffer of `size` bytes (whole pages); `offset` is what mmap takes."""

    _fields_ = (("handle", U32), ("pad", U32), ("size", U64), ("offset", U64))


class BufferFree(ctypes.Structure):
    """BO_FREE: gives a buffer back."""

    _fields_ = (("handle", U32), ("pad", U32))


class Submit(ctypes.Structure):
    """SUBMIT: runs the tasks in `handles[0]` and waits for them.

    `handles[1]` must be 0, the driver points buffer 1 after the tasks of buffer 0.
    """

    _fields_ = (
        ("tsk_size", U64),
        ("td_count", U32),
        ("td_size", U32),
        ("handles", U32 * BUFFERS),
        ("btsp_handle", U32),
        ("pad", U32),
    )


class Version(ctypes.Structure):
    """DRM_IOCTL_VERSION of every DRM driver; texts are filled in where a pointer and a length are given."""

    _fields_ = (
        ("version_major", ctypes.c_int),
        ("version_minor", ctypes.c_int),
        ("version_patchlevel", ctypes.c_int),
        ("name_len", ctypes.c_size_t),
        ("name", ctypes.c_void_p),
        ("date_len", ctypes.c_size_t),
        ("date", ctypes.c_void_p),
        ("desc_len", ctypes.c_size_t),
        ("desc", ctypes.c_void_p),
    )


def request_number(number: int, structure: type[ctypes.Structure]) -> int:
    """`_IOWR('d', number, structure)` as Linux encodes it on arm64 and x86-64."""
    read_write = 3
    return read_write << 30 | ctypes.sizeof(structure) << 16 | ord("d") << 8 | number


VERSION: Final = request_number(0x00, Version)
BO_INIT: Final = request_number(0x41, BufferInit)
BO_FREE: Final = request_number(0x42, BufferFree)
SUBMIT: Final = request_number(0x43, Submit)

REQUEST_NAMES: Final = {VERSION: "VERSION", BO_INIT: "BO_INIT", BO_FREE: "BO_FREE", SUBMIT: "SUBMIT"}
"""For messages."""


def align(size_bytes: int, granule_bytes: int) -> int:
    """`size_bytes` rounded up to a multiple of `granule_bytes`."""
    return -(-size_bytes // granule_bytes) * granule_bytes
