"""What every container of ANE programs holds, before anything is known about the chip generation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from openane.program import Program, Relocation, Surface


@dataclass(frozen=True, slots=True)
class Image:
    """A program as bytes, with what its container says about it.

    Attributes:
        where: what was read, for messages ("a.hwx").
        cpu_subtype: the chip generation in Apple's numbering (`targets.registry`).
        text: the task stream, a view of the file.
        constants: the constant (kernel) section, a view of the file.
        surfaces: inputs and outputs, in the order of the file.
        first_task_bytes: size of the first task descriptor, None if the container does not tell it.
        task_count: number of tasks, None if the container does not tell it.
        scratch_bytes: size of the intermediate buffer.
        second_scratch_bytes: size of a second intermediate buffer.
        name: of the network.
        dialect: whose layout habits the file follows.
        relocations: of the text section.
        notes: compiler version and other facts for people.
    """

    where: str
    cpu_subtype: int
    text: memoryview
    constants: memoryview
    surfaces: tuple[Surface, ...]
    first_task_bytes: int | None = None
    task_count: int | None = None
    scratch_bytes: int = 0
    second_scratch_bytes: int = 0
    name: str = "net"
    dialect: str = "macos-26"
    relocations: tuple[Relocation, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_program(cls, program: Program, cpu_subtype: int) -> Image:
        """A program that is in no file yet."""
        return cls(
            where=program.name,
            cpu_subtype=cpu_subtype,
            text=memoryview(program.encode_text()),
            constants=memoryview(program.constants),
            surfaces=program.surfaces,
            scratch_bytes=program.scratch_bytes,
            second_scratch_bytes=program.second_scratch_bytes,
            name=program.name,
            dialect=program.dialect,
            relocations=program.relocations,
            notes=program.notes,
        )
