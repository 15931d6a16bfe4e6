"""The .anec container of the Linux driver's tools: a header of numbers, the task stream, the constants.

The header is packed: u64 size; u32 size of the first task, u32 number of tasks; u64 bytes of tasks, u64 bytes of
constants; u32 inputs, u32 outputs; u32 tiles[32]; u64 nchw[32][6] (N, C, H, W, plane stride, row stride), padded to
0x1000 bytes, or to 0x800 for the head of libane's repository. Tile i is the buffer of index i in the task headers, in
units of 0x4000 bytes: 0 tasks and constants, 2 and 3 intermediates, from 4 on first the outputs, then the inputs.

The container has no names and no element types: a file next to it has them (`anec_operands`). Without that file
surfaces read back are called output0, input0, ..., in the order of their buffers, and are fp16.

Source: libane's header and 12 published files; eiln's converter assumes outputs before inputs, which programs of
compilers since macOS 14 are not. Here the buffer numbers come from the program itself: either the task headers
are renumbered into that order (:func:`write_anec`, what libane needs), or surfaces stay at the index the program
uses (`keep_buffers`, for loaders that bind by tile index).

The successor of the library (omarchy-ane) takes roles from the task stream: a result is what a task writes by tile DMA,
an input what one reads by tile DMA, in the order of their buffers; inputs that only kernel DMA reads, such as one
operand of a matmul, come after the others. Inputs are numbered in that order, so that both readings agree.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from openane.core.errors import FormatError, InputError
from openane.core.files import is_stream, staged, write_atomically
from openane.core.reader import Buffer, Reader
from openane.core.types import DType
from openane.formats.anec_operands import AnecOperand, AnecOperands, operands_json, operands_path, read_operands
from openane.formats.image import Image
from openane.formats.source import Source, open_source
from openane.program import Program, Role, Surface, Task
from openane.program.buffers import BUFFERS

HEADER_SIZES = (0x1000, 0x800)
TILE_BYTES = 0x4000
TILE_COUNT = 32
#: The generation of every .anec file: the only one with a Linux driver.
CPU_SUBTYPE = 4
_FIXED = struct.Struct("<QIIQQII")
_TILES = struct.Struct(f"<{TILE_COUNT}I")
_NCHW = struct.Struct(f"<{TILE_COUNT * 6}Q")
USED_BYTES = _FIXED.size + _TILES.size + _NCHW.size
_STREAM_ALIGNMENT = 16
_SCRATCH, _SECOND_SCRATCH, _FIRST_SURFACE = BUFFERS.scratch, BUFFERS.second_scratch, BUFFERS.first_surface
_LARGEST_BUFFER = 1 << 32


@dataclass(frozen=True, slots=True)
class AnecHeader:
    """The numbers at the start.

    Attributes:
        body_bytes: tasks and constants together.
        first_task_bytes, task_count: of the task stream.
        text_bytes, constant_bytes: lengths.
        input_count, output_count: surfaces.
        tiles: size of each buffer in units of 0x4000 bytes.
        geometry: N, C, H, W, plane stride, row stride of each buffer.
    """

    body_bytes: int
    first_task_bytes: int
    task_count: int
    text_bytes: int
    constant_bytes: int
    input_count: int
    output_count: int
    tiles: tuple[int, ...]
    geometry: tuple[tuple[int, ...], ...]

    @property
    def constants_offset(self) -> int:
        """Where the constants begin after the header."""
        return _align(self.text_bytes, _STREAM_ALIGNMENT)

    def encode(self) -> bytes:
        """The header without its padding.

        Raises:
            struct.error: a number does not fit.
        """
        return (
            _FIXED.pack(
                self.body_bytes,
                self.first_task_bytes,
                self.task_count,
                self.text_bytes,
                self.constant_bytes,
                self.input_count,
                self.output_count,
            )
            + _TILES.pack(*self.tiles)
            + _NCHW.pack(*(number for each in self.geometry for number in each))
        )


@dataclass(frozen=True, slots=True)
class AnecFile:
    """An opened .anec file; nothing is copied.

    Attributes:
        reader: all bytes.
        header_bytes: where the tasks begin: 0x1000 or 0x800.
        header: the numbers.
        operands: names and types from the file next to it; None without one.
    """

    reader: Reader
    header_bytes: int
    header: AnecHeader
    operands: AnecOperands | None = None

    def __bytes__(self) -> bytes:
        """The file, unchanged."""
        return bytes(self.reader.data)

    def image(self) -> Image:
        """The program as bytes, with its surfaces.

        Raises:
            FormatError: geometry that makes no tensor.
        """
        header = self.header
        start = self.header_bytes + header.constants_offset
        return Image(
            where=self.reader.where,
            cpu_subtype=CPU_SUBTYPE,
            text=self.reader.bytes_at(self.header_bytes, header.text_bytes, "task stream"),
            constants=self.reader.bytes_at(start, header.constant_bytes, "constants"),
            surfaces=tuple(self._surfaces()),
            first_task_bytes=header.first_task_bytes,
            task_count=header.task_count,
            scratch_bytes=header.tiles[_SCRATCH] * TILE_BYTES,
            second_scratch_bytes=header.tiles[_SECOND_SCRATCH] * TILE_BYTES,
            dialect="linux",
            name="net" if self.operands is None else self.operands.network,
        )

    def _surfaces(self) -> Iterable[Surface]:
        roles = [Role.OUTPUT] * self.header.output_count + [Role.INPUT] * self.header.input_count
        count = {Role.INPUT: 0, Role.OUTPUT: 0}
        for buffer, role in enumerate(roles, _FIRST_SURFACE):
            known = self.operands.by_buffer.get(buffer) if self.operands is not None else None
            yield self._surface(known or AnecOperand(f"{role.value}{count[role]}", DType.FLOAT16), role, buffer)
            count[role] += 1

    def _surface(self, operand: AnecOperand, role: Role, buffer: int) -> Surface:
        n, c, h, w, plane, row = self.header.geometry[buffer]
        size = n * c * plane
        where = f"{self.reader.where}: buffer {buffer}"
        if min(n, c, h, w) < 1 or size > _LARGEST_BUFFER or (h - 1) * row + w * 2 > _LARGEST_BUFFER:
            raise FormatError(
                "the geometry makes no tensor", where=where, value=f"N {n} C {c} H {h} W {w}, plane {plane}, row {row}"
            )
        strides = (c * plane, c * plane, plane, row, operand.dtype.numpy.itemsize)
        return Surface(operand.name, role, (n, 1, c, h, w), strides, size, buffer, operand.dtype)


def looks_like_anec(data: Buffer) -> bool:
    """Whether bytes have the header of an .anec file: it has no magic number, but its sizes must agree."""
    reader = Reader(data)
    if len(reader) < HEADER_SIZES[1]:
        return False
    body, first, tasks, text, constants, inputs, outputs = _FIXED.unpack(reader.bytes_at(0, _FIXED.size))
    return (
        body == _align(text, _STREAM_ALIGNMENT) + constants
        and 0 < tasks <= text
        and 0 < first <= text
        and first % 4 == 0
        and inputs + outputs <= TILE_COUNT - _FIRST_SURFACE
    )


def read_anec(source: Source, name: str = "") -> AnecFile:
    """Opens an .anec file, with the names of FILE.anec.json if there is one; constants stay where they are.

    Args:
        source: a path, or the bytes.
        name: for messages; the file's name when empty.

    Raises:
        InputError: the file cannot be read.
        FormatError: it is not a .anec, its sizes do not fit, or the file with the names belongs to another .anec.
    """
    reader = open_source(source, name)
    head = reader.bytes_at(0, USED_BYTES, "header")
    body, first, count, text, constants, inputs, outputs = _FIXED.unpack_from(head, 0)
    if body != _align(text, _STREAM_ALIGNMENT) + constants:
        raise FormatError(
            "not an .anec file: the sizes in its header do not agree",
            where=reader.where,
            value=f"{body} bytes in all",
            limit=f"{text} bytes of tasks, {constants} bytes of constants",
        )
    if inputs + outputs > TILE_COUNT - _FIRST_SURFACE:
        raise FormatError(
            "too many surfaces",
            where=reader.where,
            value=f"{inputs} inputs, {outputs} outputs",
            limit=f"{TILE_COUNT - _FIRST_SURFACE} in all",
        )
    numbers = _NCHW.unpack_from(head, _FIXED.size + _TILES.size)
    header = AnecHeader(
        body_bytes=body,
        first_task_bytes=first,
        task_count=count,
        text_bytes=text,
        constant_bytes=constants,
        input_count=inputs,
        output_count=outputs,
        tiles=_TILES.unpack_from(head, _FIXED.size),
        geometry=tuple(numbers[i : i + 6] for i in range(0, len(numbers), 6)),
    )
    operands = read_operands(Path(source), reader.data) if isinstance(source, (str, Path)) else None
    return AnecFile(reader, _header_bytes(reader, body), header, operands)


def _header_bytes(reader: Reader, body: int) -> int:
    """The padded size of the header: the one with which the length of the file fits."""
    fitting = [size for size in HEADER_SIZES if size + body <= len(reader)]
    exact = [size for size in fitting if size + body == len(reader)]
    if exact:
        return exact[0]
    if not fitting:
        raise FormatError(
            "the file is shorter than its header says",
            where=reader.where,
            value=f"{len(reader)} bytes",
            limit=f"{HEADER_SIZES[1] + body} bytes",
            hint="The file is truncated.",
        )
    padding = bytes(reader.bytes_at(HEADER_SIZES[1], min(0x800, len(reader) - HEADER_SIZES[1])))
    return HEADER_SIZES[1] if any(padding) else fitting[0]


def write_anec(program: Program, *, keep_buffers: bool = False, header_bytes: int = HEADER_SIZES[0]) -> bytes:
    """The program as an .anec file.

    Args:
        program: for the generation of CPU_SUBTYPE, with a codec attached (`targets.attach`).
        keep_buffers: leave the buffer numbers of the program; else they are changed to outputs first, then inputs, as
            `libane_order` says.
        header_bytes: 0x1000 or 0x800; `anec_operands.LIBRARIES` says which library reads which.

    Raises:
        InputError: the program does not fit the container.
    """
    return b"".join(anec_pieces(program, keep_buffers=keep_buffers, header_bytes=header_bytes))


def anec_pieces(program: Program, *, keep_buffers: bool = False, header_bytes: int = HEADER_SIZES[0]) -> list[Buffer]:
    """The file as pieces in order; constants are the program's own bytes, not a copy. Arguments as `write_anec`.

    Raises:
        InputError: the program does not fit the container.
    """
    _check(program, header_bytes)
    if not keep_buffers:
        program = libane_order(program)
    text = program.encode_text()
    tiles = [0] * TILE_COUNT
    geometry = [(0,) * 6] * TILE_COUNT
    tiles[_SECOND_SCRATCH] = _tiles(program.second_scratch_bytes)
    tiles[_SCRATCH] = _tiles(program.scratch_bytes)
    for surface in program.surfaces:
        n, _, c, h, w = surface.shape
        tiles[surface.buffer] = _tiles(surface.size_bytes)
        geometry[surface.buffer] = (n, c, h, w, *surface.strides_bytes[2:4])
    stream = _align(len(text), _STREAM_ALIGNMENT)
    body = stream + len(program.constants)
    tiles[0] = _tiles(body)
    header = AnecHeader(
        body_bytes=body,
        first_task_bytes=program.tasks[0].size_bytes,
        task_count=len(program.tasks),
        text_bytes=len(text),
        constant_bytes=len(program.constants),
        input_count=len(program.inputs),
        output_count=len(program.outputs),
        tiles=tuple(tiles),
        geometry=tuple(geometry),
    )
    head = header.encode()
    return [head + bytes(header_bytes - len(head)), bytes(text) + bytes(stream - len(text)), program.constants]


def libane_order(program: Program) -> Program:
    """The program with outputs at buffer 4 and up, then inputs, as libane binds them.

    Outputs and inputs each keep the order of their numbers, except that inputs which no task reads by tile DMA come
    last, as libraries expect that take the roles from the task stream. A program that is already so is returned as it
    is.

    Raises:
        InputError: no codec is attached.
    """
    moved = {buffer for task in program.tasks for buffer in _moved(program, task)}
    by_role = sorted(
        program.surfaces,
        key=lambda each: (each.role is Role.INPUT, each.role is Role.INPUT and each.buffer not in moved, each.buffer),
    )
    buffers = {surface.buffer: index for index, surface in enumerate(by_role, _FIRST_SURFACE)}
    if all(old == new for old, new in buffers.items()):
        return program
    if program.codec is None:
        raise InputError("the program has no stream codec", hint="Attach it: openane.targets.attach(program).")
    tasks = tuple(program.codec.renumber(task, buffers) for task in program.tasks)
    surfaces = tuple(replace(surface, buffer=buffers[surface.buffer]) for surface in program.surfaces)
    return replace(program, tasks=tasks, surfaces=surfaces)


def _moved(program: Program, task: Task) -> frozenset[int]:
    return program.codec.tile_buffers(task) if program.codec is not None else frozenset()


def save_anec(program: Program, path: Path, *, header_bytes: int = HEADER_SIZES[0]) -> None:
    """Writes a program as .anec, and its operands to FILE.anec.json next to it; both whole or not at all.

    A device or pipe gets the .anec only.

    Args:
        program: as for `write_anec`.
        path: of the .anec file.
        header_bytes: as for `write_anec`.

    Raises:
        InputError: the program does not fit the container, or a file cannot be written.
    """
    _check(program, header_bytes)
    ordered = libane_order(program)
    save_with_operands(path, write_anec(ordered, keep_buffers=True, header_bytes=header_bytes), ordered)


def save_with_operands(path: Path, data: bytes, program: Program) -> None:
    """Writes the bytes of a .anec, and its operands next to it.

    Args:
        path: of the .anec file.
        data: its bytes.
        program: that it holds, with the same buffer numbers.

    Raises:
        InputError: a file cannot be written.
    """
    if is_stream(path):
        write_atomically(path, data)
        return
    with staged(path) as temporary:
        write_atomically(temporary, data)
        write_atomically(operands_path(temporary), operands_json(program, read_anec(data).header_bytes, data))


def _check(program: Program, header_bytes: int) -> None:
    if header_bytes not in HEADER_SIZES:
        raise InputError("not a header size", value=f"{header_bytes:#x}", limit="0x1000 or 0x800")
    if not program.tasks:
        raise InputError("a program without tasks has no file", where=program.name)
    if program.codec is not None and program.codec.cpu_subtype != CPU_SUBTYPE:
        raise InputError(
            "this container is for the chips of the Linux driver only",
            where=program.name,
            value=program.target,
            limit=f"cpu subtype {CPU_SUBTYPE}",
        )
    if len(program.surfaces) > TILE_COUNT - _FIRST_SURFACE:
        raise InputError(
            "too many surfaces",
            where=program.name,
            value=len(program.surfaces),
            limit=f"{TILE_COUNT - _FIRST_SURFACE} inputs and outputs",
        )
    for surface in program.surfaces:
        where = f"{program.name}: surface {surface.name}"
        if not _FIRST_SURFACE <= surface.buffer < TILE_COUNT:
            raise InputError("the buffer index cannot be used", where=where, value=surface.buffer, limit="4..31")
        if surface.shape[1] != 1:
            raise InputError("the container has no depth", where=where, value=surface.shape, limit="(N, 1, C, H, W)")


def _align(value: int, step: int) -> int:
    return -(-value // step) * step


def _tiles(size_bytes: int) -> int:
    return -(-size_bytes // TILE_BYTES)
