"""Compiled programs of untrusted sources: how tools/fuzz_readers.py reads, disassembles, assembles and runs them."""

from __future__ import annotations

import hashlib
import random
import zlib
from contextlib import suppress
from pathlib import Path

from fuzz_changes import INTERESTING
from fuzz_inputs import files

from openane.analysis.describe import describe
from openane.analysis.diff import diff_programs
from openane.compiler.driver import build
from openane.compiler.generated_inputs import made_up_input
from openane.core.errors import OpenaneError
from openane.formats.anec import read_anec, write_anec
from openane.formats.hwx import read_hwx, write_hwx
from openane.formats.sniff import FileKind, kind_of_bytes, sniff
from openane.formats.source import open_source
from openane.runtimes.execution import Execution
from openane.runtimes.runtime import SessionOptions
from openane.targets import load_program
from openane.targets.assembly import assemble, disassemble, open_container
from openane.targets.target import RunOptions

INCLUDED = "constants.bin"
"""A file next to assembly texts."""


def use_sniff(data: bytes, _: Path) -> None:
    """What a file is."""
    if data:
        kind_of_bytes(open_source(data))
    sniff(data)


def sometimes(data: bytes, every: int) -> bool:
    """True for one in so many inputs, always for the same ones."""
    return zlib.crc32(data) % every == 0


def use_hwx(data: bytes, _: Path) -> None:
    """A container of Apple; what it reports is read, and written again."""
    file = read_hwx(data)
    for part in ("segments", "names", "surface_states", "metadata", "symbols"):
        with suppress(OpenaneError):
            getattr(file, part)
    program = load_program(file)
    if sometimes(data, 4):
        again = load_program(read_hwx(write_hwx(program)))
        assert again.tasks == program.tasks and again.surfaces == program.surfaces


def use_anec(data: bytes, _: Path) -> None:
    """A container of the Linux tools; written again it holds the same tasks."""
    program = load_program(read_anec(data))
    assert load_program(read_anec(write_anec(program))).tasks == program.tasks


def use_container(data: bytes, _: Path) -> None:
    """What the verbs that show a program do with one."""
    file = open_container(data)
    if file is None:
        return
    describe(file)
    text = disassemble(file)
    kind = "hwx" if sniff(data) is FileKind.HWX else "anec"
    assert b"".join(assemble(text).file(kind)) == data, "the disassembly does not assemble to the same bytes"
    program = load_program(file)
    assert diff_programs(program, program, (file, file)).same


def use_assembly(data: bytes, folder: Path) -> None:
    """A text that may include what is next to it."""
    (folder / INCLUDED).write_bytes(bytes(64))
    assemble(data.decode("utf-8", "replace"), "text", folder)


def assembly_seeds() -> list[bytes]:
    """The disassembly of each container, with its constants in the text and in a file next to it."""
    texts = [content for name, content in files().items() if name.endswith(".asm")]
    name, digest = INCLUDED.encode(), hashlib.sha256(bytes(64)).hexdigest().encode()
    line = b'.constants size=64\n incbin "%b" offset=0 size=64 sha256=%b\n' % (name, digest)
    return [*texts, *(text.partition(b".constants")[0] + line for text in texts)]


# Running what was compiled elsewhere ---------------------------------------------------------------------------------


def use_simulator(data: bytes, _: Path) -> None:
    """A program from an untrusted source runs: every address and register comes from the file."""
    artifact = build(load_program(read_hwx(data)))
    with Execution(artifact, "simulator", _SIMULATION) as execution:
        execution.run({name: made_up_input(name, kind) for name, kind in artifact.plan.inputs.items()})


_SIMULATION = SessionOptions(
    memory_limit_bytes=1 << 26,
    simulation=RunOptions(threads=1, memory_limit_bytes=1 << 26, time_limit_seconds=0.25, permissive=True),
)


def change_tasks(data: bytes, source: random.Random) -> bytes:
    """Words of the task descriptors changed, mostly a little: what the container says stays true."""
    file = read_hwx(data)
    text = file.image().text
    start, result = file.offset_of(text), bytearray(data)
    for _ in range(source.choice((1, 1, 2, 4))):
        at = start + source.randrange(len(text)) // 4 * 4
        word = int.from_bytes(result[at : at + 4], "little")
        near = (word ^ 1 << source.randrange(32), word + source.choice((-64, -1, 1, 64)), word << 1, word >> 1)
        value = source.choice((*near, source.choice(INTERESTING)))
        result[at : at + 4] = (value & 0xFFFFFFFF).to_bytes(4, "little")
    return bytes(result)
