"""A loaded program: threads, many inputs, stopping half way, statistics, trace, the fast mode."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.support import programs as make
from tests.support.programs import Builder, Fields

from openane.core.errors import InputError
from openane.numerics.definition.fp16 import nearest
from openane.program import Program, Role
from openane.targets.h13.machine import machine
from openane.targets.target import RunOptions


def network(seed: int = 0) -> tuple[Program, dict[str, np.ndarray]]:
    """conv 3x3 with ReLU to L2, conv 1x1 to scratch, sum with the input to the output."""
    rng = np.random.default_rng(seed)
    builder = Builder(scratch_bytes=0x8000)
    shape = (1, 1, 20, 17, 19)
    x, y = builder.surface("x", Role.INPUT, shape), builder.surface("y", Role.OUTPUT, shape)
    pitch = 17 * 0x340
    in_l2 = 0x20000, (pitch, pitch, 0x30, 0x400)
    for kernel, source, result, function in (
        (3, make.dram_source(x), make.l2("Result", *in_l2), 1),
        (1, make.l2("Source", *in_l2), make.dram_result(y), 0),
    ):
        weights = (rng.standard_normal((20, 20, kernel, kernel)) / 4).astype(np.float16)
        lanes = builder.lanes(make.dense_streams(weights, None, 16, 2))
        where: Fields = {"Header.Bases.WBase": 3} if function == 0 else {"L2.ResultCfg.ResultType": 0}
        task: Fields = {
            "Common.Cfg.ActiveNE": 4,
            "Common.ConvCfg.OCGSize": 1,
            "NE.MACCfg.NonlinearMode": function,
            "L2.SourceCfg.SourceType": 2 if function else 0,
        }
        pad = make.window((kernel, kernel), pad=(kernel // 2, kernel // 2))
        builder.add(make.NEURAL, make.view(shape, shape), source, result, lanes, pad, task, where)
    second = make.dram_source(x, second=True)
    kind: Fields = {"Common.Cfg.TaskType": 3, "PE.Cfg.SecSrc": 2, "Header.Bases.RBase0": 3}
    ends = make.dram_source(x), second, make.dram_result(y)
    builder.add(make.PLANAR, make.view(shape, shape), *ends, kind)
    return builder.program(), {"x": rng.standard_normal(shape).astype(np.float16)}


def test_any_number_of_threads_gives_the_same_bits() -> None:
    program, inputs = network()
    results = [machine(program, RunOptions(threads=threads)).run(inputs)["y"] for threads in (1, 2, 3, 5)]
    assert all((result.view(np.uint16) == results[0].view(np.uint16)).all() for result in results)


def test_run_many_gives_what_run_gives() -> None:
    program, _ = network()
    rng = np.random.default_rng(1)
    batches = [{"x": rng.standard_normal((1, 1, 20, 17, 19)).astype(np.float16)} for _ in range(7)]
    loaded = machine(program, RunOptions(threads=2))
    many = [result["y"] for result in loaded.run_many(batches)]
    assert all((loaded.run(batch)["y"] == result).all() for batch, result in zip(batches, many, strict=True))
    loaded.close()


def test_stop_after_a_task_and_see_what_is_live() -> None:
    program, inputs = network()
    stopped = machine(program, RunOptions(until=1))
    (live,) = stopped.live_tensors(inputs)
    assert live.name == "task0-result"
    assert live.values.shape == (1, 1, 20, 17, 19)
    assert (live.values >= 0).all()
    assert not stopped.run(inputs)["y"].any()
    whole = {tensor.name: tensor.values for tensor in machine(program).live_tensors(inputs)}
    assert (whole["task0-result"] == live.values).all()
    total = whole["task1-result"].astype(np.float64) + inputs["x"].astype(np.float64)
    assert whole["task2-result"].view(np.uint16).ravel().tolist() == [
        nearest(number) for number in total.ravel().tolist()
    ]


def test_stopping_after_a_task_that_is_not_there() -> None:
    with pytest.raises(InputError, match="no such task to stop after"):
        machine(network()[0], RunOptions(until=4))


def test_statistics() -> None:
    program, _ = network()
    statistics = machine(program).statistics
    elements = 20 * 17 * 19
    assert statistics.macs == elements * 20 * (9 + 1)
    assert [task.engine for task in statistics.tasks] == ["NE", "NE", "PE"]
    assert statistics.buffer_bytes() == {3: (2 * elements, 2 * elements), 4: (4 * elements, 0), 5: (0, 2 * elements)}
    assert statistics.tasks[0].l2_written_bytes == statistics.tasks[1].l2_read_bytes == 2 * elements
    assert statistics.kernel_bytes == len(program.constants)
    assert statistics.l2_high_water == 0x20000 + 16 * 0x400 + 19 * 0x30 + 19 * 2


def test_trace_is_json_and_tells_programs_apart() -> None:
    program, _ = network()
    trace = list(machine(program).trace_lines())
    assert {json.loads(line)["effect"] for line in trace} == {"kernel", "read", "stage", "compute", "write"}
    assert trace == list(machine(program).trace_lines())
    changed = program.tasks[2].with_registers({0x8800: 0x80020})
    other = machine(Program(**fields_of(program) | {"tasks": (*program.tasks[:2], changed)}))
    different = [a for a, b in zip(trace, other.trace_lines(), strict=True) if a != b]
    assert len(different) == 1


def fields_of(program: Program) -> dict[str, object]:
    return {name: getattr(program, name) for name in program.__dataclass_fields__}


@pytest.mark.parametrize("inputs", [300, 1200])
def test_fast_stays_within_its_bound(inputs: int) -> None:
    """Sums in another order: 2 K 2^-24 times the sum of magnitudes, and one step of the final rounding."""
    rng = np.random.default_rng(3)
    builder = Builder()
    x = builder.surface("x", Role.INPUT, (1, 1, inputs, 23, 23))
    y = builder.surface("y", Role.OUTPUT, (1, 1, 33, 23, 23))
    weights = rng.standard_normal((33, inputs, 1, 1)).astype(np.float16)
    lanes = builder.lanes(make.dense_streams(weights, None, 16, 4))
    task: Fields = {"Common.Cfg.ActiveNE": 4, "Common.ConvCfg.OCGSize": 2}
    builder.add(make.NEURAL, make.view(x.shape, y.shape), make.dram_source(x), make.dram_result(y), lanes, task)
    values = {"x": rng.standard_normal(x.shape).astype(np.float16)}
    exact, fast = (machine(builder.program(), RunOptions(fast=f)).run(values)["y"] for f in (False, True))
    pixels = np.abs(values["x"].astype(np.float64)).reshape(inputs, -1)
    magnitudes = (np.abs(weights.astype(np.float64)).reshape(33, inputs) @ pixels).reshape(y.shape)
    bound = 2 * inputs * 2.0**-24 * magnitudes + np.spacing(np.abs(exact)).astype(np.float64)
    assert (np.abs(exact.astype(np.float64) - fast) <= bound).all()
