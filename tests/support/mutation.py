"""Changed register fields: what happens to a program when one field of one task holds something else.

A field that the simulator executes must show itself in the result, in the trace or as a fault, whenever the task uses
it; `uses` says when that is, from the decoded work alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

import numpy as np
from tests.support import programs as make

from openane.core.errors import FaultError, OpenaneError
from openane.formats.anec import read_anec
from openane.formats.hwx import read_hwx
from openane.program import Program, Role, Surface, Task
from openane.program.fields import Field, Register
from openane.sim.decoded_task import DecodedTask, MacOperation, MacWork, MemorySpace
from openane.sim.machine import ExecutionOptions, Simulator
from openane.sim.trace import lines
from openane.targets import load_program
from openane.targets.h13.machine import BUFFERS, PROFILE, decode_program
from openane.targets.h13.machine.understood import EXECUTED, SCHEDULE_ONLY
from openane.targets.h13.registers import REGISTERS

ROWS = 4
"""Rows that are left of an image of thousands."""
SLACK = 0x2000
"""Bytes after every buffer of a program that is changed."""
REGISTER_LIST = (*REGISTERS.header.registers, *(register for block in REGISTERS.blocks for register in block.registers))


class Outcome(Enum):
    """What a change did, the strongest first."""

    RESULT = "result"
    TRACE = "trace only"
    FAULT = "fault"
    NOTHING = "nothing"


# Programs ----------------------------------------------------------------------------------------------------------


def goldens(shared: Path) -> dict[str, Program]:
    """Apple's programs, images of thousands of rows cut to a few."""
    found = {}
    for path in sorted((shared / "goldens").rglob("*")):
        if path.suffix in (".anec", ".hwx"):
            program = load_program(read_anec(path) if path.suffix == ".anec" else read_hwx(path))
            found[str(path.relative_to(shared / "goldens"))] = roomy(cut(program))
    return found


def cut(program: Program) -> Program:
    """The program with fewer rows, every other word as it was."""
    rows = program.inputs[0].shape[3]
    if rows <= ROWS:
        return program
    surfaces = tuple(
        replace(s, shape=(*s.shape[:3], ROWS, s.shape[4]), size_bytes=s.strides_bytes[3] * ROWS)
        for s in program.surfaces
    )
    tasks = []
    for task in program.tasks:
        words = {}
        for path, name in (("Common.InDim", "Hin"), ("Common.OutDim", "Hout"), ("Common.GroupConvCfg", "NumGroups")):
            register = REGISTERS[path]
            old = task.registers()[register.address]
            words[register.address] = register.change(old, {name: ROWS}) if register[name].get(old) == rows else old
        tasks.append(task.with_registers(words))
    return replace(program, tasks=tuple(tasks), surfaces=surfaces)


def signature(work: DecodedTask) -> tuple[object, ...]:
    """What kind of task it is."""
    engine = work.engine
    kernel = engine.kernel if isinstance(engine, MacWork) else None
    places = tuple((operand.space, operand.dtype) for operand in (*work.sources, work.result))
    return (
        type(engine), engine.operation, engine.function, getattr(engine, "reduction", None), places,
        work.kept is not None, work.view[0] > 1, work.view[1] > 1,
        kernel and (kernel.buffer, getattr(kernel, "format", None)),
    )  # fmt: skip


