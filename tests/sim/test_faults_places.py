"""Two uses of one byte in a task, chained values that get lost, outputs that stay empty, windows in front."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.support import programs as make
from tests.support.programs import Builder, Fields

from openane.core.errors import FaultError
from openane.core.types import DType
from openane.program import Program, Role, Surface
from openane.targets.h13.machine import machine
from openane.targets.target import RunOptions

SHAPE = (1, 1, 8, 12, 16)
PLACE = (0x3000, 0x3000, 0x20, 0x100)
"""Strides of group, depth, channel, row of SHAPE in L2."""
VIEW = make.view(SHAPE, SHAPE)
FROM_L2: Fields = {"L2.SourceCfg.SourceType": 0}
TO_L2: Fields = {"L2.ResultCfg.ResultType": 0}
AWAY: Fields = {"L2.SourceBase.Addr": 0x100000}
"""A way through L2 far from everything else."""
KEPT: Fields = {"L2.SourceCfg.SourceType": 1}
DOUBLE: Fields = {"Common.Cfg.TaskType": 3, "PE.Cfg.SecSrc": 2, "Common.ChCfg.Src2InFmt": 2}


class Net:
    """x comes into L2 at address 0; tasks follow; y is what they leave."""

    def __init__(self, scratch_bytes: int = 0) -> None:
        self.builder = Builder(scratch_bytes=scratch_bytes)
        self.x = self.builder.surface("x", Role.INPUT, SHAPE)
        self.y = self.builder.surface("y", Role.OUTPUT, SHAPE)

    def load(self, base: int = 0) -> Net:
        return self.add(make.PASS, make.dram_source(self.x), make.l2("Result", base, PLACE), TO_L2, AWAY)

    def add(self, *parts: Fields) -> Net:
        self.builder.add(VIEW, *parts)
        return self

    def store(self, base: int = 0, *parts: Fields) -> Program:
        source = make.l2("Source", base, PLACE)
        return self.add(make.PASS, make.dram_result(self.y), source, FROM_L2, *parts).builder.program()


def convolution(net: Net, size: int, result: int) -> Program:
    weights = np.ones((8, 8, size, size), np.float16)
    task = make.window((size, size), pad=(size // 2, size // 2)) | {"Common.Cfg.ActiveNE": 3}
    lanes = net.builder.lanes(make.dense_streams(weights, None, 8, 1))
    ends = make.l2("Source", 0, PLACE), make.l2("Result", result, PLACE)
    return net.load().add(make.NEURAL, *ends, FROM_L2, TO_L2, task, lanes).store(result)


def pooling() -> Program:
    net = Net().load()
    ends = make.l2("Source", 0, PLACE), make.l2("Result", 0, PLACE)
    kind: Fields = {"Common.Cfg.TaskType": 1}
    return net.add(make.PLANAR, *ends, FROM_L2, TO_L2, kind, make.window((3, 3), pad=(1, 1))).store()


def moved(result: int) -> Program:
    net = Net().load()
    ends = make.l2("Source", 0, PLACE), make.l2("Result", result, PLACE)
    return net.add(make.PASS, *ends, FROM_L2, TO_L2).store(result)


def in_scratch() -> Program:
    net = Net(scratch_bytes=0x10000)
    to_scratch, from_scratch = {"Header.Bases.WBase": 3}, {"Header.Bases.RBase0": 3}
    ends = make.dram_source(net.y), make.dram_result(net.y)
    net.add(make.PASS, make.dram_source(net.x), ends[1], to_scratch)
    kind: Fields = {"Common.Cfg.TaskType": 1}
    net.add(make.PLANAR, *ends, from_scratch, to_scratch, kind, make.window((3, 3), pad=(1, 1)))
    return net.add(make.PASS, *ends, from_scratch).builder.program()


def two_sources(first: Fields, second: Fields, result: Fields, twice: bool = False) -> Program:
    """x and what is at L2 address 0, or twice x."""
    net = Net().load()
    dram = make.dram_source(net.x) | (make.dram_source(net.x, second=True) if twice else {})
    return net.add(make.PLANAR, dram, first, second, make.dram_result(net.y), result, DOUBLE).builder.program()


def from_surface(*parts: Fields, source: Surface | None = None) -> Program:
    net = Net()
    if source is not None:
        net.builder.surfaces[0] = net.x = replace(source, buffer=4)
    return net.add(make.PASS, make.dram_source(net.x), make.dram_result(net.y), *parts).builder.program()


RESIDENT_SECOND = make.l2("Source2", 0, PLACE)
HERE, AFTER = make.l2("Source", 0, PLACE), make.l2("Source", 0x4000, PLACE)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (convolution(Net(), 1, 0), r"task 1 \(NE\): L2.ResultBase, L2.SourceBase: the result overwrites source 1"),
        (convolution(Net(), 3, 0x100), r"the result overwrites source 1 before it is read \(found 0x100 to 0xd00 over"),
        (pooling(), r"task 1 \(PE\).*the result overwrites source 1"),
        (moved(0x10), r"the result overwrites source 1.*0x10 to 0xc10 over 0x0 to 0xc00 in l2"),
        (in_scratch(), r"TileDMADst.BaseAddr, TileDMASrc.BaseAddr: the result overwrites source.*buffer 3 \(scratch\)"),
        (two_sources(HERE, RESIDENT_SECOND, {}), r"L2.Source2Base, L2.SourceBase: source 2 and staged source 1"),
        (two_sources(HERE, make.l2("Source2", 0x100, PLACE), {}, twice=True),
         r"L2.SourceBase, L2.Source2Base: staged source 1 and staged source 2 overlap"),
        (two_sources(HERE | KEPT, RESIDENT_SECOND, {}), r"source 2 and (staged|kept) source 1 overlap"),
        (two_sources(AFTER, RESIDENT_SECOND, make.l2("Result", 0x100, PLACE)),
         r"L2.Source2Base, L2.ResultBase: source 2 and staged result overlap in L2"),
        (Net().add(make.PASS, make.dram_source(Net().x), HERE, make.l2("Result", 0x100, PLACE), TO_L2).store(0x100),
         r"L2.ResultBase, L2.SourceBase: result and staged source 1 overlap"),
        (from_surface(HERE, make.l2("Result", 0x1FFF00, PLACE)), r"L2.ResultBase: staged result does not fit in L2"),
        (from_surface(make.l2("Source", 0x1FFFF0, (0x20, 0x20, 0x20, 0))),
         r"L2.SourceBase: staged source 1 does not fit in L2 .*buffer 4 \(x\)"),
    ],
)  # fmt: skip
def test_two_uses_of_one_byte(program: Program, message: str) -> None:
    with pytest.raises(FaultError, match=message):
        machine(program)


def test_result_may_replace_its_source_element_by_element() -> None:
    x = np.arange(8 * 12 * 16).reshape(SHAPE).astype(np.float16)
    assert (machine(moved(0)).run({"x": x})["y"] == x).all()
    assert (machine(moved(0x4000)).run({"x": x})["y"] == x).all()


def test_result_may_stand_between_the_elements_of_its_source() -> None:
    """Ranges that overlap are fine as long as no byte does: two images whose channels alternate."""
    apart = (0x6000, 0x6000, 0x40, 0x200)
    net = Net()
    net.add(make.PASS, make.dram_source(net.x), make.l2("Result", 0, apart), TO_L2, AWAY)
    net.add(make.PASS, make.l2("Source", 0, apart), make.l2("Result", 0x20, apart), FROM_L2, TO_L2)
    program = net.add(make.PASS, make.l2("Source", 0x20, apart), make.dram_result(net.y), FROM_L2).builder.program()
    x = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float16)
    assert (machine(program).run({"x": x})["y"] == x).all()


def test_a_result_on_its_way_destroys_what_it_covers() -> None:
    net = Net().load()
    other = net.builder.surface("z", Role.OUTPUT, SHAPE)
    over = make.l2("Result", 0x100, PLACE)
    net.add(make.PASS, make.dram_source(net.x), make.dram_result(other), over, AWAY)
    with pytest.raises(FaultError, match=r"task 2 \(NE\): L2.SourceBase: source 1 reads l2 where nobody has written"):
        machine(net.store())


def test_l2_remembers_types() -> None:
    net = Net().load()
    as_bytes: Fields = {"Common.ChCfg.InFmt": 0}
    with pytest.raises(FaultError, match=r"L2.SourceBase: source 1 reads l2 as uint8, another type was written"):
        machine(net.store(0, as_bytes))


# Kept copies -------------------------------------------------------------------------------------------------------


def test_a_kept_copy_is_whole() -> None:
    """A batch whose copies have no distance would lie one over the other."""
    shape = (2, *SHAPE[1:])
    builder = Builder()
    x, y = builder.surface("x", Role.INPUT, shape), builder.surface("y", Role.OUTPUT, shape)
    place = make.l2("Source", 0, (0, 0x3000, 0x20, 0x100))
    builder.add(make.PASS, make.view(shape, shape), make.dram_source(x), make.dram_result(y), place, KEPT)
    with pytest.raises(FaultError, match=r"L2.SourceBase: elements of the kept source overlap in memory"):
        machine(builder.program())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"TileDMASrc.Fmt.Interleave": 2}, r"TileDMASrc.Fmt: a source that stays in L2 has interleaved channels"),
        ({"Common.ChCfg.InFmt": 0}, r"Common.ChCfg: InFmt is another format than memory has"),
    ],
)
def test_kept_copies_that_are_not_understood(fields: Fields, message: str) -> None:
    with pytest.raises(FaultError, match=message):
        machine(from_surface(HERE, KEPT, fields))


def test_an_exchanged_source_is_not_kept() -> None:
    shape = (1, 1, 16, 12, 8)
    builder = Builder()
    x, y = builder.surface("x", Role.INPUT, SHAPE), builder.surface("y", Role.OUTPUT, shape)
    kind: Fields = {"Common.Cfg.TaskType": 2, "Common.PECfg.Src1Transpose": 1}
    builder.add(make.PLANAR, make.view(shape, shape), make.dram_source(x), make.dram_result(y), HERE, KEPT, kind)
    with pytest.raises(FaultError, match=r"Common.PECfg: a source that stays in L2 has its channels and columns exch"):
        machine(builder.program())


# Chained values ----------------------------------------------------------------------------------------------------

SMALL = (1, 1, 2, 3, 4)


def chain(reads: tuple[tuple[int, ...], ...], between: bool = False, **changes: int) -> Program:
    """A value goes from task to task, and is read in these extents; changes apply to the first task."""
    builder = Builder()
    x = builder.surface("x", Role.INPUT, SMALL)
    fields: Fields = {path.replace("__", "."): value for path, value in changes.items()}
    to_chain: Fields = {"L2.ResultCfg.ResultType": 3}
    builder.add(make.PASS, make.view(SMALL, SMALL), make.dram_source(x), {"Common.ChCfg.OutFmt": 2}, to_chain, fields)
    if between:
        z = builder.surface("z", Role.OUTPUT, SMALL)
        builder.add(make.PASS, make.view(SMALL, SMALL), make.dram_source(x), make.dram_result(z))
    for number, shape in enumerate(reads):
        y = builder.surface(f"y{number}", Role.OUTPUT, shape)
        builder.add(make.PASS, make.view(shape, shape), make.dram_result(y), {"L2.SourceCfg.SourceType": 3})
    return builder.program()


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (chain(((1, 1, 4, 3, 2),)), r"task 1 \(NE\): L2.SourceCfg: the task reads a chained value of another size"),
        (chain(((1, 1, 2, 3, 2),)), r"another size \(found \(1, 1, 2, 3, 2\); allowed: \(1, 1, 2, 3, 4\) of task 0"),
        (chain((SMALL, SMALL)), r"task 2 \(NE\): L2.SourceCfg: .*the task before gives none"),
        (chain((SMALL,), between=True), r"task 0 \(NE\): L2.ResultCfg: the result goes straight into the next"),
        (chain(()), r"task 0 \(NE\): L2.ResultCfg: the result goes straight into the next task"),
        (chain((SMALL,), TileDMADst__DMAConfig__En=1), r"TileDMADst.DMAConfig: the result is chained .* its DMA is on"),
        (chain((SMALL,), Common__ChCfg__OutFmt=0), r"Common.ChCfg: a chained value has another format than fp16"),
        (chain((SMALL,), Common__Cfg__Transpose=1), r"L2.ResultCfg: a chained value has its channels and columns exch"),
    ],
)  # fmt: skip
def test_chained_values_that_get_lost(program: Program, message: str) -> None:
    with pytest.raises(FaultError, match=message):
        machine(program)


def test_chained_values_arrive() -> None:
    x = np.arange(24).reshape(SMALL).astype(np.float16)
    assert (machine(chain((SMALL,))).run({"x": x})["y0"] == x).all()


# Outputs and windows -----------------------------------------------------------------------------------------------


def test_outputs_are_whole() -> None:
    untouched = from_surface()
    more = replace(untouched.surfaces[1], name="z", buffer=6)
    program = replace(untouched, surfaces=(*untouched.surfaces, more))
    with pytest.raises(FaultError, match=r"made: no task writes some of output z .*address 0x0, .*\(0, 0, 0, 0, 0\)"):
        machine(program)
    assert machine(program, RunOptions(until=1)).run({"x": np.ones(SHAPE, np.float16)})["y"].all()
    part = make.view((1, 1, 8, 11, 16), (1, 1, 8, 11, 16))
    with pytest.raises(FaultError, match=r"some of output y .*address 0x2c0, .*\(0, 0, 0, 11, 0\)"):
        machine(from_surface(part))
    with pytest.raises(FaultError, match="no task writes some of output y"):
        machine(replace(untouched, tasks=(), task_offsets=()))


@pytest.mark.parametrize("index", [0, 1, 2, 3])
def test_surfaces_have_buffers_of_their_own(index: int) -> None:
    program = from_surface()
    surfaces = (program.surfaces[0], replace(program.surfaces[1], buffer=index))
    with pytest.raises(FaultError, match=rf"surface y: a surface has the index of a buffer .*found buffer {index}"):
        machine(replace(program, surfaces=surfaces))


@pytest.mark.parametrize("kind", ["pooling", "convolution", "transposed"])
@pytest.mark.parametrize(("size", "pad"), [(1, 1), (2, 3), (3, 3)])
def test_windows_in_front_of_the_source(kind: str, size: int, pad: int) -> None:
    shape = (1, 1, 2, 6, 6)
    builder = Builder()
    x, y = builder.surface("x", Role.INPUT, shape), builder.surface("y", Role.OUTPUT, shape)
    ends = make.view(shape, shape), make.dram_source(x), make.dram_result(y), make.window((size, size), pad=(pad, 0))
    if kind == "pooling":
        builder.add(make.PLANAR, *ends, {"Common.Cfg.TaskType": 1})
    else:
        lanes = builder.lanes([np.ones(2 * size * size, np.float16).tobytes()] * 2)
        mode: Fields = {"Common.Cfg.ActiveNE": 1, "NE.MACCfg.OpMode": 5 if kind == "transposed" else 0}
        builder.add(make.NEURAL, *ends, mode, lanes)
    with pytest.raises(FaultError, match=r"Common.ConvCfg: the result has rows whose window is before the source"):
        machine(builder.program())


def test_types_of_a_kept_copy() -> None:
    """Integers stay integers."""
    integers = Surface("x", Role.INPUT, SHAPE, (0x1800, 0x1800, 0x300, 0x40, 1), 0x1800, 4, DType.UINT8)
    net = Net()
    net.builder.surfaces[0] = integers
    net.add(make.PASS, make.dram_source(integers), make.dram_result(net.y), HERE, KEPT)
    z = net.builder.surface("z", Role.OUTPUT, SHAPE)
    net.add(make.PASS, HERE, FROM_L2, make.dram_result(z), {"Common.ChCfg.InFmt": 0})
    x = np.random.default_rng(1).integers(0, 256, SHAPE).astype(np.uint8)
    outputs = machine(net.builder.program()).run({"x": x})
    assert (outputs["z"] == x).all()
