"""Between containers and programs: which generation it is, and its tasks as words."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from openane.formats.image import Image
from openane.program import Program
from openane.targets.registry import generation, generation_of


class Container(Protocol):
    """An opened .hwx or .anec file."""

    def image(self) -> Image:
        """What the container holds."""
        ...


def load_program(source: Image | Container) -> Program:
    """The program in a container.

    Args:
        source: what `read_hwx` or `read_anec` gave, or its image. Constants are not copied.

    Raises:
        FormatError: the container or its task stream is damaged.
        UnsupportedError: the generation is not known.
    """
    image = source if isinstance(source, Image) else source.image()
    made_for = generation_of(image.cpu_subtype)
    stream = made_for.codec.read(
        image.text, first_bytes=image.first_task_bytes, count=image.task_count, where=f"{image.where}: text section"
    )
    return Program(
        target=made_for.name,
        tasks=stream.tasks,
        task_offsets=stream.offsets,
        surfaces=image.surfaces,
        constants=image.constants,
        scratch_bytes=image.scratch_bytes,
        name=image.name,
        dialect=image.dialect,
        relocations=image.relocations,
        notes=image.notes,
        second_scratch_bytes=image.second_scratch_bytes,
        codec=made_for.codec,
    )


def attach(program: Program) -> Program:
    """The same program knowing the codec and the register names of its generation.

    Raises:
        InputError: the program's target does not exist.
    """
    codec = generation(program.target).codec
    if program.codec is codec and all(task.map is codec.registers for task in program.tasks):
        return program
    tasks = tuple(replace(task, map=codec.registers) for task in program.tasks)
    return replace(program, tasks=tasks, codec=codec)


def encode_text(program: Program, size_bytes: int | None = None) -> bytes:
    """The text section of a program: every task at its offset, zeros between.

    Args:
        program: of any generation that can be written.
        size_bytes: length of the section; None ends it with the last task.

    Raises:
        InputError: the program's target does not exist, or its tasks overlap or do not fit.
    """
    return bytes(generation(program.target).codec.write(program.tasks, program.task_offsets, size_bytes))