def roomy(program: Program) -> Program:
    """The program with room after every buffer and a first task that fills L2: addresses a little off do not fault."""
    surfaces = tuple(replace(s, size_bytes=s.size_bytes + SLACK) for s in program.surfaces)
    index = 1 + max(surface.buffer for surface in surfaces)
    shape = (1, 1, 64, 1, 512)
    filling = Surface("filling", Role.INPUT, shape, (1 << 16, 1 << 16, 1024, 1024, 2), 1 << 16, index)
    builder = make.Builder()
    ends = make.dram_source(filling), make.l2("Result", 0, (1 << 16, 1 << 16, 1024, 1024))
    builder.add(make.PASS, make.view(shape, shape), *ends, {"L2.SourceBase.Addr": 1 << 20})
    constants = bytes(program.constants) + b"\x11\x3c" * (SLACK // 2)
    scratch = program.scratch_bytes + SLACK if program.scratch_bytes else 0
    offsets = (0, *(offset + 0x400 for offset in program.task_offsets))
    return replace(
        program, tasks=(*builder.tasks, *program.tasks), task_offsets=offsets, surfaces=(*surfaces, filling),
        constants=constants, scratch_bytes=scratch,
    )  # fmt: skip


# Fields ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """A field of a register.

    Attributes:
        register, field: which one.
        name: "Block.Register.Field".
    """

    register: Register
    field: Field

    @property
    def name(self) -> str:
        return f"{self.register.path}.{self.field.name}"

    @property
    def in_header(self) -> bool:
        return self.register.path.startswith("Header.")

    def word(self, task: Task) -> int:
        if self.in_header:
            return task.header[self.register.address // 4]
        return task.registers().get(self.register.address, 0)

    def with_word(self, task: Task, word: int) -> Task:
        if not self.in_header:
            return task.with_registers({self.register.address: word})
        header = list(task.header)
        header[self.register.address // 4] = word
        return replace(task, header=tuple(header))

    def flipped(self, task: Task, bit: int) -> Task:
        """The task with one bit of the field changed, counted from its lowest."""
        return self.with_word(task, self.word(task) ^ 1 << self.field.lsb + bit)

    def changed(self, task: Task) -> Iterator[Task]:
        """The task with other values: lowest and highest bit changed; values that have a name, or the neighbors."""
        old, field = self.word(task), self.field
        mask = field.mask << field.lsb
        count = old >> field.lsb & field.mask
        counts = {count ^ 1, count ^ 1 << field.width - 1, *(value // field.unit for value in field.values)}
        if not field.values:
            counts |= {count + 1, max(count - 1, 0)}
        for other in sorted(counts - {count}):
            yield self.with_word(task, old & ~mask | (other & field.mask) << field.lsb)


def places(names: frozenset[str]) -> list[Place]:
    """The fields of a list of registers and fields."""
    return [
        Place(register, field)
        for register in REGISTER_LIST
        for field in register.fields
        if not field.reserved and (register.path in names or f"{register.path}.{field.name}" in names)
    ]


def executed(last_lane: int = 15) -> list[Place]:
    """Fields that are executed; of the sixteen lanes the first and one more."""
    other = {f"[{lane}]" for lane in range(16) if lane not in (0, last_lane)}
    return [place for place in places(EXECUTED) if not any(lane in place.name for lane in other)]


def schedule_only() -> list[Place]:
    return places(SCHEDULE_ONLY)


def fixed() -> list[Place]:
    """Fields that must hold known values."""
    known = {place.name for place in (*places(EXECUTED), *places(SCHEDULE_ONLY))}
    return [
        Place(register, field)
        for register in REGISTER_LIST
        for field in register.fields
        if f"{register.path}.{field.name}" not in known
    ]


# When a task uses a field ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Use:
    """A task and its work."""

    task: Task
    work: DecodedTask

    @property
    def neural(self) -> bool:
        return isinstance(self.work.engine, MacWork)

    @property
    def kernel(self) -> bool:
        return isinstance(self.work.engine, MacWork) and self.work.engine.kernel is not None

    @property
    def passing(self) -> bool:
        return self.work.engine.operation is MacOperation.PASS

    @property
    def weights(self) -> bool:
        return self.work.engine.operation in (MacOperation.CONVOLUTION, MacOperation.TRANSPOSED)

    def source(self, number: int, *spaces: MemorySpace) -> bool:
        return number <= len(self.work.sources) and self.work.sources[number - 1].space in spaces

    @property
    def pooling(self) -> bool:
        return not self.neural and self.work.engine.window is not None

    @property
    def active(self) -> int:
        return self.field("Common.Cfg", "ActiveNE")

    def field(self, path: str, name: str) -> int:
        return REGISTERS[path][name].get(self.task.registers().get(REGISTERS[path].address, 0))

    def in_l2(self, number: int) -> bool:
        return self.source(number, MemorySpace.L2) or (number == 1 and self.work.kept is not None)

    def result(self, *spaces: MemorySpace) -> bool:
        return self.work.result.space in spaces

    def lane(self, index: int) -> bool:
        assert isinstance(self.work.engine, MacWork)
        kernel = self.work.engine.kernel
        return kernel is not None and any(lane.engine == index for lane in kernel.lanes)


D, L, C = MemorySpace.DRAM, MemorySpace.L2, MemorySpace.CHAIN
USES: tuple[tuple[str, Callable[[Use], bool]], ...] = (
    # the beginning of a field's name, and when a task uses it; the first that fits counts
    ("Header.Bases.RB", lambda u: False),  # replaced below by number
    ("Header.Bases.W", lambda u: u.result(D)),
    ("Header.KernelBases", lambda u: u.kernel),
    ("Common.ChCfg.InFmt", lambda u: True),  # the format that memory has, too
    ("Common.ChCfg.Src2InFmt", lambda u: not u.neural),
    ("Common.ChCfg.OutFmt", lambda u: True),
    ("Common.ConvCfg.OCGSize", lambda u: u.kernel or not u.neural),
    ("Common.GroupConvCfg.UnicastEn", lambda u: not u.passing),  # channels are passed one by one in any case
    ("Common.GroupConvCfg.UnicastCin", lambda u: u.neural),
    ("Common.Cfg.ActiveNE", lambda u: u.kernel or u.active > 0),  # from there one bit leads past all engines
    ("Common.Cfg.Transpose", lambda u: True),
    ("Common.Cfg.SmallSourceMode", lambda u: u.neural and u.kernel and u.field("NE.KernelCfg", "SparseFmt") == 1),
    ("TileDMASrc.DMAConfig", lambda u: u.source(1, D) or u.source(2, D)),
    ("TileDMASrc.Src2", lambda u: u.source(2, D)),
    ("TileDMASrc.Fmt.Interleave", lambda u: u.source(1, D) or u.source(2, D)),
    ("TileDMASrc.", lambda u: u.source(1, D)),
    ("TileDMADst.DMAConfig", lambda u: True),
    ("TileDMADst.", lambda u: u.result(D)),
    ("L2.L2Cfg.Source2ReLU", lambda u: not u.neural),
    ("L2.SourceCfg.Source2Dram", lambda u: not u.neural),
    ("L2.Source2Base", lambda u: u.source(2, D, L)),  # of a source from DRAM: where it is staged
    ("L2.Source2RowStride", lambda u: u.source(2, D, L)),
    ("L2.Source2", lambda u: u.in_l2(2)),
    ("L2.SourceBase", lambda u: u.source(1, D, L)),
    ("L2.SourceRowStride", lambda u: u.source(1, D, L)),
    ("L2.SourceCfg", lambda u: True),
    ("L2.Source", lambda u: u.in_l2(1)),
    ("L2.ResultCfg", lambda u: True),
    ("L2.Result", lambda u: u.result(L)),
    ("L2.ConvResult", lambda u: u.result(L)),
    ("PE.", lambda u: not u.neural),
    ("NE.KernelCfg.GroupKernelReuse", lambda u: u.neural and u.weights and u.work.view[0] > 1),
    ("NE.KernelCfg", lambda u: u.kernel),
    ("NE.MACCfg.BinaryPoint", lambda u: u.neural and u.field("NE.MACCfg", "BinaryPoint") == 0),
    ("NE.", lambda u: u.neural),
    ("KernelDMASrc.MasterConfig.SparseEnable", lambda u: u.kernel and u.weights),
    ("KernelDMASrc.MasterConfig", lambda u: u.kernel),
    ("KernelDMASrc.CoeffDMAConfig", lambda u: u.kernel),
    ("KernelDMASrc.", lambda u: False),  # replaced below by lane
    ("", lambda u: True),
)


def uses(place: Place, use: Use) -> bool:
    """Whether a task uses a field: a change must show then, and must not show otherwise."""
    name = place.name
    if name.startswith("Header.Bases.RB"):
        return use.source(1 + int(name[-1]), D)
    if name.startswith("KernelDMASrc.Coeff") and "DMAConfig" not in name:
        return use.kernel and use.lane(int(name.split("[")[1].split("]")[0]))
    return next(rule(use) for prefix, rule in USES if name.startswith(prefix))


# Runs --------------------------------------------------------------------------------------------------------------


class Subject:
    """A program whose tasks are changed one at a time.

    Args:
        program: of which outputs are compared.
        arrays: inputs by surface; None draws some.
    """

    def __init__(self, program: Program, arrays: Mapping[str, np.ndarray] | None = None) -> None:
        self.program = program
        rng = np.random.default_rng(11)
        self.arrays = dict(arrays or {})
        for s in program.inputs:
            if s.name not in self.arrays:
                self.arrays[s.name] = (rng.uniform(0.1, 3, s.shape) * rng.choice([1, 1, -1], s.shape)).astype(
                    np.float16
                )
        self.works = decode_program(program)
        self.traces = [list(lines((work,))) for work in self.works]
        self.expected = self._run(self.works)

    def _run(self, works: tuple[DecodedTask, ...]) -> dict[str, bytes]:
        execution = ExecutionOptions(PROFILE, threads=1, memory_limit_bytes=1 << 28, operation_limit=10**8)
        loaded = Simulator(self.program, works, BUFFERS, execution)
        return {name: values.tobytes() for name, values in loaded.run(self.arrays).items()}

    def uses(self) -> list[Use]:
        return [Use(task, work) for task, work in zip(self.program.tasks, self.works, strict=True)]

    def trace_of(self, index: int, task: Task) -> tuple[DecodedTask, list[str]] | None:
        """Another task at a place of the chain, decoded, and its trace; None when it is refused."""
        try:
            (work,) = decode_program(Program("h13", (task,), (0,), (), b""))
        except FaultError:
            return None
        work = replace(work, index=index)
        return work, list(lines((work,)))

    def silent(self, index: int, task: Task) -> bool:
        """Whether nothing shows."""
        found = self.trace_of(index, task)
        return found is not None and found[1] == self.traces[index]

    def outcome(self, index: int, task: Task) -> Outcome:
        """What happens with another task at a place of the chain."""
        decoded = self.trace_of(index, task)
        if decoded is None:
            return Outcome.FAULT
        work, trace = decoded
        if trace == self.traces[index]:
            return Outcome.NOTHING
        try:
            found = self._run((*self.works[:index], work, *self.works[index + 1 :]))
        except OpenaneError:
            return Outcome.FAULT
        return Outcome.TRACE if found == self.expected else Outcome.RESULT

    def strongest(self, index: int, task: Task, place: Place) -> Outcome:
        """What changes of a field can do, without looking on when a result has changed."""
        found = {Outcome.NOTHING}
        for changed in place.changed(task):
            found.add(self.outcome(index, changed))
            if Outcome.RESULT in found:
                break
        return next(outcome for outcome in Outcome if outcome in found)
