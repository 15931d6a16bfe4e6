"""A program: a chain of tasks, the constants they read, and the surfaces they connect.

This is all that a device, a container file or the simulator needs. It knows nothing of the network.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Protocol

from openane.core.errors import Diagnostic, InputError
from openane.core.reader import Buffer
from openane.core.report import Report, numbers, texts
from openane.core.types import DType
from openane.program.evidence import TaskEvidence
from openane.program.fields import Value
from openane.program.registers import RegisterMap
from openane.program.stream import TaskStream
from openane.program.summary import TaskSummary
from openane.program.task import Task

TASK_COLUMNS = (
    *numbers("task"),
    *texts("engine", "operation", "from", "to"),
    *numbers("kernel bytes", "bytes"),
    *texts("layers"),
)


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

    @property
    def writes_files(self) -> bool:
        """Whether the descriptors are known well enough to write new files."""
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
            first_bytes: size of the first descriptor as the container reports it; None if it does not.
            count: number of tasks as the container reports it; None if it does not.
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
        """Where a task begins after one that ends at `end` (None: the first), by the habit of Apple's compilers."""
        ...

    def summarize(self, task: Task) -> TaskSummary:
        """What a task does, for people."""
        ...

    def evidence_of(self, task: Task) -> TaskEvidence | None:
        """What backs the words of a task; None where no records of the generation are at hand."""
        ...

    def verify(self, program: Program) -> Iterable[Diagnostic]:
        """What is wrong with the tasks of a program, as far as the generation is known."""
        ...

    def renumber(self, task: Task, buffers: Mapping[int, int]) -> Task:
        """The task with its enabled buffer indices replaced as `buffers` reports; others stay."""
        ...

    def tile_buffers(self, task: Task) -> frozenset[int]:
        """The buffers that a task reads or writes by tile DMA, as its header names them."""
        ...


class Role(Enum):
    """What a surface is for."""

    INPUT = "input"
    OUTPUT = "output"


@dataclass(frozen=True, slots=True)
class Surface:
    """A tensor in DRAM that the caller binds to a buffer index.

    Attributes:
        name: as in the network ("image", "probs"); containers of old compilers call an output "probs@output".
        role: input or output.
        shape: (N, D, C, H, W), N outermost in meaning; D is 1 for images.
        strides_bytes: the distance in bytes for each axis of `shape`.
        size_bytes: exact bytes of the tensor for all N.
        buffer: index in the task headers (BAR number).
        dtype: element type.
        interleave: channels per element group, 1 in every program seen.
    """

    name: str
    role: Role
    shape: tuple[int, int, int, int, int]
    strides_bytes: tuple[int, int, int, int, int]
    size_bytes: int
    buffer: int
    dtype: DType = DType.FLOAT16
    interleave: int = 1


@dataclass(frozen=True, slots=True)
class Relocation:
    """A place in the task text whose word is an offset into another section.

    Attributes:
        offset: byte offset in the text section.
        info: the container's relocation word, kept as found.
    """

    offset: int
    info: int


@dataclass(frozen=True, slots=True)
class Program:
    """A linked program.

    Attributes:
        target: the chip generation by name ("h13"); decides how headers and registers are read.
        tasks: descriptors in execution order.
        task_offsets: byte offset of each task in the text section.
        surfaces: inputs and outputs.
        constants: bytes of the kernel (constant) section.
        scratch_bytes: size of the intermediate buffer (`buffers.BUFFERS.scratch`), 0 if there is none.
        name: name of the network.
        dialect: which compiler's habits the layout follows ("macos-26", "macos-11", "linux").
        relocations: of the text section.
        notes: free facts for people (what an encoding is proved by, a compiler's version); no effect on execution.
        second_scratch_bytes: size of a second intermediate buffer (`BUFFERS.second_scratch`); 0 in every program seen.
        codec: writes the tasks as bytes; None when nobody has attached it (see `targets.attach`).
    """

    target: str
    tasks: tuple[Task, ...]
    task_offsets: tuple[int, ...]
    surfaces: tuple[Surface, ...]
    constants: bytes | memoryview
    scratch_bytes: int = 0
    name: str = "net"
    dialect: str = "macos-26"
    relocations: tuple[Relocation, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict, compare=False)
    second_scratch_bytes: int = 0
    codec: StreamCodec | None = field(default=None, compare=False, repr=False)

    @property
    def inputs(self) -> tuple[Surface, ...]:
        """Input surfaces, in the order of the file."""
        return tuple(surface for surface in self.surfaces if surface.role is Role.INPUT)

    @property
    def outputs(self) -> tuple[Surface, ...]:
        """Output surfaces, in the order of the file."""
        return tuple(surface for surface in self.surfaces if surface.role is Role.OUTPUT)

    @property
    def text_bytes(self) -> int:
        """Bytes from the first task to the end of the last."""
        if not self.tasks:
            return 0
        return max(o + t.size_bytes for o, t in zip(self.task_offsets, self.tasks, strict=True))

    def encode_text(self, size_bytes: int | None = None) -> bytearray:
        """The text section: every task at its offset, zeros between.

        Args:
            size_bytes: length of the section; None ends it with the last task.

        Raises:
            InputError: no codec is attached, or the tasks do not fit.
        """
        if self.codec is None:
            raise InputError("the program has no stream codec", hint="Attach it: openane.targets.attach(program).")
        return self.codec.write(self.tasks, self.task_offsets, size_bytes)

    def with_task(self, index: int, task: Task) -> Program:
        """The same program with another task at `index`; offsets are kept.

        Raises:
            InputError: there is no such task.
        """
        self._check_index(index)
        return replace(self, tasks=(*self.tasks[:index], task, *self.tasks[index + 1 :]))

    def set(self, index: int, path: str, value: Value) -> Program:
        """The same program with one field of one task changed, see `Task.set`.

        Raises:
            InputError: there is no such task or name, or the value does not fit.
        """
        self._check_index(index)
        return self.with_task(index, self.tasks[index].set(path, value))

    def report(self) -> Report:
        """One row per task; without a codec only what the container holds."""
        return Report("tasks", TASK_COLUMNS, list(self.task_rows()))

    def task_rows(self, first: int = 0) -> Iterator[tuple[object, ...]]:
        """One row per task under TASK_COLUMNS; `first` is the number of the first task."""
        for index, task in enumerate(self.tasks, first):
            layers = str(task.origin)
            if self.codec is None:
                yield (index, "", "", "", "", 0, task.size_bytes, layers)
                continue
            found = self.codec.summarize(task)
            shapes = ("x".join(map(str, shape)) for shape in (found.source_shape, found.result_shape))
            yield (index, found.engine, found.operation, *shapes, found.kernel_bytes, task.size_bytes, layers)

    def _repr_html_(self) -> str:
        title = f"{self.name}: {len(self.tasks)} tasks for {self.target}, {len(self.constants)} constant bytes"
        columns = (*texts("surface", "role", "type", "N D C H W"), *numbers("bytes", "buffer"))
        surfaces = [
            (each.name, each.role.value, each.dtype.value, "x".join(map(str, each.shape)), each.size_bytes, each.buffer)
            for each in self.surfaces
        ]
        return Report(title, columns, surfaces).to_html() + self.report().to_html()

    def to_pandas(self) -> Any:
        """The tasks as a `pandas.DataFrame`, one row per task.

        Raises:
            UnavailableError: pandas is not installed.
        """
        return self.report().to_pandas()

    def _check_index(self, index: int) -> None:
        if not 0 <= index < len(self.tasks):
            raise InputError("there is no such task", value=index, limit=f"0..{len(self.tasks) - 1}")
