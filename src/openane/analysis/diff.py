"""What differs between two compiled programs: tasks aligned, fields by name and meaning, constants by range."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from difflib import SequenceMatcher

import numpy as np

from openane.core.reader import Buffer
from openane.formats.anec import AnecFile
from openane.formats.assembly.anec_text import anec_lines
from openane.formats.assembly.hwx_text import hwx_lines
from openane.formats.assembly.write import BUFFER_NAMES
from openane.formats.hwx import HwxFile
from openane.program import Program, RegisterMap, Surface, Task
from openane.program.fields import Register
from openane.targets import attach

Container = HwxFile | AnecFile

_KINDS = {HwxFile: ".hwx", AnecFile: ".anec"}
_CHUNK_BYTES = 1 << 20
#: Differing bytes closer than this are one range.
_JOIN_BYTES = 64
_LARGEST_ALIGNMENT = 4_000_000
_MOST_RANGES = 1000


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """A field or word with two values; None where a side does not have it.

    Attributes:
        path: "PE.Cfg.OpMode".
        meaning: from the declaration.
        first, second: values as text.
    """

    path: str
    meaning: str
    first: str | None
    second: str | None


@dataclass(frozen=True, slots=True)
class TaskDifference:
    """Two aligned tasks that differ, or one that only a side has.

    Attributes:
        first, second: index on either side, None when the task is missing there.
        first_summary, second_summary: what the task does.
        fields: what differs; empty for a missing task.
    """

    first: int | None
    second: int | None
    first_summary: str
    second_summary: str
    fields: tuple[FieldDifference, ...] = ()


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes that differ: from `start` to before `end`, `count` of them."""

    start: int
    end: int
    count: int


@dataclass(frozen=True, slots=True)
class ProgramDifference:
    """Everything that differs.

    Attributes:
        same: whether nothing does, bytes of the containers included.
        program: names and sizes that differ, as (what, first, second).
        surfaces: inputs and outputs that differ.
        tasks: tasks that differ or are missing.
        equal_tasks: number of aligned tasks without a difference.
        constant_sizes: lengths of the constant sections.
        constants: ranges that differ in their common length, at most 1000.
        container: lines of the container's text on the first (-) and second (+) side.
    """

    same: bool
    program: tuple[FieldDifference, ...]
    surfaces: tuple[FieldDifference, ...]
    tasks: tuple[TaskDifference, ...]
    equal_tasks: int
    constant_sizes: tuple[int, int]
    constants: tuple[ByteRange, ...]
    container: tuple[str, ...]


def diff_programs(
    first: Program, second: Program, containers: tuple[Container | None, Container | None] = (None, None)
) -> ProgramDifference:
    """Compares two programs and, where both come from files, the files around them.

    Args:
        first, second: of any generation.
        containers: the files they were read from.

    Raises:
        InputError: a program's target does not exist.
    """
    first, second = attach(first), attach(second)
    tasks, equal = _diff_tasks(first, second)
    sizes = (len(first.constants), len(second.constants))
    constants = tuple(_ranges(first.constants, second.constants))
    program = tuple(_diff_program(first, second))
    surfaces = tuple(_diff_surfaces(first, second))
    container = tuple(_diff_containers(*containers))
    same = not (program or surfaces or tasks or constants or container) and sizes[0] == sizes[1]
    return ProgramDifference(same, program, surfaces, tasks, equal, sizes, constants, container)


# Whole program -----------------------------------------------------------------------------------------------------

_PROGRAM_PARTS = (
    ("target", "chip generation"),
    ("name", "name of the network"),
    ("dialect", "layout habits"),
    ("scratch_bytes", "size of the intermediate buffer"),
    ("second_scratch_bytes", "size of a second intermediate buffer"),
    ("task_offsets", "where tasks begin"),
    ("relocations", "places of kernel addresses"),
)


def _diff_program(first: Program, second: Program) -> Iterator[FieldDifference]:
    for name, meaning in _PROGRAM_PARTS:
        one, two = getattr(first, name), getattr(second, name)
        if one != two:
            yield FieldDifference(name, meaning, _short(one), _short(two))


