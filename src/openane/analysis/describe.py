"""Everything that `openane info` reports about a compiled file, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from openane.analysis.evidence import EvidenceReport, evidence_of_programs, finding_values
from openane.core.errors import OpenaneError, UnsupportedError
from openane.formats.anec import AnecFile
from openane.formats.assembly.write import BUFFER_NAMES
from openane.formats.hwx import HwxFile
from openane.formats.hwx.file import compiler_of
from openane.formats.image import Image
from openane.program import Program, Surface
from openane.program.verify import verify_program
from openane.targets import attach, load_program
from openane.targets.registry import Generation, generation, generation_of


@dataclass(frozen=True, slots=True)
class TensorDescription:
    """An input or output.

    Attributes:
        name, role, dtype: as in the file.
        shape: (N, D, C, H, W).
        strides_bytes: for each axis of `shape`.
        size_bytes: of the whole tensor.
        buffer: index in the task headers.
    """

    name: str
    role: str
    dtype: str
    shape: tuple[int, ...]
    strides_bytes: tuple[int, ...]
    size_bytes: int
    buffer: int


@dataclass(frozen=True, slots=True)
class BufferDescription:
    """A buffer: what it is for, its size, and its device address where the container gives one."""

    index: int
    content: str
    size_bytes: int
    address: int | None = None


@dataclass(frozen=True, slots=True)
class TaskDescription:
    """One task: its place in the text section, engine, and what it does in a line.

    Attributes:
        evidence: how its encoding is backed: "as emitted by Apple", "extrapolated", "assumed"; empty where no records
            of the generation are at hand.
        findings: what no record shows, as plain values (`analysis.evidence.finding_values`).
    """

    index: int
    offset: int
    size_bytes: int
    engine: str
    operation: str
    summary: str
    layers: tuple[str, ...] = ()
    evidence: str = ""
    findings: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class SectionDescription:
    """A section of a .hwx file."""

    segment: str
    name: str
    address: int
    size_bytes: int
    file_offset: int


@dataclass(frozen=True, slots=True)
class Description:
    """A compiled program and its file.

    Attributes:
        file: name of the file, or of the network for a program that is in no file.
        container: "hwx", "anec", or "" for a program that is in no file.
        named: whether the names of the tensors are those of the network; not so for a .anec without its operands file.
        file_bytes: size of the file, 0 without one.
        generation: chip generation ("h13"), or "unknown".
        cpu_subtype: number of the generation in .hwx headers.
        chips: marketing names.
        standing: how well openane knows the generation.
        evidence: what backs the encoding of the tasks (`analysis.evidence.EvidenceReport.values`); None where no
            records of the generation are at hand, or the tasks cannot be read.
        functions: form of functions of one element that was chosen; empty where the file does not say.
        rescale: what the rescaling of kernels relied on, "proven" or "calibrated"; empty for none.
        encodings: "recorded" if it was compiled with recorded encodings only; empty otherwise.
        executable: whether openane simulates it.
        compiler: as the file says, or "".
        flags: options of the compiler, one each.
        network: name of the network.
        dialect: layout habits.
        tensors, buffers, tasks, sections: see their classes.
        text_bytes, constant_bytes, scratch_bytes: sizes.
        relocation_count, symbol_count: entries in the file.
        problems: what is odd: unreadable tasks, an unknown generation, and what `verify_program` finds.
    """

    file: str
    container: str
    named: bool
    file_bytes: int
    generation: str
    cpu_subtype: int
    chips: str
    standing: str
    evidence: Mapping[str, Any] | None
    functions: str
    rescale: str
    encodings: str
    executable: bool
    compiler: str
    flags: tuple[str, ...]
    network: str
    dialect: str
    tensors: tuple[TensorDescription, ...]
    buffers: tuple[BufferDescription, ...]
    tasks: tuple[TaskDescription, ...]
    sections: tuple[SectionDescription, ...]
    text_bytes: int
    constant_bytes: int
    scratch_bytes: int
    relocation_count: int
    symbol_count: int
    problems: tuple[str, ...]


def describe(file: HwxFile | AnecFile) -> Description:
    """Describes a compiled file. A damaged task stream or unknown generation is reported in `problems`.

    Args:
        file: from `read_hwx` or `read_anec`.

    Raises:
        FormatError: the container is damaged.
    """
    image = file.image()
    problems: list[str] = []
    program: Program | None = None
    made_for: Generation | None = None
    try:
        made_for = generation_of(image.cpu_subtype)
        program = load_program(image)
    except UnsupportedError as error:
        problems.append(str(error))
    except OpenaneError as error:
        problems.append(f"the tasks cannot be read: {error}")
    if program is not None:
        problems += map(str, verify_program(program))
    return _description(image, file, program, made_for, tuple(problems))


def describe_program(program: Program) -> Description:
    """Describes a program that is in no file.

    Raises:
        InputError: its target does not exist.
    """
    program = attach(program)
    made_for = generation(program.target)
    image = Image.of_program(program, made_for.cpu_subtype)
    return _description(image, None, program, made_for, tuple(map(str, verify_program(program))))


def _description(
    image: Image,
    file: HwxFile | AnecFile | None,
    program: Program | None,
    made_for: Generation | None,
    problems: tuple[str, ...],
) -> Description:
    hwx = file if isinstance(file, HwxFile) else None
    evidence = evidence_of_programs((program,)) if program else None
    return Description(
        file=image.where,
        container="" if file is None else "hwx" if hwx else "anec",
        named=not isinstance(file, AnecFile) or file.operands is not None,
        file_bytes=len(file.reader) if file else 0,
        generation=made_for.name if made_for else "unknown",
        cpu_subtype=image.cpu_subtype,
        chips=made_for.chips if made_for else "",
        standing=made_for.standing if made_for else "",
        evidence=evidence.values() if evidence else None,
        functions=image.notes.get("functions", ""),
        rescale=image.notes.get("rescale", ""),
        encodings=image.notes.get("encodings", ""),
        executable=bool(made_for and made_for.executable),
        compiler=compiler_of(hwx) if hwx else image.notes.get("compiler", ""),
        flags=_flags(hwx) if hwx else (),
        network=image.name,
        dialect=image.dialect,
        tensors=tuple(_tensor(surface) for surface in image.surfaces),
        buffers=tuple(_buffers(image, hwx)),
        tasks=_tasks(program, evidence) if program else (),
        sections=_sections(hwx) if hwx else (),
        text_bytes=len(image.text),
        constant_bytes=len(image.constants),
        scratch_bytes=image.scratch_bytes + image.second_scratch_bytes,
        relocation_count=len(image.relocations),
        symbol_count=len(hwx.symbols) if hwx else 0,
        problems=problems,
    )


def _flags(file: HwxFile) -> tuple[str, ...]:
    """The lines of the compiler's banner that are options."""
    lines = (line.strip() for line in file.metadata.splitlines())
    return tuple(line for line in lines if line.startswith("-"))


