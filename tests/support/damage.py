"""Damaged files, and everything that openane does with bytes that may be a compiled program or assembly text."""

from __future__ import annotations

import random
import struct
from contextlib import suppress

from openane.analysis.describe import describe
from openane.analysis.diff import diff_programs
from openane.core.errors import OpenaneError
from openane.formats.anec import read_anec, write_anec
from openane.formats.hwx import HwxFile, read_hwx, write_hwx
from openane.formats.sniff import sniff
from openane.targets import load_program
from openane.targets.assembly import assemble, disassemble, open_container

#: Numbers that break readers.
HOSTILE = (
    0,
    1,
    3,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x4000,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    1 << 63,
    (1 << 64) - 1,
)


def exercise(data: bytes) -> None:
    """Every reader; a reader may refuse with an OpenaneError that says something, and nothing else."""
    for use in (sniff, _use_hwx, _use_anec, _use_container, _use_text):
        try:
            use(data)
        except OpenaneError as error:
            assert str(error)


def _use_hwx(data: bytes) -> None:
    file = read_hwx(data)
    for part in ("segments", "names", "surface_states", "metadata", "symbols"):
        with suppress(OpenaneError):
            getattr(file, part)
    program = load_program(file)
    again = load_program(read_hwx(write_hwx(program)))
    assert (again.tasks, again.surfaces) == (program.tasks, program.surfaces)


def _use_anec(data: bytes) -> None:
    program = load_program(read_anec(data))
    assert load_program(read_anec(write_anec(program))).tasks == program.tasks


def _use_container(data: bytes) -> None:
    file = open_container(data)
    if file is None:
        return
    describe(file)
    kind = "hwx" if isinstance(file, HwxFile) else "anec"
    assert b"".join(assemble(disassemble(file)).file(kind)) == data
    program = load_program(file)
    assert diff_programs(program, program, (file, file)).same


def _use_text(data: bytes) -> None:
    if len(data) < 1 << 16:
        assemble(data.decode("utf-8", "replace"))


def mutate(data: bytes, source: random.Random) -> bytes:
    """One to eight random changes, most of them near the start, where headers are."""
    result = bytearray(data)
    for _ in range(source.choice((1, 1, 1, 2, 3, 8))):
        limit = len(result) if source.random() < 0.3 else min(len(result), 0x6000)
        place = source.randrange(max(limit, 1))
        change = source.randrange(5)
        if not result:
            break
        if change == 0:
            result[place] ^= 1 << source.randrange(8)
        elif change == 1:
            code = source.choice(("<I", "<Q", "<H"))
            packed = struct.pack(code, source.choice(HOSTILE) & (1 << 8 * struct.calcsize(code)) - 1)
            place &= ~3
            result[place : place + len(packed)] = packed[: len(result) - place]
        elif change == 2:
            del result[place:]
        elif change == 3:
            del result[place : place + source.choice((1, 2, 4, 8, 64))]
        else:
            origin = source.randrange(max(limit, 1))
            result[place : place + 40] = result[origin : origin + 40]
    return bytes(result)