def _short(value: object) -> str:
    if isinstance(value, tuple):
        return f"{len(value)} of them"
    return str(value)


def _diff_surfaces(first: Program, second: Program) -> Iterator[FieldDifference]:
    ones = {surface.name: surface for surface in first.surfaces}
    twos = {surface.name: surface for surface in second.surfaces}
    if ones.keys().isdisjoint(twos):
        # One side has no names (.anec): buffers of the same direction and number are the same surface.
        keys = {(surface.role, surface.buffer): surface.name for surface in first.surfaces}
        twos = {keys.get((each.role, each.buffer), each.name): each for each in second.surfaces}
    for name in dict.fromkeys((*ones, *twos)):
        one, two = ones.get(name), twos.get(name)
        if one is None or two is None:
            yield FieldDifference(name, "surface", _surface_text(one), _surface_text(two))
        elif one != two:
            for each in fields(Surface):
                values = (getattr(one, each.name), getattr(two, each.name))
                if values[0] != values[1]:
                    yield FieldDifference(f"{name}.{each.name}", "surface", str(values[0]), str(values[1]))
    if first.surfaces != second.surfaces and ones == twos:
        yield FieldDifference("order", "order of the surfaces", ", ".join(ones), ", ".join(twos))


def _surface_text(surface: Surface | None) -> str | None:
    if surface is None:
        return None
    return f"{surface.role.value} {surface.shape} in buffer {surface.buffer}"


# Tasks -------------------------------------------------------------------------------------------------------------


def _diff_tasks(first: Program, second: Program) -> tuple[tuple[TaskDifference, ...], int]:
    """Tasks that differ, and how many do not."""
    found = []
    equal = 0
    for one, two in _align(first, second):
        if one is not None and two is not None:
            changes = tuple(_diff_task(first, first.tasks[one], second.tasks[two]))
            if not changes:
                equal += 1
                continue
        else:
            changes = ()
        found.append(TaskDifference(one, two, _summary(first, one), _summary(second, two), changes))
    return tuple(found), equal


def _summary(program: Program, index: int | None) -> str:
    if index is None or program.codec is None:
        return ""
    names = {**BUFFER_NAMES, **{surface.buffer: surface.name for surface in program.surfaces}}
    return program.codec.summarize(program.tasks[index]).text(names)


def _align(first: Program, second: Program) -> Iterator[tuple[int | None, int | None]]:
    """Pairs of task indices; common ends are paired first, the middle by what the tasks do."""
    ones, twos = first.tasks, second.tasks
    start = 0
    while start < min(len(ones), len(twos)) and _body(ones[start]) == _body(twos[start]):
        start += 1
    end = 0
    while end < min(len(ones), len(twos)) - start and _body(ones[-1 - end]) == _body(twos[-1 - end]):
        end += 1
    yield from ((i, i) for i in range(start))
    middle = (range(start, len(ones) - end), range(start, len(twos) - end))
    yield from _align_middle(first, second, *middle)
    yield from ((len(ones) - i, len(twos) - i) for i in range(end, 0, -1))


def _body(task: Task) -> tuple[object, ...]:
    return task.bursts


def _align_middle(first: Program, second: Program, ones: range, twos: range) -> Iterator[tuple[int | None, int | None]]:
    if len(ones) == len(twos) or len(ones) * len(twos) > _LARGEST_ALIGNMENT:
        blocks = [("replace", 0, len(ones), 0, len(twos))]
    else:
        keys = ([_signature(first, i) for i in ones], [_signature(second, i) for i in twos])
        blocks = list(SequenceMatcher(None, *keys, autojunk=False).get_opcodes())
    for _, a, b, c, d in blocks:
        left: list[int | None] = [*ones[a:b]]
        right: list[int | None] = [*twos[c:d]]
        length = max(len(left), len(right))
        left += [None] * (length - len(left))
        right += [None] * (length - len(right))
        yield from zip(left, right, strict=True)


