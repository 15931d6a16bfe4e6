"""The same input gives the same bits: with any number of threads, from every way to run, and from many at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tests.support import programs as make
from tests.support.programs import Builder, Fields
from tests.support.random_programs import random_program
from tests.support.random_tensors import Seeded

from openane.program import Program, Role
from openane.sim.machine import Simulator
from openane.targets.h13.machine import machine
from openane.targets.target import RunOptions

THREADS = (1, 2, 3, 8)
SHAPE = (1, 1, 24, 30, 34)
PITCH = 0x50
ROW = 24 * PITCH


def inputs(seed: int) -> dict[str, np.ndarray]:
    return {"x": (np.random.default_rng(seed).standard_normal(SHAPE) * 3).astype(np.float16)}


def large() -> Program:
    """Every kind of kernel over images that are worth sharing: each task reads what the one before left in L2."""
    rng = np.random.default_rng(2)
    builder = Builder(scratch_bytes=0x40000)
    x, y = builder.surface("x", Role.INPUT, SHAPE), builder.surface("y", Role.OUTPUT, SHAPE)
    resident: Fields = {"L2.SourceCfg.SourceType": 0, "L2.ResultCfg.ResultType": 0}
    view = make.view(SHAPE, SHAPE)
    place = (30 * ROW, 30 * ROW, PITCH, ROW)
    size = 30 * ROW

    def between(index: int) -> Fields:
        return make.l2("Source", size * index, place) | make.l2("Result", size * (index + 1), place) | resident

    load: Fields = {"L2.ResultCfg.ResultType": 0, "L2.SourceBase.Addr": 0x1F0000}
    builder.add(make.PASS, view, make.dram_source(x), make.l2("Result", 0, place), load)
    for index, kernel in enumerate((1, 3)):
        weights = (rng.standard_normal((24, 24, kernel, kernel)) / 5).astype(np.float16)
        lanes = builder.lanes(make.dense_streams(weights, None, 16, 2))
        window = make.window((kernel, kernel), pad=(kernel // 2, kernel // 2))
        task: Fields = {"Common.Cfg.ActiveNE": 4, "Common.ConvCfg.OCGSize": 1}
        builder.add(make.NEURAL, view, between(index), window, lanes, task)
    taps = rng.standard_normal((24, 9)).astype(np.float16)
    lanes = builder.lanes([taps[lane::16].tobytes() for lane in range(16)])
    depthwise: Fields = {"Common.Cfg.ActiveNE": 4, "Common.GroupConvCfg.UnicastEn": 1}
    builder.add(make.NEURAL, view, between(2), make.window((3, 3), pad=(1, 1)), lanes, depthwise)
    average: Fields = {"Common.Cfg.TaskType": 1, "PE.Cfg.PoolMode": 1}
    builder.add(make.PLANAR, view, between(3), make.window((3, 3), pad=(1, 1)), average)
    both: Fields = {"Common.Cfg.TaskType": 3, "PE.Cfg.SecSrc": 2, "Common.ChCfg.Src2InFmt": 2}
    ends = make.l2("Source", size * 4, place), make.l2("Source2", size, place), {"L2.SourceCfg.SourceType": 0}
    builder.add(make.PLANAR, view, *ends, make.dram_result(y), both)
    return builder.program()


def bits(arrays: dict[str, np.ndarray]) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in arrays.items()}


def every_way(loaded: Simulator, batches: list[dict[str, np.ndarray]]) -> list[list[bytes]]:
    """The bits of all tasks' results of each input: run, run_many, results and live_tensors must agree."""
    found = []
    many = list(loaded.run_many(batches))
    for batch, outputs in zip(batches, many, strict=True):
        assert bits(loaded.run(batch)) == bits(outputs)
        stored = {tensor.name: tensor.values.tobytes() for tensor in loaded.results(batch)}
        for tensor in loaded.live_tensors(batch):
            if tensor.name in stored:
                assert stored[tensor.name] == tensor.values.tobytes(), tensor.name
        found.append([*stored.values(), *(array.tobytes() for array in outputs.values())])
    return found


def test_threads_and_ways_to_run() -> None:
    program, batches = large(), [inputs(seed) for seed in range(3)]
    found = []
    for threads in THREADS:
        loaded = machine(program, RunOptions(threads=threads))
        found.append(every_way(loaded, batches))
        loaded.close()
    assert all(other == found[0] for other in found[1:])
    assert len({values[-1] for values in found[0]}) == len(batches)


@pytest.mark.parametrize("kind", ["network", "convolution", "reduction", "pooling", "run_time_kernel"])
def test_threads_on_random_programs(kind: str) -> None:
    for seed in range(100, 104):
        made = random_program(Seeded(seed), kind)
        found = [every_way(machine(made.program, RunOptions(threads=n)), [made.arrays] * 2) for n in (1, 3)]
        assert found[0] == found[1]


@pytest.mark.parametrize("threads", [1, 3])
def test_many_threads_run_one_simulator_at_once(threads: int) -> None:
    loaded = machine(large(), RunOptions(threads=threads))
    batches = [inputs(seed % 5) for seed in range(20)]
    alone = [bits(loaded.run(batch)) for batch in batches[:5]]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda batch: bits(loaded.run(batch)), batches))
        mixed = [
            pool.submit(lambda batch=batch: [bits(o) for o in loaded.run_many([batch] * 2)]) for batch in batches[:5]
        ]
        tasks = [
            pool.submit(lambda batch=batch: [t.values.tobytes() for t in loaded.results(batch)]) for batch in batches
        ]
    assert together == alone * 4
    assert [many.result() for many in mixed] == [[one, one] for one in alone]
    assert [task.result()[-1] for task in tasks] == [one["y"] for one in alone] * 4


def test_two_simulators_at_once() -> None:
    program = large()
    first, second = machine(program, RunOptions(threads=2)), machine(program, RunOptions(threads=3))
    batches = [inputs(seed) for seed in range(4)]
    alone = [bits(first.run(batch)) for batch in batches]
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(lambda one=one: [bits(one.run(batch)) for batch in batches]) for one in (first, second)]
    assert [run.result() for run in runs] == [alone, alone]


def test_a_run_that_is_given_up_leaves_no_trace() -> None:
    """Half of the results are taken, then another input runs in memory that was used before."""
    loaded = machine(large(), RunOptions(threads=2))
    wanted = bits(loaded.run(inputs(1)))
    started = loaded.results(inputs(2))
    next(started)
    next(started)
    assert bits(loaded.run(inputs(1))) == wanted
    started.close()
    many = loaded.run_many([inputs(1), inputs(2), inputs(1)])
    assert bits(next(many)) == wanted
    many.close()
    assert bits(loaded.run(inputs(1))) == wanted