def _tensor(surface: Surface) -> TensorDescription:
    return TensorDescription(
        surface.name,
        surface.role.value,
        surface.dtype.value,
        surface.shape,
        surface.strides_bytes,
        surface.size_bytes,
        surface.buffer,
    )


def _buffers(image: Image, file: HwxFile | None) -> list[BufferDescription]:
    addresses = dict(file.program_state.buffers) if file else {}
    sizes = {0: len(image.text), 1: len(image.constants), 2: image.second_scratch_bytes, 3: image.scratch_bytes}
    content = {index: BUFFER_NAMES[index] for index, size in sizes.items() if size}
    for surface in image.surfaces:
        sizes[surface.buffer] = surface.size_bytes
        content[surface.buffer] = f"{surface.role.value} {surface.name}"
    return [
        BufferDescription(index, content.get(index, "not known"), sizes.get(index, 0), addresses.get(index))
        for index in sorted({*content, *addresses})
    ]


def _tasks(program: Program, evidence: EvidenceReport | None) -> tuple[TaskDescription, ...]:
    assert program.codec is not None
    names = {**BUFFER_NAMES, **{surface.buffer: surface.name for surface in program.surfaces}}
    found = []
    for index, (task, offset) in enumerate(zip(program.tasks, program.task_offsets, strict=True)):
        summary = program.codec.summarize(task)
        backed = evidence.tasks[index].evidence if evidence else None
        found.append(
            TaskDescription(
                index,
                offset,
                task.size_bytes,
                summary.engine,
                summary.operation,
                summary.text(names),
                task.origin.layers,
                backed.level.text if backed else "",
                tuple(map(finding_values, backed.findings)) if backed else (),
            )
        )
    return tuple(found)


def _sections(file: HwxFile) -> tuple[SectionDescription, ...]:
    return tuple(
        SectionDescription(each.segment, each.name, each.address, each.size, each.file_offset) for each in file.sections
    )
