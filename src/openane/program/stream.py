"""How task descriptors lie in the text section: what every generation's stream codec offers."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from openane.core.errors import Diagnostic, InputError
from openane.core.reader import Buffer
from openane.program.registers import RegisterMap
from openane.program.summary import TaskSummary
from openane.program.task import Task

if TYPE_CHECKING:
    from openane.program.program import Program


@dataclass(frozen=True, slots=True)
class TaskStream:
    """Tasks found in a text section.

    Attributes:
        tasks: in execution order.
        offsets: byte offset of each in the section.
    """

    tasks: tuple[Task, ...]
    offsets: tuple[int, ...]


class StreamCodec(Protocol):
    """Reads and writes the task descriptors of one generation."""

    @property
    def registers(self) -> RegisterMap:
        """The declarations of the generation."""
        ...

    @property
    def cpu_subtype(self) -> int:
        """The generation in the header of .hwx files."""
        ...

    def read(
        self,
        text: Buffer,
        *,
        first_bytes: int | None = None,
        count: int | None = None,
        where: str = "text section",
    ) -> TaskStream:
        """The tasks of a text section.

        Args:
            text: the section, not copied.
            first_bytes: size of the first descriptor as the container tells it; None if it does not.
            count: number of tasks as the container tells it; None if it does not.
            where: for messages.

        Raises:
            FormatError: the text is not a chain of tasks.
        """
        ...

    def write(self, tasks: Sequence[Task], offsets: Sequence[int], size_bytes: int | None = None) -> bytearray:
        """The text section with each task at its offset and zeros between; the inverse of :meth:`read`.

        Raises:
            InputError: tasks overlap or leave the section.
        """
        ...

    def chain_fields(self, tasks: Sequence[Task], offsets: Sequence[int], index: int) -> Mapping[str, int]:
        """The header fields of task `index` that follow from its place in the chain, by field name."""
        ...

    def next_offset(self, end: int | None) -> int:
        """Where a task begins behind one that ends at `end` (None: the first), by the habit of Apple's compilers."""
        ...

    def summarize(self, task: Task) -> TaskSummary:
        """What a task does, for people."""
        ...

    def verify(self, program: Program) -> Iterable[Diagnostic]:
        """What is wrong with the tasks of a program, as far as the generation is known."""
        ...

    def renumber(self, task: Task, buffers: Mapping[int, int]) -> Task:
        """The task with its enabled buffer indices replaced as `buffers` tells; others stay."""
        ...


def place(tasks: Sequence[Sequence[int]], offsets: Sequence[int], size_bytes: int | None = None) -> bytearray:
    """Puts the words of tasks at their offsets, zeros between.

    Args:
        tasks: 32-bit words of each task.
        offsets: byte offset of each.
        size_bytes: length of the result; None ends it with the last task.

    Raises:
        InputError: tasks overlap or leave the section.
    """
    spans = [(start, start + 4 * len(words), words) for words, start in zip(tasks, offsets, strict=True)]
    size = max((end for _, end, _ in spans), default=0) if size_bytes is None else size_bytes
    result = bytearray(size)
    last = 0
    for start, end, words in sorted(spans, key=lambda span: span[0]):
        if start < last or end > size:
            raise InputError(
                "tasks overlap or leave the text section",
                value=f"{start:#x}..{end:#x}",
                limit=f"{last:#x}..{size:#x}",
            )
        struct.pack_into(f"<{len(words)}I", result, start, *words)
        last = end
    return result
