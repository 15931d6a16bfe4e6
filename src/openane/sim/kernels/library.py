"""The compiled library: found, checked, called."""

from __future__ import annotations

import ctypes
import hashlib
import sys
from collections.abc import Sequence
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from openane.core.errors import InputError, UnavailableError

FOLDER = Path(__file__).parent
NAME = {"darwin": "engine.dylib", "win32": "engine.dll"}.get(sys.platform, "engine.so")
_HINT = "In a source tree run `python hatch_build.py`; otherwise reinstall openane: its wheels contain the kernels."

TILE, PANEL, TILES, PANELS, LINE, STRIP = 8, 48, 16, 8, 2048, 16
"""As `engine.h` and `planar.h` have them: blocks of a product, elements of planar work, channels of a reduction."""
LARGEST_IMAGE, MOST_SUMS = 1 << 16, 1 << 15
"""Of a unit of a depthwise convolution, see `depthwise.h`."""
SLACK = 64
"""Elements after an array that kernels may read."""

Rows = npt.NDArray[np.void]


class KernelKind(IntEnum):
    """Kinds of work, as `engine.h` numbers them."""

    CONVOLVE = 0
    DEPTHWISE = 1
    COMBINE = 2
    MAP = 3
    COPY = 4
    LOAD = 5
    PACK = 6
    ELEMENTWISE = 7
    POOL = 8
    REDUCE = 9


class Copied(IntEnum):
    """What `Kind.COPY` makes of a word: nothing; the word of its value as results have it; that after ReLU."""

    AS_IT_IS = 0
    PASSED = 1
    RECTIFIED = 2


class Arrays(ctypes.Structure):
    """Arrays of a run, and the scratch memory of a thread."""

    _fields_ = [
        (name, ctypes.c_void_p) for name in ("memory", "image", "constants", "floats", "integers", "scratch")
    ]  # fmt: skip


class _Program(ctypes.Structure):
    _fields_ = [
        ("kernels", ctypes.c_void_p), ("rows", ctypes.c_void_p), ("counters", ctypes.c_void_p),
        ("allowance", ctypes.c_int64), ("threads", ctypes.c_int64),
    ]  # fmt: skip


def addresses(*arrays: np.ndarray) -> tuple[int, ...]:
    """Of the arrays' first elements; the caller keeps the arrays alive."""
    return tuple(array.ctypes.data for array in arrays)


class Library:
    """The kernels for one instruction set of this processor.

    Args:
        loaded: the library.
        number: of the instruction set; 0 is the best one.
    """

    def __init__(self, loaded: ctypes.CDLL, number: int) -> None:
        self._run, self._kernels, self._number = loaded.openane_run, loaded.openane_kernels(number), number
        self._counters, self._expand, self._narrow = (
            loaded.openane_counters, loaded.openane_expand, loaded.openane_narrow,
        )  # fmt: skip
        self.scratch_bytes: int = loaded.openane_scratch_bytes()
        fields = (field.split(":") for field in loaded.openane_row_fields().decode().split())
        self.row = np.dtype([(name, np.int64, (int(count),) if int(count) > 1 else ()) for name, count in fields])

    def counters(self, rows: int) -> npt.NDArray[np.int64]:
        """Counters for `run`, to be zeroed before each run; the first one is what was spent."""
        return np.zeros(self._counters(rows), np.int64)

    def run(
        self, rows: int, which: range, arrays: Arrays, counters: int, allowance: int, thread: tuple[int, int]
    ) -> int:
        """Does rows, together with other threads that call it for the same rows, without the interpreter's lock.

        Args:
            rows: address of the rows of the whole program.
            which: those to do.
            arrays: of the run and this thread.
            counters: address of those of the run.
            allowance: nanoseconds, roughly: no block is begun when so much is spent.
            thread: number of this thread, and how many threads there may be.

        Returns:
            The first row that may not be done.
        """
        own, threads = thread
        program = _Program(self._kernels, rows, counters, allowance, threads)
        return int(self._run(ctypes.byref(program), ctypes.byref(arrays), which.start, which.stop, own))

    def call(self, row: Rows, memory: npt.NDArray[np.uint16], floats: np.ndarray, integers: np.ndarray) -> None:
        """Does one row at once on arrays of its own."""
        scratch, nothing = np.empty(self.scratch_bytes, np.uint8), np.empty(SLACK, np.uint16)
        arrays, counters = Arrays(*addresses(memory, nothing, nothing, floats, integers, scratch)), self.counters(1)
        self.run(row.ctypes.data, range(1), arrays, counters.ctypes.data, 1 << 62, (0, 1))

    def expand(self, body: npt.NDArray[np.uint8], result: npt.NDArray[np.uint16]) -> int:
        """Puts the zeros of a stream of [mask byte][stored fp16 words] back.

        Returns:
            The bytes used, or one more than there are when the masks ask for more.
        """
        body = np.ascontiguousarray(body)
        return int(self._expand(body.ctypes.data, body.size, result.ctypes.data, result.size))

    def narrow(self, values: npt.NDArray[np.float32], result: npt.NDArray[np.uint16]) -> bool:
        """Writes words of the nearest fp16 values, ties to even (IEEE 754); both arrays are contiguous.

        Returns:
            Whether all of them are finite.
        """
        return bool(self._narrow(self._number, values.ctypes.data, values.size, result.ctypes.data))


