"""The H13 task stream: header words, an optional extra word, then bursts of register writes.

A burst is a command word (bits 31:26 the number of values minus 1, bits 25:0 the byte address of the first register)
and its values. A descriptor has no terminator: its size stands in the header of the task before it, the first one's
in the container. Tasks are linked by byte offsets from the start of the text; 0 ends the chain.
Source: every program seen parses exactly to its end this way (h13-semantics 1.2).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from openane.core.errors import FormatError, InputError
from openane.core.reader import Buffer, Reader
from openane.program.fields import RegisterMap
from openane.program.stream import TaskStream, place
from openane.program.summary import TaskSummary
from openane.program.task import Burst, Task
from openane.targets.h13.registers import HEADER_WORDS, REGISTERS
from openane.targets.h13.summary import summarize

TASK_ALIGNMENT_BYTES = 0x100
_COUNT_LSB = 26
_ADDRESS_MASK = (1 << _COUNT_LSB) - 1
_LARGEST_BURST = 64
_HEADER = REGISTERS.header
_EXTRA_WORD = _HEADER["Control"]["TDE"]
_NEXT_SIZE = _HEADER["Next"]["NextSize"]
_CONTROL_INDEX, _NEXT_INDEX, _LINK_INDEX = (
    _HEADER.registers.index(_HEADER[name]) for name in ("Control", "Next", "NextPointer")
)
#: (header word, buffer index, its enable bit) of everything but the link to the next task.
_BUFFER_FIELDS = tuple(
    (_HEADER.registers.index(register), register[base], register[enable])
    for register, base, enable in (
        *((_HEADER["Bases"], f"{name}Base{i}", f"{name}BE{i}") for name, i in (("R", 0), ("R", 1))),
        (_HEADER["Bases"], "WBase", "WBE"),
        *((_HEADER["KernelBases"], f"KBase{i}", f"KBE{i}") for i in range(4)),
    )
)


def task_words(task: Task) -> list[int]:
    """The 32-bit words of a descriptor.

    Raises:
        InputError: the header has another length, or a burst does not fit its command word.
    """
    if len(task.header) != HEADER_WORDS:
        raise InputError("a task header of H13 has ten words", value=len(task.header), limit=HEADER_WORDS)
    words = [*task.header, *task.extra]
    for burst in task.bursts:
        count = len(burst.words)
        if not 0 < count <= _LARGEST_BURST or not 0 <= burst.address <= _ADDRESS_MASK:
            raise InputError(
                "the burst does not fit its command word",
                where=f"burst at {burst.address:#x}",
                value=f"{count} words",
                limit=f"1..{_LARGEST_BURST} words below {_ADDRESS_MASK:#x}",
            )
        words.append(count - 1 << _COUNT_LSB | burst.address)
        words.extend(burst.words)
    return words


def parse_task(words: Sequence[int], where: str) -> Task:
    """The task that the words of one whole descriptor are.

    Raises:
        FormatError: too short for its header, or the last burst runs over the end.
    """
    start = HEADER_WORDS + (_EXTRA_WORD.get(words[_CONTROL_INDEX]) if len(words) > _CONTROL_INDEX else 0)
    if len(words) < start:
        raise FormatError(
            "the task is shorter than its header", where=where, value=f"{len(words)} words", limit=f"{start} words"
        )
    bursts = []
    position = start
    while position < len(words):
        command = words[position]
        end = position + 2 + (command >> _COUNT_LSB)
        if end > len(words):
            raise FormatError(
                "a burst of register writes runs over the end of its task",
                where=f"{where}: word {position}",
                value=f"{(command >> _COUNT_LSB) + 1} values at register {command & _ADDRESS_MASK:#x}",
                limit=f"{len(words) - position - 1} words left",
            )
        bursts.append(Burst(command & _ADDRESS_MASK, tuple(words[position + 1 : end])))
        position = end
    return Task(tuple(words[:HEADER_WORDS]), tuple(bursts), tuple(words[HEADER_WORDS:start]), map=REGISTERS)


def _check_span(start: int, size_bytes: int, spans: dict[int, int], reader: Reader, where: str) -> None:
    """Raises FormatError for a task that is out of the text, misaligned, or met before (a cycle)."""
    if start in spans:
        raise FormatError("the chain of tasks is a cycle", where=where, value=f"back to {start:#x}")
    if start % 4 or size_bytes < 4 * HEADER_WORDS or start + size_bytes > len(reader):
        raise FormatError(
            "the task is not inside the text section",
            where=where,
            value=f"{size_bytes} bytes at {start:#x}",
            limit=f"at least {4 * HEADER_WORDS} bytes, a multiple of 4, in {len(reader)} bytes",
        )


def _check_overlaps(spans: dict[int, int], where: str) -> None:
    last = 0
    for start, end in sorted(spans.items()):
        if start < last:
            raise FormatError("tasks overlap", where=where, value=f"{start:#x}", limit=f"{last:#x} or later")
        last = end


@dataclass(frozen=True, slots=True)
class H13Stream:
    """The stream codec of H13."""

    @property
    def registers(self) -> RegisterMap:
        """The H13 registers."""
        return REGISTERS

    def read(
        self,
        text: Buffer,
        *,
        first_bytes: int | None = None,
        count: int | None = None,
        where: str = "text section",
    ) -> TaskStream:
        """The tasks of a text section, by following the chain.

        Args:
            text: the section; bytes between tasks are ignored.
            first_bytes: size of the first descriptor; None takes it from where the bursts end.
            count: the number of tasks that the container promises.
            where: for messages.

        Raises:
            FormatError: a link or size that leaves the text, a cycle, tasks that overlap, another number of tasks.
        """
        reader = Reader(text, where)
        tasks: list[Task] = []
        spans: dict[int, int] = {}
        start = 0
        size_bytes = _guess_first(reader) if first_bytes is None else first_bytes
        while True:
            place_text = f"{where}: task {len(tasks)} at {start:#x}"
            _check_span(start, size_bytes, spans, reader, place_text)
            words = struct.unpack_from(f"<{size_bytes // 4}I", text, start)
            tasks.append(parse_task(words, place_text))
            spans[start] = start + size_bytes
            start = words[_LINK_INDEX]
            if not start:
                break
            size_bytes = 4 * (_NEXT_SIZE.get(words[_NEXT_INDEX]) + 1)
        _check_overlaps(spans, where)
        if count is not None and count != len(tasks):
            raise FormatError(
                "the chain of tasks has another length than the container says",
                where=where,
                value=f"{len(tasks)} tasks",
                limit=f"{count} tasks",
            )
        return TaskStream(tuple(tasks), tuple(spans))

    def write(self, tasks: Sequence[Task], offsets: Sequence[int], size_bytes: int | None = None) -> bytearray:
        """The text section with each task at its offset and zeros between.

        Raises:
            InputError: tasks overlap or leave the section, or a task is not encodable.
        """
        return place([task_words(task) for task in tasks], offsets, size_bytes)

    @property
    def cpu_subtype(self) -> int:
        """The number in .hwx headers."""
        return 4

    def chain_fields(self, tasks: Sequence[Task], offsets: Sequence[int], index: int) -> Mapping[str, int]:
        """Number, place, link and size of the next task (h13-semantics 1.3)."""
        last = index + 1 == len(tasks)
        return {
            "TID": index & 0xFFFF,
            "LNID": int(index > 0),
            "EON": int(last),
            "NextSize": 0 if last else tasks[index + 1].size_words - 1 & 0x1FF,
            "NextPointer": 0 if last else offsets[index + 1],
            "TBE": int(not last),
        }

    def next_offset(self, end: int) -> int:
        """Tasks stand at multiples of 0x100."""
        return -(-end // TASK_ALIGNMENT_BYTES) * TASK_ALIGNMENT_BYTES

    def summarize(self, task: Task) -> TaskSummary:
        """What a task does, for people."""
        return summarize(task)

    def renumber(self, task: Task, buffers: Mapping[int, int]) -> Task:
        """The task with its enabled buffer indices (tensors and kernels) replaced as `buffers` tells."""
        header = list(task.header)
        for index, base, enable in _BUFFER_FIELDS:
            old = base.get(header[index])
            if enable.get(header[index]) and old in buffers:
                header[index] = base.put(header[index], buffers[old])
        return replace(task, header=tuple(header))


def _guess_first(reader: Reader) -> int:
    """The size of the first descriptor from its bursts, for containers that do not tell it.

    The stream ends at the next task, at the end of the text, or where a command word is 0 (padding): a burst that
    begins with register 0 has more than one value in every program.
    """
    head = reader.unpack(f"{HEADER_WORDS}I", 0, "task header")
    limit = min(head[_LINK_INDEX] or len(reader), len(reader))
    position = 4 * (HEADER_WORDS + _EXTRA_WORD.get(head[_CONTROL_INDEX]))
    while position + 4 <= limit:
        command = reader.u32(position)
        if not command:
            break
        position += 4 * (2 + (command >> _COUNT_LSB))
    return position


STREAM = H13Stream()
