"""Programs that do what the machine does not allow stop before they run, with task, register and value."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.support import programs as make
from tests.support.programs import Builder, Fields

from openane.core.errors import FaultError, InputError
from openane.program import Program, Role
from openane.targets.h13.machine import machine
from openane.targets.target import RunOptions

SHAPE = (1, 1, 4, 3, 5)


def copy(**changes: int) -> Program:
    """A pass-through of the neural engine, with changes."""
    builder = Builder()
    x = builder.surface("x", Role.INPUT, SHAPE)
    y = builder.surface("y", Role.OUTPUT, SHAPE)
    fields: Fields = {path.replace("__", "."): value for path, value in changes.items()}
    builder.add(make.PASS, make.view(SHAPE, SHAPE), make.dram_source(x), make.dram_result(y), fields)
    return builder.program()


def add(**changes: int) -> Program:
    """A sum of two sources on the planar engine, with changes."""
    builder = Builder()
    a = builder.surface("a", Role.INPUT, SHAPE)
    b = builder.surface("b", Role.INPUT, SHAPE)
    y = builder.surface("y", Role.OUTPUT, SHAPE)
    fields: Fields = {path.replace("__", "."): value for path, value in changes.items()}
    kind: Fields = {"Common.Cfg.TaskType": 3, "PE.Cfg.SecSrc": 2}
    ends = make.dram_source(a), make.dram_source(b, second=True), make.dram_result(y)
    builder.add(make.PLANAR, make.view(SHAPE, SHAPE), *ends, kind, fields)
    return builder.program()


def conv(**changes: int) -> Program:
    """A 1x1 convolution from 4 to 4 channels."""
    builder = Builder()
    x = builder.surface("x", Role.INPUT, SHAPE)
    y = builder.surface("y", Role.OUTPUT, SHAPE)
    fields: Fields = {path.replace("__", "."): value for path, value in changes.items()}
    lanes = builder.lanes(make.dense_streams(np.eye(4, dtype=np.float16)[:, :, None, None], None, 4, 1))
    ends = make.dram_source(x), make.dram_result(y)
    builder.add(make.NEURAL, make.view(SHAPE, SHAPE), *ends, lanes, {"Common.Cfg.ActiveNE": 2}, fields)
    return builder.program()


def through_l2(**changes: int) -> Program:
    """x to L2, L2 to y; changes apply to the second task."""
    builder = Builder()
    x = builder.surface("x", Role.INPUT, SHAPE)
    y = builder.surface("y", Role.OUTPUT, SHAPE)
    fields: Fields = {path.replace("__", "."): value for path, value in changes.items()}
    resident: Fields = {"L2.ResultCfg.ResultType": 0, "L2.SourceBase.Addr": 0x1000}
    place = (0, 0x100, 0x10, 0x40)
    builder.add(make.PASS, make.view(SHAPE, SHAPE), make.dram_source(x), make.l2("Result", 0, place), resident)
    second = make.PASS, make.view(SHAPE, SHAPE), make.dram_result(y), make.l2("Source", 0, place)
    builder.add(*second, {"L2.SourceCfg.SourceType": 0}, fields)
    return builder.program()


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (copy(TileDMASrc__BaseAddr__Addr=0x40), r"task 0 \(NE\): TileDMASrc.BaseAddr: source 1 runs over the end"),
        (copy(TileDMADst__PlaneStride__PlaneStride=0x400), r"TileDMADst.BaseAddr: result runs over the end"),
        (copy(TileDMADst__RowStride__RowStride=0), r"elements of the result overlap in memory"),
        (copy(Header__Bases__RBase0=9), r"source 1 is in a buffer that the program does not have \(found buffer 9"),
        (copy(Header__Bases__WBase=4), r"writes to an input or to constants \(found buffer 4 \(x\)"),
        (copy(Header__Bases__RBE0=0), r"task 0: Header.Bases: source 1 comes from DRAM and RBE0 is off"),
        (copy(TileDMASrc__DMAConfig__En=0), r"a source comes from DRAM and its DMA is off"),
        (copy(TileDMADst__DMAConfig__En=0), r"the result goes to DRAM and its DMA is off"),
        (copy(Common__InDim__Win=0), r"an extent is zero"),
        (copy(Common__Cout__Cout=5), r"changes their number"),
        (copy(Common__OutDim__Wout=4), r"source and result differ in size"),
        (copy(NE__MACCfg__OpMode=6), r"NE.MACCfg: operation is not understood"),
        (copy(NE__MACCfg__NonlinearMode=3), r"function is not understood"),
        (copy(NE__MACCfg__NonlinearMode=2), r"needs a kernel or table and loads none"),
        (copy(NE__MACCfg__Unknown_20=0), r"NE.MACCfg.Unknown_20 .*not understood.*allowed: 0x1"),
        (copy(NE__MACCfg__PostScaleMode=1), r"NE.MACCfg.PostScaleMode"),
        (copy(TileDMASrc__Fmt__OffsetCh=1), r"TileDMASrc.Fmt.OffsetCh"),
        (copy(TileDMASrc__Fmt__MemFmt=3), r"element format is not understood"),
        (copy(Common__ConvCfg__Kw=3), r"a kernel size on a task without a kernel"),
        (copy(Common__PECfg__Src1Broadcast=1), r"operand views of the planar engine"),
        (copy(Header__Control__TDSkip=1), r"Header.Control.TDSkip"),
        (add(PE__Cfg__OpMode=5), r"PE.Cfg: operation is not understood"),
        (add(PE__Cfg__Condition=3), r"condition is not understood"),
        (add(PE__Cfg__SecSrc=0), r"second operand does not go with the task type"),
        (add(PE__Cfg__PoolMode=2), r"a pool mode on a task that does not reduce"),
        (add(Common__Cfg__TaskType=7), r"task type is not understood"),
        (add(Common__Cfg__TaskType=2), r"second source has a format|second operand"),
        (add(Common__OutDim__Hout=2), r"source and result of a planar task differ in size"),
        (add(TileDMASrc__Src2PlaneStride__Stride=0x4000), r"TileDMASrc.Src2BaseAddr: source 2 runs over the end"),
        (conv(KernelDMASrc__MasterConfig__MasterEnable=0), r"needs a kernel or table and loads none"),
        (conv(Header__KernelBases__KBE0=0), r"the task loads a kernel and KBE0 is off"),
        (conv(Header__KernelBases__KBase0=2), r"the kernel is in a buffer that the program does not have"),
        (conv(Common__ConvCfg__Kw=31), r"kernel streams are shorter|is outside|shorter than the kernel"),
        (conv(Common__ConvCfg__Sx=0), r"kernel size or stride is zero"),
        (conv(Common__OutDim__Wout=9), r"columns whose window is outside the source"),
        (conv(**{"KernelDMASrc__CoeffBaseAddr[3]__Addr": 0x4000}), r"CoeffBaseAddr\[3\]: a kernel stream runs over"),
        (conv(**{"KernelDMASrc__CoeffDMAConfig[2]__En": 0}), r"CoeffDMAConfig\[2\]: an output channel has no kernel"),
        (conv(NE__KernelCfg__SparseFmt=1), r"SparseFmt and SparseEnable differ"),
        (through_l2(L2__SourceBase__Addr=0x10), r"source 1 reads l2 where nobody has written"),
        (through_l2(L2__SourceRowStride__Stride=0x100000), r"runs over the end of its memory.*bytes in l2"),
    ],
)  # fmt: skip
def test_fault(program: Program, message: str) -> None:
    with pytest.raises(FaultError, match=message):
        machine(program)


def test_good_programs_run() -> None:
    x = np.arange(60, dtype=np.float16).reshape(SHAPE)
    for program in (copy(), conv(), through_l2()):
        assert (machine(program).run({"x": x})["y"] == x).all()
    assert (machine(add()).run({"a": x, "b": x})["y"] == x + x).all()


def test_staging_destroys_what_it_covers() -> None:
    """A tensor in L2 does not survive a transfer that is staged over it."""
    builder = Builder()
    x = builder.surface("x", Role.INPUT, SHAPE)
    y = builder.surface("y", Role.OUTPUT, SHAPE)
    place = (0, 0x100, 0x10, 0x40)
    resident: Fields = {"L2.ResultCfg.ResultType": 0}
    first = make.l2("Source", 0x1000, place), make.l2("Result", 0, place)
    over = make.l2("Source", 0, place), make.l2("Result", 0x2000, place)
    for both in (first, over):
        builder.add(make.PASS, make.view(SHAPE, SHAPE), make.dram_source(x), *both, resident)
    back = make.l2("Source", 0, place), {"L2.SourceCfg.SourceType": 0}
    builder.add(make.PASS, make.view(SHAPE, SHAPE), make.dram_result(y), *back)
    with pytest.raises(FaultError, match=r"task 2 \(NE\).*source 1 reads l2 where nobody has written"):
        machine(builder.program())


def test_scratch_must_be_written_first() -> None:
    program = replace(copy(Header__Bases__RBase0=3), scratch_bytes=0x4000)
    with pytest.raises(FaultError, match=r"reads buffer 3 \(scratch\) where nobody has written.*address 0x0"):
        machine(program)


def test_permissive_turns_unknown_bits_into_notes() -> None:
    program = copy(NE__MACCfg__Unknown_20=0)
    loaded = machine(program, RunOptions(permissive=True))
    assert "NE.MACCfg.Unknown_20" in loaded.works[0].notes[0]
    assert any('"effect": "note"' in line for line in loaded.trace_lines())
    x = np.ones(SHAPE, np.float16)
    assert (loaded.run({"x": x})["y"] == x).all()


def test_memory_limit() -> None:
    with pytest.raises(FaultError, match="take too much memory"):
        machine(copy(), RunOptions(memory_limit_bytes=1000))


def test_too_much_work_is_refused_at_once() -> None:
    """Strides of zero make any source look large; the sum over it would take years."""
    builder = Builder()
    shape = (1, 1, 1, 1, 1)
    x = builder.surface("x", Role.INPUT, shape)
    y = builder.surface("y", Role.OUTPUT, shape)
    extents = ("InDim.Win", "InDim.Hin", "InDepth.Din", "OutDim.Wout", "OutDim.Hout", "OutDepth.Dout")
    huge: Fields = {f"Common.{name}": 0x7FFF for name in extents}
    flat: Fields = {f"TileDMASrc.{name}.Stride": 0 for name in ("RowStride", "PlaneStride", "DepthStride")}
    kind: Fields = {"Common.Cfg.TaskType": 5, "Common.PECfg.Src1Broadcast": 7}
    ends = make.dram_source(x), make.dram_result(y)
    builder.add(make.PLANAR, make.view(shape, shape), *ends, huge | flat, kind)
    with pytest.raises(FaultError, match="more work than is run"):
        machine(builder.program())


def test_wrong_inputs() -> None:
    loaded = machine(copy())
    with pytest.raises(InputError, match="missing x; unknown z"):
        loaded.run({"z": np.zeros(SHAPE, np.float16)})
    with pytest.raises(InputError, match="another shape"):
        loaded.run({"x": np.zeros((1, 1, 4, 3, 4), np.float16)})
