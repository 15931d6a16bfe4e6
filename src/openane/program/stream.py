"""Where task descriptors are in the text section."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from openane.core.errors import InputError
from openane.program.task import Task


@dataclass(frozen=True, slots=True)
class TaskStream:
    """Tasks found in a text section.

    Attributes:
        tasks: in execution order.
        offsets: byte offset of each in the section.
    """

    tasks: tuple[Task, ...]
    offsets: tuple[int, ...]


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