def _signature(program: Program, index: int) -> tuple[object, ...]:
    assert program.codec is not None
    summary = program.codec.summarize(program.tasks[index])
    return (summary.engine, summary.operation, summary.source_shape, summary.result_shape)


def _diff_task(program: Program, first: Task, second: Task) -> Iterator[FieldDifference]:
    assert program.codec is not None
    registers = program.codec.registers
    for register, one, two in zip(registers.header.registers, first.header, second.header, strict=False):
        yield from _diff_word(register, one, two)
    if first.extra != second.extra:
        yield FieldDifference("Extra", "header words beyond the fixed ones", _words(first.extra), _words(second.extra))
    yield from _diff_registers(registers, first, second)
    shapes = [[(b.address, len(b.words), b.tag, b.mask) for b in task.bursts] for task in (first, second)]
    if shapes[0] != shapes[1]:
        texts = [", ".join(f"{shape[0]:#x}:{shape[1]}" for shape in each) for each in shapes]
        yield FieldDifference("bursts", "how register writes are grouped", *texts)


def _words(words: Sequence[int]) -> str:
    return " ".join(f"{word:#x}" for word in words) or "none"


def _diff_registers(registers: RegisterMap, first: Task, second: Task) -> Iterator[FieldDifference]:
    ones, twos = first.registers(), second.registers()
    for address in dict.fromkeys((*ones, *twos)):
        register = registers.register_at(address)
        if address in ones and address in twos:
            yield from _diff_word(register, ones[address], twos[address])
        else:
            texts = [f"{words[address]:#x}" if address in words else None for words in (ones, twos)]
            yield FieldDifference(register.path, register.meaning, *texts)


def _diff_word(register: Register, one: int, two: int) -> Iterator[FieldDifference]:
    if one == two:
        return
    for field in register.fields:
        values = (field.get(one), field.get(two))
        if values[0] != values[1]:
            meaning = ": ".join(filter(None, (register.meaning, field.meaning)))
            yield FieldDifference(f"{register.path}.{field.name}", meaning, *(field.show(value) for value in values))


# Bytes -------------------------------------------------------------------------------------------------------------


def _ranges(first: Buffer, second: Buffer) -> Iterator[ByteRange]:
    """Where the common length differs; ranges with a small distance are joined."""
    start = end = count = -1
    found = 0
    for position in _differing(first, second):
        if start >= 0 and position - end < _JOIN_BYTES:
            end, count = position + 1, count + 1
            continue
        if start >= 0:
            yield ByteRange(start, end, count)
            found += 1
            if found == _MOST_RANGES:
                return
        start, end, count = position, position + 1, 1
    if start >= 0:
        yield ByteRange(start, end, count)


def _differing(first: Buffer, second: Buffer) -> Iterator[int]:
    length = min(len(first), len(second))
    for offset in range(0, length, _CHUNK_BYTES):
        size = min(_CHUNK_BYTES, length - offset)
        one, two = (np.frombuffer(data, np.uint8, size, offset) for data in (first, second))
        if not np.array_equal(one, two):
            yield from (np.flatnonzero(one != two) + offset).tolist()


def _diff_containers(first: Container | None, second: Container | None) -> Iterator[str]:
    if first is None or second is None:
        return
    if type(first) is not type(second):
        yield from (f"{sign} {_KINDS[type(each)]}" for sign, each in (("-", first), ("+", second)))
        return
    ones, twos = list(_container_lines(first)), list(_container_lines(second))
    for kind, a, b, c, d in SequenceMatcher(None, ones, twos, autojunk=False).get_opcodes():
        if kind != "equal":
            yield from (f"- {line.strip()}" for line in ones[a:b])
            yield from (f"+ {line.strip()}" for line in twos[c:d])


def _container_lines(file: Container) -> Iterator[str]:
    image = file.image()
    return hwx_lines(file, image) if isinstance(file, HwxFile) else anec_lines(file, image)
