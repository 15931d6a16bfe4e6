"""The kernels against the reference machine, bit for bit, on random programs of one to many tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.support.random_programs import KINDS, random_program
from tests.support.random_tensors import Made, Seeded

from openane.core.types import DType
from openane.sim.decoded_task import (
    DecodedTask,
    MacFunction,
    MacOperation,
    MacWork,
    MemorySpace,
    PlanarFunction,
    PlanarOperation,
    PlanarReduction,
    PlanarWork,
)
from openane.sim.kernels.library import instruction_sets
from openane.sim.machine import ExecutionOptions, Simulator
from openane.sim.reference import ReferenceMachine
from openane.targets.h13.machine import BUFFERS, PROFILE, decode_program

T = TypeVar("T")
EXAMPLES = {"convolution": 30, "elementwise": 30}
"""How many random programs of a kind; 12 of the others."""


class Drawn:
    """Decisions of hypothesis, which makes failing programs small."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def integer(self, low: int, high: int) -> int:
        return int(self._draw(st.integers(low, high)))

    def pick(self, among: Sequence[T]) -> T:
        return self._draw(st.sampled_from(among))


def same_bits(found: np.ndarray, wanted: np.ndarray) -> bool:
    return found.shape == wanted.shape and found.dtype == wanted.dtype and found.tobytes() == wanted.tobytes()


def check(made: Made, instruction_set: str = "", **profile: str) -> None:
    """Runs a program on both."""
    chosen = PROFILE.with_options(profile)
    works, execution = (
        decode_program(made.program),
        ExecutionOptions(chosen, threads=2, instruction_set=instruction_set),
    )
    found = Simulator(made.program, works, BUFFERS, execution).run(made.arrays)
    wanted = ReferenceMachine(made.program, works, BUFFERS, chosen).run(made.arrays)
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        assert same_bits(found[name], values), (name, found[name], values)


@pytest.mark.parametrize("kind", KINDS)
def test_random_programs(kind: str) -> None:
    phases = [Phase.generate] if kind == "network" else [Phase.generate, Phase.shrink]  # many decisions shrink slowly

    @settings(
        max_examples=EXAMPLES.get(kind, 12), deadline=None, suppress_health_check=list(HealthCheck), derandomize=True,
        phases=phases,
    )  # fmt: skip
    @given(st.data())
    def run(data: st.DataObject) -> None:
        check(random_program(Drawn(data.draw), kind))

    run()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("instruction_set", instruction_sets())
def test_random_programs_on_every_instruction_set(kind: str, instruction_set: str) -> None:
    for seed in range(8):
        check(random_program(Seeded(seed), kind), instruction_set)


OPTIONS = {
    "reduction": {"table_index": "fp16"},
    "convolution": {"overflow_order": "taps", "post_scale": "fp16-sum"},
    "run_time_kernel": {"run_time_kernel": "planar"},
    "without_weights": {"without_weights": "accumulator"},
}


@pytest.mark.parametrize("kind", OPTIONS)
def test_options_of_the_profile_run_by_definition(kind: str) -> None:
    for seed in range(4):
        check(random_program(Seeded(seed), kind), **OPTIONS[kind])


# What the random programs cover ------------------------------------------------------------------------------------


def features(work: DecodedTask) -> Iterator[object]:
    """What a task makes use of."""
    engine = work.engine
    unit = "NE" if isinstance(engine, MacWork) else "PE"
    for operand in (*work.sources, work.result):
        yield unit, operand.role, operand.space
        yield unit, operand.role, operand.dtype
        yield unit, operand.role, "interleaved" if operand.interleave > 1 else ""
        yield unit, operand.role, "exchanged" if operand.swapped else ""
    yield unit, "kept" if work.kept is not None else ""
    yield unit, "in place" if any(s.base == work.result.base and s.space is MemorySpace.L2 is work.result.space
                                  for s in work.sources) else ""  # fmt: skip
    yield from (("batch", unit, work.view[0] > 1), ("depth", unit, work.view[1] > 1), engine.operation, engine.function)
    if isinstance(engine, MacWork):
        yield from mac_features(engine)
    else:
        yield from planar_features(work, engine)


