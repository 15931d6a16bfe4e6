"""Changes to programs as people write them: "task[0].PE.Cfg.OpMode=mul"."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from openane.core.errors import InputError, OpenaneError
from openane.core.parsing import parse_integer
from openane.core.reader import Buffer
from openane.program.program import Program

_FORM = "task[0].PE.Cfg.OpMode=mul, task[2..5].Header.NID=1, task[*].0x8800=0x80004"
_EXPRESSION = re.compile(r"\s*tasks?\s*\[([^\]=]*)\]\s*\.([^=]*)=(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Patch:
    """One change.

    Attributes:
        text: as written.
        first, last: task indices, both included; `last` None means to the end.
        path: field or word, see `Task.set`.
        value: as text, for the field to understand.
    """

    text: str
    first: int
    last: int | None
    path: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Patch:
        """A patch from its text.

        Raises:
            InputError: it has not the form of a patch.
        """
        match = _EXPRESSION.fullmatch(text)
        tasks, path, value = (group.strip() for group in match.groups()) if match else ("", "", "")
        first, dots, last = tasks.partition("..")
        if not path or not value:
            raise InputError("not a patch", value=text, limit=_FORM)
        if tasks == "*":
            return cls(text, 0, None, path, value)
        try:
            numbers = [parse_integer(number.strip(), 10) for number in ((first, last) if dots else (first, first))]
        except ValueError:
            raise InputError("not a patch", value=text, limit=_FORM) from None
        return cls(text, numbers[0], numbers[1], path, value)


def apply_patches(program: Program, patches: Iterable[Patch]) -> Program:
    """The program with the changes made, one after the other.

    Args:
        program: with register names attached (`targets.attach`).
        patches: the changes.

    Raises:
        InputError: a task or name does not exist, or a value does not fit.
    """
    tasks = list(program.tasks)
    for patch in patches:
        last = len(tasks) - 1 if patch.last is None else patch.last
        if not 0 <= patch.first <= last < len(tasks):
            raise InputError("there is no such task", where=patch.text, limit=f"task[0] to task[{len(tasks) - 1}]")
        for index in range(patch.first, last + 1):
            try:
                tasks[index] = tasks[index].set(patch.path, patch.value)
            except OpenaneError as error:
                raise error.at(patch.text) from None
    return replace(program, tasks=tuple(tasks))


def patched_text(before: Program, after: Program, text: Buffer) -> bytearray:
    """The text section of a file with the changed tasks in place; everything between tasks stays.

    Args:
        before: the program as the file holds it.
        after: the same program with patched tasks of the same sizes.
        text: the section's bytes.

    Raises:
        InputError: no codec is attached, or a task changed its size.
    """
    result = bytearray(text)
    for index, offset in enumerate(after.task_offsets):
        task = after.tasks[index]
        if task == before.tasks[index]:
            continue
        if after.codec is None or task.size_bytes != before.tasks[index].size_bytes:
            raise InputError("a patched task must keep its size", where=f"task {index}")
        result[offset : offset + task.size_bytes] = after.codec.write([task], [0])
    return result
