"""Too much memory or time is refused, run-time kernels are checked byte by byte, unknown combinations stop."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support import programs as make
from tests.support.programs import Builder, Fields

from openane.core.errors import FaultError
from openane.core.types import DType
from openane.program import Program, Role
from openane.sim.check.memory import memory_of_tasks, task_memory
from openane.targets.h13.machine import BUFFERS, machine
from openane.targets.target import RunOptions

LINE = (1, 1, 1, 1, 64)
FLAT: Fields = {f"TileDMASrc.{name}.Stride": 0 for name in ("RowStride", "PlaneStride", "DepthStride")}
"""Strides that make any source look large."""


# Memory and time ---------------------------------------------------------------------------------------------------


def large_reduction(
    dtype: DType = DType.FLOAT16, interleave: int = 1, depth: int = 3, scratch: bool = False
) -> Program:
    """A sum over 32767 x 32767 x depth elements that are all the same."""
    builder = Builder(scratch_bytes=0x10000 if scratch else 0)
    x, y = builder.surface("x", Role.INPUT, LINE, dtype), builder.surface("y", Role.OUTPUT, (1, 1, 1, 1, 1))
    source = make.dram_source(x) | FLAT | {"TileDMASrc.Fmt.Interleave": interleave}
    if scratch:
        to_scratch: Fields = {"Header.Bases.WBase": 3}
        builder.add(make.PASS, make.view(LINE, LINE), make.dram_source(x), make.dram_result(y), to_scratch)
        source["Header.Bases.RBase0"] = 3
    view = make.view((1, depth, 1, 0x7FFF, 0x7FFF), (1, depth, 1, 0x7FFF, 0x7FFF))
    kind: Fields = {"Common.Cfg.TaskType": 5, "Common.PECfg.Src1Broadcast": 1}
    builder.add(make.PLANAR, view, source, make.dram_result(y), kind)
    return builder.program()


def large_convolution(channels: int, rows: int, mode: int = 0) -> Program:
    """One result of a source that is one line many times."""
    builder = Builder()
    x, y = builder.surface("x", Role.INPUT, LINE), builder.surface("y", Role.OUTPUT, LINE)
    view = make.view((1, 1, channels, rows, 64), (1, 1, 1, 1, 1))
    lanes = builder.lanes([np.ones(channels, np.float16).tobytes()])
    ends = make.dram_source(x) | FLAT, make.dram_result(y), make.window((1, 1), (3, 3)), {"NE.MACCfg.OpMode": mode}
    builder.add(make.NEURAL, view, *ends, lanes)
    return builder.program()


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (large_reduction(DType.UINT8, depth=9000), r"task 0 \(PE\): Common.InDim: the task takes too much memory"),
        (large_reduction(interleave=2, depth=9000), r"task 0 \(PE\): Common.InDim: the task takes too much memory"),
        (large_convolution(0x1FFFF, 0x2000), r"task 0 \(NE\): Common.InDim: .*too much memory \(found 1\d{11} bytes"),
        (large_convolution(64, 0x7FFF, 5), r"task 0 \(NE\): Common.InDim: the task takes too much memory"),
    ],
)  # fmt: skip
def test_copies_of_repeated_elements_are_counted(program: Program, message: str) -> None:
    with pytest.raises(FaultError, match=message + r".*; allowed: 1073741824 bytes\)"):
        machine(program, RunOptions(threads=1, memory_limit_bytes=1 << 30))


def test_repeated_elements_that_nobody_copies_cost_nothing() -> None:
    """Ten million million elements of fp16 in one line of scratch: each address is looked at once."""
    assert machine(large_reduction(depth=9000, scratch=True), RunOptions(threads=1, memory_limit_bytes=64 << 20))


def test_too_large_buffers_are_named() -> None:
    builder = Builder(scratch_bytes=1 << 40)
    x, y = builder.surface("x", Role.INPUT, LINE), builder.surface("y", Role.OUTPUT, LINE)
    builder.add(make.PASS, make.view(LINE, LINE), make.dram_source(x), make.dram_result(y))
    with pytest.raises(FaultError, match=r"take too much memory .*1099511627776 of them in buffer 3 \(scratch\)"):
        machine(builder.program())


def test_maps_of_large_strides_are_counted() -> None:
    """A result whose axes cross needs a byte for each byte it spans, more than the limit leaves."""
    shape = (8, 1, 8, 8, 8)
    builder = Builder(scratch_bytes=7 << 30)
    x, y = builder.surface("x", Role.INPUT, shape), builder.surface("y", Role.OUTPUT, shape)
    strides: Fields = {
        "Header.Bases.WBase": 3,
        "TileDMADst.GroupStride.GroupStride": 0x30000000,
        "TileDMADst.PlaneStride.PlaneStride": 0x1000040,
        "TileDMADst.RowStride.RowStride": 0x800000,
    }
    builder.add(make.PASS, make.view(shape, shape), make.dram_source(x), make.dram_result(y), strides)
    with pytest.raises(FaultError, match=r"task 0 \(NE\): checking the task takes too much memory"):
        machine(builder.program())


def test_memory_is_never_more_than_was_counted() -> None:
    for program in (kernel_at_run_time(), kernel_at_run_time(inputs=8, g=4, outputs=16, groups=2), converted()):
        loaded = machine(program, RunOptions(threads=1))
        layout, schedule = loaded.layout, loaded._schedule
        needs = [task_memory(work, BUFFERS.constants) for work in loaded.works]
        counted = layout.total_bytes + layout.l2_bytes + layout.chain_bytes + memory_of_tasks(loaded.works, needs)
        counted -= max(need.passing for need in needs)
        parameters = schedule.floats.nbytes + schedule.integers.nbytes + schedule.constants.nbytes
        assert 2 * (schedule.arena.size + schedule.image_size) + schedule.rows.nbytes + parameters <= counted


def test_a_run_ends_when_its_time_is_over() -> None:
    loaded = machine(kernel_at_run_time(), RunOptions(threads=1, time_limit_seconds=0.0))
    inputs = {s.name: np.zeros(s.shape, np.float16) for s in loaded.program.inputs}
    for start in (loaded.run, loaded.live_tensors, lambda inputs: list(loaded.results(inputs))):
        with pytest.raises(FaultError, match=r"made: the run takes longer than it may .*allowed: 0 s"):
            start(inputs)
    assert machine(kernel_at_run_time(), RunOptions(threads=1, time_limit_seconds=600)).run(inputs)


def converted() -> Program:
    """Integers from interleaved scratch."""
    shape = (1, 1, 4, 3, 5)
    builder = Builder(scratch_bytes=0x1000)
    x, y = builder.surface("x", Role.INPUT, shape, DType.UINT8), builder.surface("y", Role.OUTPUT, shape)
    apart: Fields = {"TileDMADst.Fmt.Interleave": 2, "TileDMADst.RowStride.RowStride": 0x40, "Header.Bases.WBase": 3}
    builder.add(make.PASS, make.view(shape, shape), make.dram_source(x), make.dram_result(y), apart)
    back: Fields = {"TileDMASrc.Fmt.Interleave": 2, "TileDMASrc.RowStride.Stride": 0x40, "Header.Bases.RBase0": 3}
    builder.add(make.PASS, make.view(shape, shape), make.dram_source(y), make.dram_result(y), back)
    return builder.program()


# Run-time kernels --------------------------------------------------------------------------------------------------


def kernel_at_run_time(
    outputs: int = 8, inputs: int = 4, g: int = 2, groups: int = 1, lanes: tuple[int, ...] = (0, 1, 2, 3),
    moved: tuple[int, int] | None = None, short: int | None = None, **changes: int,
) -> Program:  # fmt: skip
    """A kernel that the first task writes into scratch, [lane][group][input][g channels], blocks padded to 64 bytes.

    Args:
        lanes: those that are loaded.
        moved: lane and its offset.
        short: a lane of 64 bytes; the first one is longer by that.
        changes: of the convolution.
    """
    builder = Builder(scratch_bytes=0x4000)
    block = -(-inputs * 2 * g // 64) * 64
    plane = block * groups
    view, result = (groups, 1, inputs, 3, 5), (groups, 1, outputs, 3, 5)
    w = builder.surface("w", Role.INPUT, (groups, 1, outputs, 1, inputs))
    x, y = builder.surface("x", Role.INPUT, view), builder.surface("y", Role.OUTPUT, result)
    place: Fields = {
        "Header.Bases.WBase": 3,
        "TileDMADst.Fmt.Interleave": g,
        "TileDMADst.GroupStride.GroupStride": block,
        "TileDMADst.PlaneStride.PlaneStride": plane,
        "TileDMADst.RowStride.RowStride": plane,
    }
    builder.add(make.PASS, make.view(w.shape, w.shape), make.dram_source(w), make.dram_result(w), place)
    kernel: Fields = {
        "Common.Cfg.ActiveNE": 2,
        "Common.ConvCfg.OCGSize": g.bit_length() - 1,
        "KernelDMASrc.MasterConfig.MasterEnable": 1,
        "Header.KernelBases.KBase0": 3,
        "Header.KernelBases.KBE0": 1,
    }
    for lane in lanes:
        size = 64 if lane == short else plane + 64 * (lane == 0 and short is not None)
        kernel[f"KernelDMASrc.CoeffDMAConfig[{lane}].En"] = 1
        kernel[f"KernelDMASrc.CoeffBaseAddr[{lane}].Addr"] = (
            lane * plane if moved is None or moved[0] != lane else moved[1]
        )
        kernel[f"KernelDMASrc.CoeffBfrSize[{lane}].MemBfrSize"] = size
    fields = {path.replace("__", "."): value for path, value in changes.items()}
    builder.add(make.NEURAL, make.view(view, result), make.dram_source(x), make.dram_result(y), kernel, fields)
    return builder.program()


@pytest.mark.parametrize(
    ("outputs", "inputs", "g", "groups"),
    [(8, 4, 2, 1), (16, 8, 4, 2), (16, 3, 4, 2), (7, 4, 2, 1), (13, 5, 4, 2)],
)
def test_padding_of_a_run_time_kernel_need_not_be_written(outputs: int, inputs: int, g: int, groups: int) -> None:
    """Blocks are filled up to 64 bytes, and the last lane may have room for channels that are not there."""
    program = kernel_at_run_time(outputs, inputs, g, groups)
    rng = np.random.default_rng(0)
    values = {s.name: rng.integers(-3, 4, s.shape).astype(np.float16) for s in program.inputs}
    weights = values["w"].astype(np.float64)[:, 0, :, 0]
    expected = np.einsum("goi,gihw->gohw", weights, values["x"].astype(np.float64)[:, 0])
    assert (machine(program).run(values)["y"][:, 0] == expected).all()


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (kernel_at_run_time(lanes=(0, 1, 2)), r"CoeffDMAConfig\[3\]: an output channel has no kernel"),
        (kernel_at_run_time(inputs=32, short=3), r"CoeffBfrSize\[3\]: a kernel stream is shorter than the kernel"),
        (kernel_at_run_time(inputs=32, moved=(3, 3 * 128 + 64)),
         r"CoeffBaseAddr\[3\]: the kernel is read where nobody has written \(found address 0x200 in buffer 3"),
        (kernel_at_run_time(moved=(1, 0x3000)), r"CoeffBaseAddr\[1\]: .*nobody has written \(found address 0x3000 in"),
        (kernel_at_run_time(Header__Bases__WBase=3),
         r"CoeffBaseAddr\[0\], TileDMADst.BaseAddr: the result overwrites the kernel of its own task.*\(scratch\)"),
        (kernel_at_run_time(NE__KernelCfg__SparseFmt=1, KernelDMASrc__MasterConfig__SparseEnable=1),
         r"CoeffBaseAddr\[0\]: the kernel is read where nobody has written"),
    ],
)  # fmt: skip
def test_faults_of_run_time_kernels(program: Program, message: str) -> None:
    with pytest.raises(FaultError, match=r"task 1( \(NE\))?: KernelDMASrc\." + message):
        machine(program)


# Combinations that are not understood ------------------------------------------------------------------------------


def single(source: DType = DType.FLOAT16, neural: bool = False, **changes: int) -> Program:
    """A task with one source."""
    shape = (1, 1, 4, 3, 5)
    builder = Builder()
    x, y = builder.surface("x", Role.INPUT, shape, source), builder.surface("y", Role.OUTPUT, shape, source)
    kind = make.PASS if neural else make.PLANAR | {"Common.Cfg.TaskType": 2}
    fields = {path.replace("__", "."): value for path, value in changes.items()}
    builder.add(kind, make.view(shape, shape), make.dram_source(x), make.dram_result(y), fields)
    return builder.program()


def rows(flags: int) -> Program:
    """Type 4, with flags of the pair of rows."""
    shape, pair = (1, 1, 4, 3, 5), (1, 1, 4, 2, 1)
    builder = Builder()
    x, p, y = (builder.surface(n, r, s) for n, r, s in (
        ("x", Role.INPUT, shape), ("p", Role.INPUT, pair), ("y", Role.OUTPUT, shape)))  # fmt: skip
    kind: Fields = {"Common.Cfg.TaskType": 4, "PE.Cfg.SecSrc": 2, "Common.PECfg.Src2Broadcast": flags}
    sources = make.dram_source(x), make.dram_source(p, second=True)
    builder.add(make.PLANAR, make.view(shape, shape), *sources, make.dram_result(y), kind)
    return builder.program()


LOADED = {
    "KernelDMASrc__MasterConfig__MasterEnable": 1,
    "KernelDMASrc__CoeffDMAConfig[0]__En": 1,
    "Header__KernelBases__KBase0": 1,
}
OUTSIDE = LOADED | {"Header__KernelBases__KBE0": 1, "KernelDMASrc__CoeffBaseAddr[0]__Addr": 0x40000}


@pytest.mark.parametrize(
    ("program", "message"),
    [
        *((single(neural=True, Common__Cfg__ActiveNE=n), r"Common.Cfg: more neural engines than") for n in (5, 6, 7)),
        (single(neural=True, **LOADED), r"Header.KernelBases: the task loads a kernel and KBE0 is off"),
        (single(neural=True, **OUTSIDE), r"CoeffBaseAddr\[0\]: a kernel stream runs over the end of its buffer"),
        (single(neural=False, **OUTSIDE), r"CoeffBaseAddr\[0\]: a kernel stream runs over the end of its buffer"),
        (single(DType.UINT8, TileDMASrc__Fmt__FmtMode=1), r"TileDMASrc.Fmt: element format is not understood"),
        (single(DType.INT8, TileDMADst__Fmt__FmtMode=1), r"TileDMADst.Fmt: element format is not understood"),
        (single(DType.UINT8, TileDMASrc__Fmt__Truncate=1), r"TileDMASrc.Fmt: element format is not understood"),
        (single(Common__Cfg__TaskType=1, Common__ConvCfg__OCGSize=1), r"Common.ConvCfg: output channel groups of a"),
        *((rows(flags), r"Common.PECfg: a pair of rows is repeated") for flags in (1, 2, 4, 9)),
        (single(Common__PECfg__Src2Broadcast=8), r"Common.PECfg: a second source has a view and the task has one"),
        (single(Common__PECfg__Src2Transpose=1), r"Common.PECfg: a second source has a view and the task has one"),
        (single(L2__SourceCfg__Source2Dram=1), r"L2.SourceCfg: a second source comes from DRAM and the task has one"),
        (single(neural=True, Common__ChCfg__InFmt=0), r"Common.ChCfg: InFmt is another format than memory has"),
        (single(neural=True, Common__ChCfg__OutFmt=1), r"Common.ChCfg: OutFmt is another format than memory has"),
    ],
)  # fmt: skip
def test_combinations_that_are_not_understood(program: Program, message: str) -> None:
    with pytest.raises(FaultError, match=r"task 0.*" + message):
        machine(program)


def test_rows_of_which_one_pair_serves_all_channels() -> None:
    assert machine(rows(8)) and machine(rows(0))


def test_exchanged_and_interleaved_is_read_as_it_was_written() -> None:
    """What a result with exchanged channels and columns interleaves, a source with the same words takes apart."""
    shape = (1, 1, 6, 3, 4)
    builder = Builder(scratch_bytes=0x4000)
    x, y = builder.surface("x", Role.INPUT, shape), builder.surface("y", Role.OUTPUT, shape)
    names = ("PlaneStride", 0x400), ("RowStride", 0x40)
    result: Fields = {"Header.Bases.WBase": 3, "TileDMADst.Fmt.Interleave": 2, "Common.Cfg.Transpose": 1}
    result |= {f"TileDMADst.{name}.{name}": value for name, value in names}
    source: Fields = {"Header.Bases.RBase0": 3, "TileDMASrc.Fmt.Interleave": 2, "Common.PECfg.Src1Transpose": 1}
    source |= {f"TileDMASrc.{name}.Stride": value for name, value in names} | {"Common.Cfg.TaskType": 2}
    builder.add(make.PASS, make.view(shape, shape), make.dram_source(x), make.dram_result(y), result)
    builder.add(make.PLANAR, make.view(shape, shape), make.dram_source(y), make.dram_result(y), source)
    values = np.random.default_rng(0).standard_normal(shape).astype(np.float16)
    assert (machine(builder.program()).run({"x": values})["y"] == values).all()