def mac_features(engine: MacWork) -> Iterator[object]:
    yield from (("ReLU while loading", engine.relu_in), ("bias of the task", engine.acc_bias != 0))
    yield "all channels" if engine.kernel is None and not engine.inputs_per_output else ""
    kernel = engine.kernel
    if kernel is None:
        return
    assert hasattr(kernel, "format")
    yield from (("window", max(engine.window) > 1), ("stride of rows", engine.stride[0]), ("pad", engine.pad != (0, 0)))
    yield "stride of columns", engine.stride[1]
    yield from (("weights", kernel.format.element), ("palette", kernel.format.palette_bits))
    yield from (("sparse", kernel.format.sparse, kernel.phases), ("depthwise", kernel.depthwise))
    yield from (("kernels", kernel.groups), ("buffer", kernel.buffer), ("table", kernel.has_table))
    yield from (("bias", kernel.has_bias), ("round", kernel.largest_round), ("rounds", len(kernel.rounds) > 1))


def planar_features(work: DecodedTask, engine: PlanarWork) -> Iterator[object]:
    yield from (("reduction", engine.reduction, engine.window is None), ("rows", engine.rows), ("ReLU", engine.relu))
    yield from (("minus", engine.negate_first, engine.negate_second), ("magnitude", engine.absolute))
    yield from (("epsilon", engine.epsilon != 0), ("ReLU 1", engine.relu_first), ("ReLU 2", engine.relu_second))
    for source in work.sources:
        for axis, (held, walked) in enumerate(zip(source.extent, work.view, strict=True)):
            if held < walked and not engine.rows:
                yield source.role, "repeated", axis


EXPECTED: frozenset[object] = frozenset(
    {
        *MacOperation, *MacFunction, *PlanarFunction, *PlanarOperation,
        *(("reduction", kind, True) for kind in PlanarReduction),
        *(("reduction", kind, False) for kind in PlanarReduction if kind is not PlanarReduction.NONE),
        *(("NE", role, space) for role in ("source 1", "result") for space in MemorySpace),
        *(("PE", role, space) for role in ("source 1", "result") for space in MemorySpace),
        *(("PE", "source 2", space) for space in (MemorySpace.DRAM, MemorySpace.L2)),
        *(("NE", role, kind) for role in ("source 1", "result") for kind in (DType.FLOAT16, DType.INT8, DType.UINT8)),
        *(("PE", role, kind) for role in ("source 1", "source 2", "result")
          for kind in (DType.FLOAT16, DType.INT8, DType.UINT8)),
        *((unit, role, "interleaved") for unit in ("NE", "PE") for role in ("source 1", "result")),
        ("NE", "result", "exchanged"), ("PE", "result", "exchanged"),
        ("NE", "kept"), ("NE", "in place"), ("PE", "in place"), "all channels",
        *(("batch", unit, True) for unit in ("NE", "PE")), *(("depth", unit, True) for unit in ("NE", "PE")),
        ("ReLU while loading", True), ("bias of the task", True), ("window", True), ("pad", True), ("rounds", True),
        *(("stride of rows", stride) for stride in (1, 2, 3)), *(("stride of columns", stride) for stride in (1, 2, 3)),
        *(("weights", code) for code in (0, 1, 2)), *(("palette", bits) for bits in (0, 1, 2, 4, 6, 8)),
        ("sparse", True, True), ("sparse", True, False), ("depthwise", True), ("kernels", 2), ("buffer", 3),
        ("table", True), ("bias", True), *(("round", 1 << log) for log in (0, 1, 2, 4)),
        *(("minus", first, second) for first in (False, True) for second in (False, True)),
        ("rows", True), ("ReLU", True), ("magnitude", True), ("epsilon", True), ("ReLU 1", True), ("ReLU 2", True),
        *((f"source {number}", "repeated", axis) for number in (1, 2) for axis in (1, 2, 3, 4)),
    }
)  # fmt: skip


def test_the_random_programs_use_everything() -> None:
    missing = set(EXPECTED)
    for seed in range(200):
        for kind in KINDS:
            if missing:
                made = random_program(Seeded(seed), kind)
                missing -= {feature for work in decode_program(made.program) for feature in features(work)}
    assert not missing