@cache
def library(instruction_set: str = "") -> Library:
    """The kernels for an instruction set; "" takes the best one of this processor.

    Raises:
        UnavailableError: there is no library, it does not load, or it was built from other sources.
        InputError: the processor does not have this instruction set.
    """
    loaded = _loaded()
    known = instruction_sets()
    if instruction_set and instruction_set not in known:
        raise InputError("no such instruction set on this processor", value=instruction_set, limit=", ".join(known))
    return Library(loaded, known.index(instruction_set) if instruction_set else 0)


def instruction_sets() -> Sequence[str]:
    """Instruction sets of this processor for which there are kernels, the best one first.

    Raises:
        UnavailableError: as `library`.
    """
    found: list[str] = []
    while (name := _loaded().openane_instruction_set(len(found))) is not None:
        found.append(name.decode())
    return found


@cache
def _loaded() -> ctypes.CDLL:
    return load(FOLDER)


def load(folder: Path) -> ctypes.CDLL:
    """The library in a folder, with its functions declared.

    Raises:
        UnavailableError: as `library`.
    """
    path = folder / NAME
    try:
        loaded = ctypes.CDLL(str(path))
    except OSError as error:
        problem = "does not load" if path.exists() else "is missing"
        raise UnavailableError(
            f"the library with the simulator's kernels {problem}", where=str(path), value=str(error), hint=_HINT
        ) from None
    for name, result, *arguments in _SIGNATURES:
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    _check_sources(loaded, path)
    return loaded


_SIGNATURES: tuple[Any, ...] = (
    ("openane_sources", ctypes.c_char_p),
    ("openane_row_fields", ctypes.c_char_p),
    ("openane_scratch_bytes", ctypes.c_int64),
    ("openane_instruction_set", ctypes.c_char_p, ctypes.c_int64),
    ("openane_kernels", ctypes.c_void_p, ctypes.c_int64),
    ("openane_counters", ctypes.c_int64, ctypes.c_int64),
    ("openane_expand", ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64),
    ("openane_narrow", ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p),
    ("openane_run", ctypes.c_int64, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 3),
)


def _check_sources(loaded: ctypes.CDLL, path: Path) -> None:
    """In a source tree: that the library belongs to the sources in its folder. Wheels have none."""
    sources = sorted(path.parent.glob("*.[ch]"))
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    built = loaded.openane_sources().decode().split()[-1]
    if sources and built != digest:
        raise UnavailableError(
            "the library with the simulator's kernels was built from other sources",
            where=str(path), value=built, limit=digest, hint=_HINT,
        )  # fmt: skip
