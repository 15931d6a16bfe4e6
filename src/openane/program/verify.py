"""Whether a program is whole: what can be checked without knowing the generation's engine."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, pairwise

from openane.core.errors import Diagnostic
from openane.program.program import Program, Surface

#: No more findings than this are reported.
MOST_FINDINGS = 20


def verify_program(program: Program) -> tuple[Diagnostic, ...]:
    """What is wrong or odd with a program; empty when nothing is.

    Args:
        program: with a codec attached (`targets.attach`), else only surfaces and places are checked.
    """
    return tuple(islice(_findings(program), MOST_FINDINGS))


def _findings(program: Program) -> Iterator[Diagnostic]:
    yield from _surfaces(program)
    yield from _places(program)
    if program.codec is not None:
        yield from _chain(program)
        yield from program.codec.verify(program)
    for index, task in enumerate(program.tasks):
        if task.map is not None:
            for each in task.map.validate(task.registers()):
                where = f"task {index}: {each.where}"
                yield replace(each, where=where)


def _surfaces(program: Program) -> Iterator[Diagnostic]:
    """Names and buffers are used once, and every element is inside its buffer."""
    names: set[str] = set()
    buffers: dict[int, str] = {}
    for surface in program.surfaces:
        where = f"surface {surface.name}"
        if surface.name in names:
            yield Diagnostic("two surfaces have one name", where)
        names.add(surface.name)
        if surface.buffer in buffers:
            yield Diagnostic("two surfaces share a buffer", where, value=f"buffer {surface.buffer}")
        buffers[surface.buffer] = surface.name
        reach = _reach(surface)
        if reach > surface.size_bytes:
            yield Diagnostic(
                "elements lie after the end", where, value=f"{reach} bytes", limit=f"{surface.size_bytes} bytes"
            )


def _reach(surface: Surface) -> int:
    steps = zip(surface.shape, surface.strides_bytes, strict=True)
    return sum((extent - 1) * stride for extent, stride in steps) + surface.strides_bytes[-1]


def _places(program: Program) -> Iterator[Diagnostic]:
    """Tasks do not overlap, and relocations are inside a task."""
    spans = sorted(
        (offset, offset + task.size_bytes) for task, offset in zip(program.tasks, program.task_offsets, strict=True)
    )
    for (_, end), (start, _) in pairwise(spans):
        if start < end:
            yield Diagnostic("tasks overlap", f"offset {start:#x}", limit=f"{end:#x} or later")
    starts = [start for start, _ in spans]
    for each in program.relocations:
        index = bisect_right(starts, each.offset) - 1
        if index < 0 or each.offset >= spans[index][1]:
            yield Diagnostic("a relocation is in no task", f"offset {each.offset:#x}")


def _chain(program: Program) -> Iterator[Diagnostic]:
    """Header fields that follow from the chain are what they should be."""
    codec = program.codec
    assert codec is not None
    header = codec.registers.header
    indices = {register.name: i for i, register in enumerate(header.registers)}
    for index, task in enumerate(program.tasks):
        for name, expected in codec.chain_fields(program.tasks, program.task_offsets, index).items():
            register, field = header.field_paths[name]
            found = field.get(task.header[indices[register.name]])
            if found != expected:
                yield Diagnostic(
                    f"{name} does not fit the chain of tasks",
                    f"task {index}: Header.{name}",
                    limit=field.show(expected),
                    value=field.show(found),
                )
