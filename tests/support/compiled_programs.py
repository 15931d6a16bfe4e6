"""Programs for the tests: Apple's files, and random ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from openane.core.types import DType
from openane.formats.anec import AnecFile, read_anec
from openane.formats.hwx import HwxFile, read_hwx
from openane.program import Burst, Program, Relocation, Role, Surface, Task
from openane.targets import attach
from openane.targets.h13.registers import REGISTERS
from openane.targets.h13.stream import STREAM

#: The same examples in every run.
REPEATABLE = settings(derandomize=True, deadline=None)
SLOW = settings(REPEATABLE, max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def golden_files(shared: Path) -> Iterator[Path]:
    """Every compiled file of the shared folder."""
    goldens = shared / "goldens"
    yield from sorted((*goldens.rglob("*.hwx"), *goldens.rglob("*.anec")))


def opened(path: Path) -> HwxFile | AnecFile:
    """A compiled file, by its ending."""
    return read_hwx(path) if path.suffix == ".hwx" else read_anec(path)


WORDS = st.integers(0, 0xFFFFFFFF)


@st.composite
def bursts(draw: st.DrawFn) -> Burst:
    """A burst at a declared block, or anywhere."""
    declared = draw(st.sampled_from(REGISTERS.blocks))
    length = len(declared.registers)
    if draw(st.booleans()):
        words = [register.default for register in declared.registers]
        for index, word in draw(st.lists(st.tuples(st.integers(0, length - 1), WORDS), max_size=6)):
            words[index] = word
        return Burst(declared.base, tuple(words))
    address = 4 * draw(st.integers(0, (1 << 24) - 100))
    return Burst(address, tuple(draw(st.lists(WORDS, min_size=1, max_size=8))))


@st.composite
def programs(draw: st.DrawFn, dialects: tuple[str, ...] = ("macos-26",)) -> Program:
    """A linked H13 program of random words: valid as a file, nonsense as a computation."""
    names = draw(
        st.lists(
            st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1),
            min_size=1,
            max_size=4,
            unique=True,
        )
    )
    count = draw(st.integers(1, 4))
    tasks = []
    for _ in range(count):
        header = draw(st.lists(WORDS, min_size=10, max_size=10))
        extra = (draw(WORDS),) if header[6] >> 24 & 1 else ()
        tasks.append(Task(tuple(header), tuple(draw(st.lists(bursts(), max_size=4))), extra))
    offsets = [0]
    for task in tasks[:-1]:
        gap = draw(st.integers(0, 2)) * 4
        offsets.append(STREAM.next_offset(offsets[-1] + task.size_bytes) + gap)
    tasks = [_linked(tasks, offsets, i) for i in range(count)]
    surfaces = tuple(draw(surface(name, 4 + i)) for i, name in enumerate(names))
    constants = draw(st.binary(min_size=1, max_size=300))
    last = offsets[-1] + tasks[-1].size_bytes - 4
    places = draw(st.lists(st.integers(0, last // 4), max_size=3, unique=True))
    return attach(
        Program(
            "h13",
            tuple(tasks),
            tuple(offsets),
            surfaces,
            constants,
            scratch_bytes=0x4000 * draw(st.integers(0, 3)),
            name=draw(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)),
            dialect=draw(st.sampled_from(dialects)),
            relocations=tuple(Relocation(4 * place, 0x05000002) for place in places),
        )
    )


def _linked(tasks: list[Task], offsets: list[int], index: int) -> Task:
    header = list(tasks[index].header)
    for name, value in STREAM.chain_fields(tasks, offsets, index).items():
        register, field = REGISTERS.header.field_paths[name]
        place = REGISTERS.header.registers.index(register)
        header[place] = field.put(header[place], value)
    return Task(tuple(header), tasks[index].bursts, tasks[index].extra)


@st.composite
def surface(draw: st.DrawFn, name: str, buffer: int) -> Surface:
    """A surface with padded rows, as Apple's compiler lays them out."""
    n, d, c, h, w = (draw(st.integers(1, 5)) for _ in range(5))
    dtype = draw(st.sampled_from((DType.FLOAT16, DType.UINT8, DType.INT8)))
    row = -(-w * dtype.numpy.itemsize // 64) * 64
    plane = row * h
    strides = (plane * c * d, plane * c, plane, row, dtype.numpy.itemsize)
    role = draw(st.sampled_from(Role))
    return Surface(name, role, (n, d, c, h, w), strides, strides[0] * n, buffer, dtype)
