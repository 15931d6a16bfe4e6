"""Rows that are longer than what the kernels compute at once, against the reference machine."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support import programs as make
from tests.support.programs import Builder, Fields

from openane.program import Program, Role
from openane.targets.h13.machine import machine, reference

RNG = np.random.default_rng(5)


def planar(width: int, result: tuple[int, ...], fields: Fields) -> Program:
    builder = Builder()
    x = builder.surface("x", Role.INPUT, (1, 1, 1, 2, width))
    y = builder.surface("y", Role.OUTPUT, result)
    walked = x.shape if result[4] == 1 else y.shape  # a reduction states the extents of its source
    builder.add(make.PLANAR, make.view(x.shape, walked), make.dram_source(x), make.dram_result(y), fields)
    return builder.program()


def same(program: Program) -> None:
    arrays = {}
    for surface in program.inputs:
        values = RNG.standard_normal(surface.shape) * np.exp2(RNG.integers(-10, 4, surface.shape))
        arrays[surface.name] = values.astype(np.float16)
    found, wanted = machine(program).run(arrays), reference(program).run(arrays)
    assert found.keys() == wanted.keys()
    assert all(found[name].tobytes() == wanted[name].tobytes() for name in wanted)


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
@pytest.mark.parametrize(("window", "step", "pad"), [(2, 2, 0), (3, 2, 1), (3, 1, 1), (5, 3, 2)])
def test_pooling_of_long_rows(mode: int, window: int, step: int, pad: int) -> None:
    width = 2113
    out = (width + 2 * pad - window) // step + 1
    kind: Fields = {"Common.Cfg.TaskType": 1, "PE.Cfg.PoolMode": mode}
    shape = make.window((2, window), (1, step), (0, pad))
    same(planar(width, (1, 1, 1, 1, out), kind | shape))


@pytest.mark.parametrize("mode", [0, 2])
def test_reductions_of_long_rows(mode: int) -> None:
    same(planar(3001, (1, 1, 1, 1, 1), {"Common.Cfg.TaskType": 5, "PE.Cfg.PoolMode": mode}))


@pytest.mark.parametrize("width", [2047, 2048, 4097])
def test_elementwise_work_on_long_rows(width: int) -> None:
    same(planar(width, (1, 1, 1, 2, width), {"Common.Cfg.TaskType": 2, "PE.Cfg.OpMode": 4}))


@pytest.mark.parametrize(("step", "pad"), [(1, 1), (2, 0), (2, 1), (2, 2), (3, 1)])
@pytest.mark.parametrize("width", [9, 33, 700])
def test_depthwise_convolutions_of_rows(step: int, pad: int, width: int) -> None:
    out = (width + 2 * pad - 3) // step + 1
    builder = Builder()
    x = builder.surface("x", Role.INPUT, (1, 1, 2, 4, width))
    y = builder.surface("y", Role.OUTPUT, (1, 1, 2, (4 - 3) // step + 1, out))
    lanes = builder.lanes([(RNG.standard_normal(16) / 4).astype(np.float16).tobytes() for _ in range(2)])
    task: Fields = {"Common.Cfg.ActiveNE": 1, "Common.GroupConvCfg.UnicastEn": 1}
    shape = make.window((3, 3), (step, step), (0, pad))
    ends = make.dram_source(x), make.dram_result(y)
    builder.add(make.NEURAL, make.view(x.shape, y.shape), *ends, lanes, task, shape)
    same(builder.program())
