"""Disassembly: a compiled program as text that assembles to the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from itertools import groupby

from openane.core.errors import OpenaneError
from openane.core.reader import Buffer
from openane.formats.anec import AnecFile
from openane.formats.assembly.anec_text import anec_lines
from openane.formats.assembly.data import any_set, data_lines
from openane.formats.assembly.hwx_text import hwx_lines
from openane.formats.assembly.syntax import commented, indent, quote
from openane.formats.assembly.tasks import task_lines
from openane.formats.hwx.file import HwxFile
from openane.formats.image import Image
from openane.program import Program, Relocation, Surface
from openane.program.program import StreamCodec
from openane.program.stream import TaskStream

VERSION = 1
BUFFER_NAMES = {0: "tasks", 1: "constants", 2: "scratch 2", 3: "scratch"}

#: Gives the lines for the constants: a reference to another file, or None to have them inline.
ConstantLines = Callable[[Buffer], Sequence[str] | None]


class Parts(Enum):
    """How much of a file to write."""

    ALL = "all"  # assembles to the same bytes
    PROGRAM = "program"  # without the container; assembles to a new one


def inline(constants: Buffer) -> None:
    """The choice to write constants into the text."""


def disassemble_lines(
    file: HwxFile | AnecFile,
    target: str,
    codec: StreamCodec,
    *,
    parts: Parts = Parts.ALL,
    constants: ConstantLines = inline,
) -> Iterator[str]:
    """The lines of the text of a file, without line ends.

    Args:
        file: an opened .hwx or .anec.
        target: the generation by name.
        codec: of the generation.
        parts: the whole file, or only the program.
        constants: where the constants go.

    Raises:
        FormatError: the container is damaged. A damaged task stream is written as bytes.
    """
    image = file.image()
    stream, reason = _stream(image, codec)
    yield commented("", f"{image.where}: {image.notes.get('compiler', 'compiler unknown')}")
    yield from _head_lines(image, target)
    yield ""
    if stream is None:
        yield commented("", f"the tasks cannot be read: {reason}")
        yield f".raw_tasks size={len(image.text):#x}"
        yield from indent(data_lines(image.text))
    else:
        yield from _stream_lines(image, stream, codec)
        if parts is Parts.ALL:
            yield from _gap_lines(image.text, stream)
    yield from _tail_lines(image.relocations, image.constants, constants)
    if parts is Parts.ALL:
        yield ""
        yield "; The container, exactly. Without the part from here to .end the assembler makes a new one."
        yield from hwx_lines(file, image) if isinstance(file, HwxFile) else anec_lines(file, image)


def program_lines(program: Program, codec: StreamCodec, constants: ConstantLines = inline) -> Iterator[str]:
    """The lines of the text of a program that is in no file yet."""
    image = Image.of_program(program, codec.cpu_subtype)
    yield from _head_lines(image, program.target)
    yield ""
    yield from _stream_lines(image, TaskStream(program.tasks, program.task_offsets), codec)
    yield from _tail_lines(image.relocations, image.constants, constants)


def _stream(image: Image, codec: StreamCodec) -> tuple[TaskStream | None, str]:
    """The tasks, or None and the reason when they cannot be read."""
    try:
        stream = codec.read(
            image.text, first_bytes=image.first_task_bytes, count=image.task_count, where="text section"
        )
    except OpenaneError as error:
        return None, str(error)
    return stream, ""


def _gap_lines(text: memoryview, stream: TaskStream) -> Iterator[str]:
    """Bytes between and after the tasks that are not 0, which no program has been seen to have."""
    gaps = bytearray(text)
    for task, offset in zip(stream.tasks, stream.offsets, strict=True):
        gaps[offset : offset + task.size_bytes] = bytes(task.size_bytes)
    if any_set(gaps):
        yield f".gaps size={len(gaps):#x}"
        yield from indent(data_lines(gaps))


def _head_lines(image: Image, target: str) -> Iterator[str]:
    yield f".openane {VERSION}"
    yield f".target {target}"
    yield f".network {quote(image.name)}"
    yield f".dialect {image.dialect}"
    if image.scratch_bytes:
        yield f".scratch {image.scratch_bytes:#x}"
    if image.second_scratch_bytes:
        yield f".second_scratch {image.second_scratch_bytes:#x}"
    for surface in image.surfaces:
        yield _surface_line(surface)


def _surface_line(surface: Surface) -> str:
    interleave = f" interleave={surface.interleave}" if surface.interleave != 1 else ""
    return (
        f".surface {surface.role.value} {quote(surface.name)} buffer={surface.buffer}"
        f" shape={','.join(map(str, surface.shape))} strides={','.join(map(str, surface.strides_bytes))}"
        f" size={surface.size_bytes} dtype={surface.dtype.value}{interleave}"
    )


def _stream_lines(image: Image, stream: TaskStream, codec: StreamCodec) -> Iterator[str]:
    names = {**BUFFER_NAMES, **{surface.buffer: surface.name for surface in image.surfaces}}
    for index in range(len(stream.tasks)):
        yield from task_lines(codec, stream.tasks, stream.offsets, index, names)
        yield ""
    end = stream.offsets[-1] + stream.tasks[-1].size_bytes
    if len(image.text) != end:
        yield commented(f".text_size {len(image.text):#x}", "longer than the tasks")


def _tail_lines(relocations: Sequence[Relocation], constants: Buffer, choice: ConstantLines) -> Iterator[str]:
    for info, group in groupby(relocations, key=lambda each: each.info):
        yield " ".join([f".relocate {info:#x}", *(f"{each.offset:#x}" for each in group)])
    yield f".constants size={len(constants):#x}"
    lines = choice(constants)
    yield from indent(data_lines(constants) if lines is None else lines)
