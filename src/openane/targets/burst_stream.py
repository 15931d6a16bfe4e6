"""Task streams of linked descriptors made of bursts (H11 to H13).

A descriptor is its header words, an optional extra word, then bursts of register writes: a command word (bits 31:26 the
number of values minus 1, bits 25:0 the byte address of the first register) and its values. A descriptor has no
terminator: its size is in the header of the task before it, the first one's in the container. Tasks are linked by
byte offsets from the start of the text; 0 ends the chain.

Source: every H13 program seen parses this way (execution.md#task-stream); H11 by one published map, unverified.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from openane.core.errors import Diagnostic, FormatError, InputError
from openane.core.reader import Buffer, Reader
from openane.program.evidence import TaskEvidence
from openane.program.fields import Field
from openane.program.program import Program
from openane.program.registers import RegisterMap
from openane.program.stream import TaskStream, place
from openane.program.summary import TaskSummary
from openane.program.task import Burst, Task

_IDLE_DMA = 0x8880
"""Configuration word of a tile DMA that a task does not use (encoding.md#tile-dma)."""
_COUNT_LSB = 26
_ADDRESS_MASK = (1 << _COUNT_LSB) - 1
_LARGEST_BURST = 64


@dataclass(frozen=True)
class BurstStream:
    """The stream codec of one generation.

    Attributes:
        registers: its declarations.
        cpu_subtype: its number in .hwx headers.
        summarizer: reports what a task does.
        alignment_bytes: tasks begin at multiples of it.
        buffer_fields: (register, index, enable) names of header fields that hold buffer indices of tensors and kernels.
        tile_dma: (address, index) of the configuration of each tile DMA, and the header field with its buffer.
        verifier: reports what is wrong with the tasks of a program.
        writes_files: whether the descriptors are known well enough to write new files.
        evidence: reports what backs a task; None where no records are at hand.
    """

    registers: RegisterMap
    cpu_subtype: int
    summarizer: Callable[[Task], TaskSummary]
    alignment_bytes: int
    buffer_fields: tuple[tuple[str, str, str], ...] = ()
    tile_dma: tuple[tuple[int, str], ...] = ()
    verifier: Callable[[Program], Iterable[Diagnostic]] | None = None
    writes_files: bool = False
    evidence: Callable[[Task], TaskEvidence] | None = None
    _places: Mapping[str, tuple[int, Field]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        header = self.registers.header
        places = {name: (header.registers.index(r), f) for name, (r, f) in header.field_paths.items()}
        object.__setattr__(self, "_places", places)

    @property
    def header_words(self) -> int:
        """Number of fixed header words."""
        return len(self.registers.header.registers)

    def _header(self, name: str, words: Sequence[int]) -> int:
        index, found = self._places[name]
        return found.get(words[index])

    # -- reading ------------------------------------------------------------------------------------------------------

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
        size_bytes = self._guess_first(reader) if first_bytes is None else first_bytes
        while True:
            spot = f"{where}: task {len(tasks)} at {start:#x}"
            self._check_span(start, size_bytes, spans, reader, spot)
            words = struct.unpack_from(f"<{size_bytes // 4}I", text, start)
            tasks.append(self.parse(words, spot))
            spans[start] = start + size_bytes
            start = self._header("NextPointer", words)
            if not start:
                break
            size_bytes = 4 * (self._header("NextSize", words) + 1)
        _check_overlaps(spans, where)
        if count is not None and count != len(tasks):
            raise FormatError(
                "the chain of tasks has another length than the container says",
                where=where,
                value=f"{len(tasks)} tasks",
                limit=f"{count} tasks",
            )
        return TaskStream(tuple(tasks), tuple(spans))

    def parse(self, words: Sequence[int], where: str) -> Task:
        """The task that the words of one whole descriptor are.

        Raises:
            FormatError: the last burst runs over the end.
        """
        fixed = self.header_words
        start = fixed + self._header("TDE", words)
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
        return Task(tuple(words[:fixed]), tuple(bursts), tuple(words[fixed:start]), map=self.registers)

    def _check_span(self, start: int, size_bytes: int, spans: dict[int, int], reader: Reader, where: str) -> None:
        """Raises FormatError for a task that is out of the text, misaligned, or met before (a cycle)."""
        if start in spans:
            raise FormatError("the chain of tasks is a cycle", where=where, value=f"back to {start:#x}")
        smallest = 4 * self.header_words
        if start % 4 or size_bytes % 4 or size_bytes < smallest or start + size_bytes > len(reader):
            raise FormatError(
                "the task is not inside the text section",
                where=where,
                value=f"{size_bytes} bytes at {start:#x}",
                limit=f"at least {smallest} bytes, a multiple of 4, in {len(reader)} bytes",
            )

    def _guess_first(self, reader: Reader) -> int:
        """The size of the first descriptor from its bursts, for containers that do not tell it.

        The stream ends at the next task, at the end of the text, or where a command word is 0 (padding): a burst that
        begins with register 0 has more than one value in every program.
        """
        head = reader.unpack(f"{self.header_words}I", 0, "task header")
        limit = min(self._header("NextPointer", head) or len(reader), len(reader))
        position = 4 * (self.header_words + self._header("TDE", head))
        while position + 4 <= limit:
            command = reader.u32(position)
            if not command:
                break
            position += 4 * (2 + (command >> _COUNT_LSB))
        return position

    # -- writing ------------------------------------------------------------------------------------------------------

    def write(self, tasks: Sequence[Task], offsets: Sequence[int], size_bytes: int | None = None) -> bytearray:
        """The text section with each task at its offset and zeros between.

        Raises:
            InputError: tasks overlap or leave the section, or a task is not encodable.
        """
        return place([self.words(task) for task in tasks], offsets, size_bytes)

    def words(self, task: Task) -> list[int]:
        """The 32-bit words of a descriptor.

        Raises:
            InputError: the header has another length, or a burst does not fit its command word.
        """
        if len(task.header) != self.header_words:
            raise InputError("a task header of another length", value=len(task.header), limit=self.header_words)
        words = [*task.header, *task.extra]
        for burst in task.bursts:
            count = len(burst.words)
            if not 0 < count <= _LARGEST_BURST or not 0 <= burst.address <= _ADDRESS_MASK or burst.mask is not None:
                raise InputError(
                    "the burst does not fit its command word",
                    where=f"burst at {burst.address:#x}",
                    value=f"{count} words",
                    limit=f"1..{_LARGEST_BURST} words below {_ADDRESS_MASK:#x}, without a mask",
                )
            words.append(count - 1 << _COUNT_LSB | burst.address)
            words.extend(burst.words)
        return words

    def chain_fields(self, tasks: Sequence[Task], offsets: Sequence[int], index: int) -> Mapping[str, int]:
        """Number, place, link and size of the next task (execution.md#header-words)."""
        last = index + 1 == len(tasks)
        size_mask = self._places["NextSize"][1].mask
        return {
            "TID": index & 0xFFFF,
            "LNID": int(index > 0),
            "EON": int(last),
            "NextSize": 0 if last else tasks[index + 1].size_words - 1 & size_mask,
            "NextPointer": 0 if last else offsets[index + 1],
            "TBE": int(not last),
        }

    def next_offset(self, end: int | None) -> int:
        """Where a task begins after one that ends at `end`; None for the first task."""
        return -(-(end or 0) // self.alignment_bytes) * self.alignment_bytes

    def summarize(self, task: Task) -> TaskSummary:
        """What a task does, for people."""
        return self.summarizer(task)

    def evidence_of(self, task: Task) -> TaskEvidence | None:
        """What backs the words of a task; None where no records are at hand."""
        return self.evidence(task) if self.evidence else None

    def verify(self, program: Program) -> Iterable[Diagnostic]:
        """What is wrong with the tasks of a program."""
        return self.verifier(program) if self.verifier else ()

    def renumber(self, task: Task, buffers: Mapping[int, int]) -> Task:
        """The task with its enabled buffer indices (tensors and kernels) replaced as `buffers` reports."""
        header = list(task.header)
        for register, base, enable in self.buffer_fields:
            declared = self.registers.header[register]
            index = self.registers.header.registers.index(declared)
            old = declared[base].get(header[index])
            if declared[enable].get(header[index]) and old in buffers:
                header[index] = declared[base].put(header[index], buffers[old])
        return replace(task, header=tuple(header))

    def tile_buffers(self, task: Task) -> frozenset[int]:
        """The buffers that a task reads or writes by tile DMA: those whose configuration is not the idle one."""
        words = task.registers()
        live = (name for address, name in self.tile_dma if words.get(address, _IDLE_DMA) != _IDLE_DMA)
        return frozenset(self._header(name, task.header) for name in live)


def _check_overlaps(spans: dict[int, int], where: str) -> None:
    last = 0
    for start, end in sorted(spans.items()):
        if start < last:
            raise FormatError("tasks overlap", where=where, value=f"{start:#x}", limit=f"{last:#x} or later")
        last = end
