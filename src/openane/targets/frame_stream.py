"""Task streams of frames that follow each other, with dense and sparse commands (H14 and later).

A frame is its header words (word 0 holds the size of the frame in words), an optional extra word, then commands:

- dense: bits 14:0 the word index of the first register, 20:15 the number of values minus 1, 30:21 a tag, bit 31 clear;
- sparse: bit 31 set, bits 14:0 a word index that is always written, 30:15 a mask of the 16 registers after it.

Frames begin at multiples of 16 bytes; a frame of size 0 is 16 bytes of padding. The text begins with such a frame: four
zeros from the macOS 26 compiler, 1, 0, 0, 0 from the macOS 27 compiler. Source: 32 records of Apple's compiler for H14,
H16 and H17 decode this way and encode to the same bytes; H15 and H18 are unverified.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from openane.core.errors import Diagnostic, FormatError, InputError, UnsupportedError
from openane.core.reader import Buffer, Reader
from openane.program.program import Program
from openane.program.registers import RegisterMap
from openane.program.stream import TaskStream, place
from openane.program.summary import TaskSummary
from openane.program.task import Burst, Task

FRAME_BYTES = 16
_SIZE_LSB, _SIZE_MASK = 16, 0x7FF
_ADDRESS_MASK = 0x7FFF
_COUNT_LSB, _COUNT_MASK = 15, 0x3F
_TAG_LSB, _TAG_MASK = 21, 0x3FF
_MASK_LSB, _MASK_MASK = 15, 0xFFFF
_SPARSE = 1 << 31


@dataclass(frozen=True)
class FrameStream:
    """The stream codec of one generation.

    Attributes:
        registers: its declarations.
        cpu_subtype: its number in .hwx headers.
        writes_files: whether the descriptors are known well enough to write new files.
    """

    registers: RegisterMap
    cpu_subtype: int
    writes_files: bool = False

    def read(
        self,
        text: Buffer,
        *,
        first_bytes: int | None = None,
        count: int | None = None,
        where: str = "text section",
    ) -> TaskStream:
        """The tasks of a text section, one frame after the other.

        Args:
            text: the section.
            first_bytes: not needed, frames tell their size.
            count: the number of tasks that the container promises.
            where: for messages.

        Raises:
            FormatError: a frame or command that runs over its end, another number of tasks.
        """
        reader = Reader(text, where)
        tasks: list[Task] = []
        offsets: list[int] = []
        offset = 0
        while offset + 4 <= len(reader) and (count is None or len(tasks) < count):
            size = reader.u32(offset) >> _SIZE_LSB & _SIZE_MASK
            if size:
                words = reader.unpack(f"{size}I", offset, "task")
                tasks.append(self.parse(words, f"{where}: task {len(tasks)} at {offset:#x}"))
                offsets.append(offset)
            offset = _aligned(offset + 4 * size) if size else offset + FRAME_BYTES
        if not tasks or (count is not None and count != len(tasks)):
            raise FormatError(
                "the text has another number of tasks than the container says",
                where=where,
                value=f"{len(tasks)} tasks",
                limit=f"{count} tasks" if count is not None else "at least one task",
            )
        return TaskStream(tuple(tasks), tuple(offsets))

    def parse(self, words: Sequence[int], where: str) -> Task:
        """The task that the words of one whole frame are.

        Raises:
            FormatError: too short, or a command runs over the end.
        """
        header = self.registers.header
        fixed = len(header.registers)
        if len(words) < fixed:
            raise FormatError("the task is shorter than its header", where=where, value=f"{len(words)} words")
        register, field = header.field_paths["TDE"]
        start = fixed + field.get(words[header.registers.index(register)])
        bursts = []
        position = min(start, len(words))
        while position < len(words):
            burst = _burst(words[position], words[position + 1 :])
            if burst is None:
                raise FormatError(
                    "a command runs over the end of its task",
                    where=f"{where}: word {position}",
                    value=f"{words[position]:#x}",
                    limit=f"{len(words) - position - 1} words left",
                )
            bursts.append(burst)
            position += 1 + len(burst.words)
        return Task(tuple(words[:fixed]), tuple(bursts), tuple(words[fixed:start]), map=self.registers)

    def write(self, tasks: Sequence[Task], offsets: Sequence[int], size_bytes: int | None = None) -> bytearray:
        """The text section with each task at its offset and zeros between.

        Raises:
            InputError: tasks overlap or leave the section, or a command does not fit.
        """
        return place([_words(task) for task in tasks], offsets, size_bytes)

    def chain_fields(self, tasks: Sequence[Task], offsets: Sequence[int], index: int) -> Mapping[str, int]:
        """Number and size of the task."""
        return {"TID": index & 0xFFFF, "TaskSize": tasks[index].size_words & _SIZE_MASK}

    def next_offset(self, end: int | None) -> int:
        """Where a task begins after one that ends at `end`; None for the first task."""
        return FRAME_BYTES if end is None else _aligned(end)

    def summarize(self, task: Task) -> TaskSummary:
        """The blocks that the task writes; what they mean together is not known well enough to say more."""
        blocks = dict.fromkeys(self.registers.register_at(burst.address).block or "?" for burst in task.bursts)
        return TaskSummary("", f"writes {', '.join(blocks)}" if blocks else "writes nothing")

    def evidence_of(self, task: Task) -> None:
        """Nothing: no program of these generations is compiled here."""
        del task
        return

    def verify(self, program: Program) -> tuple[Diagnostic, ...]:
        """Nothing is known that could be wrong beyond the form."""
        return ()

    def renumber(self, task: Task, buffers: Mapping[int, int]) -> Task:
        """Not known for these generations.

        Raises:
            UnsupportedError: always.
        """
        raise UnsupportedError(f"how tasks of {self.registers.name} name their buffers is not known")

    def tile_buffers(self, task: Task) -> frozenset[int]:
        """Not known for these generations.

        Raises:
            UnsupportedError: always.
        """
        raise UnsupportedError(f"how tasks of {self.registers.name} name their buffers is not known")


def _aligned(offset: int) -> int:
    return -(-offset // FRAME_BYTES) * FRAME_BYTES


def _burst(command: int, following: Sequence[int]) -> Burst | None:
    """The burst of a command; None when its values run over the end."""
    address = 4 * (command & _ADDRESS_MASK)
    if command & _SPARSE:
        mask = command >> _MASK_LSB & _MASK_MASK
        count, tag = 1 + mask.bit_count(), 0
    else:
        mask = None
        count, tag = 1 + (command >> _COUNT_LSB & _COUNT_MASK), command >> _TAG_LSB & _TAG_MASK
    return Burst(address, tuple(following[:count]), tag, mask) if count <= len(following) else None


def _words(task: Task) -> list[int]:
    words = [*task.header, *task.extra]
    for burst in task.bursts:
        words.append(_command(burst))
        words.extend(burst.words)
    return words


def _command(burst: Burst) -> int:
    count = len(burst.words)
    fits = not burst.address % 4 and 0 <= burst.address // 4 <= _ADDRESS_MASK
    if burst.mask is None:
        fits = fits and 0 < count <= _COUNT_MASK + 1 and 0 <= burst.tag <= _TAG_MASK
        command = burst.tag << _TAG_LSB | count - 1 << _COUNT_LSB | burst.address // 4
    else:
        fits = fits and 0 <= burst.mask <= _MASK_MASK and count == 1 + burst.mask.bit_count() and not burst.tag
        command = _SPARSE | burst.mask << _MASK_LSB | burst.address // 4
    if not fits:
        raise InputError("the burst does not fit its command word", where=f"burst at {burst.address:#x}", value=count)
    return command
